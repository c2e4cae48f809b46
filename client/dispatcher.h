// The thread that runs handlers and callbacks. Internal to the client.
//
//   dispatcher.Post([event] { … });          // once, in order
//   dispatcher.Add(subscription);            // calls RunBatch() until it says that there is no more
//
// Subscriptions that have more take turns with the others, a batch each.
//
// Thread safety: all methods from any thread; Start() and Stop() by the owner.
#ifndef SLUICE_CLIENT_DISPATCHER_H_
#define SLUICE_CLIENT_DISPATCHER_H_

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "client/mutex.h"

namespace sluice::client {

enum class More { kNo, kYes };

class Runnable {
 public:
  virtual ~Runnable() = default;
  // Some bounded work; not called by two threads at a time.
  virtual More RunBatch() = 0;
};

class Dispatcher {
 public:
  Dispatcher() = default;
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;
  ~Dispatcher() { Stop(); }

  void Start();
  // Runs what was posted before, then ends the thread. Nothing runs after that; what is added is forgotten.
  // Not on the thread itself.
  void Stop();

  void Post(std::function<void()> task);
  void Add(std::shared_ptr<Runnable> runnable);
  bool OnThread() const { return std::this_thread::get_id() == thread_id_.load(std::memory_order_relaxed); }

 private:
  struct Task {
    std::function<void()> once = {};
    std::shared_ptr<Runnable> runnable = {};
  };

  void Push(Task task);
  void Run();

  std::thread thread_;
  std::atomic<std::thread::id> thread_id_{};

  Mutex mutex_;
  CondVar changed_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool idle_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_DISPATCHER_H_
