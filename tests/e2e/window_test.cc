// Windows: a subscription that is out of credit waits alone, whatever its neighbours on the socket do, and is
// judged by its own limits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tests/support/broker_process.h"
#include "tests/support/healthy_load.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::Ge;
using ::testing::SizeIs;

class CreditTest : public ::testing::Test {
 protected:
  explicit CreditTest(const std::vector<std::string>& flags = {})
      : broker_(flags), publisher_(broker_.port()), client_(broker_.port()) {
    publisher_.Connect("publisher");
    client_.Connect("client");
  }

  void Publish(std::string_view topic, int messages, std::string_view payload = "payload") {
    for (int i = 0; i < messages; ++i) publisher_.Publish(topic, payload);
    publisher_.Ack();
  }
  // Until the neighbour has so many more messages; those of others are counted.
  void ExpectNeighbourGets(uint32_t neighbour, int messages) {
    while (messages > 0) {
      const DeliveredMessage message = client_.NextMessage();
      ++received_[message.subscription];
      if (message.subscription == neighbour) --messages;
    }
  }

  BrokerProcess broker_;
  WireClient publisher_;
  WireClient client_;
  std::map<uint32_t, uint64_t> received_;
};

class ShortWriteTimeoutTest : public CreditTest {
 protected:
  ShortWriteTimeoutTest() : CreditTest({"--write-timeout=100ms", "--ping-interval=100ms"}) {}
};

// Longer than the write timeout, by the broker's own clock: it pings once in an interval.
TEST_F(ShortWriteTimeoutTest, ToBeOutOfCreditForLongIsNoWriteTimeout) {
  EXPECT_EQ(client_.Subscribe(1, "slow", {.window_bytes = 1}).window_bytes(), 1u);
  client_.Subscribe(2, "neighbour");
  Publish("slow", 1000);
  for (int pings = 0; pings < 10; ++pings) {
    Publish("neighbour", 1);
    ExpectNeighbourGets(2, 1);
    const v1::ServerFrame ping = client_.NextOf(v1::ServerFrame::kServerPing);
    v1::ClientFrame pong;
    pong.mutable_pong()->set_id(ping.server_ping().id());
    client_.Send(pong);
    publisher_.Ping();
  }
  EXPECT_EQ(received_[1], 1u);
  EXPECT_THAT(broker_.LogLines("slow consumer"), SizeIs(0));
  client_.SendCredit(1, 1 << 20);
  while (received_[1] < 1000) ++received_[client_.NextMessage().subscription];
  broker_.WaitForMetric("sluice_pending_messages", 0);
}

TEST_F(CreditTest, TheNeighbourOnTheSocketGoesOnWhileOneIsOutOfCredit) {
  client_.Subscribe(1, "feed", {.window_bytes = 1000});
  client_.Subscribe(2, "feed");
  for (int i = 0; i < 20; ++i) {
    Publish("feed", 100);
    ExpectNeighbourGets(2, 100);
  }
  EXPECT_THAT(received_[1], Ge(1u));
  EXPECT_LE(received_[1], 1000 / 15u);
  EXPECT_EQ(broker_.Metric("sluice_pending_messages"), 2000.0 - static_cast<double>(received_[1]));
  EXPECT_EQ(broker_.Metric("sluice_epollout_arms_total"), 0);
  client_.SendUnsubscribe(1);
  while (received_[1] < 2000) ++received_[client_.NextMessage().subscription];
  EXPECT_EQ(client_.NextOf(v1::ServerFrame::kUnsubscribed).unsubscribed().offered(), 2000u);
}

