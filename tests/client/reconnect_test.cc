// What a lost connection means for subscriptions, messages, requests and the books.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <thread>

#include "tests/client/client_fixture.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class ReconnectTest : public ClientFixture {
 protected:
  // Says nothing for so long; pings that were asked just before do not count.
  void ExpectNoJudgementFor(absl::Duration silence) {
    const absl::Time until = client::DeadlineIn(silence);
    while (client::MonotonicNow() < until) {
      static_cast<void>(session_->ReadWithin(until - client::MonotonicNow()));
    }
    EXPECT_EQ(log_.size(), 0u);
  }
  static v1::Goodbye SlowConsumerGoodbye(uint32_t subscription, uint64_t offered) {
    v1::Goodbye goodbye;
    goodbye.set_reason(v1::REASON_PENDING_BYTES);
    goodbye.set_text("too slow");
    goodbye.set_limit(100);
    goodbye.set_value(120);
    goodbye.set_subscription(subscription);
    v1::SubscriptionRecord& record = *goodbye.add_subscriptions();
    record.set_subscription(subscription);
    record.set_offered(offered);
    return goodbye;
  }
};

TEST_F(ReconnectTest, MakesItsSubscriptionsAgain) {
  Start();
  SubscribeOptions options;
  options.queue_group = "g";
  const Subscription a = Subscribe("a", options);
  const Subscription b = Subscribe("b");
  Subscribe("gone");  // its handle is not kept
  session_->Reset();
  EXPECT_EQ(log_.TakeOne(), "disconnected connection_lost unknown 0 inexact");
  const v1::Connect hello = Restart();
  EXPECT_EQ(hello.previous_session(), "session-id-bytes");
  EXPECT_EQ(log_.TakeOne(), "connected 1");
  const v1::Subscribe first = session_->Read().subscribe();
  EXPECT_EQ(first.filter(), "a");
  EXPECT_EQ(first.queue_group(), "g");
  EXPECT_EQ(first.subscription(), a.id());
  EXPECT_EQ(session_->Read().subscribe().filter(), "b");
  session_->Subscribed(a.id());
  session_->Subscribed(b.id());
  session_->Delivery(b.id());
  session_->Message("b", "1");
  EXPECT_EQ(messages_.TakeOne(), "b 1");
  EXPECT_FALSE(session_->ReadWithin(absl::Milliseconds(10)));
  EXPECT_EQ(client_->stats().reconnects, 1u);
}

TEST_F(ReconnectTest, AGoodbyeSaysExactlyWhatWasLost) {
  Start();
  const Subscription subscription = Subscribe("a");
  session_->Delivery(subscription.id());
  session_->Message("a", "1");
  session_->Message("a", "2");
  session_->Gap(subscription.id(), 3, 5);
  session_->Message("a", "3");
  session_->Goodbye(SlowConsumerGoodbye(subscription.id(), 10));
  session_->Close();
  // What had come is handled all the same.
  messages_.Take(3);
  EXPECT_THAT(log_.Take(2),
              UnorderedElementsAre(
                  "gap a 3 messages 30 bytes",
                  "disconnected pending_bytes unknown 0 exact [a offered 10 received 3 told 3 lost 4]"));
  // The broker's record says the same once more; it is not told twice.
  v1::Connected connected = FakeSession::DefaultConnected();
  *connected.mutable_previous_session()->mutable_goodbye() = SlowConsumerGoodbye(subscription.id(), 10);
  connected.mutable_previous_session()->set_cuts_in_a_row(2);
  Restart(connected);
  EXPECT_EQ(log_.TakeOne(), "connected 1 previous pending_bytes cuts 2");
  EXPECT_EQ(subscription.stats().lost, 4u);
  // The new session counts from nothing.
  session_->ReadBusiness();
  session_->Subscribed(subscription.id());
  session_->Delivery(subscription.id());
  session_->Message("a", "4");
  session_->Goodbye(SlowConsumerGoodbye(subscription.id(), 1));
  EXPECT_EQ(log_.TakeOne(),
            "disconnected pending_bytes unknown 0 exact [a offered 1 received 1 told 0 lost 0]");
}

