// The overflow policy block over real sockets: the publishers that run into a full subscription wait, nobody else
// does, and nothing is lost. With two shards the consumer and the publisher are on different ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/broker_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr SocketPairOptions kTinyWindow = {.client_receive_buffer_bytes = 4 << 10};
constexpr std::string_view kCutLine = "slow consumer disconnected";
constexpr std::string_view kBeginLine = "consumer blocks its publishers";
constexpr std::string_view kEndLine = "consumer's publishers go on";
constexpr const char* kPaused = "sluice_blocked_publishers";
constexpr const char* kBlocking = "sluice_blocking_subscriptions";
constexpr const char* kReceived = "sluice_messages_received_total";
constexpr uint64_t kMessagesMax = 200;
// So few that they do not go over the limit before the kernel is full.
constexpr int kBatch = 10;

class BlockTest : public ::testing::Test {
 protected:
  explicit BlockTest(std::vector<std::string> flags = {})
      : broker_(WithDefaults(std::move(flags))),
        slow_(broker_.port(), kTinyWindow),
        publisher_(broker_.port()),
        other_(broker_.port()) {
    slow_.Connect("slow");
    publisher_.Connect("publisher");
    other_.Connect("other");
    Subscribe(&slow_, "full");
  }
  static std::vector<std::string> WithDefaults(std::vector<std::string> flags) {
    for (const char* flag : {"--max-message=16KiB", "--max-headers=1KiB", "--notsent-lowat=16KiB"})
      flags.push_back(flag);
    return flags;
  }
  static void Subscribe(WireClient* client, std::string_view filter) {
    const v1::Subscribed subscribed = client->Subscribe(
        1, filter, {.pending_messages_max = kMessagesMax, .overflow = v1::OVERFLOW_POLICY_BLOCK});
    EXPECT_EQ(subscribed.overflow(), v1::OVERFLOW_POLICY_BLOCK);
  }

  void PublishBatch(WireClient* publisher, std::string_view topic, uint64_t first) {
    for (uint64_t i = first; i < first + kBatch; ++i) {
      std::string payload = std::to_string(i);
      payload.resize(1000, '.');
      publisher->Publish(topic, payload);
    }
  }
  // Until the broker has paused so many publishers. The publisher reads nothing. Returns how many it published.
  uint64_t PublishUntilPaused(WireClient* publisher, std::string_view topic, double paused = 1) {
    double received = broker_.Metric(kReceived);
    for (uint64_t published = 0;;) {
      PublishBatch(publisher, topic, published);
      published += kBatch;
      received += kBatch;
      while (broker_.Metric(kReceived) < received) {
        if (broker_.Metric(kPaused) >= paused) return published;
      }
    }
  }
  // All of them, in order.
  static void ExpectMessages(WireClient* client, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      const std::string payload = client->NextMessage().message.payload();
      ASSERT_EQ(std::stoull(payload), i);
    }
  }
  void ExpectGoesOn(WireClient* client) {
    PublishBatch(client, "elsewhere", 0);
    EXPECT_EQ(client->Ack().dropped(), 0u);
  }
  void ExpectNobodyBlocks() {
    broker_.WaitForMetric(kPaused, 0);
    broker_.WaitForMetric(kBlocking, 0);
  }

  BrokerProcess broker_;
  WireClient slow_;
  WireClient publisher_;
  WireClient other_;
};

TEST_F(BlockTest, OnlyWhoRanIntoItWaitsAndNothingIsLost) {
  const uint64_t published = PublishUntilPaused(&publisher_, "full");
  EXPECT_EQ(publisher_.NextOf(v1::ServerFrame::kPaused).paused().cause(),
            v1::Paused::CAUSE_BLOCKED_BY_CONSUMER);
  EXPECT_EQ(broker_.Metric(kBlocking), 1);
  for (int i = 0; i < 100; ++i) ExpectGoesOn(&other_);
  EXPECT_EQ(broker_.Metric(kPaused), 1);
  EXPECT_GE(broker_.Metric("sluice_block_pauses_total"), 1);

  ExpectMessages(&slow_, published);
  (void)publisher_.NextOf(v1::ServerFrame::kResumed);
  const v1::PublishAck ack = publisher_.Ack();
  EXPECT_EQ(ack.matched(), published);
  EXPECT_EQ(ack.queued(), published);
  EXPECT_GT(ack.blocked(), 0u);
  EXPECT_LT(ack.blocked(), published);
  ExpectNobodyBlocks();
  EXPECT_THAT(broker_.LogLines(kCutLine), IsEmpty());
  EXPECT_THAT(broker_.WaitForLog(kBeginLine),
              AllOf(HasSubstr("client=slow"), HasSubstr("reason=pending_messages limit=200")));
  EXPECT_THAT(broker_.WaitForLog(kEndLine), HasSubstr("publishers_paused=1"));
}

