// The deadlines of a shard's sessions, each with at most one that counts. Internal to the broker.
//
//   deadlines.Schedule(token, when);
//   while (std::optional<uint64_t> token = deadlines.PopDue(now)) ...
//     // ask the session what is due, schedule its next
//
// Nothing is removed when a deadline moves later or its session ends: whoever pops a token asks its session,
// and a session that is gone or not due answers so. A session schedules again only for an earlier deadline
// than the one that stands, so a busy one costs no entry per message.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_DEADLINE_QUEUE_H_
#define SLUICE_BROKER_CORE_DEADLINE_QUEUE_H_

#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

#include "absl/time/time.h"

namespace sluice {

class DeadlineQueue {
 public:
  void Schedule(uint64_t token, absl::Time when) {
    if (when != absl::InfiniteFuture()) entries_.push({NanosNotBefore(when), token});
  }

  // The token of the earliest deadline at or before `now`, taken out.
  std::optional<uint64_t> PopDue(absl::Time now) {
    if (entries_.empty() || next() > now) return std::nullopt;
    const uint64_t token = entries_.top().token;
    entries_.pop();
    return token;
  }

  // InfiniteFuture() when there is none.
  absl::Time next() const {
    return entries_.empty() ? absl::InfiniteFuture() : absl::FromUnixNanos(entries_.top().when_ns);
  }
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    int64_t when_ns;
    uint64_t token;
    bool operator<(const Entry& other) const { return when_ns > other.when_ns; }  // the earliest on top
  };

  static int64_t NanosNotBefore(absl::Time when) {
    const int64_t ns = absl::ToUnixNanos(when);
    return absl::FromUnixNanos(ns) < when ? ns + 1 : ns;
  }
  std::priority_queue<Entry> entries_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_DEADLINE_QUEUE_H_
