// How sessions and the broker end: in order, in the middle of a frame, by a reset, by a signal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/broker_process.h"
#include "tests/support/eventually.h"
#include "tests/support/healthy_load.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::SizeIs;
using Clock = std::chrono::steady_clock;

constexpr SocketPairOptions kTinyWindow = {.client_receive_buffer_bytes = 8192};

class ClosingTest : public ::testing::Test {
 protected:
  explicit ClosingTest(const std::vector<std::string>& flags = {"--goodbye-timeout=20s",
                                                                "--drain-timeout=20s"})
      : broker_(flags), publisher_(broker_.port()) {
    publisher_.Connect("publisher");
  }

  WireClient Subscriber(std::string_view filter = "closing", const SocketPairOptions& sockets = kTinyWindow) {
    WireClient subscriber(broker_.port(), sockets);
    subscriber.Connect("subscriber");
    subscriber.Subscribe(1, filter);
    return subscriber;
  }

  void Publish(uint64_t messages) {
    for (uint64_t i = 0; i < messages; ++i) publisher_.Publish("closing", TestPayload(1, published_++, 1000));
    publisher_.Ack();
  }

  // Everything that was published, then this Goodbye, by whose books nothing is missing.
  v1::Goodbye ExpectAllAndGoodbye(WireClient* subscriber, v1::Reason reason) {
    for (uint64_t number = 0; number < published_; ++number) {
      if (subscriber->NextMessage().message.payload() == TestPayload(1, number, 1000)) continue;
      ADD_FAILURE() << "not message " << number;
      break;
    }
    const v1::Goodbye goodbye = subscriber->ExpectGoodbye(reason);
    EXPECT_EQ(goodbye.pending_messages(), 0u);
    EXPECT_EQ(goodbye.pending_bytes(), 0u);
    EXPECT_EQ(goodbye.subscriptions_size(), 1);
    if (goodbye.subscriptions_size() == 1) {
      EXPECT_EQ(goodbye.subscriptions(0).offered(), published_);
    }
    return goodbye;
  }

  BrokerProcess broker_;
  WireClient publisher_;
  uint64_t published_ = 0;
};

// ---- By the client ----

TEST_F(ClosingTest, AHalfClosedSubscriberGetsWhatIsQueuedAndThenGoodbye) {
  WireClient subscriber = Subscriber();
  Publish(500);
  ASSERT_GT(broker_.Metric("sluice_pending_messages"), 0);
  subscriber.EndInput();
  broker_.WaitForMetric("sluice_subscriptions", 0);
  publisher_.Publish("closing", "too late for it");
  publisher_.Ack();
  ExpectAllAndGoodbye(&subscriber, v1::REASON_CLIENT_CLOSED);
  subscriber.Close();
  broker_.WaitForMetric("sluice_connections_open", 1);
  EXPECT_EQ(broker_.Metric("sluice_messages_dropped_total"), 0);
}

TEST_F(ClosingTest, WhatAPublisherSentBeforeItClosedIsDelivered) {
  WireClient subscriber = Subscriber("closing", {});
  std::string frames;
  for (int i = 0; i < 3000; ++i) frames += PublishFrame("closing", TestPayload(1, published_++, 1000));
  WireClient half_closed(broker_.port());
  half_closed.Connect("half closed");
  half_closed.SendRaw(frames);
  half_closed.EndInput();
  for (uint64_t i = 0; i < published_; ++i) {
    ASSERT_EQ(subscriber.NextMessage().message.payload(), TestPayload(1, i, 1000));
  }
  half_closed.ExpectGoodbye(v1::REASON_CLIENT_CLOSED);

  WireClient gone(broker_.port());
  gone.Connect("gone");
  gone.SendRaw(frames);
  gone.Close();
  for (uint64_t i = 0; i < published_; ++i) {
    ASSERT_EQ(subscriber.NextMessage().message.payload(), TestPayload(1, i, 1000));
  }
}

TEST_F(ClosingTest, AnswersStillComeToAHalfClosedClient) {
  WireClient client(broker_.port());
  v1::ClientFrame connect;
  connect.mutable_connect()->set_protocol_version(1);
  v1::ClientFrame ack;
  ack.mutable_ack_request()->set_id(7);
  client.SendRaw(Encode(connect) + PublishFrame("closing", "x") + Encode(ack));
  client.EndInput();
  client.NextOf(v1::ServerFrame::kConnected);
  const v1::PublishAck answer = client.NextOf(v1::ServerFrame::kPublishAck).publish_ack();
  EXPECT_EQ(answer.id(), 7u);
  EXPECT_EQ(answer.messages(), 1u);
  client.ExpectGoodbye(v1::REASON_CLIENT_CLOSED);
}

