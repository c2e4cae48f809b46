#include "broker/config_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

#include "broker/settings.h"

namespace sluice {
namespace {

uint64_t RoundUpToMiB(uint64_t bytes) { return ((bytes >> 20) + 1) << 20; }

std::string ShowCount(uint64_t count) { return std::to_string(count); }

// Of limits, 0 is none and the highest.
template <typename Limit>
bool Above(Limit limit, Limit bound) {
  return bound != Limit{} && (limit == Limit{} || limit > bound);
}

class Checker {
 public:
  Checker(const Origins& origins, Config* config) : origins_(origins), config_(*config) {}

  std::vector<ConfigProblem> Check() {
    RaisePendingBytes();
    CheckSoft("pending_bytes", config_.pending_bytes_soft, config_.pending_bytes_max, ShowBytes);
    CheckSoft("pending_messages", config_.pending_messages_soft, config_.pending_messages_max, ShowCount);
    CheckSoft("pending_age", config_.pending_age_soft, config_.pending_age_max, ShowDuration);
    RaiseSessionBytes();
    CheckObserved();
    // Against limits that hold.
    if (problems_.empty()) CheckRules();
    return std::move(problems_);
  }

 private:
  void Refuse(const std::string& path, std::string_view why) {
    const Origin& origin = origins_.at(path);
    problems_.push_back({origin.kind, fmt::format("{}: {}", origin.text, why)});
  }

  void RaisePendingBytes() {
    const std::string path = "limits.pending_bytes_max";
    if (config_.pending_bytes_max == 0 || config_.pending_bytes_max >= two_messages_) return;
    if (origins_.contains(path)) {
      return Refuse(path,
                    fmt::format("{} is less than twice the largest message; with max_message {} and "
                                "max_headers {} allowed: {} to {}, or 0 (no limit)",
                                ShowBytes(config_.pending_bytes_max), ShowBytes(config_.payload_bytes_max),
                                ShowBytes(config_.headers_bytes_max), ShowBytes(two_messages_),
                                ShowBytes(FindSetting(path)->max)));
    }
    config_.pending_bytes_max = RoundUpToMiB(two_messages_);
    config_.notes.push_back(fmt::format("{} raised to {}, since it must hold two of the largest messages",
                                        path, ShowBytes(config_.pending_bytes_max)));
  }

  template <typename Limit, typename Show>
  void CheckSoft(std::string_view what, Limit soft, Limit hard, Show show) {
    if (soft == Limit{} || !Above(soft, hard)) return;
    const std::string path = fmt::format("limits.{}_soft", what);
    const Setting& setting = *FindSetting(path);
    Refuse(path, fmt::format("{} is above the hard limit; with {}_max {} allowed: {} to {}, or 0 (none)",
                             show(soft), what, show(hard), ShowBound(setting, setting.min), show(hard)));
  }

  void RaiseSessionBytes() {
    const std::string path = "limits.session_bytes_max";
    const uint64_t session_min = std::max(config_.pending_bytes_max, two_messages_);
    if (config_.session_bytes_max == 0 || config_.session_bytes_max >= session_min) return;
    if (origins_.contains(path)) {
      return Refuse(path,
                    fmt::format("{} is less than what one subscription may hold; with pending_bytes_max {} "
                                "allowed: {} to {}, or 0 (no limit)",
                                ShowBytes(config_.session_bytes_max), ShowBytes(config_.pending_bytes_max),
                                ShowBytes(session_min), ShowBytes(FindSetting(path)->max)));
    }
    config_.session_bytes_max = RoundUpToMiB(session_min - 1);
    config_.notes.push_back(fmt::format("{} raised to {}, since one subscription may hold so much", path,
                                        ShowBytes(config_.session_bytes_max)));
  }

  // Of one that is observed nothing else bounds what waits.
  void CheckObserved() {
    if (config_.session_bytes_max != 0) return;
    const bool observes =
        config_.on_overflow == OnOverflow::kObserve ||
        std::any_of(config_.subscription_rules.begin(), config_.subscription_rules.end(),
                    [](const SubscriptionRule& rule) { return rule.on_overflow == OnOverflow::kObserve; });
    if (!observes) return;
    const Setting& setting = *FindSetting("limits.session_bytes_max");
    Refuse(setting.Path(), fmt::format("0 is no limit, and on_overflow observe needs one; allowed: {} to {}",
                                       ShowBound(setting, setting.min), ShowBound(setting, setting.max)));
  }

  void CheckRules() {
    for (size_t i = 0; i < config_.subscription_rules.size(); ++i) {
      const SubscriptionRule& rule = config_.subscription_rules[i];
      const std::string prefix = RulePath(i);
      CheckRuleBytes(prefix + ".pending_bytes_max", rule.pending_bytes_max);
      CheckRuleBytes(prefix + ".pending_bytes_ceiling", rule.pending_bytes_ceiling);
      CheckRule(prefix, "pending_bytes", rule.pending_bytes_max, rule.pending_bytes_soft,
                rule.pending_bytes_ceiling, config_.pending_bytes_max, ShowBytes);
      CheckRule(prefix, "pending_messages", rule.pending_messages_max, rule.pending_messages_soft,
                rule.pending_messages_ceiling, config_.pending_messages_max, ShowCount);
      CheckRule(prefix, "pending_age", rule.pending_age_max, rule.pending_age_soft, rule.pending_age_ceiling,
                config_.pending_age_max, ShowDuration);
    }
  }

  void CheckRuleBytes(const std::string& path, std::optional<uint64_t> bytes) {
    if (!bytes.has_value() || *bytes == 0) return;
    const uint64_t max = config_.session_bytes_max == 0 ? FindSetting("limits.pending_bytes_max")->max
                                                        : config_.session_bytes_max;
    if (*bytes >= two_messages_ && *bytes <= max) return;
    Refuse(path, fmt::format("{} is {}; allowed: {} to {}, or 0 (no limit)", ShowBytes(*bytes),
                             *bytes < two_messages_ ? "less than twice the largest message"
                                                    : "more than a session may hold",
                             ShowBytes(two_messages_), ShowBytes(max)));
  }

  // `max`, `soft` and `ceiling`: what the rule says; `broker`: what the broker's limit is.
  template <typename Limit, typename Show>
  void CheckRule(const std::string& prefix, std::string_view what, const std::optional<Limit>& max,
                 const std::optional<Limit>& soft, const std::optional<Limit>& ceiling, Limit broker,
                 Show show) {
    const Limit highest = ceiling.value_or(broker);
    if (max.has_value() && Above(*max, highest)) {
      Refuse(fmt::format("{}.{}_max", prefix, what),
             fmt::format(
                 "{} is above {}; allowed: at most {}, or a higher {}_ceiling", show(*max),
                 ceiling.has_value() ? fmt::format("{}_ceiling", what) : fmt::format("limits.{}_max", what),
                 show(highest), what));
      return;
    }
    Limit hard = max.value_or(broker);
    if (Above(hard, highest)) hard = highest;
    if (soft.has_value() && *soft != Limit{} && Above(*soft, hard)) {
      Refuse(fmt::format("{}.{}_soft", prefix, what),
             fmt::format("{} is above the hard limit; allowed: at most {}, or 0 (none)", show(*soft),
                         show(hard)));
    }
  }

  const Origins& origins_;
  Config& config_;
  const uint64_t two_messages_ = 2 * config_.frame_bytes_max();
  std::vector<ConfigProblem> problems_;
};

}  // namespace

std::vector<ConfigProblem> CheckTogether(const Origins& origins, Config* config) {
  return Checker(origins, config).Check();
}

}  // namespace sluice
