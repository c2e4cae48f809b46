// Whether a subscription is within its limits: a pure function of the queue's state, the limits and the time.
// What is done about it is the overflow policy's business. Internal to the broker.
#ifndef SLUICE_BROKER_CORE_VERDICT_H_
#define SLUICE_BROKER_CORE_VERDICT_H_

#include <cstdint>

#include "absl/time/time.h"
#include "protocol/sluice.pb.h"

namespace sluice {

// 0 (and InfiniteDuration()) means no limit.
struct QueueLimits {
  uint64_t pending_bytes_max = 0;
  uint64_t pending_messages_max = 0;
  absl::Duration pending_age_max = absl::InfiniteDuration();
};

// What waits behind the frame in flight: a message that found an empty queue is never judged by its own size.
struct QueueState {
  uint64_t waiting_bytes = 0;
  uint64_t waiting_messages = 0;
  // Of the oldest message that has not left completely; InfiniteFuture() when there is none.
  absl::Time oldest = absl::InfiniteFuture();
};

struct Verdict {
  // REASON_UNSPECIFIED: within the limits. Otherwise the first limit that was passed.
  v1::Reason over = v1::REASON_UNSPECIFIED;
  // Bytes, messages or milliseconds; `value` is above `limit`, an age rounded up for that.
  uint64_t limit = 0;
  uint64_t value = 0;

  bool healthy() const { return over == v1::REASON_UNSPECIFIED; }
};

// An episode of lagging begins when so much of the nearest limit is used, and ends below the lower mark: two
// marks, so that a queue at the edge does not flap.
inline constexpr double kHighWatermark = 0.75;
inline constexpr double kLowWatermark = 0.5;

// The limit of which most is used. `share` is 0 where there is no limit.
struct Nearness {
  v1::Reason limit = v1::REASON_UNSPECIFIED;
  uint64_t limit_value = 0;
  uint64_t value = 0;
  double share = 0;
};
Nearness NearestLimit(const QueueState& state, const QueueLimits& limits, absl::Time now);

Verdict Judge(const QueueState& state, const QueueLimits& limits, absl::Time now);

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_VERDICT_H_
