#include "broker/session_records.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "broker/config.h"
#include "protocol/control.h"
#include "protocol/sluice.pb.h"
#include "protocol/topic.h"

namespace sluice {
namespace {

v1::Goodbye GoodbyeFor(v1::Reason reason, const std::string& text = "") {
  v1::Goodbye goodbye;
  goodbye.set_reason(reason);
  goodbye.set_text(text);
  return goodbye;
}

class SessionRecordsTest : public ::testing::Test {
 protected:
  SessionRecords records_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
};

TEST_F(SessionRecordsTest, FindsWhatWasKeptAsOftenAsItIsAskedFor) {
  v1::Goodbye goodbye = GoodbyeFor(v1::REASON_PENDING_AGE, "text");
  goodbye.add_subscriptions()->set_offered(17);
  records_.Keep("id", goodbye, 3, now_);
  for (int i = 0; i < 2; ++i) {
    const std::optional<v1::SessionRecord> record = records_.Find("id", now_ + absl::Milliseconds(1500));
    ASSERT_TRUE(record.has_value());
    EXPECT_EQ(record->goodbye().reason(), v1::REASON_PENDING_AGE);
    EXPECT_EQ(record->goodbye().text(), "text");
    EXPECT_EQ(record->goodbye().subscriptions(0).offered(), 17u);
    EXPECT_EQ(record->cuts_in_a_row(), 3u);
    EXPECT_EQ(record->ended_ms_ago(), 1500u);
  }
}

TEST_F(SessionRecordsTest, TheLargestGoodbyeFitsIntoAFrame) {
  const uint64_t most = UINT64_MAX;
  v1::Goodbye goodbye = GoodbyeFor(v1::REASON_OUT_OF_RESOURCES, std::string(1024, 'x'));
  goodbye.set_limit(most);
  goodbye.set_value(most);
  goodbye.set_subscription(UINT32_MAX);
  goodbye.set_pending_bytes(most);
  goodbye.set_pending_messages(most);
  goodbye.set_retry_after_ms(most);
  goodbye.set_above_soft_ms(most);
  goodbye.set_oldest_age_ms(most);
  goodbye.set_dropped_messages(most);
  goodbye.set_conflated_messages(most);
  for (uint64_t i = 0; i < kSubscriptionsPerSessionCeiling; ++i) {
    v1::SubscriptionRecord* record = goodbye.add_subscriptions();
    record->set_subscription(UINT32_MAX);
    record->set_offered(most);
    record->set_dropped_messages(most);
    record->set_conflated_messages(most);
    record->set_pending_messages(most);
    // It is told of one only.
    if (i == 0) record->set_filter(std::string(kTopicBytesMax, 'f'));
  }
  v1::ServerFrame said;
  *said.mutable_goodbye() = goodbye;
  EXPECT_LT(said.ByteSizeLong(), kServerControlBodyBytesMax);

  v1::ServerFrame told;
  v1::Connected* connected = told.mutable_connected();
  *connected->mutable_previous_session()->mutable_goodbye() = std::move(goodbye);
  connected->mutable_previous_session()->set_ended_ms_ago(most);
  connected->mutable_previous_session()->set_cuts_in_a_row(UINT32_MAX);
  connected->set_session_id(std::string(16, 'x'));
  connected->set_inbox(std::string(kTopicBytesMax, 'i'));
  connected->set_broker(std::string(128, 'b'));
  for (v1::SubscriptionLimits* limits : {connected->mutable_limits()->mutable_default_limits(),
                                         connected->mutable_limits()->mutable_highest_limits()}) {
    limits->set_pending_bytes_max(most);
    limits->set_pending_messages_max(most);
    limits->set_pending_age_max_ms(most);
    limits->set_pending_bytes_soft(most);
    limits->set_pending_messages_soft(most);
    limits->set_pending_age_soft_ms(most);
    limits->set_soft_time_ms(most);
  }
  EXPECT_LT(told.ByteSizeLong(), kServerControlBodyBytesMax);
}

TEST_F(SessionRecordsTest, KnowsNothingOfOthers) {
  records_.Keep("id", GoodbyeFor(v1::REASON_KICKED), 0, now_);
  EXPECT_FALSE(records_.Find("other", now_).has_value());
  EXPECT_FALSE(records_.Find("", now_).has_value());
}

TEST_F(SessionRecordsTest, ASessionEndsOnce) {
  records_.Keep("id", GoodbyeFor(v1::REASON_KICKED), 1, now_);
  records_.Keep("id", GoodbyeFor(v1::REASON_SHUTDOWN), 2, now_ + absl::Seconds(1));
  EXPECT_EQ(records_.size(), 1u);
  EXPECT_EQ(records_.Find("id", now_)->goodbye().reason(), v1::REASON_KICKED);
}

TEST_F(SessionRecordsTest, ForgetsAfterTenMinutes) {
  records_.Keep("old", GoodbyeFor(v1::REASON_KICKED), 0, now_);
  records_.Keep("young", GoodbyeFor(v1::REASON_KICKED), 0, now_ + absl::Minutes(5));
  EXPECT_TRUE(records_.Find("old", now_ + kRecordsKeptFor).has_value());
  const absl::Time later = now_ + kRecordsKeptFor + absl::Milliseconds(1);
  EXPECT_FALSE(records_.Find("old", later).has_value());
  EXPECT_TRUE(records_.Find("young", later).has_value());
  records_.Keep("new", GoodbyeFor(v1::REASON_KICKED), 0, later);
  EXPECT_EQ(records_.size(), 2u);  // the old one's memory is gone too
}

TEST_F(SessionRecordsTest, KeepsTheLatestTenThousand) {
  for (size_t i = 0; i < kRecordsMax + 5; ++i) {
    records_.Keep("session " + std::to_string(i), GoodbyeFor(v1::REASON_KICKED), 0, now_);
  }
  EXPECT_EQ(records_.size(), kRecordsMax);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_FALSE(records_.Find("session " + std::to_string(i), now_).has_value());
  }
  EXPECT_TRUE(records_.Find("session 5", now_).has_value());
  EXPECT_TRUE(records_.Find("session " + std::to_string(kRecordsMax + 4), now_).has_value());
}

TEST_F(SessionRecordsTest, KeepsNoMoreBytesThanItMay) {
  const std::string text(1 << 20, 'x');
  for (int i = 0; i < 100; ++i) {
    records_.Keep(std::to_string(i), GoodbyeFor(v1::REASON_KICKED, text), 0, now_);
  }
  EXPECT_LT(records_.size(), kRecordBytesMax >> 20);
  EXPECT_GT(records_.size(), (kRecordBytesMax >> 20) - 3);
  EXPECT_TRUE(records_.Find("99", now_).has_value());
  EXPECT_FALSE(records_.Find("0", now_).has_value());
  // What is too large by itself takes the place of all others, and of no more than them.
  records_.Keep("huge", GoodbyeFor(v1::REASON_KICKED, std::string(kRecordBytesMax, 'x')), 0, now_);
  EXPECT_EQ(records_.size(), 1u);
  records_.Keep("next", GoodbyeFor(v1::REASON_KICKED), 0, now_);
  EXPECT_EQ(records_.size(), 1u);
  EXPECT_TRUE(records_.Find("next", now_).has_value());
}

TEST_F(SessionRecordsTest, ShardsMayKeepAndFindAtTheSameTime) {
  std::vector<std::thread> shards;
  for (int shard = 0; shard < 4; ++shard) {
    shards.emplace_back([this, shard] {
      for (int i = 0; i < 500; ++i) {
        const std::string id = std::to_string(shard) + "-" + std::to_string(i);
        records_.Keep(id, GoodbyeFor(v1::REASON_KICKED, id), 0, now_);
        const std::optional<v1::SessionRecord> record = records_.Find(id, now_);
        ASSERT_TRUE(record.has_value());
        ASSERT_EQ(record->goodbye().text(), id);
      }
    });
  }
  for (std::thread& shard : shards) shard.join();
  EXPECT_EQ(records_.size(), 2000u);
}

}  // namespace
}  // namespace sluice
