// Whether a subscription is within its limits: a pure function of the queue's state, the limits and the time.
// What is done about it is the overflow policy's business. Internal to the broker.
#ifndef SLUICE_BROKER_CORE_VERDICT_H_
#define SLUICE_BROKER_CORE_VERDICT_H_

#include <cstdint>
#include <limits>

#include "absl/time/time.h"
#include "protocol/sluice.pb.h"

namespace sluice {

// 0 (and InfiniteDuration()) means no limit.
struct QueueLimits {
  uint64_t pending_bytes_max = 0;
  uint64_t pending_messages_max = 0;
  absl::Duration pending_age_max = absl::InfiniteDuration();
  // The soft ones: a queue may be above them for less than `soft_time` at a stretch.
  uint64_t pending_bytes_soft = 0;
  uint64_t pending_messages_soft = 0;
  absl::Duration pending_age_soft = absl::InfiniteDuration();
  absl::Duration soft_time = absl::InfiniteDuration();

  friend bool operator==(const QueueLimits&, const QueueLimits&) = default;
};
// As limits and ages are told: whole milliseconds, and 0 for InfiniteDuration(), which is no limit.
uint64_t ToWireMilliseconds(absl::Duration duration);
// What does not apply is 0.
void ToWire(const QueueLimits& limits, v1::SubscriptionLimits* wire);

enum class LimitKind : uint8_t { kHard, kSoft };

// What waits behind the frame in flight: a message that found an empty queue is never judged by its own size.
struct QueueState {
  uint64_t waiting_bytes = 0;
  uint64_t waiting_messages = 0;
  // Of the oldest message that has not left completely; InfiniteFuture() when there is none.
  absl::Time oldest = absl::InfiniteFuture();
};

// What may wait.
struct QueueBound {
  uint64_t bytes_max = std::numeric_limits<uint64_t>::max();
  uint64_t messages_max = std::numeric_limits<uint64_t>::max();
  absl::Time enqueued_since = absl::InfinitePast();
};

struct Verdict {
  // REASON_UNSPECIFIED: within the limits. Otherwise the first limit that was passed.
  v1::Reason over = v1::REASON_UNSPECIFIED;
  // Bytes, messages or milliseconds; `value` is above `limit`, an age rounded up for that.
  uint64_t limit = 0;
  uint64_t value = 0;
  LimitKind kind = LimitKind::kHard;

  bool healthy() const { return over == v1::REASON_UNSPECIFIED; }
};

// An episode of lagging begins when so much of the nearest limit is used, and ends below the lower mark: two
// marks, so that a queue at the edge does not flap.
inline constexpr double kHighWatermark = 0.75;
inline constexpr double kLowWatermark = 0.5;

// The limit, hard or soft, of which most is used. `share` is 0 where there is no limit.
struct Nearness {
  v1::Reason limit = v1::REASON_UNSPECIFIED;
  uint64_t limit_value = 0;
  uint64_t value = 0;
  double share = 0;
  LimitKind kind = LimitKind::kHard;
};
Nearness NearestLimit(const QueueState& state, const QueueLimits& limits, absl::Time now);

// By the hard limits.
Verdict Judge(const QueueState& state, const QueueLimits& limits, absl::Time now);
// By the soft ones, however long it has been above them.
Verdict JudgeSoft(const QueueState& state, const QueueLimits& limits, absl::Time now);

// What may stay of a queue that drops messages: `share` of each limit of that kind, and at least one message.
QueueBound ShareOf(const QueueLimits& limits, LimitKind kind, double share, absl::Time now);

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_VERDICT_H_