TEST_F(ClosingTest, AResetEndsTheSessionAndIsRemembered) {
  WireClient subscriber = Subscriber();
  const std::string session = subscriber.connected().session_id();
  Publish(500);
  subscriber.Reset();
  broker_.WaitForMetric("sluice_sessions_ended_total{reason=\"client_reset\"}", 1);
  broker_.WaitForMetric("sluice_connections_open", 1);
  broker_.WaitForMetric("sluice_pending_bytes", 0);
  EXPECT_GT(broker_.Metric("sluice_messages_dropped_total"), 0);

  WireClient again(broker_.port());
  const v1::SessionRecord record = again.Connect("subscriber", session).previous_session();
  EXPECT_EQ(record.goodbye().reason(), v1::REASON_CLIENT_RESET);
  EXPECT_EQ(record.cuts_in_a_row(), 0u);
  ASSERT_THAT(record.goodbye().subscriptions(), SizeIs(1));
  EXPECT_EQ(record.goodbye().subscriptions(0).offered(), 500u);
  EXPECT_GT(record.goodbye().pending_messages(), 0u);
}

TEST_F(ClosingTest, ClientsThatAreKilledAtAnyPointLeaveNothingBehind) {
  std::mt19937_64 random(7);
  HealthyLoad load(broker_.port());
  const uint64_t descriptors = broker_.OpenDescriptors();
  const std::string frame = PublishFrame("load.other", TestPayload(2, 0, 3000));
  for (int round = 0; round < 60; ++round) {
    std::vector<WireClient> doomed;
    for (int i = 0; i < 10; ++i) {
      doomed.emplace_back(broker_.port(), kTinyWindow);
      if (random() % 8 == 0) continue;  // dies without a word
      doomed.back().Connect("doomed");
      if (random() % 2 == 0) doomed.back().Subscribe(1, "load");
      if (random() % 2 == 0) doomed.back().Subscribe(2, "load", {.queue_group = "doomed"});
      if (random() % 2 == 0)
        doomed.back().SendRaw(std::string_view(frame).substr(0, random() % frame.size()));
    }
    load.Step(20, 1000);
    for (WireClient& client : doomed) {
      switch (random() % 4) {
        case 0:
          client.Reset();
          break;
        case 1:
          client.Close();
          break;
        case 2:
          client.EndInput();
          break;
        default:
          client.ReadAvailable(random() % 20'000);
          client.Reset();
      }
    }
    load.Step(5, 1000);
  }
  broker_.WaitForMetric("sluice_connections_open", 4);
  EXPECT_TRUE(Eventually([&] { return broker_.OpenDescriptors() == descriptors; }));  // some were for HTTP
  EXPECT_EQ(broker_.Metric("sluice_pending_messages"), 0);
  EXPECT_EQ(broker_.Metric("sluice_subscriptions"), 2);
  broker_.WaitForMetric("sluice_retained_bytes", Le(4e6));
  load.Leave();
}

// ---- By a signal ----

TEST_F(ClosingTest, SigtermDeliversWhatIsQueuedAndSaysGoodbye) {
  std::vector<WireClient> subscribers;
  for (int i = 0; i < 5; ++i) subscribers.push_back(Subscriber());
  WireClient unconnected(broker_.port());
  Publish(500);
  ASSERT_GT(broker_.Metric("sluice_pending_messages"), 1000);
  broker_.Signal(SIGTERM);
  broker_.WaitForLog("going down");
  // They begin to read only now.
  std::set<uint64_t> retry_after_ms;
  for (WireClient& subscriber : subscribers) {
    retry_after_ms.insert(ExpectAllAndGoodbye(&subscriber, v1::REASON_SHUTDOWN).retry_after_ms());
  }
  // Not all to the next broker at the same moment.
  EXPECT_THAT(retry_after_ms, SizeIs(subscribers.size()));
  publisher_.ExpectGoodbye(v1::REASON_SHUTDOWN);
  unconnected.ExpectGoodbye(v1::REASON_SHUTDOWN);
  for (WireClient& subscriber : subscribers) subscriber.Close();
  publisher_.Close();
  unconnected.Close();
  const ProcessExit end = broker_.WaitForExit();
  EXPECT_EQ(end.code, 0);
  EXPECT_EQ(end.signal, 0);
  EXPECT_NE(::access(broker_.ports_file().c_str(), F_OK), 0);
  EXPECT_THAT(broker_.LogLines("stopped"), SizeIs(1));
}

TEST_F(ClosingTest, WhileItDrainsNobodyNewIsServedAndItIsNotReady) {
  WireClient subscriber = Subscriber();
  Publish(500);
  EXPECT_THAT(broker_.Get("/readyz"), HasSubstr(" 200 "));
  broker_.Signal(SIGTERM);
  broker_.WaitForLog("going down");
  publisher_.ExpectGoodbye(v1::REASON_SHUTDOWN);
  EXPECT_THAT(broker_.Get("/readyz"), HasSubstr(" 503 "));
  EXPECT_THAT(broker_.Get("/healthz"), HasSubstr(" 200 "));
  broker_.Signal(SIGHUP);  // too late to read anything again
  EXPECT_THROW(
      {
        WireClient late(broker_.port());
        late.Connect("late");
      },
      std::runtime_error);
  ExpectAllAndGoodbye(&subscriber, v1::REASON_SHUTDOWN);
  subscriber.Close();
  publisher_.Close();
  EXPECT_EQ(broker_.WaitForExit().code, 0);
}

TEST_F(ClosingTest, WhatWasPublishedBeforeTheSignalIsNotLostOnTheWayIn) {
  WireClient subscriber = Subscriber("closing", {});
  publisher_.Publish("closing", TestPayload(1, published_++, 1000));
  publisher_.Ack();
  broker_.Signal(SIGTERM);
  ExpectAllAndGoodbye(&subscriber, v1::REASON_SHUTDOWN);
  subscriber.Close();
  publisher_.Close();
  EXPECT_EQ(broker_.WaitForExit().code, 0);
}

TEST_F(ClosingTest, SigintIsTheSameAndSighupEndsNothing) {
  WireClient subscriber = Subscriber("closing", {});
  broker_.Signal(SIGHUP);
  broker_.WaitForLog("configuration read again");
  Publish(1);
  broker_.Signal(SIGINT);
  ExpectAllAndGoodbye(&subscriber, v1::REASON_SHUTDOWN);
  subscriber.Close();
  publisher_.Close();
  EXPECT_EQ(broker_.WaitForExit().code, 0);
}

class ImpatientlyClosingTest : public ClosingTest {
 protected:
  ImpatientlyClosingTest() : ClosingTest({"--goodbye-timeout=300ms", "--drain-timeout=300ms"}) {}
};

TEST_F(ImpatientlyClosingTest, ThoseWhoDoNotReadHoldUpTheEndOnlySoLong) {
  std::vector<WireClient> stuck;
  for (int i = 0; i < 5; ++i) stuck.push_back(Subscriber());
  Publish(500);
  const Clock::time_point began = Clock::now();
  broker_.Signal(SIGTERM);
  EXPECT_EQ(broker_.WaitForExit().code, 0);
  EXPECT_GE(Clock::now() - began, std::chrono::milliseconds(300));
  EXPECT_LE(Clock::now() - began, std::chrono::seconds(10));
}

TEST_F(ImpatientlyClosingTest, AHalfClosedClientThatDoesNotReadIsClosedInTime) {
  WireClient stuck = Subscriber();
  Publish(500);
  stuck.EndInput();
  broker_.WaitForMetric("sluice_connections_open", 1);
  broker_.WaitForMetric("sluice_pending_messages", 0);
  EXPECT_EQ(broker_.Metric("sluice_sessions_ended_total{reason=\"client_closed\"}"), 1);
  EXPECT_FALSE(stuck.ReadToEnd().goodbye.has_value());
}

class PatientlyClosingTest : public ClosingTest {
 protected:
  PatientlyClosingTest() : ClosingTest({"--drain-timeout=1h"}) {}
};

TEST_F(PatientlyClosingTest, ASecondSigtermMeansNow) {
  WireClient stuck = Subscriber();
  Publish(500);
  broker_.Signal(SIGTERM);
  broker_.WaitForLog("going down");
  publisher_.ExpectGoodbye(v1::REASON_SHUTDOWN);
  broker_.Signal(SIGTERM);
  EXPECT_EQ(broker_.WaitForExit().signal, SIGTERM);
}

}  // namespace
}  // namespace sluice::testing
