#include "broker/core/block_episode.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "broker/core/subscriber.h"
#include "broker/core/subscription.h"

namespace sluice {
namespace {

class BlockEpisodeTest : public ::testing::Test {
 protected:
  BlockEpisodeTest() {
    one_.id = 1;
    two_.id = 2;
    one_.subscriber = two_.subscriber = &consumer_;
  }

  MemoryAccount account_;
  SubscriberLimits limits_;
  Subscriber consumer_{1, &limits_, &account_};
  Subscriber other_{2, &limits_, &account_};
  Subscription one_;
  Subscription two_;
  BlockEpisodes blocks_;
  const absl::Time begin_ = absl::FromUnixSeconds(1000);
};

TEST_F(BlockEpisodeTest, APublisherWaitsUntilAllThatItRanIntoIsOver) {
  blocks_.Begin(&one_, {}, begin_);
  blocks_.Begin(&two_, {}, begin_);
  EXPECT_EQ(one_.blocking, Subscription::Blocking::kYes);
  BlockedBy both;
  both.Add(blocks_.Find(&one_));
  both.Add(blocks_.Find(&two_));
  both.Add(blocks_.Find(&two_));
  BlockedBy first;
  first.Add(blocks_.Find(&one_));
  blocks_.End(&one_);
  EXPECT_EQ(one_.blocking, Subscription::Blocking::kNo);
  EXPECT_FALSE(first.Waits(&other_));
  EXPECT_TRUE(both.Waits(&other_));
  blocks_.EndIf([&](const Subscription* subscription) { return subscription == &two_; });
  EXPECT_FALSE(both.Waits(&other_));
  EXPECT_TRUE(both.empty());
  EXPECT_TRUE(blocks_.empty());
}

TEST_F(BlockEpisodeTest, NobodyWaitsForASubscriptionOfHisOwn) {
  blocks_.Begin(&one_, {}, begin_);
  BlockedBy blocked_by;
  blocked_by.Add(blocks_.Find(&one_));
  EXPECT_FALSE(blocked_by.Waits(&consumer_));
}

TEST_F(BlockEpisodeTest, ANewEpisodeIsNotTheOneBefore) {
  blocks_.Begin(&one_, {}, begin_);
  BlockedBy blocked_by;
  blocked_by.Add(blocks_.Find(&one_));
  blocks_.End(&one_);
  blocks_.Begin(&one_, {}, begin_ + absl::Seconds(1));
  EXPECT_FALSE(blocked_by.Waits(&other_));
  blocked_by.Add(blocks_.Find(&one_));
  EXPECT_TRUE(blocked_by.Waits(&other_));
}

TEST_F(BlockEpisodeTest, EndsWithTheSubscriber) {
  auto blocks = std::make_unique<BlockEpisodes>();
  blocks->Begin(&one_, {}, begin_);
  BlockedBy blocked_by;
  blocked_by.Add(blocks->Find(&one_));
  blocks.reset();
  EXPECT_FALSE(blocked_by.Waits(&other_));
}

TEST_F(BlockEpisodeTest, FindsNothingWhereThereIsNone) {
  EXPECT_EQ(blocks_.Find(&one_), nullptr);
  EXPECT_EQ(blocks_.Oldest(), std::nullopt);
  blocks_.End(&one_);
  EXPECT_FALSE(blocks_.has_news());
}

TEST_F(BlockEpisodeTest, TellsWhatBeganAndEndedOnce) {
  blocks_.Begin(&one_, {v1::REASON_PENDING_MESSAGES, 100, 101}, begin_);
  blocks_.Begin(&one_, {v1::REASON_PENDING_AGE, 7, 8}, begin_ + absl::Seconds(1));  // it has one already
  blocks_.Begin(&two_, {}, begin_ + absl::Seconds(2));
  ASSERT_TRUE(blocks_.Oldest().has_value());
  EXPECT_EQ(blocks_.Oldest()->first, &one_);
  EXPECT_EQ(blocks_.Oldest()->second, begin_);
  BlockedBy blocked_by;
  blocked_by.Add(blocks_.Find(&one_));
  blocked_by.CountPaused();
  blocks_.EndAll();
  const std::vector<BlockNews> news = blocks_.TakeNews();
  ASSERT_EQ(news.size(), 4u);
  EXPECT_EQ(news[0].kind, BlockNews::Kind::kBegan);
  EXPECT_EQ(news[0].subscription, 1u);
  EXPECT_EQ(news[0].cause.limit, v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(news[0].cause.limit_value, 100u);
  EXPECT_EQ(news[0].cause.value, 101u);
  uint32_t paused = 0;
  for (const BlockNews& one : {news[2], news[3]}) {
    EXPECT_EQ(one.kind, BlockNews::Kind::kEnded);
    EXPECT_EQ(one.began_at, one.subscription == 1 ? begin_ : begin_ + absl::Seconds(2));
    paused += one.publishers_paused;
  }
  EXPECT_EQ(paused, 1u);
  EXPECT_TRUE(blocks_.TakeNews().empty());
}

TEST_F(BlockEpisodeTest, WhatMessagesRanIntoElsewhereIsAdded) {
  blocks_.Begin(&one_, {}, begin_);
  blocks_.Begin(&two_, {}, begin_);
  BlockedBy there;
  there.Add(blocks_.Find(&one_));
  BlockedBy here;
  here.Add(blocks_.Find(&two_));
  here.Add(there);
  blocks_.End(&two_);
  EXPECT_TRUE(here.Waits(&other_));
  blocks_.End(&one_);
  EXPECT_FALSE(here.Waits(&other_));
}

}  // namespace
}  // namespace sluice
