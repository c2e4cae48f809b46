#include "metrics/survey.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

using ::testing::ElementsAre;

TEST(ConsumerNameTest, ReadsWhatItWrites) {
  const ConsumerName consumer = {{3, uint64_t{1} << 40}, 7};
  EXPECT_EQ(consumer.ToString(), "3-1099511627776.7");
  EXPECT_EQ(ConsumerName::Parse(consumer.ToString()), consumer);
  const ConsumerName session = {{0, UINT64_MAX}, std::nullopt};
  EXPECT_EQ(session.ToString(), "0-18446744073709551615");
  EXPECT_EQ(ConsumerName::Parse(session.ToString()), session);
}

TEST(ConsumerNameTest, RefusesEverythingElse) {
  for (const char* text :
       {"", "-", "1", "1-", "-1", "1-2.", "1-2.x", "1-2.3.4", "1-2x", "x-2", "1--2", " 1-2", "1-2 ",
        "4294967296-1", "1-18446744073709551616", "1-2.4294967296", "1.2-3"}) {
    EXPECT_EQ(ConsumerName::Parse(text), std::nullopt) << text;
  }
}

SurveyAnswer Of(std::initializer_list<uint64_t> keys) {
  SurveyAnswer answer;
  for (const uint64_t key : keys) answer.consumers.push_back({key, {}});
  return answer;
}

std::vector<uint64_t> KeysOf(const SurveyAnswer& answer) {
  std::vector<uint64_t> keys;
  for (const SurveyedConsumer& one : answer.consumers) keys.push_back(one.key);
  return keys;
}

TEST(SurveyAnswerTest, MergingKeepsTheFirstOfBoth) {
  SurveyAnswer answer = Of({9, 5, 0});
  answer.Merge(Of({7, 6, 1}), 4);
  EXPECT_THAT(KeysOf(answer), ElementsAre(9, 7, 6, 5));
  answer.Merge(Of({}), 4);
  EXPECT_THAT(KeysOf(answer), ElementsAre(9, 7, 6, 5));
}

TEST(SurveyAnswerTest, MergingAddsUpWhatAllHave) {
  SurveyAnswer a;
  a.distributions.subscriptions = 2;
  a.distributions.oldest_age_seconds_max = 3;
  a.distributions.limit_share.Observe(0.3);
  SurveyAnswer b;
  b.distributions.subscriptions = 5;
  b.distributions.oldest_age_seconds_max = 2;
  b.distributions.limit_share.Observe(0.8);
  b.distributions.pending_bytes.Observe(100);
  b.distributions.shards_missing = 1;
  a.Merge(b, 0);
  EXPECT_EQ(a.distributions.subscriptions, 7u);
  EXPECT_EQ(a.distributions.oldest_age_seconds_max, 3);
  EXPECT_DOUBLE_EQ(a.distributions.limit_share.Sum(), 1.1);
  EXPECT_EQ(a.distributions.pending_bytes.Sum(), 100u);
  EXPECT_EQ(a.distributions.shards_missing, 1u);
}

}  // namespace
}  // namespace sluice
