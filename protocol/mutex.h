// A mutex whose rules the compiler checks: absl's annotations around the standard one. It has nothing to do with
// the wire; it stands here because protocol/ is what the broker and the client both stand on.
//
//   Mutex mutex_;
//   int count_ ABSL_GUARDED_BY(mutex_);
//   ...
//   const MutexLock lock(&mutex_);
//
// Why not absl::Mutex: ThreadSanitizer sees it only when Abseil itself was built with the sanitizer, which a
// distribution's package is not, and an uncontended std::mutex costs a quarter.
#ifndef SLUICE_PROTOCOL_MUTEX_H_
#define SLUICE_PROTOCOL_MUTEX_H_

#include <mutex>

#include "absl/base/thread_annotations.h"

namespace sluice {

class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

  // For what waits on it with the standard library's means.
  std::mutex& standard() { return mutex_; }

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

#endif  // SLUICE_PROTOCOL_MUTEX_H_