TEST_F(CreditTest, DisconnectEndsTheSubscriptionAlone) {
  client_.Subscribe(1, "feed", {.pending_messages_max = 100, .window_bytes = 1});
  client_.Subscribe(2, "feed");
  for (int i = 0; i < 5; ++i) {
    Publish("feed", 50);
    ExpectNeighbourGets(2, 50);
  }
  const v1::Gap gap = client_.NextOf(v1::ServerFrame::kGap).gap();
  const v1::Unsubscribed ended = client_.NextOf(v1::ServerFrame::kUnsubscribed).unsubscribed();
  EXPECT_EQ(ended.subscription(), 1u);
  EXPECT_EQ(ended.reason(), v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(ended.limit(), 100u);
  EXPECT_GT(ended.value(), 100u);
  EXPECT_EQ(received_[1] + gap.messages(), ended.offered());
  EXPECT_THAT(broker_.LogLines("slow consumer: subscription ended"), SizeIs(1));
  EXPECT_THAT(broker_.LogLines("slow consumer disconnected"), SizeIs(0));
  EXPECT_EQ(broker_.Metric("sluice_subscriptions_cut_total{reason=\"pending_messages\"}"), 1);
  // It may come back, under the same id.
  client_.Subscribe(1, "feed");
  Publish("feed", 10);
  ExpectNeighbourGets(2, 10);
  EXPECT_EQ(broker_.Metric("sluice_subscriptions"), 2);
}

TEST_F(CreditTest, ConflatesWhileItIsOutOfCredit) {
  client_.Subscribe(1, "feed.*", {.overflow = v1::OVERFLOW_POLICY_CONFLATE, .window_bytes = 1});
  client_.Subscribe(2, "feed.*");
  Publish("feed.a", 1, "first");
  for (int i = 0; i < 10; ++i) {
    Publish("feed.a", 10, "old");
    Publish("feed.b", 10, "old");
  }
  Publish("feed.a", 1, "new a");
  Publish("feed.b", 1, "new b");
  broker_.WaitForMetric("sluice_messages_conflated_total", 200);
  client_.SendCredit(1, 1000);
  std::map<std::string, std::string> last;
  uint64_t told = 0;
  uint64_t received = 0;
  uint32_t current = 0;
  while (told + received < 203) {
    const std::optional<v1::ServerFrame> frame = client_.NextFrame();
    ASSERT_TRUE(frame.has_value());
    if (frame->has_delivery()) current = frame->delivery().subscription();
    if (frame->has_gap()) told += frame->gap().messages();
    if (!frame->has_message() || current != 1) continue;
    ++received;
    last[frame->message().topic()] = frame->message().payload();
  }
  EXPECT_EQ(told, 200u);
  EXPECT_EQ(last, (std::map<std::string, std::string>{{"feed.a", "new a"}, {"feed.b", "new b"}}));
}

class SmallBudgetTest : public CreditTest {
 protected:
  SmallBudgetTest() : CreditTest({"--memory-budget=64MiB", "--session-bytes-max=0"}) {}
};

// Those that wait for credit keep memory alive like those behind a full socket, and are shed like them.
TEST_F(SmallBudgetTest, MemoryIsShedFromThoseThatWaitForCredit) {
  for (uint32_t id = 1; id <= 40; ++id) {
    client_.Subscribe(id, "feed." + std::to_string(id), {.window_bytes = 1});
    Publish("feed." + std::to_string(id), 1);
    ExpectNeighbourGets(id, 1);
  }
  const std::string payload(100'000, 'x');
  for (uint32_t id = 1; id <= 40; ++id) Publish("feed." + std::to_string(id), 40, payload);
  EXPECT_EQ(client_.NextOf(v1::ServerFrame::kUnsubscribed).unsubscribed().reason(), v1::REASON_MEMORY_BUDGET);
  EXPECT_THAT(broker_.LogLines("slow consumer disconnected"), SizeIs(0));
}

TEST_F(CreditTest, WhatWaitsForCreditLeavesWhenTheBrokerGoesDown) {
  client_.Subscribe(1, "feed", {.window_bytes = 1});
  Publish("feed", 100);
  broker_.Signal(SIGTERM);
  const WireClient::Rest rest = client_.ReadToEnd();
  EXPECT_EQ(rest.messages, 100u);
  ASSERT_TRUE(rest.goodbye.has_value());
  EXPECT_EQ(rest.goodbye->reason(), v1::REASON_SHUTDOWN);
  EXPECT_EQ(broker_.WaitForExit().code, 0);
}

}  // namespace
}  // namespace sluice::testing
