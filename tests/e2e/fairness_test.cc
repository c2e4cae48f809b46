// Nobody is cut who reads, however slowly, and nobody because the broker itself was late; whoever stops is
// cut in time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/broker_process.h"
#include "tests/support/bystanders.h"
#include "tests/support/healthy_load.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::string_view kCutLine = "slow consumer disconnected";
// Long beside what a busy machine may keep from a client that is to be kept.
constexpr milliseconds kWriteTimeout(3000);

// Lets time pass in which nothing is to happen.
void Pause(milliseconds duration) { ::poll(nullptr, 0, static_cast<int>(duration.count())); }

class FairnessTest : public ::testing::Test {
 protected:
  explicit FairnessTest(const std::vector<std::string>& flags = {"--write-timeout=3s",
                                                                 "--goodbye-timeout=20s"})
      : broker_(flags), publisher_(broker_.port()) {
    publisher_.Connect("publisher");
  }

  WireClient Subscriber(const SocketPairOptions& sockets, const SubscribeOptions& options = {}) {
    WireClient subscriber(broker_.port(), sockets);
    subscriber.Connect("subscriber");
    subscriber.Subscribe(1, "fair", options);
    return subscriber;
  }

  // All of it, and nobody else's.
  void ExpectAll(WireClient* subscriber) {
    for (uint64_t number = 0; number < published_; ++number) {
      ASSERT_EQ(subscriber->NextMessage().message.payload(), TestPayload(1, number, kPayloadBytes));
    }
  }

  void Publish(uint64_t messages) {
    for (uint64_t i = 0; i < messages; ++i) {
      publisher_.Publish("fair", TestPayload(1, published_++, kPayloadBytes));
    }
    publisher_.Ack();
  }

  static constexpr size_t kPayloadBytes = 1000;
  BrokerProcess broker_;
  WireClient publisher_;
  uint64_t published_ = 0;
};

TEST_F(FairnessTest, OneThatReadsSteadilyAndSlowlyIsNotCut) {
  WireClient slow = Subscriber({.client_receive_buffer_bytes = 8192});
  Publish(2000);
  // 20 KB/s. The kernel reports room only when a third of its buffer is free: for seconds it accepts nothing
  // of us, while its peer acknowledges all the time.
  const Clock::time_point end = Clock::now() + 3 * kWriteTimeout;
  while (Clock::now() < end) {
    slow.ReadAvailable(2000);
    Pause(milliseconds(100));
  }
  EXPECT_THAT(broker_.LogLines(kCutLine), IsEmpty());
  EXPECT_GE(broker_.Metric("sluice_pending_messages"), 1000);
  ExpectAll(&slow);
}

TEST_F(FairnessTest, OneThatStopsIsCutWithinTheTimeout) {
  WireClient slow = Subscriber({.client_receive_buffer_bytes = 8192});
  Publish(2000);
  Clock::time_point last_read;
  for (int i = 0; i < 40; ++i) {
    if (slow.ReadAvailable(4000) > 0) last_read = Clock::now();
    Pause(milliseconds(100));
  }
  EXPECT_THAT(broker_.LogLines(kCutLine), IsEmpty());
  EXPECT_THAT(broker_.WaitForLog(kCutLine), HasSubstr("reason=write_timeout"));
  const auto stuck_for = Clock::now() - last_read;
  EXPECT_GE(stuck_for, kWriteTimeout / 2);  // the last bytes may have been acknowledged earlier
  if (!kSanitized) {
    EXPECT_LE(stuck_for, 3 * kWriteTimeout);
  }
  const v1::Goodbye goodbye = slow.ExpectGoodbye(v1::REASON_WRITE_TIMEOUT);
  EXPECT_GE(goodbye.value(), 3000u);
  EXPECT_LE(goodbye.value(), 9000u);
}

