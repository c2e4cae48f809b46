// Requests that wait for their reply. Internal to the client.
//
//   uint64_t id = requests.Add(deadline, done);           // before the request is published
//   Reply topic: "<inbox>.<id>"
//   requests.Finish(id, reply);                           // the I/O thread; the first answer wins
//
// Thread safety: all methods from any thread. `done` is called without the lock, once.
#ifndef SLUICE_CLIENT_REQUESTS_H_
#define SLUICE_CLIENT_REQUESTS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "client/mutex.h"

namespace sluice::client {

enum class Known { kNo, kYes };

class Requests {
 public:
  // InfiniteFuture: whoever waits looks after the deadline itself.
  uint64_t Add(absl::Time deadline, ReplyCallback done);
  // kNo: it is over already, and `result` is forgotten.
  Known Finish(uint64_t id, absl::StatusOr<ReceivedMessage> result);
  // Takes it back without calling `done`.
  Known Forget(uint64_t id);
  void FailAll(const absl::Status& why);

  absl::Time NextDeadline() const;
  // Ends those whose deadline has come.
  void Expire(absl::Time now);

  // What stands behind the inbox's dot in a reply's topic.
  static std::string Token(uint64_t id);
  // 0: not one of ours.
  static uint64_t ParseToken(std::string_view token);

 private:
  struct Pending {
    absl::Time deadline;
    ReplyCallback done;
  };

  mutable Mutex mutex_;
  uint64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, Pending> pending_ ABSL_GUARDED_BY(mutex_);
  // Those with a deadline of their own.
  std::set<std::pair<absl::Time, uint64_t>> deadlines_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_REQUESTS_H_