TEST_F(BlockTest, ItGoesOnAndOnWithoutALoss) {
  uint64_t expected = 0;
  for (int round = 0; round < 3; ++round) {
    const uint64_t published = PublishUntilPaused(&publisher_, "full");
    ExpectMessages(&slow_, published);
    (void)publisher_.Ack();
    expected += published;
  }
  slow_.SendUnsubscribe(1);
  EXPECT_EQ(slow_.NextOf(v1::ServerFrame::kUnsubscribed).unsubscribed().offered(), expected);
  EXPECT_GE(broker_.Metric("sluice_block_pauses_total"), 3);
  ExpectNobodyBlocks();
}

TEST_F(BlockTest, EveryPublisherThatRunsIntoItWaits) {
  PublishUntilPaused(&publisher_, "full");
  PublishUntilPaused(&other_, "full", 2);
  WireClient third(broker_.port());
  third.Connect("third");
  ExpectGoesOn(&third);
  EXPECT_EQ(broker_.Metric(kPaused), 2);
  slow_.Reset();
  ExpectGoesOn(&publisher_);
  ExpectGoesOn(&other_);
  ExpectNobodyBlocks();
}

TEST_F(BlockTest, ASessionDoesNotWaitForItself) {
  WireClient own(broker_.port(), kTinyWindow);
  own.Connect("own");
  Subscribe(&own, "own");
  constexpr uint64_t kCount = 5 * kMessagesMax;
  for (uint64_t i = 0; i < kCount; i += kBatch) PublishBatch(&own, "own", i);
  broker_.WaitForMetric(kReceived, kCount);
  broker_.WaitForMetric(kBlocking, 1);
  EXPECT_EQ(broker_.Metric(kPaused), 0);
  // Another one does.
  PublishUntilPaused(&publisher_, "own");
  ExpectMessages(&own, kCount);
  ExpectGoesOn(&publisher_);
  ExpectNobodyBlocks();
}

TEST_F(BlockTest, TwoThatBlockEachOtherGoOnWhenTheyRead) {
  WireClient one(broker_.port(), kTinyWindow);
  WireClient two(broker_.port(), kTinyWindow);
  one.Connect("one");
  two.Connect("two");
  Subscribe(&one, "to.one");
  Subscribe(&two, "to.two");
  const uint64_t to_two = PublishUntilPaused(&one, "to.two", 1);
  const uint64_t to_one = PublishUntilPaused(&two, "to.one", 2);
  ExpectMessages(&one, to_one);
  ExpectMessages(&two, to_two);
  ExpectGoesOn(&one);
  ExpectGoesOn(&two);
  ExpectNobodyBlocks();
}

TEST_F(BlockTest, APausedPublisherThatIsResetIsNoticedAtOnce) {
  PublishUntilPaused(&publisher_, "full");
  const double open = broker_.Metric("sluice_connections_open");
  publisher_.Reset();
  broker_.WaitForMetric("sluice_connections_open", open - 1);
  broker_.WaitForMetric(kPaused, 0);
  EXPECT_EQ(broker_.Metric(kBlocking), 1);
}

TEST_F(BlockTest, WhatAPausedPublisherSentBeforeItsEndIsDelivered) {
  const uint64_t published = PublishUntilPaused(&publisher_, "full");
  publisher_.EndInput();
  ExpectMessages(&slow_, published);
  publisher_.ExpectGoodbye(v1::REASON_CLIENT_CLOSED);
  ExpectNobodyBlocks();
}

TEST_F(BlockTest, UnsubscribingFreesThePublisher) {
  const uint64_t published = PublishUntilPaused(&publisher_, "full");
  slow_.SendUnsubscribe(1);
  const v1::PublishAck ack = publisher_.Ack();
  EXPECT_EQ(ack.messages(), published);
  ExpectNobodyBlocks();
  const uint64_t offered = slow_.NextOf(v1::ServerFrame::kUnsubscribed).unsubscribed().offered();
  EXPECT_EQ(offered, ack.matched());
  ExpectMessages(&slow_, offered);
}

TEST_F(BlockTest, AConsumerThatIsGoneFreesThePublisher) {
  PublishUntilPaused(&publisher_, "full");
  slow_.Reset();
  ExpectGoesOn(&publisher_);
  ExpectNobodyBlocks();
}

TEST_F(BlockTest, AConsumerThatClosesFreesThePublisher) {
  PublishUntilPaused(&publisher_, "full");
  slow_.EndInput();
  ExpectGoesOn(&publisher_);
  ExpectNobodyBlocks();
}

