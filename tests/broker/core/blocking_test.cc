// The overflow policy block in one shard's core: when a subscription blocks, who has run into it, and when it is
// cut.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "broker/core/fan_out.h"
#include "broker/core/filter_index.h"
#include "broker/core/subscriber.h"
#include "protocol/sluice.pb.h"
#include "tests/support/frames.h"
#include "tests/support/scripted_transport.h"

namespace sluice {
namespace {

using testing::MessageFrame;
using testing::ScriptedTransport;

class BlockingTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kMessagesMax = 100;

  BlockingTest() { limits_.block_timeout = absl::Seconds(5); }
  ~BlockingTest() override {
    subscriber_.ForEachSubscription([&](Subscription* subscription) {
      if (subscription->group != nullptr) index_.Detach(subscription);
    });
  }

  Subscription* Add(uint32_t id, std::string_view filter, const QueueLimits& limits,
                    OnOverflow on_overflow = OnOverflow::kAct, std::string_view queue_group = "") {
    Subscription* subscription = subscriber_.Add(id, limits, v1::OVERFLOW_POLICY_BLOCK, "", on_overflow);
    subscription->told = Subscription::Told::kYes;
    index_.Attach(subscription, index_.FindOrCreate(filter, queue_group));
    return subscription;
  }
  Subscription* Add(uint32_t id) { return Add(id, "a", {.pending_messages_max = kMessagesMax}); }
  void Publish(uint64_t messages, PublishTally* tally, std::string_view topic = "a",
               size_t payload_bytes = 10) {
    const std::string frame = MessageFrame(topic, std::string(payload_bytes, 'x'));
    for (uint64_t i = 0; i < messages; ++i) {
      const uint32_t offset = read_.Append(frame);
      fan_out_.Take(index_.Match(topic), read_.chunk(), offset, static_cast<uint32_t>(frame.size()), tally);
    }
  }
  // Offers, and flushes whoever wants it.
  void Turn() {
    while (Subscriber* subscriber = fan_out_.Next(now_)) {
      if (subscriber->wants_flush()) Flush();
    }
    for (const BlockNews& news : subscriber_.TakeBlockNews()) news_.push_back(news);
    (void)subscriber_.TakeLagReport();
  }
  FlushResult Flush() { return subscriber_.Flush(&transport_, scratch_.get(), 1 << 20, now_); }
  void Block() {
    transport_.AfterwardsTakes(0);
    subscriber_.QueueControl(testing::ServerPong(1));
    ASSERT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  }
  void Read(size_t bytes) {
    transport_.Takes(bytes);
    subscriber_.BecameWritable();
    (void)Flush();
  }
  static bool Waits(const PublishTally& tally) {
    return tally.blocked_by != nullptr && tally.blocked_by->Waits(nullptr);
  }

