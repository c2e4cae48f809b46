// One answer that one thread waits for and another brings. Internal to the client.
//
//   auto answer = std::make_shared<Answer<absl::Status>>();
//   Ask([answer](absl::Status status) { answer->Set(std::move(status)); });
//   std::optional<absl::Status> status = answer->Wait(deadline);       // nullopt: not in time
//
// Shared, because the answer may come when nobody waits any more.
//
// Thread safety: all methods from any thread.
#ifndef SLUICE_CLIENT_ANSWER_H_
#define SLUICE_CLIENT_ANSWER_H_

#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "client/mutex.h"

namespace sluice::client {

template <typename T>
class Answer {
 public:
  void Set(T value) {
    MutexLock lock(&mutex_);
    value_.emplace(std::move(value));
    set_.SignalAll();
  }

  // Takes it: one caller gets it.
  std::optional<T> Wait(absl::Time deadline) {
    MutexLock lock(&mutex_);
    while (!value_ && MonotonicNow() < deadline) set_.WaitUntil(&mutex_, deadline);
    return std::exchange(value_, std::nullopt);
  }

 private:
  Mutex mutex_;
  CondVar set_;
  std::optional<T> value_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_ANSWER_H_
