// The operator's rules for subscriptions: which overflow policy and limits those to some topics, or of some
// clients, get. They stand in the configuration file in an order; the first that matches applies, and no
// other.
//
//   [[subscription_rules]]
//   filter = "ticks.>"
//   client = "dash-*"
//   overflow = "conflate"
//   pending_bytes_ceiling = "2MiB"
//
//   if (const SubscriptionRule* rule = FindRule(rules, "ticks.nyse.*", "dash-7")) ...
//
// A rule matches a subscription when every topic that this can match is matched by the rule's filter: one to
// ">" is not under a rule about "ticks.>", which it could not keep. What is in the broker's own space ($) is
// under a rule only if its filter is, too.
//
// Thread safety: plain values and pure functions.
#ifndef SLUICE_BROKER_SUBSCRIPTION_RULE_H_
#define SLUICE_BROKER_SUBSCRIPTION_RULE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "broker/core/on_overflow.h"
#include "protocol/sluice.pb.h"

namespace sluice {

// Every subscription asks what rule it is under.
inline constexpr size_t kSubscriptionRulesMax = 256;

struct SubscriptionRule {
  std::string filter = ">";
  // A client's name; '*' stands for any number of characters, none included.
  std::string client = "*";

  // What a subscription gets that asks for none; nothing: the first allowed one.
  v1::OverflowPolicy overflow = v1::OVERFLOW_POLICY_DEFAULT;
  // Empty: all. Who asks for another gets what it would get if it asked for none, and is told.
  std::vector<v1::OverflowPolicy> overflow_allowed;
  // Of conflate, for who names none.
  std::string conflate_header;

  // Left out: as limits.on_overflow says.
  std::optional<OnOverflow> on_overflow;

  // Defaults instead of the broker's; 0: no limit. What is left out has the broker's.
  std::optional<uint64_t> pending_bytes_max;
  std::optional<uint64_t> pending_messages_max;
  std::optional<absl::Duration> pending_age_max;
  std::optional<uint64_t> pending_bytes_soft;
  std::optional<uint64_t> pending_messages_soft;
  std::optional<absl::Duration> pending_age_soft;
  std::optional<absl::Duration> soft_time;
  // What is asked for beyond them is cut to them; left out: the broker's limits are.
  std::optional<uint64_t> pending_bytes_ceiling;
  std::optional<uint64_t> pending_messages_ceiling;
  std::optional<absl::Duration> pending_age_ceiling;

  bool operator==(const SubscriptionRule&) const = default;
};

// The limits of a rule as keys of the file; each is read as that setting is.
struct RuleLimit {
  std::string_view key;
  std::string_view setting;
  std::variant<std::optional<uint64_t> SubscriptionRule::*, std::optional<absl::Duration> SubscriptionRule::*>
      member;
};
std::span<const RuleLimit> RuleLimits();

// Nullptr: none matches. `filter` is valid.
const SubscriptionRule* FindRule(std::span<const SubscriptionRule> rules, std::string_view filter,
                                 std::string_view client_name);

// Whether `text` is what `pattern` says, in which '*' stands for any number of bytes.
bool GlobMatches(std::string_view pattern, std::string_view text);

// The policies that this broker offers.
std::span<const v1::OverflowPolicy> OverflowPoliciesOffered();
// "disconnect, drop_oldest"
std::string NamesOf(std::span<const v1::OverflowPolicy> policies);

// What a subscription gets that asks for `asked`, which is DEFAULT or one that is offered. `rule` may be null.
v1::OverflowPolicy GrantOverflow(v1::OverflowPolicy asked, const SubscriptionRule* rule);

}  // namespace sluice

#endif  // SLUICE_BROKER_SUBSCRIPTION_RULE_H_