TEST_F(ReconnectTest, AfterAResetTheBrokersRecordSaysWhatWasLost) {
  Start();
  const Subscription subscription = Subscribe("a");
  session_->Delivery(subscription.id());
  session_->Message("a", "1");
  messages_.Take(1);
  session_->Reset();
  EXPECT_EQ(log_.TakeOne(), "disconnected connection_lost unknown 0 inexact");
  v1::Connected connected = FakeSession::DefaultConnected();
  v1::Goodbye goodbye = SlowConsumerGoodbye(subscription.id(), 8);
  goodbye.set_reason(v1::REASON_CLIENT_RESET);
  *connected.mutable_previous_session()->mutable_goodbye() = goodbye;
  Restart(connected);
  EXPECT_EQ(log_.TakeOne(),
            "connected 1 previous client_reset cuts 0 [a offered 8 received 1 told 0 lost 7]");
  EXPECT_EQ(subscription.stats().lost, 7u);
}

TEST_F(ReconnectTest, WhatAGapCouldNotTellAnyMoreIsToldByTheEnd) {
  ClientOptions options = Options();
  // The client outlives what stands here.
  const auto told = std::make_shared<DisconnectedEvent>();
  options.callbacks.on_disconnected =
      [told, log = options.callbacks.on_disconnected](const DisconnectedEvent& event) {
        *told = event;
        log(event);
      };
  Start(options);
  const Subscription subscription = Subscribe("a");
  session_->Delivery(subscription.id());
  session_->Message("a", "1");
  session_->Gap(subscription.id(), 3, 4);
  v1::Goodbye goodbye = SlowConsumerGoodbye(subscription.id(), 20);
  goodbye.set_pending_messages(5);
  goodbye.set_pending_bytes(50);
  goodbye.set_oldest_age_ms(1500);
  goodbye.set_dropped_messages(10);
  goodbye.mutable_subscriptions(0)->set_dropped_messages(10);
  goodbye.mutable_subscriptions(0)->set_pending_messages(5);
  session_->Goodbye(goodbye);
  session_->Close();
  messages_.Take(1);
  // Of the ten three were told before; of the nine lost five had waited in the broker.
  EXPECT_THAT(log_.Take(2),
              UnorderedElementsAre(
                  "gap a 3 messages 30 bytes",
                  "disconnected pending_bytes unknown 0 exact [a offered 20 received 1 told 10 lost 9]"));
  ASSERT_EQ(told->losses.size(), 1u);
  EXPECT_EQ(told->losses[0].told_at_end, 7u);
  EXPECT_EQ(told->losses[0].never_sent, 5u);
  EXPECT_EQ(told->counts.pending_messages, 5u);
  EXPECT_EQ(told->counts.pending_bytes, 50u);
  EXPECT_EQ(told->counts.oldest_age, absl::Milliseconds(1500));
  EXPECT_EQ(told->counts.dropped_messages, 10u);
  const SubscriptionStats stats = subscription.stats();
  EXPECT_EQ(stats.received + stats.told_missing + stats.lost, 20u);
  EXPECT_EQ(stats.lost, 9u);
}

TEST_F(ReconnectTest, WithoutAGoodbyeTheRecordTellsIt) {
  ClientOptions options = Options();
  const auto told = std::make_shared<ConnectedEvent>();
  options.callbacks.on_connected = [told, log = options.callbacks.on_connected](const ConnectedEvent& event) {
    *told = event;
    log(event);
  };
  Start(options);
  const Subscription subscription = Subscribe("a");
  session_->Delivery(subscription.id());
  session_->Message("a", "1");
  messages_.Take(1);
  session_->Reset();
  EXPECT_EQ(log_.TakeOne(), "disconnected connection_lost unknown 0 inexact");
  v1::Connected connected = FakeSession::DefaultConnected();
  v1::Goodbye& goodbye = *connected.mutable_previous_session()->mutable_goodbye();
  goodbye = SlowConsumerGoodbye(subscription.id(), 20);
  goodbye.set_conflated_messages(12);
  goodbye.mutable_subscriptions(0)->set_conflated_messages(12);
  goodbye.mutable_subscriptions(0)->set_pending_messages(7);
  Restart(connected);
  EXPECT_EQ(log_.TakeOne(),
            "connected 1 previous pending_bytes cuts 0 [a offered 20 received 1 told 12 lost 7]");
  ASSERT_TRUE(told->previous.has_value());
  const PreviousSession* previous = &*told->previous;
  EXPECT_EQ(previous->limit, 100u);
  EXPECT_EQ(previous->value, 120u);
  EXPECT_EQ(previous->subscription, subscription.id());
  EXPECT_EQ(previous->counts.conflated_messages, 12u);
  EXPECT_EQ(previous->losses[0].told_at_end, 12u);
  EXPECT_EQ(previous->losses[0].never_sent, 7u);
  EXPECT_EQ(subscription.stats().told_missing, 12u);
  EXPECT_EQ(subscription.stats().lost, 7u);
}

