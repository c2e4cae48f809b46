#include "broker/granted_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>

namespace sluice {
namespace {

constexpr uint64_t kNoMost = std::numeric_limits<int64_t>::max();

// Durations are in milliseconds here; as 0, like a number, InfiniteDuration() is none.
uint64_t ToNumber(absl::Duration duration) {
  return duration == absl::InfiniteDuration() ? 0
                                              : static_cast<uint64_t>(absl::ToInt64Milliseconds(duration));
}

absl::Duration ToDuration(uint64_t milliseconds) {
  return milliseconds == 0 ? absl::InfiniteDuration() : absl::Milliseconds(milliseconds);
}

uint64_t MostOf(uint64_t limit) { return limit == 0 ? kNoMost : limit; }

// Grants the limits one by one; after the first that is refused it grants none.
class Granting {
 public:
  explicit Granting(LimitTerms::Excess excess) : excess_(excess) {}

  uint64_t Grant(std::string_view what, uint64_t asked, uint64_t otherwise, uint64_t min, uint64_t max) {
    if (!status_.ok() || asked == 0) return otherwise;
    if (asked >= min && (asked <= max || excess_ == LimitTerms::Excess::kCut)) return std::min(asked, max);
    Refuse(max == kNoMost
               ? fmt::format("{} {} is too small; allowed: {} and more, or 0 (the default)", what, asked, min)
               : fmt::format("{} {}; allowed: {} to {}, or 0 (the default)", what, asked, min, max));
    return 0;
  }

  // A soft limit, where `hard` was asked for and `granted` granted of its kind.
  uint64_t GrantSoft(std::string_view what, uint64_t asked, uint64_t otherwise, uint64_t hard,
                     uint64_t granted) {
    if (hard != 0 && asked > hard) {
      Refuse(fmt::format("{} {} is above the hard limit; allowed: 1 to {}, or 0 (the default)", what, asked,
                         hard));
    }
    const uint64_t max = std::min(MostOf(otherwise), MostOf(granted));
    return Grant(what, asked, otherwise == 0 ? 0 : max, 1, max);
  }

  void Refuse(std::string_view why) {
    status_.Update(absl::InvalidArgumentError(absl::string_view(why.data(), why.size())));
  }
  const absl::Status& status() const { return status_; }

 private:
  const LimitTerms::Excess excess_;
  absl::Status status_;
};

bool HasSoft(const QueueLimits& limits) {
  return limits.pending_bytes_soft != 0 || limits.pending_messages_soft != 0 ||
         limits.pending_age_soft != absl::InfiniteDuration();
}

}  // namespace

LimitTerms TermsUnder(const SubscriptionRule* rule, const QueueLimits& broker, uint64_t pending_bytes_min) {
  LimitTerms terms = {.defaults = broker, .highest = broker, .pending_bytes_min = pending_bytes_min};
  if (rule == nullptr) return terms;
  terms.excess = LimitTerms::Excess::kCut;
  const auto age = [](const std::optional<absl::Duration>& said, absl::Duration otherwise) {
    return said.value_or(otherwise) == absl::ZeroDuration() ? absl::InfiniteDuration()
                                                            : said.value_or(otherwise);
  };
  QueueLimits& highest = terms.highest;
  highest.pending_bytes_max = rule->pending_bytes_ceiling.value_or(broker.pending_bytes_max);
  highest.pending_messages_max = rule->pending_messages_ceiling.value_or(broker.pending_messages_max);
  highest.pending_age_max = age(rule->pending_age_ceiling, broker.pending_age_max);
  const auto at_most = [](uint64_t limit, uint64_t most) {
    return most == 0 ? limit : std::min(MostOf(limit), most);
  };
  QueueLimits& defaults = terms.defaults;
  defaults.pending_bytes_max =
      at_most(rule->pending_bytes_max.value_or(broker.pending_bytes_max), highest.pending_bytes_max);
  defaults.pending_messages_max =
      at_most(rule->pending_messages_max.value_or(broker.pending_messages_max), highest.pending_messages_max);
  defaults.pending_age_max =
      std::min(age(rule->pending_age_max, broker.pending_age_max), highest.pending_age_max);
  defaults.pending_bytes_soft = rule->pending_bytes_soft.value_or(broker.pending_bytes_soft);
  defaults.pending_messages_soft = rule->pending_messages_soft.value_or(broker.pending_messages_soft);
  defaults.pending_age_soft = age(rule->pending_age_soft, broker.pending_age_soft);
  defaults.soft_time = rule->soft_time.value_or(broker.soft_time);
  return terms;
}

absl::StatusOr<QueueLimits> GrantLimits(const v1::SubscriptionLimits& asked, const LimitTerms& terms) {
  const QueueLimits& defaults = terms.defaults;
  const QueueLimits& highest = terms.highest;
  Granting granting(terms.excess);
  QueueLimits granted;
  granted.pending_bytes_max =
      granting.Grant("pending_bytes_max", asked.pending_bytes_max(), defaults.pending_bytes_max,
                     terms.pending_bytes_min, MostOf(highest.pending_bytes_max));
  granted.pending_messages_max =
      granting.Grant("pending_messages_max", asked.pending_messages_max(), defaults.pending_messages_max, 1,
                     MostOf(highest.pending_messages_max));
  const uint64_t age_max =
      granting.Grant("pending_age_max_ms", asked.pending_age_max_ms(), ToNumber(defaults.pending_age_max), 1,
                     MostOf(ToNumber(highest.pending_age_max)));
  granted.pending_age_max = ToDuration(age_max);
  granted.pending_bytes_soft =
      granting.GrantSoft("pending_bytes_soft", asked.pending_bytes_soft(), defaults.pending_bytes_soft,
                         asked.pending_bytes_max(), granted.pending_bytes_max);
  granted.pending_messages_soft = granting.GrantSoft(
      "pending_messages_soft", asked.pending_messages_soft(), defaults.pending_messages_soft,
      asked.pending_messages_max(), granted.pending_messages_max);
  granted.pending_age_soft = ToDuration(granting.GrantSoft("pending_age_soft_ms", asked.pending_age_soft_ms(),
                                                           ToNumber(defaults.pending_age_soft),
                                                           asked.pending_age_max_ms(), age_max));
  if (HasSoft(granted)) {
    const uint64_t time = ToNumber(defaults.soft_time);
    granted.soft_time = ToDuration(
        granting.Grant("soft_time_ms", asked.soft_time_ms(), time, 1, HasSoft(defaults) ? time : kNoMost));
  } else if (asked.soft_time_ms() != 0) {
    granting.Refuse(
        fmt::format("soft_time_ms {} without a soft limit; allowed: 0, or one of "
                    "pending_bytes_soft, pending_messages_soft, pending_age_soft_ms with it",
                    asked.soft_time_ms()));
  }
  if (!granting.status().ok()) return granting.status();
  return granted;
}

}  // namespace sluice
