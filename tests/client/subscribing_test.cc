// What a client receives: handlers, executors, pulling, gaps, ends, and a buffer that is full.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <random>
#include <thread>

#include "tests/client/client_fixture.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SubscribingTest : public ClientFixture {
 protected:
  static std::string MessageBytes(std::string_view topic, std::string_view payload) {
    v1::ServerFrame frame;
    frame.mutable_message()->set_topic(topic.data(), topic.size());
    frame.mutable_message()->set_payload(payload.data(), payload.size());
    return FakeSession::Bytes(frame);
  }
  static std::string DeliveryBytes(uint32_t subscription) {
    v1::ServerFrame frame;
    frame.mutable_delivery()->set_subscription(subscription);
    return FakeSession::Bytes(frame);
  }
};

TEST_F(SubscribingTest, AsksForWhatTheOptionsSay) {
  Start();
  SubscribeOptions options;
  options.queue_group = "workers";
  options.overflow = OverflowPolicy::kDropOldest;
  options.limits = {
      .pending_bytes_max = 1000, .pending_messages_max = 20, .pending_age_max = absl::Seconds(3)};
  options.messages_max = 7;
  options.confirmation = Confirmation::kDoNotWait;
  const absl::StatusOr<Subscription> subscription = client_->Subscribe("a.*.>", LogMessages(), options);
  ASSERT_TRUE(subscription.ok());
  const v1::Subscribe asked = session_->Read().subscribe();
  EXPECT_EQ(asked.subscription(), subscription->id());
  EXPECT_EQ(asked.filter(), "a.*.>");
  EXPECT_EQ(asked.queue_group(), "workers");
  EXPECT_EQ(asked.overflow(), v1::OVERFLOW_POLICY_DROP_OLDEST);
  EXPECT_EQ(asked.limits().pending_bytes_max(), 1000u);
  EXPECT_EQ(asked.limits().pending_messages_max(), 20u);
  EXPECT_EQ(asked.limits().pending_age_max_ms(), 3000u);
  EXPECT_EQ(session_->Read().unsubscribe().after_messages(), 7u);
}

TEST_F(SubscribingTest, WaitsUntilTheBrokerSaysThatItIsInForce) {
  Start();
  auto subscribing =
      std::async(std::launch::async, [this] { return client_->Subscribe("a", LogMessages()); });
  const uint32_t id = session_->Read().subscribe().subscription();
  EXPECT_EQ(subscribing.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  session_->Subscribed(id);
  absl::StatusOr<Subscription> subscription = subscribing.get();
  ASSERT_TRUE(subscription.ok()) << subscription.status();
  session_->Delivery(id);
  session_->Message("a", "1");
  EXPECT_EQ(messages_.TakeOne(), "a 1");
}

TEST_F(SubscribingTest, ReturnsTheBrokersRefusal) {
  Start();
  std::atomic<bool> ended{false};
  SubscribeOptions options;
  options.on_end = [&ended](const SubscriptionEnd&) { ended = true; };
  auto subscribing = std::async(std::launch::async,
                                [&] { return client_->Subscribe("a", LogMessages(), options).status(); });
  session_->Error(v1::ERROR_CODE_TOO_MANY_SUBSCRIPTIONS, session_->Read().subscribe().subscription(), 0);
  const absl::Status status = subscribing.get();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("too_many_subscriptions: says the fake"));
  EXPECT_TRUE(client_->Close(absl::ZeroDuration()).ok());
  EXPECT_FALSE(ended);
  EXPECT_THAT(log_.Take(1), ElementsAre(HasSubstr("disconnected")));
}

TEST_F(SubscribingTest, ARefusalThatNobodyWaitedForIsAnEventAndAnEnd) {
  Start();
  SubscribeOptions options;
  options.confirmation = Confirmation::kDoNotWait;
  options.on_end = [this](const SubscriptionEnd& end) {
    log_.Add("end " + std::string(ReasonName(end.reason)) + " " +
             absl::StatusCodeToString(end.status.code()));
  };
  const absl::StatusOr<Subscription> subscription = client_->Subscribe("a", LogMessages(), options);
  session_->Error(v1::ERROR_CODE_BAD_FILTER, session_->Read().subscribe().subscription(), 0);
  EXPECT_THAT(log_.Take(2), ::testing::UnorderedElementsAre("error INVALID_ARGUMENT subscription 1 publish 0",
                                                            "end subscribe_refused INVALID_ARGUMENT"));
}

