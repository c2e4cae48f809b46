#include "broker/core/verdict.h"

#include <algorithm>

namespace sluice {
namespace {

uint64_t Milliseconds(absl::Duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Milliseconds(duration)));
}

}  // namespace

Nearness NearestLimit(const QueueState& state, const QueueLimits& limits, absl::Time now) {
  Nearness nearest;
  const auto consider = [&nearest](v1::Reason limit, uint64_t limit_value, uint64_t value) {
    if (limit_value == 0) return;
    const double share = static_cast<double>(value) / static_cast<double>(limit_value);
    if (share > nearest.share) nearest = {limit, limit_value, value, share};
  };
  consider(v1::REASON_PENDING_BYTES, limits.pending_bytes_max, state.waiting_bytes);
  consider(v1::REASON_PENDING_MESSAGES, limits.pending_messages_max, state.waiting_messages);
  if (limits.pending_age_max != absl::ZeroDuration() && limits.pending_age_max != absl::InfiniteDuration()) {
    consider(v1::REASON_PENDING_AGE, Milliseconds(limits.pending_age_max), Milliseconds(now - state.oldest));
  }
  return nearest;
}

Verdict Judge(const QueueState& state, const QueueLimits& limits, absl::Time now) {
  if (limits.pending_bytes_max != 0 && state.waiting_bytes > limits.pending_bytes_max) {
    return {v1::REASON_PENDING_BYTES, limits.pending_bytes_max, state.waiting_bytes};
  }
  if (limits.pending_messages_max != 0 && state.waiting_messages > limits.pending_messages_max) {
    return {v1::REASON_PENDING_MESSAGES, limits.pending_messages_max, state.waiting_messages};
  }
  const absl::Duration age = now - state.oldest;
  if (limits.pending_age_max != absl::ZeroDuration() && age > limits.pending_age_max) {
    return {v1::REASON_PENDING_AGE, Milliseconds(limits.pending_age_max),
            Milliseconds(absl::Ceil(age, absl::Milliseconds(1)))};
  }
  return {};
}

}  // namespace sluice
