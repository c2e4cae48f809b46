#include "broker/core/verdict.h"

namespace sluice {
namespace {

uint64_t Milliseconds(absl::Duration duration) {
  return static_cast<uint64_t>(absl::ToInt64Milliseconds(duration));
}

}  // namespace

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
