#include "broker/core/verdict.h"

#include <algorithm>

namespace sluice {
namespace {

// The limits of one kind. 0 and InfiniteDuration(): none.
struct Marks {
  uint64_t bytes = 0;
  uint64_t messages = 0;
  absl::Duration age;
};

Marks Of(const QueueLimits& limits, LimitKind kind) {
  const Marks marks =
      kind == LimitKind::kHard
          ? Marks{limits.pending_bytes_max, limits.pending_messages_max, limits.pending_age_max}
          : Marks{limits.pending_bytes_soft, limits.pending_messages_soft, limits.pending_age_soft};
  return {marks.bytes, marks.messages,
          marks.age == absl::ZeroDuration() ? absl::InfiniteDuration() : marks.age};
}

Verdict JudgeBy(LimitKind kind, const QueueState& state, const QueueLimits& limits, absl::Time now) {
  const Marks marks = Of(limits, kind);
  if (marks.bytes != 0 && state.waiting_bytes > marks.bytes) {
    return {v1::REASON_PENDING_BYTES, marks.bytes, state.waiting_bytes, kind};
  }
  if (marks.messages != 0 && state.waiting_messages > marks.messages) {
    return {v1::REASON_PENDING_MESSAGES, marks.messages, state.waiting_messages, kind};
  }
  const absl::Duration age = now - state.oldest;
  if (age > marks.age) {
    return {v1::REASON_PENDING_AGE, ToWireMilliseconds(marks.age),
            ToWireMilliseconds(absl::Ceil(age, absl::Milliseconds(1))), kind};
  }
  return {};
}

}  // namespace

uint64_t ToWireMilliseconds(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return 0;
  return static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Milliseconds(duration)));
}

void ToWire(const QueueLimits& limits, v1::SubscriptionLimits* wire) {
  wire->set_pending_bytes_max(limits.pending_bytes_max);
  wire->set_pending_messages_max(limits.pending_messages_max);
  wire->set_pending_age_max_ms(ToWireMilliseconds(limits.pending_age_max));
  wire->set_pending_bytes_soft(limits.pending_bytes_soft);
  wire->set_pending_messages_soft(limits.pending_messages_soft);
  wire->set_pending_age_soft_ms(ToWireMilliseconds(limits.pending_age_soft));
  wire->set_soft_time_ms(ToWireMilliseconds(limits.soft_time));
}

Nearness NearestLimit(const QueueState& state, const QueueLimits& limits, absl::Time now) {
  Nearness nearest;
  for (const LimitKind kind : {LimitKind::kHard, LimitKind::kSoft}) {
    const auto consider = [&](v1::Reason limit, uint64_t limit_value, uint64_t value) {
      if (limit_value == 0) return;
      const double share = static_cast<double>(value) / static_cast<double>(limit_value);
      if (share > nearest.share) nearest = {limit, limit_value, value, share, kind};
    };
    const Marks marks = Of(limits, kind);
    consider(v1::REASON_PENDING_BYTES, marks.bytes, state.waiting_bytes);
    consider(v1::REASON_PENDING_MESSAGES, marks.messages, state.waiting_messages);
    if (marks.age != absl::InfiniteDuration()) {
      consider(v1::REASON_PENDING_AGE, ToWireMilliseconds(marks.age), ToWireMilliseconds(now - state.oldest));
    }
  }
  return nearest;
}

QueueBound ShareOf(const QueueLimits& limits, LimitKind kind, double share, absl::Time now) {
  const auto part = [share](uint64_t limit) {
    return std::max<uint64_t>(1, static_cast<uint64_t>(static_cast<double>(limit) * share));
  };
  const Marks marks = Of(limits, kind);
  QueueBound bound;
  if (marks.bytes != 0) bound.bytes_max = part(marks.bytes);
  if (marks.messages != 0) bound.messages_max = part(marks.messages);
  bound.enqueued_since = now - marks.age * share;
  return bound;
}

Verdict Judge(const QueueState& state, const QueueLimits& limits, absl::Time now) {
  return JudgeBy(LimitKind::kHard, state, limits, now);
}

Verdict JudgeSoft(const QueueState& state, const QueueLimits& limits, absl::Time now) {
  return JudgeBy(LimitKind::kSoft, state, limits, now);
}

}  // namespace sluice