TEST_F(ReconnectTest, StaysAwayAsLongAsTheBrokerWants) {
  Start();
  v1::Goodbye goodbye;
  goodbye.set_reason(v1::REASON_SHUTDOWN);
  goodbye.set_retry_after_ms(1000);
  const absl::Time before = client::MonotonicNow();
  session_->Goodbye(goodbye);
  Restart();
  EXPECT_GE(client::MonotonicNow() - before, absl::Milliseconds(1000));
  // Only this once.
  session_->Goodbye({});
  const absl::Time again = client::MonotonicNow();
  Restart();
  EXPECT_LT(client::MonotonicNow() - again, absl::Milliseconds(1000));
}

TEST_F(ReconnectTest, WaitsLongerEachTimeWhileNobodyIsThere) {
  ClientOptions options = Options();
  options.reconnect_delay_first = absl::Milliseconds(20);
  options.reconnect_delay_max = absl::Milliseconds(80);
  options.connect_timeout = absl::Milliseconds(1);
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(options);
  ASSERT_TRUE(client.ok());
  // Each is accepted by the system and never answered.
  const absl::Time before = client::MonotonicNow();
  for (int i = 0; i < 5; ++i) ASSERT_NE(broker_.Accept(), nullptr);
  EXPECT_GE(client::MonotonicNow() - before, absl::Milliseconds(10 + 20 + 40 + 40));
}

TEST_F(ReconnectTest, SendsWhatHadNotLeftAndSaysWhatIsUnknown) {
  Start();
  session_->ShrinkReceiveBuffer();
  const std::string payload(1000, 'x');
  // More than the systems on both sides take.
  uint64_t published = 0;
  const auto fill = [&] {
    while (client_->TryPublish({.topic = "t", .payload = std::to_string(published) + payload}).ok())
      ++published;
  };
  // On a busy machine the buffer is full before the I/O thread has had its first turn.
  fill();
  Await([this] { return client_->stats().bytes_sent > 100000; }, "nothing leaves");
  fill();
  const uint64_t buffered_before = client_->stats().outgoing_messages;
  EXPECT_GT(buffered_before, 0u);
  session_->Reset();
  const std::string line = log_.TakeOne();
  Restart();
  log_.Take(1);
  // In order, without a hole: whole ones, the one of which a part had left first.
  const uint64_t first = std::stoull(session_->ReadBusiness().message().payload());
  for (uint64_t i = first + 1; i < published; ++i) {
    ASSERT_EQ(session_->ReadBusiness().message().payload(), std::to_string(i) + payload);
  }
  EXPECT_EQ(line, "disconnected connection_lost unknown " + std::to_string(first) + " inexact");
  EXPECT_EQ(client_->stats().publishes_unknown, first);
  // The next flush says it, once.
  auto flush = std::async(std::launch::async, [this] {
    const absl::Status told = client_->Flush(kPatience);
    const absl::Status again = client_->Flush(kPatience);
    return std::make_pair(told, again);
  });
  while (flush.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    const std::optional<v1::ClientFrame> frame = session_->ReadWithin(absl::Milliseconds(10));
    if (frame) session_->Pong(frame->ping().id());
  }
  const auto [told, again] = flush.get();
  EXPECT_EQ(told.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(told.message()), HasSubstr(" " + std::to_string(first) + " messages"));
  EXPECT_TRUE(again.ok());
}

