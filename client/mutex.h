// The mutex of protocol/mutex.h, and a condition to wait for with it. Internal to the client.
//
//   Mutex mutex_;
//   CondVar changed_;
//   int count_ ABSL_GUARDED_BY(mutex_);
//   ...
//   MutexLock lock(&mutex_);
//   while (count_ == 0) changed_.Wait(&mutex_);
#ifndef SLUICE_CLIENT_MUTEX_H_
#define SLUICE_CLIENT_MUTEX_H_

#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "client/clock.h"
#include "protocol/mutex.h"

namespace sluice::client {

using sluice::Mutex;
using sluice::MutexLock;

enum class WaitOutcome { kWoken, kTimedOut };

class CondVar {
 public:
  // May return without a reason: look again.
  void Wait(Mutex* mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex->standard(), std::adopt_lock);
    changed_.wait(lock);
    lock.release();
  }

  // `deadline` as MonotonicNow() counts; InfiniteFuture: no deadline.
  WaitOutcome WaitUntil(Mutex* mutex, absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (deadline == absl::InfiniteFuture()) {
      Wait(mutex);
      return WaitOutcome::kWoken;
    }
    std::unique_lock<std::mutex> lock(mutex->standard(), std::adopt_lock);
    const std::cv_status status = changed_.wait_until(lock, ToSteady(deadline));
    lock.release();
    return status == std::cv_status::timeout ? WaitOutcome::kTimedOut : WaitOutcome::kWoken;
  }

  void Signal() { changed_.notify_one(); }
  void SignalAll() { changed_.notify_all(); }

 private:
  std::condition_variable changed_;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_MUTEX_H_