TEST_F(SubscribingTest, TakesBackWhatIsNotConfirmedInTime) {
  Start();
  SubscribeOptions options;
  options.timeout = absl::Milliseconds(10);
  EXPECT_EQ(client_->Subscribe("a", LogMessages(), options).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(session_->Read().has_subscribe());
  EXPECT_EQ(session_->Read().unsubscribe().after_messages(), 0u);
}

TEST_F(SubscribingTest, RefusesABadFilterItself) {
  Start();
  EXPECT_EQ(client_->Subscribe("a..b", LogMessages()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(client_->Subscribe("a", nullptr).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SubscribingTest, EachMessageGoesToTheSubscriptionThatTheLastDeliveryNamed) {
  Start();
  EventLog other;
  const Subscription a = Subscribe("a.>");
  SubscribeOptions options;
  options.confirmation = Confirmation::kDoNotWait;
  const absl::StatusOr<Subscription> b = client_->Subscribe(
      "b.>", [&other](const MessageView& message) { other.Add(std::string(message.payload)); }, options);
  session_->Subscribed(session_->Read().subscribe().subscription());
  session_->Delivery(a.id());
  session_->Message("a.1", "1");
  session_->Message("a.2", "2");
  session_->Delivery(b->id());
  session_->Message("b.1", "3");
  session_->Delivery(a.id());
  session_->Message("a.3", "4");
  EXPECT_THAT(messages_.Take(3), ElementsAre("a.1 1", "a.2 2", "a.3 4"));
  EXPECT_EQ(other.TakeOne(), "3");
}

TEST_F(SubscribingTest, TheHandlerSeesEverythingThatTheMessageHas) {
  Start();
  SubscribeOptions options;
  options.confirmation = Confirmation::kDoNotWait;
  const absl::StatusOr<Subscription> subscription = client_->Subscribe(
      "a",
      [this](const MessageView& message) {
        messages_.Add(std::string(message.topic) + "|" + std::string(message.payload) + "|" +
                      std::string(message.reply_to) + "|" + std::string(FindHeader(message, "k")) + "|" +
                      std::string(FindHeader(message, "none")) + std::to_string(message.headers.size()));
      },
      options);
  session_->Delivery(session_->Read().subscribe().subscription());
  v1::ServerFrame frame;
  frame.mutable_message()->set_topic("a");
  frame.mutable_message()->set_payload(std::string("\0p", 2));
  frame.mutable_message()->set_reply_to("r");
  frame.mutable_message()->add_headers()->set_name("j");
  v1::Header& header = *frame.mutable_message()->add_headers();
  header.set_name("k");
  header.set_value("v");
  session_->Write(frame);
  EXPECT_EQ(messages_.TakeOne(), std::string("a|\0p|r|v|2", 10));
}

TEST_F(SubscribingTest, MessagesArriveHoweverTheStreamIsCut) {
  Start();
  const Subscription subscription = Subscribe("a");
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::string stream = DeliveryBytes(subscription.id());
    std::vector<std::string> expected;
    for (int i = 0; i < 200; ++i) {
      const std::string payload(random() % 20 == 0 ? random() % 300000 : random() % 50,
                                static_cast<char>('a' + i % 26));
      stream += MessageBytes("a", payload);
      expected.push_back("a " + payload);
    }
    for (std::string_view rest = stream; !rest.empty();) {
      const size_t bytes =
          std::min<size_t>(rest.size(), random() % 4 == 0 ? random() % 100000 : 1 + random() % 300);
      session_->WriteBytes(rest.substr(0, bytes));
      rest.remove_prefix(bytes);
    }
    ASSERT_EQ(messages_.Take(expected.size()), expected);
  }
}

TEST_F(SubscribingTest, AVeryLargeMessageArrives) {
  v1::Connected connected = FakeSession::DefaultConnected();
  connected.mutable_limits()->set_payload_bytes_max(16 << 20);
  Start(Options(), connected);
  Subscription subscription = SubscribePull("a");
  const std::string payload(10 << 20, 'x');
  session_->WriteBytes(DeliveryBytes(subscription.id()) + MessageBytes("a", payload) +
                       MessageBytes("a", "next"));
  const absl::StatusOr<ReceivedMessage> message = subscription.Next(kPatience);
  ASSERT_TRUE(message.ok());
  EXPECT_TRUE(message->payload() == payload);
  EXPECT_EQ(subscription.Next(kPatience)->payload(), "next");
}

TEST_F(SubscribingTest, PullsOneMessageAtATime) {
  Start();
  Subscription subscription = SubscribePull("a");
  EXPECT_EQ(subscription.Next(absl::ZeroDuration()).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(subscription.Next(absl::Milliseconds(5)).status().code(), absl::StatusCode::kDeadlineExceeded);
  session_->WriteBytes(DeliveryBytes(subscription.id()) + MessageBytes("a", "1") + MessageBytes("a", "2"));
  absl::StatusOr<ReceivedMessage> first = subscription.Next(kPatience);
  ASSERT_TRUE(first.ok());
  ReceivedMessage moved = *std::move(first);
  absl::StatusOr<ReceivedMessage> second = subscription.Next(kPatience);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(moved.payload(), "1");
  EXPECT_EQ(second->payload(), "2");
  EXPECT_EQ(second->topic(), "a");
  EXPECT_EQ(subscription.stats().handled, 2u);
  const Subscription handled = Subscribe("b");
  EXPECT_EQ(const_cast<Subscription&>(handled).Next(kPatience).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(SubscribingTest, MessagesThatAreKeptStayWhatTheyAre) {
  Start();
  Subscription subscription = SubscribePull("a");
  std::vector<ReceivedMessage> kept;
  session_->Delivery(subscription.id());
  for (int i = 0; i < 2000; ++i) {
    session_->Message("a", std::to_string(i) + std::string(500, 'x'));
    absl::StatusOr<ReceivedMessage> message = subscription.Next(kPatience);
    ASSERT_TRUE(message.ok());
    if (i % 10 == 0) kept.push_back(*std::move(message));
  }
  for (size_t i = 0; i < kept.size(); ++i) {
    ASSERT_EQ(kept[i].payload(), std::to_string(10 * i) + std::string(500, 'x'));
  }
}

TEST_F(SubscribingTest, SeveralThreadsMayPullFromOneSubscription) {
  Start();
  Subscription subscription = SubscribePull("a");
  constexpr int kCount = 3000;
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (;;) {
        const absl::StatusOr<ReceivedMessage> message = subscription.Next(kPatience);
        if (!message.ok()) {
          EXPECT_EQ(message.status().code(), absl::StatusCode::kOutOfRange);
          return;
        }
        ++taken;
      }
    });
  }
  session_->Delivery(subscription.id());
  for (int i = 0; i < kCount; ++i) session_->Message("a", "x");
  session_->Unsubscribed(subscription.id(), v1::REASON_COUNT_REACHED, kCount);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, kCount);
}

// ---- where they run ----

TEST_F(SubscribingTest, AnInlineHandlerRunsInOrderAndIsNotAllowedToWait) {
  Start();
  SubscribeOptions options;
  options.run = Run::kInline;
  options.confirmation = Confirmation::kDoNotWait;
  const absl::StatusOr<Subscription> subscription = client_->Subscribe(
      "a",
      [this](const MessageView& message) {
        EXPECT_EQ(client_->Flush().code(), absl::StatusCode::kFailedPrecondition);
        EXPECT_EQ(client_->PublishWithAck({.topic = "b"}, kPatience).status().code(),
                  absl::StatusCode::kFailedPrecondition);
        EXPECT_EQ(client_->Request({.topic = "b"}, kPatience).status().code(),
                  absl::StatusCode::kFailedPrecondition);
        EXPECT_EQ(client_->SubscribePull("b").status().code(), absl::StatusCode::kFailedPrecondition);
        EXPECT_TRUE(client_->Publish("b", message.payload).ok());
        messages_.Add(std::string(message.payload));
      },
      options);
  session_->WriteBytes(DeliveryBytes(session_->Read().subscribe().subscription()) + MessageBytes("a", "1") +
                       MessageBytes("a", "2"));
  EXPECT_EQ(session_->ReadBusiness().message().payload(), "1");
  EXPECT_EQ(session_->ReadBusiness().message().payload(), "2");
  EXPECT_THAT(messages_.Take(2), ElementsAre("1", "2"));
}

TEST_F(SubscribingTest, HandlersMayWaitForTheBroker) {
  Start();
  SubscribeOptions options;
  options.confirmation = Confirmation::kDoNotWait;
  const absl::StatusOr<Subscription> subscription = client_->Subscribe(
      "a",
      [this](const MessageView& message) {
        const absl::StatusOr<ReceivedMessage> reply = client_->Request({.topic = "b"}, kPatience);
        messages_.Add(std::string(message.payload) + std::string(reply->payload()));
      },
      options);
  session_->Delivery(session_->Read().subscribe().subscription());
  session_->Message("a", "1");
  const uint32_t inbox = session_->ReadBusiness().subscribe().subscription();
  const std::string reply_to = session_->ReadBusiness().message().reply_to();
  session_->Delivery(inbox);
  session_->Message(reply_to, "!");
  EXPECT_EQ(messages_.TakeOne(), "1!");
}

TEST_F(SubscribingTest, AnExecutorRunsOneCallAtATimeInOrder) {
  Start();
  std::vector<std::thread> threads;
  std::atomic<int> inside{0};
  std::atomic<int> count{0};
  constexpr int kCount = 2000;
  SubscribeOptions options;
  options.confirmation = Confirmation::kDoNotWait;
  options.executor = [&threads](std::function<void()> task) { threads.emplace_back(std::move(task)); };
  absl::StatusOr<Subscription> subscription = client_->Subscribe(
      "a",
      [&](const MessageView& message) {
        EXPECT_EQ(++inside, 1);
        EXPECT_EQ(message.payload, std::to_string(count));
        // Until more has come, so that others could come in if they may.
        const uint64_t handled = static_cast<uint64_t>(count) + 1;
        if (handled % 50 == 1)
          Await([&] { return client_->stats().messages_received > handled; }, "no more comes");
        --inside;
        ++count;
      },
      options);
  session_->Delivery(session_->Read().subscribe().subscription());
  for (int i = 0; i < kCount; ++i) {
    session_->Message("a", std::to_string(i));
    // So that they come in many pieces.
    if (i % 50 == 0)
      Await([&] { return subscription->stats().received > static_cast<uint64_t>(i); }, "it is missing");
  }
  Await([&] { return count == kCount; }, "messages are missing");
  EXPECT_TRUE(client_->Close(absl::ZeroDuration()).ok());
  for (std::thread& thread : threads) thread.join();
}

TEST_F(SubscribingTest, ASlowHandlerDoesNotHoldUpAnInlineOrPulledOne) {
  Start();
  std::promise<void> go_on;
  std::shared_future<void> wait(go_on.get_future());
  SubscribeOptions options;
  options.confirmation = Confirmation::kDoNotWait;
  const absl::StatusOr<Subscription> slow = client_->Subscribe(
      "slow", [&wait](const MessageView&) { wait.wait(); }, options);
  const uint32_t slow_id = session_->Read().subscribe().subscription();
  Subscription pulled = SubscribePull("pulled");
  session_->WriteBytes(DeliveryBytes(slow_id) + MessageBytes("slow", "1") + DeliveryBytes(pulled.id()) +
                       MessageBytes("pulled", "2"));
  EXPECT_EQ(pulled.Next(kPatience)->payload(), "2");
  go_on.set_value();
}

// ---- gaps, ends ----

TEST_F(SubscribingTest, AGapIsToldBetweenTheMessagesAroundIt) {
  Start();
  SubscribeOptions options;
  options.confirmation = Confirmation::kDoNotWait;
  const absl::StatusOr<Subscription> subscription = client_->Subscribe(
      "a", [this](const MessageView& message) { log_.Add(std::string(message.payload)); }, options);
  const uint32_t id = session_->Read().subscribe().subscription();
  session_->Delivery(id);
  session_->Message("a", "before");
  session_->Gap(id, 7, 8);
  session_->Message("a", "after");
  EXPECT_THAT(log_.Take(3), ElementsAre("before", "gap a 7 messages 70 bytes", "after"));
  EXPECT_EQ(subscription->stats().told_missing, 7u);
}

TEST_F(SubscribingTest, APulledMessageSaysWhatWasMissedBeforeIt) {
  Start();
  Subscription subscription = SubscribePull("a");
  session_->Delivery(subscription.id());
  session_->Message("a", "1");
  session_->Gap(subscription.id(), 7, 8);
  session_->Gap(subscription.id(), 2, 10);
  session_->Message("a", "2");
  EXPECT_EQ(subscription.Next(kPatience)->missed_before(), 0u);
  EXPECT_EQ(subscription.Next(kPatience)->missed_before(), 9u);
  EXPECT_THAT(log_.Take(2), ElementsAre("gap a 7 messages 70 bytes", "gap a 2 messages 20 bytes"));
}

TEST_F(SubscribingTest, ASlowConsumerIsWarned) {
  Start();
  const Subscription subscription = Subscribe("a");
  v1::ServerFrame frame;
  v1::SlowConsumer& slow = *frame.mutable_slow_consumer();
  slow.set_subscription(subscription.id());
  slow.set_state(v1::SlowConsumer::STATE_RAISED);
  slow.set_limit(v1::REASON_PENDING_BYTES);
  slow.set_limit_value(100);
  slow.set_value(80);
  slow.set_cause(v1::LAG_CAUSE_OVER_SUBSCRIBED);
  slow.set_drain_bytes_per_second(5);
  slow.set_feed_bytes_per_second(15);
  slow.set_time_to_limit_ms(2000);
  session_->Write(frame);
  slow.Clear();
  slow.set_subscription(subscription.id());
  slow.set_state(v1::SlowConsumer::STATE_CLEARED);
  slow.set_limit(v1::REASON_PENDING_BYTES);
  slow.set_limit_value(100);
  slow.set_value(10);
  session_->Write(frame);
  EXPECT_THAT(log_.Take(2), ElementsAre("slow a pending_bytes raised 80/100 over_subscribed 5/15 until 2s",
                                        "slow a pending_bytes cleared 10/100"));
}

TEST_F(SubscribingTest, EndsAfterItsCountWithItsBooks) {
  Start();
  SubscribeOptions options;
  options.messages_max = 2;
  options.confirmation = Confirmation::kDoNotWait;
  options.on_end = [this](const SubscriptionEnd& end) {
    messages_.Add("end " + std::string(ReasonName(end.reason)) + " offered " + std::to_string(end.offered) +
                  " received " + std::to_string(end.received) + " told " + std::to_string(end.told_missing));
  };
  absl::StatusOr<Subscription> subscription = client_->Subscribe("a", LogMessages(), options);
  const uint32_t id = session_->Read().subscribe().subscription();
  EXPECT_EQ(session_->Read().unsubscribe().after_messages(), 2u);
  session_->Subscribed(id);
  session_->Delivery(id);
  session_->Message("a", "1");
  session_->Gap(id, 1, 2);
  session_->Unsubscribed(id, v1::REASON_COUNT_REACHED, 3);
  const absl::StatusOr<SubscriptionEnd> end = subscription->WaitEnd(kPatience);
  ASSERT_TRUE(end.ok());
  EXPECT_TRUE(end->status.ok());
  EXPECT_THAT(messages_.Take(2), ElementsAre("a 1", "end count_reached offered 3 received 1 told 1"));
  EXPECT_EQ(subscription->stats().lost, 1u);
}

TEST_F(SubscribingTest, WhatTheBrokerSentBeforeItHeardOfTheCountIsNotHandled) {
  Start();
  for (const sluice::Run run : {sluice::Run::kOnDispatchThread, sluice::Run::kInline}) {
    SubscribeOptions options;
    options.messages_max = 4;
    options.run = run;
    options.confirmation = Confirmation::kDoNotWait;
    absl::StatusOr<Subscription> subscription = client_->Subscribe("a", LogMessages(), options);
    const uint32_t id = session_->ReadBusiness().subscribe().subscription();
    EXPECT_TRUE(session_->ReadBusiness().has_unsubscribe());
    session_->WriteBytes(DeliveryBytes(id) + MessageBytes("a", "1"));
    session_->WriteBytes(MessageBytes("a", "2") + MessageBytes("a", "3") + MessageBytes("a", "4") +
                         MessageBytes("a", "5"));
    session_->Message("a", "6");
    session_->Unsubscribed(id, v1::REASON_COUNT_REACHED, 6);
    const absl::StatusOr<SubscriptionEnd> end = subscription->WaitEnd(kPatience);
    ASSERT_TRUE(end.ok());
    EXPECT_EQ(end->received, 6u);
    EXPECT_THAT(messages_.Take(4), ElementsAre("a 1", "a 2", "a 3", "a 4"));
    EXPECT_EQ(subscription->stats().received, 4u);
    EXPECT_EQ(subscription->stats().lost, 0u);
  }
}

TEST_F(SubscribingTest, AskingToEndLaterSaysHowManyMoreThereAre) {
  Start();
  Subscription subscription = SubscribePull("a");
  session_->Delivery(subscription.id());
  for (int i = 0; i < 3; ++i) session_->Message("a", "x");
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(subscription.Next(kPatience).ok());
  EXPECT_TRUE(subscription.UnsubscribeAfter(5).ok());
  EXPECT_EQ(session_->ReadBusiness().unsubscribe().after_messages(), 5u);
  // So many have come already: at once.
  EXPECT_TRUE(subscription.UnsubscribeAfter(3).ok());
  EXPECT_EQ(session_->ReadBusiness().unsubscribe().after_messages(), 0u);
  EXPECT_EQ(subscription.UnsubscribeAfter(0).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SubscribingTest, DrainHandlesEverythingThatTheBrokerHadSent) {
  Start();
  Subscription subscription = Subscribe("a");
  session_->Delivery(subscription.id());
  auto draining = std::async(std::launch::async, [&] { return subscription.Drain(kPatience); });
  EXPECT_EQ(session_->ReadBusiness().unsubscribe().subscription(), subscription.id());
  std::string stream;
  for (int i = 0; i < 1000; ++i) stream += MessageBytes("a", std::to_string(i));
  session_->WriteBytes(stream);
  session_->Unsubscribed(subscription.id(), v1::REASON_UNSUBSCRIBED, 1000);
  EXPECT_TRUE(draining.get().ok());
  EXPECT_EQ(messages_.size(), 1000u);
}

TEST_F(SubscribingTest, APulledSubscriptionIsDrainedWhenItsMessagesAreTaken) {
  Start();
  Subscription subscription = SubscribePull("a");
  session_->Delivery(subscription.id());
  session_->Message("a", "1");
  EXPECT_EQ(subscription.Drain(absl::Milliseconds(5)).code(), absl::StatusCode::kDeadlineExceeded);
  session_->Unsubscribed(subscription.id(), v1::REASON_UNSUBSCRIBED, 1);
  EXPECT_EQ(subscription.WaitEnd(absl::Milliseconds(5)).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(subscription.Next(kPatience)->payload(), "1");
  EXPECT_TRUE(subscription.WaitEnd(kPatience).ok());
  EXPECT_EQ(subscription.Next(kPatience).status().code(), absl::StatusCode::kOutOfRange);
}

TEST_F(SubscribingTest, AfterUnsubscribeNoCallIsRunningAndNoneWillCome) {
  Start();
  for (int round = 0; round < 20; ++round) {
    std::atomic<bool> over{false};
    std::atomic<int> calls{0};
    SubscribeOptions options;
    options.confirmation = Confirmation::kDoNotWait;
    options.run = round % 2 == 0 ? Run::kOnDispatchThread : Run::kInline;
    absl::StatusOr<Subscription> subscription = client_->Subscribe(
        "a",
        [&](const MessageView&) {
          EXPECT_FALSE(over);
          ++calls;
          absl::SleepFor(absl::Microseconds(50));
          EXPECT_FALSE(over);
        },
        options);
    const uint32_t id = session_->ReadBusiness().subscribe().subscription();
    std::string stream = DeliveryBytes(id);
    for (int i = 0; i < 1000; ++i) stream += MessageBytes("a", "x");
    session_->WriteBytes(stream);
    Await([&] { return calls > 0; }, "nothing came");
    subscription->Unsubscribe();
    over = true;
    EXPECT_LT(calls, 1000);
    EXPECT_EQ(session_->ReadBusiness().unsubscribe().subscription(), id);
    session_->Unsubscribed(id, v1::REASON_UNSUBSCRIBED, 1000);
    EXPECT_EQ(subscription->stats().waiting_bytes, 0u);
  }
  EXPECT_EQ(client_->stats().incoming_bytes, 0u);
}

TEST_F(SubscribingTest, AHandlerMayEndItsOwnSubscription) {
  Start();
  std::promise<Subscription*> handle;
  std::shared_future<Subscription*> ready(handle.get_future());
  SubscribeOptions options;
  options.confirmation = Confirmation::kDoNotWait;
  absl::StatusOr<Subscription> subscription = client_->Subscribe(
      "a",
      [&](const MessageView& message) {
        EXPECT_EQ(ready.get()->Drain(kPatience).code(), absl::StatusCode::kFailedPrecondition);
        ready.get()->Unsubscribe();
        messages_.Add(std::string(message.payload));
      },
      options);
  session_->WriteBytes(DeliveryBytes(session_->Read().subscribe().subscription()) + MessageBytes("a", "1") +
                       MessageBytes("a", "2"));
  handle.set_value(&*subscription);
  EXPECT_EQ(messages_.TakeOne(), "1");
  EXPECT_TRUE(session_->ReadBusiness().has_unsubscribe());
  EXPECT_EQ(messages_.size(), 0u);
}

TEST_F(SubscribingTest, TheHandleKeepsTheSubscription) {
  Start();
  { const Subscription subscription = Subscribe("a"); }
  EXPECT_TRUE(session_->ReadBusiness().has_unsubscribe());
  uint32_t id = 0;
  {
    Subscription subscription = Subscribe("b");
    id = subscription.id();
    subscription.Release();
    EXPECT_FALSE(subscription.valid());
  }
  session_->Delivery(id);
  session_->Message("b", "1");
  EXPECT_EQ(messages_.TakeOne(), "b 1");
  Subscription first = Subscribe("c");
  Subscription second = Subscribe("d");
  const uint32_t ended = first.id();
  first = std::move(second);
  EXPECT_EQ(session_->ReadBusiness().unsubscribe().subscription(), ended);
  EXPECT_EQ(first.filter(), "d");
}

// ---- a full buffer ----

TEST_F(SubscribingTest, AFullBufferStopsTheReadingAndLosesNothing) {
  ClientOptions options = Options();
  options.incoming_bytes_max = 100 << 10;
  Start(options);
  Subscription subscription = SubscribePull("a");
  constexpr uint64_t kCount = 20000;
  std::thread writing([&] {
    std::string stream = DeliveryBytes(subscription.id());
    for (uint64_t i = 0; i < kCount; ++i)
      stream += MessageBytes("a", std::to_string(i) + std::string(1000, 'x'));
    session_->WriteBytes(stream);
  });
  Await([&] { return client_->stats().reading == Reading::kPausedBufferFull; }, "it reads on and on");
  // It stays so, far from all that was sent.
  const ClientStats full = client_->stats();
  EXPECT_GE(full.incoming_bytes, 100u << 10);
  EXPECT_LT(full.incoming_bytes, 2u << 20);
  EXPECT_EQ(full.reading_pauses, 1u);
  // The I/O thread is still at work, on the other direction.
  EXPECT_TRUE(client_->Publish("t", "x").ok());
  EXPECT_TRUE(session_->ReadBusiness().has_message());
  EXPECT_EQ(client_->stats().incoming_bytes, full.incoming_bytes);
  EXPECT_EQ(subscription.stats().waiting_messages, subscription.stats().received);
  for (uint64_t i = 0; i < kCount; ++i) {
    const absl::StatusOr<ReceivedMessage> message = subscription.Next(kPatience);
    ASSERT_TRUE(message.ok()) << message.status();
    ASSERT_EQ(message->payload(), std::to_string(i) + std::string(1000, 'x'));
  }
  writing.join();
  Await([&] { return client_->stats().reading == Reading::kOn; }, "it does not read again");
  const ClientStats after = client_->stats();
  EXPECT_EQ(after.incoming_bytes, 0u);
  EXPECT_GT(after.reading_pauses, 1u);
  EXPECT_GT(after.reading_paused_for, absl::ZeroDuration());
}

TEST_F(SubscribingTest, EndingASubscriptionThatFilledTheBufferLetsTheOthersGoOn) {
  ClientOptions options = Options();
  options.incoming_bytes_max = 10 << 10;
  Start(options);
  Subscription stuck = SubscribePull("stuck");
  Subscription other = SubscribePull("other");
  std::string stream = DeliveryBytes(stuck.id());
  for (int i = 0; i < 100; ++i) stream += MessageBytes("stuck", std::string(1000, 'x'));
  session_->WriteBytes(stream);
  Await([&] { return client_->stats().reading == Reading::kPausedBufferFull; }, "it reads on and on");
  session_->WriteBytes(DeliveryBytes(other.id()) + MessageBytes("other", "1"));
  stuck.Unsubscribe();
  EXPECT_EQ(other.Next(kPatience)->payload(), "1");
}

}  // namespace
}  // namespace sluice