class BlockTimeoutTest : public BlockTest {
 protected:
  BlockTimeoutTest() : BlockTest({"--block-timeout=500ms"}) {}
};

TEST_F(BlockTimeoutTest, TheConsumerIsCutAndThePublisherGoesOn) {
  uint64_t published = 0;
  while (broker_.LogLines(kCutLine).empty()) {
    PublishBatch(&publisher_, "full", published);
    published += kBatch;
    EXPECT_EQ(publisher_.Ack().messages(), static_cast<uint64_t>(kBatch));
  }
  EXPECT_THAT(
      broker_.WaitForLog(kCutLine),
      AllOf(HasSubstr("client=slow"), HasSubstr("reason=block_timeout limit=500"), HasSubstr("filter=full")));
  broker_.WaitForMetric("sluice_slow_consumer_disconnects_total{reason=\"block_timeout\"}", 1);
  EXPECT_GE(broker_.Metric("sluice_block_pauses_total"), 1);
  ExpectGoesOn(&publisher_);
  ExpectNobodyBlocks();
}

TEST_F(BlockTimeoutTest, TwoThatBlockEachOtherAndNeverReadHoldUpNobodyForEver) {
  WireClient one(broker_.port(), kTinyWindow);
  WireClient two(broker_.port(), kTinyWindow);
  one.Connect("one");
  two.Connect("two");
  Subscribe(&one, "to.one");
  Subscribe(&two, "to.two");
  const auto somebody_is_cut = [&] { return !broker_.LogLines(kCutLine).empty(); };
  for (uint64_t first = 0; !somebody_is_cut(); first += kBatch) {
    PublishBatch(&one, "to.two", first);
    if (!somebody_is_cut()) PublishBatch(&two, "to.one", first);
  }
  ExpectGoesOn(&other_);
  ExpectNobodyBlocks();
}

// What a configuration file needs before the broker starts.
struct BlockRule {
  TempDir dir;
  std::string path = dir.Write("sluiced.toml", R"(
[[subscription_rules]]
filter = "ruled.>"
overflow = "block"
overflow_allowed = ["block"]
pending_messages_max = 200
)");
};
class BlockRuleTest : private BlockRule, public BlockTest {
 protected:
  BlockRuleTest() : BlockTest({"--config=" + path}) {}
};

TEST_F(BlockRuleTest, OneThatAskedToBeCutBlocksInstead) {
  WireClient ruled(broker_.port(), kTinyWindow);
  ruled.Connect("ruled");
  const v1::Subscribed granted = ruled.Subscribe(1, "ruled.>", {.overflow = v1::OVERFLOW_POLICY_DISCONNECT});
  EXPECT_EQ(granted.overflow(), v1::OVERFLOW_POLICY_BLOCK);
  EXPECT_EQ(granted.limits().pending_messages_max(), kMessagesMax);
  const uint64_t published = PublishUntilPaused(&publisher_, "ruled.x");
  ExpectMessages(&ruled, published);
  ExpectGoesOn(&publisher_);
  ExpectNobodyBlocks();
  EXPECT_THAT(broker_.LogLines(kCutLine), IsEmpty());
}

class BlockObservedTest : public BlockTest {
 protected:
  BlockObservedTest() : BlockTest({"--on-overflow=observe"}) {}
};

TEST_F(BlockObservedTest, NobodyWaitsAndWhatWouldHaveBlockedIsCounted) {
  uint64_t published = 0;
  while (broker_.Metric("sluice_observed_overflows_total{reason=\"pending_messages\"}") == 0) {
    PublishBatch(&publisher_, "full", published);
    published += kBatch;
    EXPECT_EQ(publisher_.Ack().blocked(), 0u);
  }
  EXPECT_EQ(broker_.Metric("sluice_block_pauses_total"), 0);
  EXPECT_EQ(broker_.Metric(kBlocking), 0);
  ExpectMessages(&slow_, published);
}

class BlockDrainTest : public BlockTest {
 protected:
  BlockDrainTest() : BlockTest({"--drain-timeout=200ms", "--goodbye-timeout=200ms"}) {}
};

TEST_F(BlockDrainTest, TheEndOfTheBrokerDoesNotWaitForBlockTimeout) {
  PublishUntilPaused(&publisher_, "full");
  broker_.Signal(SIGTERM);
  publisher_.ExpectGoodbye(v1::REASON_SHUTDOWN);
  publisher_.Close();
  other_.Close();
  EXPECT_EQ(broker_.WaitForExit().code, 0);
}

}  // namespace
}  // namespace sluice::testing
