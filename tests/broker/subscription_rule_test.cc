#include "broker/subscription_rule.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice {
namespace {

TEST(GlobTest, AStarStandsForAnyNumberOfCharacters) {
  for (const auto& [pattern, text] : {std::pair("*", ""),
                                      {"*", "x"},
                                      {"dash-*", "dash-"},
                                      {"dash-*", "dash-7"},
                                      {"*-7", "dash-7"},
                                      {"d*h*7", "dash-7"},
                                      {"**", "a"},
                                      {"", ""},
                                      {"a*b*c", "abbcbc"},
                                      {"*ab", "aab"},
                                      {"?[a]", "?[a]"}}) {
    EXPECT_TRUE(GlobMatches(pattern, text)) << pattern << " " << text;
  }
  for (const auto& [pattern, text] : {std::pair("", "x"),
                                      {"dash-*", "dash"},
                                      {"dash-*", "my-dash-7"},
                                      {"*-7", "dash-77"},
                                      {"a*b*c", "abcb"},
                                      {"a", "A"},
                                      {"a?", "ab"},
                                      {"*a*", "bbb"}}) {
    EXPECT_FALSE(GlobMatches(pattern, text)) << pattern << " " << text;
  }
}

// A pattern that would take a naive matcher for ever.
TEST(GlobTest, ManyStarsTakeLittleTime) {
  std::string pattern;
  for (int i = 0; i < 60; ++i) pattern += "*a";
  EXPECT_FALSE(GlobMatches(pattern + "b", std::string(128, 'a')));
}

TEST(FindRuleTest, TheFirstThatMatchesApplies) {
  std::vector<SubscriptionRule> rules(4);
  rules[0].filter = "ticks.nyse.>";
  rules[0].client = "dash-*";
  rules[1].filter = "ticks.>";
  rules[2].client = "dash-*";
  rules[3].filter = "$inbox.>";
  const auto index = [&](std::string_view filter, std::string_view client) {
    const SubscriptionRule* rule = FindRule(rules, filter, client);
    return rule == nullptr ? -1 : static_cast<int>(rule - rules.data());
  };
  EXPECT_EQ(index("ticks.nyse.IBM", "dash-1"), 0);
  EXPECT_EQ(index("ticks.nyse.*", "dash-1"), 0);
  EXPECT_EQ(index("ticks.nyse.IBM", "feed"), 1);
  EXPECT_EQ(index("ticks.*.IBM", "dash-1"), 1);
  EXPECT_EQ(index(">", "dash-1"), 2);
  EXPECT_EQ(index(">", "feed"), -1);
  EXPECT_EQ(index("$inbox.x.>", "dash-1"), 3);
  EXPECT_EQ(FindRule({}, "a", "b"), nullptr);
}

TEST(GrantOverflowTest, WhoAsksForNothingGetsTheRules) {
  EXPECT_EQ(GrantOverflow(v1::OVERFLOW_POLICY_DEFAULT, nullptr), v1::OVERFLOW_POLICY_DISCONNECT);
  SubscriptionRule rule;
  EXPECT_EQ(GrantOverflow(v1::OVERFLOW_POLICY_DEFAULT, &rule), v1::OVERFLOW_POLICY_DISCONNECT);
  rule.overflow = v1::OVERFLOW_POLICY_CONFLATE;
  EXPECT_EQ(GrantOverflow(v1::OVERFLOW_POLICY_DEFAULT, &rule), v1::OVERFLOW_POLICY_CONFLATE);
  EXPECT_EQ(GrantOverflow(v1::OVERFLOW_POLICY_DROP_NEWEST, &rule), v1::OVERFLOW_POLICY_DROP_NEWEST);
}

TEST(GrantOverflowTest, WhoAsksForWhatIsNotAllowedGetsTheRulesToo) {
  SubscriptionRule rule;
  rule.overflow_allowed = {v1::OVERFLOW_POLICY_DROP_OLDEST, v1::OVERFLOW_POLICY_CONFLATE};
  EXPECT_EQ(GrantOverflow(v1::OVERFLOW_POLICY_DISCONNECT, &rule), v1::OVERFLOW_POLICY_DROP_OLDEST);
  EXPECT_EQ(GrantOverflow(v1::OVERFLOW_POLICY_DEFAULT, &rule), v1::OVERFLOW_POLICY_DROP_OLDEST);
  EXPECT_EQ(GrantOverflow(v1::OVERFLOW_POLICY_CONFLATE, &rule), v1::OVERFLOW_POLICY_CONFLATE);
  rule.overflow = v1::OVERFLOW_POLICY_CONFLATE;
  EXPECT_EQ(GrantOverflow(v1::OVERFLOW_POLICY_DISCONNECT, &rule), v1::OVERFLOW_POLICY_CONFLATE);
  rule.overflow = v1::OVERFLOW_POLICY_DEFAULT;
  rule.overflow_allowed = {v1::OVERFLOW_POLICY_CONFLATE, v1::OVERFLOW_POLICY_DISCONNECT};
  EXPECT_EQ(GrantOverflow(v1::OVERFLOW_POLICY_DROP_OLDEST, &rule), v1::OVERFLOW_POLICY_DISCONNECT);
}

}  // namespace
}  // namespace sluice