TEST_F(ReconnectTest, WhatThePongConfirmedIsNotUnknown) {
  Start();
  EXPECT_TRUE(client_->Publish("t", "1").ok());
  auto flush = std::async(std::launch::async, [this] { return client_->Flush(kPatience); });
  EXPECT_TRUE(session_->Read().has_message());
  session_->Pong(session_->Read().ping().id());
  EXPECT_TRUE(flush.get().ok());
  EXPECT_TRUE(client_->Publish("t", "2").ok());
  EXPECT_TRUE(session_->Read().has_message());
  session_->Reset();
  EXPECT_EQ(log_.TakeOne(), "disconnected connection_lost unknown 1 inexact");
}

TEST_F(ReconnectTest, AnAcknowledgementThatWasNotGivenFails) {
  Start();
  auto receipt =
      std::async(std::launch::async, [this] { return client_->PublishWithAck({.topic = "t"}, kPatience); });
  EXPECT_TRUE(session_->ReadBusiness().has_message());
  EXPECT_TRUE(session_->ReadBusiness().has_ack_request());
  session_->Reset();
  const absl::Status status = receipt.get().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("may or may not have it"));
}

TEST_F(ReconnectTest, AnAcknowledgementThatIsAskedForMeanwhileIsAskedForInTheNextSession) {
  Start();
  broker_.StopListening();
  session_->Reset();
  log_.Take(1);
  auto receipt =
      std::async(std::launch::async, [this] { return client_->PublishWithAck({.topic = "t"}, kPatience); });
  Await([this] { return client_->stats().outgoing_messages == 1; }, "not published");
  broker_.ListenAgain();
  Restart();
  EXPECT_TRUE(session_->ReadBusiness().has_message());
  session_->Ack(session_->ReadBusiness().ack_request().id(), 1, 1, 4);
  const absl::StatusOr<PublishReceipt> got = receipt.get();
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->matched, 4u);
}

TEST_F(ReconnectTest, ARequestThatWaitsFailsAndTheNextUsesTheNewInbox) {
  Start();
  auto reply =
      std::async(std::launch::async, [this] { return client_->Request({.topic = "ask"}, kPatience); });
  session_->ReadBusiness();
  session_->ReadBusiness();
  session_->Reset();
  EXPECT_EQ(reply.get().status().code(), absl::StatusCode::kUnavailable);
  // One that comes while there is no connection waits for the next.
  auto next =
      std::async(std::launch::async, [this] { return client_->Request({.topic = "ask"}, kPatience); });
  v1::Connected connected = FakeSession::DefaultConnected();
  connected.set_inbox("$inbox.other");
  Restart(connected);
  const v1::Subscribe inbox = session_->ReadBusiness().subscribe();
  EXPECT_EQ(inbox.filter(), "$inbox.other.>");
  const std::string reply_to = session_->ReadBusiness().message().reply_to();
  EXPECT_THAT(reply_to, ::testing::StartsWith("$inbox.other."));
  session_->Delivery(inbox.subscription());
  session_->Message(reply_to, "!");
  EXPECT_EQ(next.get()->payload(), "!");
}

