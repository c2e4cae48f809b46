// A mutex whose rules the compiler checks: absl's annotations around the standard one. Internal to the
// broker.
//
//   Mutex mutex_;
//   int count_ ABSL_GUARDED_BY(mutex_);
//   ...
//   const MutexLock lock(&mutex_);
//
// Why not absl::Mutex: ThreadSanitizer sees it only when Abseil itself was built with the sanitizer, which a
// distribution's package is not.
#ifndef SLUICE_BROKER_MUTEX_H_
#define SLUICE_BROKER_MUTEX_H_

#include <mutex>

#include "absl/base/thread_annotations.h"

namespace sluice {

class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) { mutex_->Lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mutex_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_MUTEX_H_