  MemoryAccount account_;
  ChunkPool pool_{256 << 10, &account_};
  OpenChunk read_{&pool_};
  FilterIndex index_{100};
  FanOut fan_out_{&pool_};
  SubscriberLimits limits_;
  Subscriber subscriber_{1, &limits_, &account_};
  ScriptedTransport transport_;
  std::unique_ptr<WriteScratch> scratch_ = std::make_unique<WriteScratch>();
  absl::Time now_ = absl::FromUnixSeconds(1000);
  std::vector<BlockNews> news_;
  std::shared_ptr<PublishTally> one_ = std::make_shared<PublishTally>();
  std::shared_ptr<PublishTally> two_ = std::make_shared<PublishTally>();
};

TEST_F(BlockingTest, OnlyWhoRunsIntoItWaits) {
  Subscription* subscription = Add(1);
  Block();
  Publish(kMessagesMax, one_.get());
  Turn();
  EXPECT_FALSE(Waits(*one_));
  EXPECT_EQ(one_->blocked, 0u);
  Publish(1, one_.get());
  Publish(5, two_.get(), "elsewhere");
  Turn();
  EXPECT_TRUE(Waits(*one_));
  EXPECT_FALSE(Waits(*two_));
  EXPECT_EQ(one_->matched, kMessagesMax + 1);
  EXPECT_EQ(one_->dropped, 0u);
  EXPECT_EQ(one_->blocked, 1u);
  // What is on its way still comes.
  Publish(7, two_.get());
  Turn();
  EXPECT_TRUE(Waits(*two_));
  EXPECT_EQ(two_->blocked, 7u);
  EXPECT_EQ(subscription->queue().pending_messages(), kMessagesMax + 8);
  EXPECT_FALSE(subscriber_.over().has_value());
}

TEST_F(BlockingTest, EndsBelowHalfOfTheLimitAndNotBefore) {
  Subscription* subscription = Add(1);
  Block();
  Publish(kMessagesMax + 1, one_.get());
  Turn();
  ASSERT_TRUE(Waits(*one_));
  const uint64_t frame_bytes = subscription->queue().pending_bytes() / (kMessagesMax + 1);
  while (subscription->queue().state().waiting_messages >= kMessagesMax / 2) {
    EXPECT_TRUE(Waits(*one_));
    Read(frame_bytes);
  }
  EXPECT_FALSE(Waits(*one_));
  Turn();
  ASSERT_EQ(news_.size(), 2u);
  EXPECT_EQ(news_[0].cause.limit, v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(news_[0].cause.limit_value, kMessagesMax);
  EXPECT_EQ(news_[1].kind, BlockNews::Kind::kEnded);
}

TEST_F(BlockingTest, AfterBlockTimeoutTheConsumerIsCut) {
  Add(1);
  Block();
  Publish(kMessagesMax + 1, one_.get());
  Turn();
  const absl::Time cut_at = now_ + limits_.block_timeout;
  while (!subscriber_.over().has_value()) {
    ASSERT_LE(subscriber_.NextCheck(), cut_at);
    ASSERT_GT(subscriber_.NextCheck(), now_);
    now_ = subscriber_.NextCheck();
    subscriber_.Check(&transport_, now_);
  }
  EXPECT_EQ(now_, cut_at);
  EXPECT_EQ(subscriber_.over()->reason, v1::REASON_BLOCK_TIMEOUT);
  EXPECT_EQ(subscriber_.over()->limit, 5000u);
  EXPECT_EQ(subscriber_.over()->subscription, 1u);
  EXPECT_TRUE(Waits(*one_));
  (void)subscriber_.Close(Subscriber::ControlFrames::kDrop);
  EXPECT_FALSE(Waits(*one_));
}

TEST_F(BlockingTest, TheTimeBeginsAnewWithEachEpisode) {
  Subscription* subscription = Add(1);
  for (int i = 0; i < 5; ++i) {
    Block();
    Publish(kMessagesMax + 1, one_.get());
    Turn();
    ASSERT_TRUE(Waits(*one_));
    now_ += limits_.block_timeout - absl::Milliseconds(1);
    Read(ScriptedTransport::kEverything);
    ASSERT_FALSE(Waits(*one_));
    ASSERT_TRUE(subscription->queue().empty());
  }
  EXPECT_FALSE(subscriber_.over().has_value());
}

TEST_F(BlockingTest, AgeBlocksWithoutAnotherMessageAndIsLookedAtOnce) {
  Add(1, "a", {.pending_age_max = absl::Seconds(2)});
  Block();
  Publish(2, one_.get());
  Turn();
  now_ = subscriber_.NextCheck();
  while (news_.empty()) {
    subscriber_.Check(&transport_, now_);
    Turn();
    now_ = subscriber_.NextCheck();
  }
  EXPECT_EQ(news_[0].cause.limit, v1::REASON_PENDING_AGE);
  EXPECT_FALSE(Waits(*one_));
  Publish(1, one_.get());
  Turn();
  EXPECT_TRUE(Waits(*one_));
  // Not every 10 ms from now on.
  int looks = 0;
  for (; !subscriber_.over().has_value(); ++looks) {
    now_ = subscriber_.NextCheck();
    subscriber_.Check(&transport_, now_);
  }
  EXPECT_LT(looks, 10);
  EXPECT_EQ(subscriber_.over()->reason, v1::REASON_BLOCK_TIMEOUT);
}

TEST_F(BlockingTest, ASoftLimitBlocksAfterItsTime) {
  Subscription* subscription =
      Add(1, "a",
          {.pending_messages_max = kMessagesMax, .pending_messages_soft = 10, .soft_time = absl::Seconds(1)});
  Block();
  Publish(11, one_.get());
  Turn();
  EXPECT_FALSE(Waits(*one_));
  now_ += absl::Seconds(1);
  Publish(1, one_.get());
  Turn();
  EXPECT_TRUE(Waits(*one_));
  Read(ScriptedTransport::kEverything);
  EXPECT_FALSE(Waits(*one_));
  EXPECT_TRUE(subscription->queue().empty());
}

TEST_F(BlockingTest, WhatStillComesIsBounded) {
  constexpr uint64_t kBytesMax = 64 << 10;
  Subscription* subscription = Add(1, "a", {.pending_bytes_max = kBytesMax});
  Block();
  while (!subscriber_.over().has_value()) {
    Publish(1, one_.get(), "a", 10'000);
    Turn();
    ASSERT_LE(subscription->queue().pending_bytes(), kBytesMax + kBlockOverrunBytes + 20'000);
  }
  EXPECT_GT(subscription->queue().pending_bytes(), kBytesMax + kBlockOverrunBytes);
  EXPECT_EQ(subscriber_.over()->reason, v1::REASON_PENDING_BYTES);
  EXPECT_EQ(subscriber_.over()->limit, kBytesMax);
}

TEST_F(BlockingTest, TheSessionsLimitCuts) {
  limits_.session_bytes_max = 64 << 10;
  Add(1, "a", {.pending_bytes_max = 64 << 10});
  Block();
  while (!subscriber_.over().has_value()) {
    Publish(1, one_.get(), "a", 1000);
    Turn();
  }
  EXPECT_EQ(subscriber_.over()->reason, v1::REASON_SESSION_BYTES);
}

TEST_F(BlockingTest, ObservedItOnlyCounts) {
  Add(1, "a", {.pending_messages_max = kMessagesMax}, OnOverflow::kObserve);
  Block();
  Publish(2 * kMessagesMax, one_.get());
  while (fan_out_.Next(now_) != nullptr) {
  }
  EXPECT_EQ(subscriber_.TakeLagReport().observed, 1u);
  EXPECT_TRUE(subscriber_.TakeBlockNews().empty());
  EXPECT_FALSE(Waits(*one_));
  EXPECT_EQ(one_->blocked, 0u);
}

TEST_F(BlockingTest, WhoUnsubscribesBlocksNobodyAndIsNotCut) {
  Subscription* subscription = Add(1);
  Block();
  Publish(kMessagesMax + 1, one_.get());
  Turn();
  ASSERT_TRUE(Waits(*one_));
  index_.Detach(subscription);
  subscriber_.End(subscription, v1::REASON_UNSUBSCRIBED);
  EXPECT_FALSE(Waits(*one_));
  now_ += absl::Hours(1);
  subscriber_.Check(&transport_, now_);
  EXPECT_FALSE(subscriber_.over().has_value());
  Turn();
  EXPECT_EQ(news_.size(), 2u);
  Read(ScriptedTransport::kEverything);
  EXPECT_EQ(subscriber_.Find(1), nullptr);
}

TEST_F(BlockingTest, TheLastMessageOfACountEndsItToo) {
  Subscription* subscription = Add(1);
  subscription->offered_max = kMessagesMax + 1;
  Block();
  Publish(kMessagesMax + 1, one_.get());
  Turn();
  EXPECT_FALSE(Waits(*one_));
  for (Subscription* ended : fan_out_.TakeEnded()) index_.Detach(ended);
}

TEST_F(BlockingTest, SubscriptionsOfOneSessionBlockTheirOwnPublishers) {
  Add(1, "a", {.pending_messages_max = kMessagesMax});
  Add(2, "b", {.pending_messages_max = kMessagesMax});
  Block();
  Publish(kMessagesMax + 1, one_.get(), "a");
  Publish(kMessagesMax, two_.get(), "b");
  Turn();
  EXPECT_TRUE(Waits(*one_));
  EXPECT_FALSE(Waits(*two_));
}

TEST_F(BlockingTest, OfAQueueGroupWhoIsDealtTheMessageWaits) {
  Add(1, "a", {.pending_messages_max = kMessagesMax}, OnOverflow::kAct, "workers");
  Block();
  Publish(kMessagesMax, two_.get());
  Publish(3, one_.get());
  Turn();
  EXPECT_TRUE(Waits(*one_));
  EXPECT_EQ(one_->matched, 3u);
}

// Three publishers and three subscriptions, through writes that end anywhere: whoever waits does not publish.
TEST_F(BlockingTest, EverythingComesAndNobodyWaitsInTheEndWhateverHappens) {
  limits_.block_timeout = absl::InfiniteDuration();
  std::mt19937 random(4711);
  std::vector<Subscription*> subscriptions;
  for (const std::string filter : {"a", "b", "*"}) {
    subscriptions.push_back(
        Add(static_cast<uint32_t>(subscriptions.size() + 1), filter,
            {.pending_bytes_max = 3000, .pending_messages_max = 20, .pending_age_max = absl::Seconds(5)}));
  }
  std::vector<std::shared_ptr<PublishTally>> publishers;
  for (int i = 0; i < 3; ++i) publishers.push_back(std::make_shared<PublishTally>());
  uint64_t waited = 0;
  for (int step = 0; step < 5000; ++step) {
    now_ += absl::Milliseconds(random() % 100);
    const auto& publisher = publishers[random() % publishers.size()];
    if (Waits(*publisher)) {
      ++waited;
    } else {
      Publish(1 + random() % 12, publisher.get(), random() % 2 == 0 ? "a" : "b", random() % 100);
    }
    transport_.AfterwardsTakes(0);
    Turn();
    if (random() % 3 == 0) Read(random() % 1000);
    if (now_ >= subscriber_.NextCheck()) subscriber_.Check(&transport_, now_);
    const bool blocks = std::ranges::any_of(subscriptions, [](const Subscription* subscription) {
      return subscription->blocking == Subscription::Blocking::kYes;
    });
    for (const auto& one : publishers) ASSERT_TRUE(blocks || !Waits(*one));
    ASSERT_FALSE(subscriber_.over().has_value());
  }
  EXPECT_GT(waited, 100u);
  transport_.AfterwardsTakes(ScriptedTransport::kEverything);
  subscriber_.BecameWritable();
  (void)Flush();
  Turn();
  uint64_t offered = 0;
  for (const Subscription* subscription : subscriptions) offered += subscription->offered;
  uint64_t matched = 0;
  for (const auto& one : publishers) {
    EXPECT_FALSE(Waits(*one));
    EXPECT_EQ(one->dropped, 0u);
    matched += one->matched;
  }
  EXPECT_EQ(offered, matched);
  uint64_t received = 0;
  for (const v1::ServerFrame& frame : testing::ReadStream(transport_.stream()).frames) {
    received += frame.has_message() ? 1 : 0;
    EXPECT_FALSE(frame.has_gap());
  }
  EXPECT_EQ(received, matched);
  const auto began = std::ranges::count(news_, BlockNews::Kind::kBegan, &BlockNews::kind);
  EXPECT_GT(began, 10);
  EXPECT_EQ(2 * began, static_cast<int64_t>(news_.size()));
}

}  // namespace
}  // namespace sluice
