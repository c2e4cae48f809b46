// How a client parts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "tests/client/client_fixture.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ClosingTest : public ClientFixture {
 protected:
  static v1::Goodbye ClientClosed() {
    v1::Goodbye goodbye;
    goodbye.set_reason(v1::REASON_CLIENT_CLOSED);
    return goodbye;
  }
};

TEST_F(ClosingTest, SendsWhatIsBufferedEndsItsDirectionAndReadsTheGoodbye) {
  Start();
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(client_->Publish("t", std::to_string(i)).ok());
  auto closing = std::async(std::launch::async, [this] { return client_->Close(kPatience); });
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(session_->ReadBusiness().message().payload(), std::to_string(i));
  session_->ExpectEnd();
  session_->Goodbye(ClientClosed());
  EXPECT_TRUE(closing.get().ok());
  EXPECT_EQ(log_.TakeOne(), "disconnected client_closed unknown 0 exact for good");
  EXPECT_EQ(client_->state(), ClientState::kClosed);
  EXPECT_EQ(client_->Publish("t", "x").code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(client_->SubscribePull("t").status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(client_->Request({.topic = "t"}, kPatience).status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(client_->Close().ok());
}

TEST_F(ClosingTest, SaysWhatTheBrokerDidNotConfirm) {
  Start();
  EXPECT_TRUE(client_->Publish("t", "x").ok());
  auto closing = std::async(std::launch::async, [this] { return client_->Close(kPatience); });
  EXPECT_TRUE(session_->ReadBusiness().has_message());
  session_->ExpectEnd();
  session_->Close();
  const absl::Status status = closing.get();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("may or may not have 1 of them"));
}

TEST_F(ClosingTest, DoesNotWaitForABrokerThatDoesNotRead) {
  Start();
  session_->ShrinkReceiveBuffer();
  const std::string payload(1000, 'x');
  while (client_->TryPublish({.topic = "t", .payload = payload}).ok()) {
  }
  const absl::Status status = client_->Close(absl::Milliseconds(10));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("messages were sent"));
}

TEST_F(ClosingTest, ThrowsAwayWhatWasNotHandledAndCallsNobodyAfterwards) {
  Start();
  std::atomic<bool> over{false};
  std::atomic<int> calls{0};
  SubscribeOptions options;
  options.confirmation = Confirmation::kDoNotWait;
  absl::StatusOr<Subscription> subscription = client_->Subscribe(
      "a",
      [&](const MessageView&) {
        EXPECT_FALSE(over);
        ++calls;
        absl::SleepFor(absl::Microseconds(100));
      },
      options);
  session_->Subscribed(session_->Read().subscribe().subscription());
  Subscription pulled = SubscribePull("b");
  session_->Delivery(subscription->id());
  for (int i = 0; i < 5000; ++i) session_->Message("a", "x");
  session_->Delivery(pulled.id());
  session_->Message("b", "x");
  Await([&] { return calls > 0; }, "nothing came");
  std::thread waiting([&] {
    absl::Status status;
    while (status.ok()) status = pulled.Next(kPatience).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  });
  static_cast<void>(client_->Close(absl::Milliseconds(1)));
  over = true;
  waiting.join();
  EXPECT_LT(calls, 5000);
}

TEST_F(ClosingTest, AHandlerMayCloseTheClient) {
  Start();
  SubscribeOptions options;
  options.confirmation = Confirmation::kDoNotWait;
  std::atomic<int> calls{0};
  absl::StatusOr<Subscription> subscription = client_->Subscribe(
      "a",
      [&](const MessageView&) {
        EXPECT_TRUE(client_->Publish("t", "last words").ok());
        EXPECT_EQ(client_->Drain(kPatience).code(), absl::StatusCode::kFailedPrecondition);
        EXPECT_TRUE(client_->Close(kPatience).ok());
        ++calls;
      },
      options);
  session_->Delivery(session_->Read().subscribe().subscription());
  session_->Message("a", "1");
  session_->Message("a", "2");
  EXPECT_EQ(session_->ReadBusiness().message().payload(), "last words");
  session_->ExpectEnd();
  session_->Goodbye(ClientClosed());
  EXPECT_TRUE(client_->Close(kPatience).ok());
  EXPECT_EQ(calls, 1);
}

TEST_F(ClosingTest, DrainHandlesAndSendsEverythingFirst) {
  Start();
  SubscribeOptions options;
  options.confirmation = Confirmation::kDoNotWait;
  absl::StatusOr<Subscription> subscription = client_->Subscribe(
      "a",
      [this](const MessageView& message) { EXPECT_TRUE(client_->Publish("answer", message.payload).ok()); },
      options);
  const uint32_t id = session_->Read().subscribe().subscription();
  session_->Subscribed(id);
  auto draining = std::async(std::launch::async, [this] { return client_->Drain(kPatience); });
  EXPECT_EQ(session_->ReadBusiness().unsubscribe().subscription(), id);
  session_->Delivery(id);
  for (int i = 0; i < 100; ++i) session_->Message("a", std::to_string(i));
  session_->Unsubscribed(id, v1::REASON_UNSUBSCRIBED, 100);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(session_->ReadBusiness().message().payload(), std::to_string(i));
  const v1::ClientFrame ping = session_->Read();
  ASSERT_TRUE(ping.has_ping());
  session_->Pong(ping.ping().id());
  session_->ExpectEnd();
  session_->Goodbye(ClientClosed());
  EXPECT_TRUE(draining.get().ok());
}

TEST_F(ClosingTest, ADrainThatTakesTooLongSaysSoAndClosesAllTheSame) {
  Start();
  const Subscription subscription = Subscribe("a");
  EXPECT_EQ(client_->Drain(absl::Milliseconds(10)).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(client_->state(), ClientState::kClosed);
}

TEST_F(ClosingTest, SubscriptionsMayOutliveTheClient) {
  Start();
  Subscription handled = Subscribe("a");
  Subscription pulled = SubscribePull("b");
  session_->Delivery(pulled.id());
  session_->Message("b", "x");
  absl::StatusOr<ReceivedMessage> message = pulled.Next(kPatience);
  client_.reset();
  EXPECT_EQ(message->payload(), "x");
  EXPECT_EQ(pulled.Next(kPatience).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(handled.stats().received, 0u);
  handled.Unsubscribe();
}

TEST_F(ClosingTest, WhoWaitsLearnsThatItIsClosed) {
  Start();
  auto flush = std::async(std::launch::async, [this] { return client_->Flush(kPatience); });
  auto receipt =
      std::async(std::launch::async, [this] { return client_->PublishWithAck({.topic = "t"}, kPatience); });
  auto reply = std::async(std::launch::async, [this] { return client_->Request({.topic = "t"}, kPatience); });
  auto subscribing = std::async(std::launch::async, [this] { return client_->SubscribePull("t").status(); });
  for (int i = 0; i < 6; ++i) session_->Read();
  static_cast<void>(client_->Close(absl::ZeroDuration()));
  EXPECT_EQ(flush.get().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(receipt.get().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(reply.get().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(subscribing.get().code(), absl::StatusCode::kCancelled);
}

TEST_F(ClosingTest, ManyThreadsMayCloseAtTheSameTime) {
  Start();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] { EXPECT_TRUE(client_->Close(absl::Milliseconds(5)).ok()); });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace sluice
