// Which limits a subscription gets, from what its client asks for and what the broker allows. Internal to the
// broker.
//
//   const LimitTerms terms = TermsUnder(rule, limits.queue, pending_bytes_min);
//   absl::StatusOr<QueueLimits> granted = GrantLimits(subscribe.limits(), terms);
//
// A limit that is not asked for has its default, and one that is asked for may be as high as the broker's. A
// soft limit is at most as high as the hard one of its kind: a default above that is cut to it. Where the
// broker has soft limits its time is the longest, too.
//
// Thread safety: pure functions.
#ifndef SLUICE_BROKER_GRANTED_LIMITS_H_
#define SLUICE_BROKER_GRANTED_LIMITS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "broker/core/verdict.h"
#include "broker/subscription_rule.h"
#include "protocol/sluice.pb.h"

namespace sluice {

struct LimitTerms {
  // What is not asked for. Of the soft limits also the most; `soft_time` applies where there is one.
  QueueLimits defaults;
  // Of the hard limits; 0 or InfiniteDuration(): there is no most.
  QueueLimits highest;
  // The least of pending_bytes_max.
  uint64_t pending_bytes_min = 1;
  // What becomes of a wish above the most.
  enum class Excess { kRefused, kCut } excess = Excess::kRefused;
};

// `rule` may be null: the broker's limits are defaults and the most, and more is refused. Under a rule more is
// cut to the ceilings, or to the broker's limits where it has none.
LimitTerms TermsUnder(const SubscriptionRule* rule, const QueueLimits& broker, uint64_t pending_bytes_min);

// InvalidArgument: names the value, and what is allowed.
absl::StatusOr<QueueLimits> GrantLimits(const v1::SubscriptionLimits& asked, const LimitTerms& terms);

}  // namespace sluice

#endif  // SLUICE_BROKER_GRANTED_LIMITS_H_
