#include "broker/granted_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr QueueLimits kBroker = {.pending_bytes_max = 10'000,
                                 .pending_messages_max = 100,
                                 .pending_age_max = absl::Seconds(60),
                                 .soft_time = absl::Seconds(30)};

LimitTerms Terms(const QueueLimits& broker = kBroker) {
  return {.defaults = broker, .highest = broker, .pending_bytes_min = 500};
}

template <typename Ask>
absl::StatusOr<QueueLimits> Grant(const LimitTerms& terms, Ask ask) {
  v1::SubscriptionLimits asked;
  ask(asked);
  return GrantLimits(asked, terms);
}

template <typename Ask>
std::string Refusal(const LimitTerms& terms, Ask ask) {
  const absl::StatusOr<QueueLimits> granted = Grant(terms, ask);
  EXPECT_EQ(granted.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(granted.status().message());
}

TEST(GrantLimitsTest, WhatIsNotAskedForHasItsDefault) {
  const QueueLimits granted = *GrantLimits({}, Terms());
  EXPECT_EQ(granted.pending_bytes_max, 10'000u);
  EXPECT_EQ(granted.pending_messages_max, 100u);
  EXPECT_EQ(granted.pending_age_max, absl::Seconds(60));
  EXPECT_EQ(granted.pending_bytes_soft, 0u);
  EXPECT_EQ(granted.pending_messages_soft, 0u);
  EXPECT_EQ(granted.pending_age_soft, absl::InfiniteDuration());
  // There is nothing for it to apply to.
  EXPECT_EQ(granted.soft_time, absl::InfiniteDuration());
}

TEST(GrantLimitsTest, WhatIsAskedForMayBeAsHighAsTheMostAndNotHigher) {
  const QueueLimits granted = *Grant(Terms(), [](v1::SubscriptionLimits& asked) {
    asked.set_pending_bytes_max(500);
    asked.set_pending_messages_max(100);
    asked.set_pending_age_max_ms(1);
  });
  EXPECT_EQ(granted.pending_bytes_max, 500u);
  EXPECT_EQ(granted.pending_messages_max, 100u);
  EXPECT_EQ(granted.pending_age_max, absl::Milliseconds(1));
  EXPECT_EQ(Refusal(Terms(), [](auto& asked) { asked.set_pending_bytes_max(499); }),
            "pending_bytes_max 499; allowed: 500 to 10000, or 0 (the default)");
  EXPECT_EQ(Refusal(Terms(), [](auto& asked) { asked.set_pending_messages_max(101); }),
            "pending_messages_max 101; allowed: 1 to 100, or 0 (the default)");
  EXPECT_EQ(Refusal(Terms(), [](auto& asked) { asked.set_pending_age_max_ms(60'001); }),
            "pending_age_max_ms 60001; allowed: 1 to 60000, or 0 (the default)");
}

TEST(GrantLimitsTest, ABrokerWithoutLimitsGrantsAnyThing) {
  const LimitTerms terms = Terms({});
  const QueueLimits granted =
      *Grant(terms, [](auto& asked) { asked.set_pending_bytes_max(uint64_t{1} << 60); });
  EXPECT_EQ(granted.pending_bytes_max, uint64_t{1} << 60);
  EXPECT_EQ(granted.pending_messages_max, 0u);
  EXPECT_EQ(granted.pending_age_max, absl::InfiniteDuration());
  EXPECT_EQ(Refusal(terms, [](auto& asked) { asked.set_pending_bytes_max(499); }),
            "pending_bytes_max 499 is too small; allowed: 500 and more, or 0 (the default)");
}

TEST(GrantLimitsTest, ASoftLimitIsAtMostAsHighAsTheHardOneAndHasATime) {
  const QueueLimits granted = *Grant(Terms(), [](v1::SubscriptionLimits& asked) {
    asked.set_pending_bytes_soft(10'000);
    asked.set_pending_messages_max(50);
    asked.set_pending_messages_soft(1);
    asked.set_pending_age_soft_ms(59'999);
  });
  EXPECT_EQ(granted.pending_bytes_soft, 10'000u);
  EXPECT_EQ(granted.pending_messages_soft, 1u);
  EXPECT_EQ(granted.pending_age_soft, absl::Milliseconds(59'999));
  EXPECT_EQ(granted.soft_time, absl::Seconds(30));

  EXPECT_EQ(Refusal(Terms(), [](auto& asked) { asked.set_pending_bytes_soft(10'001); }),
            "pending_bytes_soft 10001; allowed: 1 to 10000, or 0 (the default)");
  EXPECT_EQ(Refusal(Terms(),
                    [](auto& asked) {
                      asked.set_pending_messages_max(50);
                      asked.set_pending_messages_soft(51);
                    }),
            "pending_messages_soft 51 is above the hard limit; allowed: 1 to 50, or 0 (the default)");
  EXPECT_EQ(Refusal(Terms(), [](auto& asked) { asked.set_pending_age_soft_ms(60'001); }),
            "pending_age_soft_ms 60001; allowed: 1 to 60000, or 0 (the default)");
}

TEST(GrantLimitsTest, TheTimeIsTheClientsToChooseWhereTheBrokerHasNoSoftLimit) {
  const auto ask = [](uint64_t time_ms) {
    return [time_ms](v1::SubscriptionLimits& asked) {
      asked.set_pending_messages_soft(10);
      asked.set_soft_time_ms(time_ms);
    };
  };
  EXPECT_EQ(Grant(Terms(), ask(90'000))->soft_time, absl::Seconds(90));
  QueueLimits broker = kBroker;
  broker.pending_bytes_soft = 5000;
  EXPECT_EQ(Grant(Terms(broker), ask(29'000))->soft_time, absl::Seconds(29));
  EXPECT_EQ(Refusal(Terms(broker), ask(30'001)),
            "soft_time_ms 30001; allowed: 1 to 30000, or 0 (the default)");
}

TEST(GrantLimitsTest, ATimeWithoutASoftLimitIsRefused) {
  EXPECT_THAT(Refusal(Terms(), [](auto& asked) { asked.set_soft_time_ms(500); }),
              HasSubstr("soft_time_ms 500 without a soft limit; allowed: 0, or"));
}

TEST(GrantLimitsTest, TheBrokersSoftLimitsApplyToAllAndAreCutToTheHardOnes) {
  QueueLimits broker = kBroker;
  broker.pending_bytes_soft = 5000;
  broker.pending_age_soft = absl::Seconds(20);
  const QueueLimits granted = *Grant(Terms(broker), [](v1::SubscriptionLimits& asked) {
    asked.set_pending_bytes_max(3000);
    asked.set_pending_age_soft_ms(10'000);
  });
  EXPECT_EQ(granted.pending_bytes_soft, 3000u);
  EXPECT_EQ(granted.pending_messages_soft, 0u);
  EXPECT_EQ(granted.pending_age_soft, absl::Seconds(10));
  EXPECT_EQ(granted.soft_time, absl::Seconds(30));
  EXPECT_EQ(Refusal(Terms(broker), [](auto& asked) { asked.set_pending_bytes_soft(5001); }),
            "pending_bytes_soft 5001; allowed: 1 to 5000, or 0 (the default)");
}

TEST(GrantLimitsTest, WishesAreCutToTheMostWhereTheTermsSaySo) {
  LimitTerms terms = Terms();
  terms.excess = LimitTerms::Excess::kCut;
  const QueueLimits granted = *Grant(terms, [](v1::SubscriptionLimits& asked) {
    asked.set_pending_bytes_max(20'000);
    asked.set_pending_bytes_soft(15'000);
    asked.set_pending_messages_max(20);
  });
  EXPECT_EQ(granted.pending_bytes_max, 10'000u);
  EXPECT_EQ(granted.pending_bytes_soft, 10'000u);
  EXPECT_EQ(granted.pending_messages_max, 20u);
  // What cannot be meant is refused all the same.
  EXPECT_THAT(Refusal(terms, [](auto& asked) { asked.set_pending_bytes_max(499); }), HasSubstr("499"));
  EXPECT_THAT(Refusal(terms,
                      [](auto& asked) {
                        asked.set_pending_bytes_max(15'000);
                        asked.set_pending_bytes_soft(20'000);
                      }),
              HasSubstr("pending_bytes_soft 20000 is above the hard limit"));
}

TEST(TermsUnderTest, WithoutARuleTheBrokersLimitsAreDefaultsAndTheMost) {
  const LimitTerms terms = TermsUnder(nullptr, kBroker, 500);
  EXPECT_EQ(terms.defaults.pending_bytes_max, 10'000u);
  EXPECT_EQ(terms.highest.pending_messages_max, 100u);
  EXPECT_EQ(terms.pending_bytes_min, 500u);
  EXPECT_EQ(terms.excess, LimitTerms::Excess::kRefused);
}

TEST(TermsUnderTest, ARuleHasDefaultsAndCeilings) {
  SubscriptionRule rule;
  rule.pending_bytes_max = 20'000;
  rule.pending_bytes_ceiling = 40'000;
  rule.pending_messages_ceiling = 50;
  rule.pending_age_max = absl::Seconds(5);
  rule.pending_age_ceiling = absl::ZeroDuration();
  rule.pending_messages_soft = 30;
  const LimitTerms terms = TermsUnder(&rule, kBroker, 500);
  EXPECT_EQ(terms.excess, LimitTerms::Excess::kCut);

  const QueueLimits granted = *GrantLimits({}, terms);
  EXPECT_EQ(granted.pending_bytes_max, 20'000u);
  // The broker's, cut to the ceiling.
  EXPECT_EQ(granted.pending_messages_max, 50u);
  EXPECT_EQ(granted.pending_age_max, absl::Seconds(5));
  EXPECT_EQ(granted.pending_messages_soft, 30u);
  EXPECT_EQ(granted.soft_time, absl::Seconds(30));

  const QueueLimits much = *Grant(terms, [](v1::SubscriptionLimits& asked) {
    asked.set_pending_bytes_max(1'000'000);
    asked.set_pending_messages_max(1'000'000);
    asked.set_pending_age_max_ms(1'000'000);
    asked.set_pending_messages_soft(40);
  });
  EXPECT_EQ(much.pending_bytes_max, 40'000u);
  EXPECT_EQ(much.pending_messages_max, 50u);
  EXPECT_EQ(much.pending_age_max, absl::Seconds(1000));
  EXPECT_EQ(much.pending_messages_soft, 30u);
}

TEST(TermsUnderTest, WhatARuleLeavesOutHasTheBrokersLimit) {
  const SubscriptionRule rule;
  const LimitTerms terms = TermsUnder(&rule, kBroker, 500);
  const QueueLimits granted = *Grant(terms, [](auto& asked) { asked.set_pending_bytes_max(20'000); });
  EXPECT_EQ(granted.pending_bytes_max, 10'000u);
  EXPECT_EQ(granted.pending_messages_max, 100u);
  EXPECT_EQ(granted.pending_age_max, absl::Seconds(60));
}

}  // namespace
}  // namespace sluice
