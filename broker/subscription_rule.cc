#include "broker/subscription_rule.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "protocol/names.h"
#include "protocol/topic.h"

namespace sluice {
namespace {

using R = SubscriptionRule;

constexpr RuleLimit kRuleLimits[] = {
    {"pending_bytes_max", "limits.pending_bytes_max", &R::pending_bytes_max},
    {"pending_messages_max", "limits.pending_messages_max", &R::pending_messages_max},
    {"pending_age_max", "limits.pending_age_max", &R::pending_age_max},
    {"pending_bytes_soft", "limits.pending_bytes_soft", &R::pending_bytes_soft},
    {"pending_messages_soft", "limits.pending_messages_soft", &R::pending_messages_soft},
    {"pending_age_soft", "limits.pending_age_soft", &R::pending_age_soft},
    {"soft_time", "limits.soft_time", &R::soft_time},
    {"pending_bytes_ceiling", "limits.pending_bytes_max", &R::pending_bytes_ceiling},
    {"pending_messages_ceiling", "limits.pending_messages_max", &R::pending_messages_ceiling},
    {"pending_age_ceiling", "limits.pending_age_max", &R::pending_age_ceiling},
};

constexpr std::array kOffered = {v1::OVERFLOW_POLICY_DISCONNECT, v1::OVERFLOW_POLICY_DROP_OLDEST,
                                 v1::OVERFLOW_POLICY_DROP_NEWEST, v1::OVERFLOW_POLICY_CONFLATE,
                                 v1::OVERFLOW_POLICY_BLOCK};

}  // namespace

std::span<const RuleLimit> RuleLimits() { return kRuleLimits; }

const SubscriptionRule* FindRule(std::span<const SubscriptionRule> rules, std::string_view filter,
                                 std::string_view client_name) {
  for (const SubscriptionRule& rule : rules) {
    if (FilterCovers(rule.filter, filter) && GlobMatches(rule.client, client_name)) return &rule;
  }
  return nullptr;
}

bool GlobMatches(std::string_view pattern, std::string_view text) {
  // Where to go on when it does not fit: behind the last '*', with one byte more for that.
  size_t star = std::string_view::npos;
  size_t star_at = 0;
  size_t p = 0;
  size_t t = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_at = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_at;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

std::span<const v1::OverflowPolicy> OverflowPoliciesOffered() { return kOffered; }

std::string NamesOf(std::span<const v1::OverflowPolicy> policies) {
  std::string names;
  for (const v1::OverflowPolicy policy : policies) {
    fmt::format_to(std::back_inserter(names), "{}{}", names.empty() ? "" : ", ", OverflowPolicyName(policy));
  }
  return names;
}

v1::OverflowPolicy GrantOverflow(v1::OverflowPolicy asked, const SubscriptionRule* rule) {
  const auto allowed = [rule](v1::OverflowPolicy policy) {
    return rule == nullptr || rule->overflow_allowed.empty() ||
           std::find(rule->overflow_allowed.begin(), rule->overflow_allowed.end(), policy) !=
               rule->overflow_allowed.end();
  };
  if (asked != v1::OVERFLOW_POLICY_DEFAULT && allowed(asked)) return asked;
  if (rule != nullptr && rule->overflow != v1::OVERFLOW_POLICY_DEFAULT) return rule->overflow;
  return allowed(v1::OVERFLOW_POLICY_DISCONNECT) ? v1::OVERFLOW_POLICY_DISCONNECT
                                                 : rule->overflow_allowed.front();
}

}  // namespace sluice