TEST_F(ReconnectTest, ARequestDoesNotWaitForAConnectionLongerThanItsTimeout) {
  broker_.StopListening();
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(Options());
  ASSERT_TRUE(client.ok());
  EXPECT_EQ((*client)->Request({.topic = "ask"}, absl::Milliseconds(10)).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ((*client)->Request({.topic = "ask"}, absl::Milliseconds(10), [](const auto&) {}).code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(ReconnectTest, ACountGoesOnThroughSessions) {
  Start();
  SubscribeOptions options;
  options.messages_max = 5;
  options.confirmation = Confirmation::kDoNotWait;
  absl::StatusOr<Subscription> subscription = client_->SubscribePull("a", options);
  const uint32_t id = session_->Read().subscribe().subscription();
  EXPECT_EQ(session_->Read().unsubscribe().after_messages(), 5u);
  session_->Subscribed(id);
  session_->Delivery(id);
  session_->Message("a", "1");
  session_->Message("a", "2");
  EXPECT_TRUE(subscription->Next(kPatience).ok());
  EXPECT_TRUE(subscription->Next(kPatience).ok());
  session_->Reset();
  Restart();
  EXPECT_EQ(session_->Read().subscribe().subscription(), id);
  EXPECT_EQ(session_->Read().unsubscribe().after_messages(), 3u);
  session_->Subscribed(id);
  session_->Delivery(id);
  for (int i = 0; i < 3; ++i) session_->Message("a", "x");
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(subscription->Next(kPatience).ok());
  // All are there; that the broker could not say so any more makes no difference.
  session_->Reset();
  EXPECT_EQ(subscription->WaitEnd(kPatience)->reason, Reason::kCountReached);
  Restart();
  EXPECT_FALSE(session_->ReadWithin(absl::Milliseconds(10)));
}

TEST_F(ReconnectTest, ASubscriptionThatIsRefusedTheNextTimeEnds) {
  Start();
  Subscription subscription = SubscribePull("a");
  session_->Reset();
  log_.Take(1);
  Restart();
  EXPECT_EQ(log_.TakeOne(), "connected 1");
  session_->Error(v1::ERROR_CODE_NOT_PERMITTED, session_->Read().subscribe().subscription(), 0);
  EXPECT_EQ(log_.TakeOne(), "error PERMISSION_DENIED subscription 1 publish 0");
  EXPECT_EQ(subscription.Next(kPatience).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(ReconnectTest, OneThatWasEndingWhenTheConnectionBrokeHasEnded) {
  Start();
  Subscription subscription = Subscribe("a");
  auto draining = std::async(std::launch::async, [&] { return subscription.Drain(kPatience); });
  EXPECT_TRUE(session_->ReadBusiness().has_unsubscribe());
  session_->Reset();
  EXPECT_EQ(draining.get().code(), absl::StatusCode::kUnavailable);
  Restart();
  EXPECT_FALSE(session_->ReadWithin(absl::Milliseconds(10)));
}

TEST_F(ReconnectTest, WhatIsSubscribedAndEndedMeanwhileIsSettledWithTheNextSession) {
  Start();
  Subscription ended = Subscribe("ended");
  broker_.StopListening();
  session_->Reset();
  log_.Take(1);
  EXPECT_TRUE(ended.Drain(kPatience).ok());
  SubscribeOptions options;
  options.timeout = kPatience;
  auto subscribing =
      std::async(std::launch::async, [&] { return client_->Subscribe("new", LogMessages(), options); });
  broker_.ListenAgain();
  Restart();
  const v1::Subscribe asked = session_->Read().subscribe();
  EXPECT_EQ(asked.filter(), "new");
  session_->Subscribed(asked.subscription());
  EXPECT_TRUE(subscribing.get().ok());
}

TEST_F(ReconnectTest, AServerThatGivesNoSignOfLifeIsAskedAndThenLeft) {
  v1::Connected connected = FakeSession::DefaultConnected();
  connected.mutable_limits()->set_ping_interval_ms(20);
  Start(Options(), connected);
  const absl::Time before = client::MonotonicNow();
  EXPECT_TRUE(session_->Read().has_ping());
  EXPECT_EQ(log_.TakeOne(), "disconnected server_silent unknown 0 inexact");
  EXPECT_GE(client::MonotonicNow() - before, absl::Milliseconds(20));
  // One that answers stays.
  connected.mutable_limits()->set_ping_interval_ms(300);
  Restart(connected);
  log_.Take(1);
  for (int i = 0; i < 3; ++i) session_->Pong(session_->Read().ping().id());
  EXPECT_EQ(log_.size(), 0u);
}

TEST_F(ReconnectTest, AServerThatSaidThatItPausesIsNotJudged) {
  v1::Connected connected = FakeSession::DefaultConnected();
  connected.mutable_limits()->set_ping_interval_ms(100);
  Start(Options(), connected);
  v1::ServerFrame frame;
  frame.mutable_paused()->set_cause(v1::Paused::CAUSE_MEMORY);
  session_->Write(frame);
  EXPECT_EQ(log_.TakeOne(), "paused memory");
  ExpectNoJudgementFor(absl::Milliseconds(400));
  frame.mutable_resumed();
  session_->Write(frame);
  EXPECT_EQ(log_.TakeOne(), "resumed");
  EXPECT_TRUE(session_->Read().has_ping());
}

TEST_F(ReconnectTest, AServerIsNotJudgedWhileWeDoNotReadOurselves) {
  v1::Connected connected = FakeSession::DefaultConnected();
  connected.mutable_limits()->set_ping_interval_ms(100);
  ClientOptions options = Options();
  options.incoming_bytes_max = 1000;
  Start(options, connected);
  Subscription subscription = SubscribePull("a");
  session_->Delivery(subscription.id());
  session_->Message("a", std::string(2000, 'x'));
  Await([this] { return client_->stats().reading == Reading::kPausedBufferFull; }, "it reads on");
  ExpectNoJudgementFor(absl::Milliseconds(400));
  EXPECT_TRUE(subscription.Next(kPatience).ok());
  EXPECT_TRUE(session_->Read().has_ping());
}

TEST_F(ReconnectTest, AResetThatComesWhileWeDoNotReadIsFoundWhenWeReadAgain) {
  ClientOptions options = Options();
  options.incoming_bytes_max = 1000;
  Start(options);
  Subscription subscription = SubscribePull("a");
  session_->Delivery(subscription.id());
  session_->Message("a", std::string(2000, 'x'));
  Await([this] { return client_->stats().reading == Reading::kPausedBufferFull; }, "it reads on");
  session_->Reset();
  EXPECT_TRUE(subscription.Next(kPatience).ok());
  EXPECT_EQ(log_.TakeOne(), "disconnected connection_lost unknown 0 inexact");
}

TEST_F(ReconnectTest, BytesThatAreNoFramesEndTheSession) {
  Start();
  session_->WriteBytes("\xff\xff\xff\xff\xff");
  EXPECT_EQ(log_.TakeOne(), "disconnected bad_server_frame unknown 0 inexact");
  Restart();
  EXPECT_EQ(log_.TakeOne(), "connected 1");
  session_->Message("a", "without a delivery");
  EXPECT_EQ(log_.TakeOne(), "disconnected bad_server_frame unknown 0 inexact");
  Restart();
  EXPECT_EQ(log_.TakeOne(), "connected 2");
  // A frame that only a newer version knows is nothing to worry about.
  session_->WriteBytes(std::string("\x05\xfa\x02\x02xy", 6));
  v1::ServerFrame ping;
  ping.mutable_server_ping()->set_id(1);
  session_->Write(ping);
  EXPECT_TRUE(session_->Read().has_pong());
}

TEST_F(ReconnectTest, DoesNotComeBackToRepeatItsMistake) {
  Start();
  v1::Goodbye goodbye;
  goodbye.set_reason(v1::REASON_PROTOCOL_ERROR);
  goodbye.set_text("no frame");
  session_->Error(v1::ERROR_CODE_BAD_FRAME, 0, 0);
  session_->Goodbye(goodbye);
  EXPECT_THAT(log_.Take(2), ElementsAre("error INTERNAL subscription 0 publish 0",
                                        "disconnected protocol_error unknown 0 exact for good"));
  const absl::Status status = client_->Close();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("protocol_error: no frame"));
}

TEST_F(ReconnectTest, TakesTheNextServerOfTheList) {
  FakeBroker second;
  ClientOptions options = Options();
  options.servers.push_back(second.url());
  Start(options);
  session_->Reset();
  log_.Take(1);
  session_ = second.Accept();
  session_->Welcome();
  EXPECT_EQ(log_.TakeOne(), "connected 1");
  EXPECT_THAT(second.url(), HasSubstr(client_->server().address));
  session_->Reset();
  Restart();
  log_.Take(2);
}

TEST_F(ReconnectTest, DoesNotComeBackWhenItIsNotWanted) {
  ClientOptions options = Options();
  options.reconnect = Reconnect::kNo;
  Start(options);
  Subscription subscription = SubscribePull("a");
  session_->Delivery(subscription.id());
  session_->Message("a", "1");
  Await([&] { return subscription.stats().received == 1; }, "it did not come");
  session_->Reset();
  EXPECT_EQ(log_.TakeOne(), "disconnected connection_lost unknown 0 inexact for good");
  Await([this] { return client_->state() == ClientState::kClosed; }, "it is not closed");
  EXPECT_EQ(client_->Publish("t", "x").code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(client_->Flush().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(client_->WaitConnected(kPatience).code(), absl::StatusCode::kCancelled);
  // What had come can still be read.
  EXPECT_EQ(subscription.Next(kPatience)->payload(), "1");
  EXPECT_EQ(subscription.Next(kPatience).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(client_->Close().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace sluice
