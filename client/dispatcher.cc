#include "client/dispatcher.h"

#include <utility>

#include "client/thread.h"

namespace sluice::client {

void Dispatcher::Start() {
  thread_ = StartThread("sluice-dispatch", [this] {
    thread_id_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    Run();
  });
}

void Dispatcher::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.Signal();
  }
  if (thread_.joinable()) thread_.join();
}

void Dispatcher::Post(std::function<void()> task) { Push({.once = std::move(task)}); }

void Dispatcher::Add(std::shared_ptr<Runnable> runnable) { Push({.runnable = std::move(runnable)}); }

void Dispatcher::Push(Task task) {
  bool wake = false;
  {
    MutexLock lock(&mutex_);
    if (stopping_) return;
    tasks_.push_back(std::move(task));
    wake = std::exchange(idle_, false);
  }
  if (wake) changed_.Signal();
}

void Dispatcher::Run() {
  for (;;) {
    Task task;
    {
      MutexLock lock(&mutex_);
      while (tasks_.empty() && !stopping_) {
        idle_ = true;
        changed_.Wait(&mutex_);
      }
      idle_ = false;
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    if (task.once) task.once();
    if (task.runnable && task.runnable->RunBatch() == More::kYes) Add(std::move(task.runnable));
  }
}

}  // namespace sluice::client