TEST_F(FairnessTest, OneThatMovesAndTooSlowlyIsCutByAgeEvenOnAQuietTopic) {
  WireClient slow = Subscriber({.client_receive_buffer_bytes = 8192}, {.pending_age_max_ms = 1500});
  publisher_.Publish("fair", std::string(900'000, 'x'));  // a single message: nothing waits behind it
  publisher_.Ack();
  while (broker_.LogLines(kCutLine).empty()) {
    slow.ReadAvailable(1000);
    Pause(milliseconds(50));
  }
  const std::string line = broker_.WaitForLog(kCutLine);
  EXPECT_THAT(line, HasSubstr("reason=pending_age"));
  EXPECT_THAT(line, HasSubstr("pending_messages=1 "));
  // The rest of its message still comes, and then it is told.
  const WireClient::Rest rest = slow.ReadToEnd();
  EXPECT_EQ(rest.messages, 1u);
  ASSERT_TRUE(rest.goodbye.has_value());
  EXPECT_EQ(rest.goodbye->reason(), v1::REASON_PENDING_AGE);
  EXPECT_EQ(rest.goodbye->limit(), 1500u);
}

TEST_F(FairnessTest, IdleForLongAndThenABurstIsNotCut) {
  WireClient subscriber = Subscriber({.client_receive_buffer_bytes = 8192});
  Publish(1);
  Pause(2 * kWriteTimeout);
  Publish(500);  // more than the kernel takes at once: blocked from now on, not since long ago
  Pause(kWriteTimeout / 4);
  ExpectAll(&subscriber);
  EXPECT_THAT(broker_.LogLines(kCutLine), IsEmpty());
}

TEST_F(FairnessTest, AStallThatEndsInTimeIsForgotten) {
  WireClient subscriber = Subscriber({.client_receive_buffer_bytes = 8192});
  for (int round = 0; round < 6; ++round) {  // stalled for longer than the timeout, added up
    const uint64_t before = published_;
    Publish(300);
    Pause(kWriteTimeout / 4);
    for (uint64_t number = before; number < published_; ++number) {
      ASSERT_EQ(subscriber.NextMessage().message.payload(), TestPayload(1, number, kPayloadBytes));
    }
  }
  EXPECT_THAT(broker_.LogLines(kCutLine), IsEmpty());
}

// ---- The broker's own lateness ----

class LateBrokerTest : public FairnessTest {
 protected:
  LateBrokerTest()
      : FairnessTest({"--write-timeout=3s", "--pending-age-max=4s", "--ping-interval=3s",
                      "--connect-timeout=3s", "--frame-timeout=3s", "--goodbye-timeout=20s"}) {}

  // Longer than all of them.
  void StandStill() {
    broker_.Stop();
    Pause(milliseconds(6000));
    broker_.Continue();
  }
};

TEST_F(LateBrokerTest, NobodyIsCutBecauseTheBrokerStoodStill) {
  WireClient idle = Subscriber({});
  WireClient blocked = Subscriber({.client_receive_buffer_bytes = 8192});
  WireClient in_a_frame(broker_.port());
  in_a_frame.Connect("in a frame");
  const std::string frame = PublishFrame("fair", TestPayload(1, 300, kPayloadBytes));
  in_a_frame.SendRaw(std::string_view(frame).substr(0, 500));
  Publish(300);
  broker_.WaitForMetric("sluice_pending_messages", ::testing::Gt(0));
  WireClient newcomer(broker_.port());
  broker_.WaitForMetric("sluice_connections_open", 5);

  StandStill();
  // Time goes on now, and all of them move.
  newcomer.Connect("newcomer");
  in_a_frame.SendRaw(std::string_view(frame).substr(500));
  ++published_;
  ExpectAll(&blocked);
  ExpectAll(&idle);
  in_a_frame.Ping();
  publisher_.Ping();
  EXPECT_THAT(broker_.LogLines(kCutLine), IsEmpty());
  EXPECT_EQ(broker_.Metric("sluice_connections_open"), 5);
  EXPECT_GE(broker_.Metric("sluice_loop_lateness_seconds_total{shard=\"0\"}"), 5);
  EXPECT_GE(broker_.Metric("sluice_loop_late_turns_total{shard=\"0\"}"), 1);
}

TEST_F(LateBrokerTest, ButTheStuckOneIsCutAllTheSame) {
  WireClient stuck = Subscriber({.client_receive_buffer_bytes = 8192});
  Publish(300);
  StandStill();
  EXPECT_THAT(broker_.WaitForLog(kCutLine), HasSubstr("client=subscriber"));
  const v1::Goodbye goodbye = stuck.ExpectGoodbye(v1::REASON_WRITE_TIMEOUT);
  EXPECT_GE(goodbye.value(), 3000u);
  EXPECT_LE(goodbye.value(), 4500u);  // the six seconds in which it stood still are not counted
}

TEST_F(FairnessTest, TwoHundredPublishersInOneTurnCutNobodyWhoReads) {
  // So much comes in one turn that the subscriber's limits would be passed many times over, were they looked
  // at before the turn's write.
  SubscribeOptions tight;
  tight.pending_messages_max = 20;
  WireClient subscriber = Subscriber({}, tight);
  constexpr int kPublishers = 200;
  std::vector<WireClient> publishers;
  for (int i = 0; i < kPublishers; ++i) {
    publishers.emplace_back(broker_.port());
    publishers.back().Connect("one of many");
  }
  broker_.Stop();
  for (int i = 0; i < kPublishers; ++i) publishers[i].Publish("fair", std::to_string(i));
  broker_.Continue();
  std::vector<bool> came(kPublishers);
  for (int i = 0; i < kPublishers; ++i)
    came.at(std::stoul(subscriber.NextMessage().message.payload())) = true;
  EXPECT_THAT(came, ::testing::Each(true));
  EXPECT_THAT(broker_.LogLines(kCutLine), IsEmpty());
}

// ---- Turns ----

TEST_F(FairnessTest, AFloodDoesNotKeepAnotherPublisherWaiting) {
  std::vector<WireClient> flooding;
  for (int i = 0; i < 4; ++i) {
    flooding.emplace_back(broker_.port());
    flooding.back().Connect("flooding");
  }
  std::string flood;
  while (flood.size() < 4 << 20) flood += PublishFrame("flood", "nobody subscribes to it");
  Bystanders bystanders(broker_.port());
  for (int round = 0; round < 20; ++round) {
    for (WireClient& client : flooding) client.SendRaw(flood);
    bystanders.Beat();
  }
  bystanders.Leave();
}

TEST_F(FairnessTest, AFloodedSubscriptionDoesNotSilenceItsNeighbour) {
  WireClient subscriber(broker_.port(), {.client_receive_buffer_bytes = 8192});
  subscriber.Connect("two subscriptions");
  subscriber.Subscribe(1, "flood");
  subscriber.Subscribe(2, "quiet");
  for (int i = 0; i < 3000; ++i) publisher_.Publish("flood", TestPayload(1, 0, 1000));
  publisher_.Publish("quiet", "not behind three megabytes");
  publisher_.Ack();
  // The two take turns by bytes: what waits in front of it is what the kernel had, and a quantum or two.
  uint64_t before = 0;
  for (; subscriber.NextMessage().subscription != 2; ++before) {
  }
  EXPECT_LE(before, 1500u);
  for (; before < 3000; ++before) EXPECT_EQ(subscriber.NextMessage().subscription, 1u);
}

// ---- Life signs ----

class PingTest : public FairnessTest {
 protected:
  PingTest() : FairnessTest({"--ping-interval=200ms"}) {}
};

TEST_F(PingTest, AnIdleClientIsPingedAndKept) {
  WireClient idle(broker_.port());
  idle.Connect("idle");
  EXPECT_EQ(idle.connected().limits().ping_interval_ms(), 200u);
  const Clock::time_point began = Clock::now();
  v1::ClientFrame pong;
  for (int i = 0; i < 5; ++i) {
    pong.mutable_pong()->set_id(idle.NextOf(v1::ServerFrame::kServerPing).server_ping().id());
    idle.Send(pong);
  }
  EXPECT_GE(Clock::now() - began, milliseconds(900));
  idle.Ping();
}

class RarePingTest : public FairnessTest {
 protected:
  RarePingTest() : FairnessTest({"--ping-interval=2s"}) {}
};

TEST_F(RarePingTest, OneThatTalksIsNotPinged) {
  WireClient talking(broker_.port());
  talking.Connect("talking");
  for (int i = 0; i < 50; ++i) {
    talking.Ping();
    Pause(milliseconds(100));
  }
  talking.EndInput();
  for (std::optional<v1::ServerFrame> frame; (frame = talking.NextFrame());) {
    EXPECT_FALSE(frame->has_server_ping());
  }
}

TEST_F(PingTest, WhatItsKernelAcknowledgesIsASignOfLifeToo) {
  WireClient mute(broker_.port());
  mute.Connect("mute");
  Pause(milliseconds(1000));
  mute.Ping();
}

}  // namespace
}  // namespace sluice::testing
