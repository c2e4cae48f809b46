#include "broker/core/verdict.h"

namespace sluice {

Verdict Judge(const QueueState& state, const QueueLimits& limits, absl::Time now) {
  if (limits.pending_bytes_max != 0 && state.waiting_bytes > limits.pending_bytes_max) {
    return {v1::REASON_PENDING_BYTES, limits.pending_bytes_max, state.waiting_bytes};
  }
  if (limits.pending_messages_max != 0 && state.waiting_messages > limits.pending_messages_max) {
    return {v1::REASON_PENDING_MESSAGES, limits.pending_messages_max, state.waiting_messages};
  }
  if (now - state.oldest > limits.pending_age_max) {
    return {v1::REASON_PENDING_AGE, static_cast<uint64_t>(absl::ToInt64Milliseconds(limits.pending_age_max)),
            static_cast<uint64_t>(absl::ToInt64Milliseconds(now - state.oldest))};
  }
  return {};
}

}  // namespace sluice
