// What a client sends, and what it learns about it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "tests/client/client_fixture.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PublishingTest : public ClientFixture {
 protected:
  // One that waits runs beside the test, which plays the broker.
  template <typename Call>
  auto Async(Call call) {
    return std::async(std::launch::async, call);
  }
};

TEST_F(PublishingTest, SendsEverythingInOrder) {
  Start();
  EXPECT_TRUE(client_
                  ->Publish({.topic = "a.b",
                             .payload = std::string_view("\0\xff", 2),
                             .reply_to = "r",
                             .headers = {{"name", "value"}, {"empty", ""}}})
                  .ok());
  const v1::Message first = session_->Read().message();
  EXPECT_EQ(first.topic(), "a.b");
  EXPECT_EQ(first.payload(), std::string("\0\xff", 2));
  EXPECT_EQ(first.reply_to(), "r");
  ASSERT_EQ(first.headers_size(), 2);
  EXPECT_EQ(first.headers(0).name(), "name");
  EXPECT_EQ(first.headers(0).value(), "value");
  constexpr int kCount = 20000;
  for (int i = 0; i < kCount; ++i) ASSERT_TRUE(client_->Publish("t", std::to_string(i)).ok());
  for (int i = 0; i < kCount; ++i) ASSERT_EQ(session_->ReadBusiness().message().payload(), std::to_string(i));
  const ClientStats stats = client_->stats();
  EXPECT_EQ(stats.messages_published, kCount + 1u);
  EXPECT_EQ(stats.outgoing_bytes, 0u);
  // Many messages leave with one system call.
  EXPECT_LT(stats.sends, kCount / 2u);
}

TEST_F(PublishingTest, MessagesOfManyThreadsArriveWholeAndInTheOrderOfEach) {
  Start();
  constexpr int kThreads = 4;
  constexpr int kEach = 5000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < kEach; ++i)
        ASSERT_TRUE(client_->Publish("t." + std::to_string(t), std::to_string(i)).ok());
    });
  }
  std::vector<int> next(kThreads, 0);
  for (int i = 0; i < kThreads * kEach; ++i) {
    const v1::Message message = session_->ReadBusiness().message();
    const size_t thread = static_cast<size_t>(std::stoi(message.topic().substr(2)));
    ASSERT_EQ(message.payload(), std::to_string(next[thread]++));
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(PublishingTest, AReceiptIsAboutItsMessageAlone) {
  Start();
  EXPECT_TRUE(client_->Publish("t", "before").ok());
  auto receipt = Async([this] { return client_->PublishWithAck({.topic = "t", .payload = "x"}, kPatience); });
  EXPECT_EQ(session_->ReadBusiness().message().payload(), "before");
  EXPECT_EQ(session_->ReadBusiness().ack_request().id(), 1u);
  EXPECT_EQ(session_->ReadBusiness().message().payload(), "x");
  EXPECT_EQ(session_->ReadBusiness().ack_request().id(), 2u);
  session_->Ack(1, 1, 1, 100);
  session_->Ack(2, 2, 1, 3);
  const absl::StatusOr<PublishReceipt> got = receipt.get();
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->messages, 1u);
  EXPECT_EQ(got->matched, 3u);
  EXPECT_EQ(got->queued, 3u);
}

TEST_F(PublishingTest, AReceiptTellsThatAConsumerHoldsUsUp) {
  Start();
  for (const uint64_t blocked : {0, 2}) {
    auto receipt = Async([this] { return client_->PublishWithAck({.topic = "t"}, kPatience); });
    session_->ReadBusiness();
    v1::ServerFrame frame;
    v1::PublishAck* ack = frame.mutable_publish_ack();
    ack->set_id(session_->ReadBusiness().ack_request().id());
    ack->set_messages(1);
    ack->set_matched(3);
    ack->set_queued(3);
    ack->set_blocked(blocked);
    session_->Write(frame);
    const absl::StatusOr<PublishReceipt> got = receipt.get();
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->blocked, blocked);
    EXPECT_EQ(got->pressure(), blocked == 0 ? Pressure::kNone : Pressure::kBackpressured);
  }
}

TEST_F(PublishingTest, AReceiptComesToTheCallbackOnTheDispatchThread) {
  Start();
  EXPECT_TRUE(client_
                  ->PublishWithAck({.topic = "t"},
                                   [this](const absl::StatusOr<PublishReceipt>& receipt) {
                                     // It may wait for the broker here.
                                     log_.Add(std::to_string(receipt->matched) + " " +
                                              client_->Flush(kPatience).ToString());
                                   })
                  .ok());
  session_->ReadBusiness();
  session_->Ack(session_->ReadBusiness().ack_request().id(), 1, 1, 5);
  while (log_.size() == 0) {
    const auto frame = session_->ReadWithin(absl::Milliseconds(1));
    if (frame) session_->Pong(frame->ping().id());
  }
  EXPECT_EQ(log_.TakeOne(), "5 OK");
}

TEST_F(PublishingTest, TheBrokersRefusalGoesToWhoAskedAboutTheMessage) {
  Start();
  auto receipt = Async([this] { return client_->PublishWithAck({.topic = "$secret"}, kPatience); });
  session_->ReadBusiness();
  session_->ReadBusiness();
  session_->Error(v1::ERROR_CODE_NOT_PERMITTED, 0, 1);
  session_->Ack(1, 1, 1, 0, /*refused=*/1);
  const absl::Status status = receipt.get().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("not_permitted: says the fake"));
  EXPECT_EQ(log_.size(), 0u);
}

TEST_F(PublishingTest, TheRefusalOfAMessageThatNobodyAskedAboutIsAnEvent) {
  Start();
  EXPECT_TRUE(client_->Publish("t", "1").ok());
  EXPECT_TRUE(client_->Publish("$x", "2").ok());
  session_->Error(v1::ERROR_CODE_NOT_PERMITTED, 0, 2);
  EXPECT_EQ(log_.TakeOne(), "error PERMISSION_DENIED subscription 0 publish 2");
}

TEST_F(PublishingTest, ConfirmCoversEverythingSinceTheLast) {
  Start();
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(client_->Publish("t", "x").ok());
  auto receipt = Async([this] { return client_->Confirm(kPatience); });
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(session_->ReadBusiness().has_message());
  session_->Ack(session_->ReadBusiness().ack_request().id(), 5, 5, 10);
  const absl::StatusOr<PublishReceipt> got = receipt.get();
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->messages, 5u);
  EXPECT_EQ(got->matched, 10u);
}

TEST_F(PublishingTest, FlushWaitsForTheAnswerToItsOwnPing) {
  Start();
  EXPECT_TRUE(client_->Publish("t", "x").ok());
  auto flushed = Async([this] { return client_->Flush(kPatience); });
  EXPECT_TRUE(session_->Read().has_message());
  const v1::ClientFrame ping = session_->Read();
  ASSERT_TRUE(ping.has_ping());
  session_->Pong(ping.ping().id() - 1);
  EXPECT_EQ(flushed.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  session_->Pong(ping.ping().id());
  EXPECT_TRUE(flushed.get().ok());
}

TEST_F(PublishingTest, FlushGivesUpInTime) {
  Start();
  EXPECT_EQ(client_->Flush(absl::Milliseconds(10)).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(client_->PublishWithAck({.topic = "t"}, absl::Milliseconds(10)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(PublishingTest, PingMeasuresTheWay) {
  Start();
  auto trip = Async([this] { return client_->Ping(kPatience); });
  session_->Pong(session_->Read().ping().id());
  const absl::StatusOr<absl::Duration> took = trip.get();
  ASSERT_TRUE(took.ok());
  EXPECT_GT(*took, absl::ZeroDuration());
  EXPECT_LT(*took, kPatience);
}

TEST_F(PublishingTest, PublishesThatNobodyAsksAboutAreConfirmedNowAndThen) {
  Start();
  EXPECT_TRUE(client_->Publish("t", "x").ok());
  EXPECT_TRUE(session_->Read().has_message());
  // Not at once, but long before the ping interval.
  EXPECT_TRUE(session_->Read().has_ping());
}

TEST_F(PublishingTest, ABrokerThatDoesNotReadIsNoticedAndLosesNothing) {
  ClientOptions options = Options();
  options.outgoing_bytes_max = 256 << 10;
  options.publish_timeout = kPatience;
  Start(options);
  session_->ShrinkReceiveBuffer();
  const std::string payload(1000, 'x');
  uint64_t published = 0;
  absl::Status status;
  while ((status = client_->TryPublish({.topic = "t", .payload = payload})).ok()) {
    ++published;
    ASSERT_LT(published, 100000u) << "the buffer has no bound";
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the outgoing buffer is full"));
  // One that waits goes on as soon as there is room.
  auto waiting = Async([&] { return client_->Publish("t", "last"); });
  for (uint64_t i = 0; i < published; ++i) ASSERT_EQ(session_->ReadBusiness().message().payload(), payload);
  EXPECT_EQ(session_->ReadBusiness().message().payload(), "last");
  EXPECT_TRUE(waiting.get().ok());
}

TEST_F(PublishingTest, AMessageLargerThanTheBufferIsSent) {
  ClientOptions options = Options();
  options.outgoing_bytes_max = 1000;
  Start(options);
  const std::string payload(1 << 20, 'x');
  EXPECT_TRUE(client_->TryPublish({.topic = "t", .payload = payload}).ok());
  EXPECT_EQ(session_->ReadBusiness().message().payload(), payload);
  EXPECT_EQ(client_->TryPublish({.topic = "t", .payload = payload + "x"}).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(PublishingTest, APausedBrokerIsSaidAndSeen) {
  Start();
  v1::ServerFrame frame;
  frame.mutable_paused()->set_cause(v1::Paused::CAUSE_BLOCKED_BY_CONSUMER);
  session_->Write(frame);
  EXPECT_EQ(log_.TakeOne(), "paused blocked_by_consumer");
  EXPECT_EQ(client_->stats().broker, PausedEvent::State::kPaused);
  frame.mutable_resumed();
  session_->Write(frame);
  EXPECT_EQ(log_.TakeOne(), "resumed");
  EXPECT_EQ(client_->stats().broker, PausedEvent::State::kResumed);
}

TEST_F(PublishingTest, AnswersTheBrokersPings) {
  Start();
  v1::ServerFrame ping;
  ping.mutable_server_ping()->set_id(99);
  session_->Write(ping);
  EXPECT_EQ(session_->Read().pong().id(), 99u);
}

// ---- requests ----

TEST_F(PublishingTest, ARequestGetsTheFirstReplyToItsOwnTopic) {
  Start();
  auto reply = Async([this] { return client_->Request({.topic = "ask", .payload = "?"}, kPatience); });
  const v1::Subscribe subscribe = session_->ReadBusiness().subscribe();
  EXPECT_EQ(subscribe.filter(), "$inbox.me.>");
  const v1::Message request = session_->ReadBusiness().message();
  EXPECT_EQ(request.payload(), "?");
  EXPECT_THAT(request.reply_to(), ::testing::StartsWith("$inbox.me."));
  session_->Subscribed(subscribe.subscription());
  session_->Delivery(subscribe.subscription());
  session_->Message("$inbox.me.99999", "not for anybody");
  session_->Message(request.reply_to(), "!");
  session_->Message(request.reply_to(), "too late");
  absl::StatusOr<ReceivedMessage> got = reply.get();
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->payload(), "!");
  // The second request uses the same subscription.
  auto second = Async([this] { return client_->Request({.topic = "ask"}, kPatience); });
  const v1::Message again = session_->ReadBusiness().message();
  EXPECT_NE(again.reply_to(), request.reply_to());
  session_->Message(again.reply_to(), "2");
  EXPECT_EQ(second.get()->payload(), "2");
}

TEST_F(PublishingTest, ManyRequestsAreInFlightAtTheSameTime) {
  Start();
  constexpr int kCount = 50;
  for (int i = 0; i < kCount; ++i) {
    EXPECT_TRUE(client_
                    ->Request({.topic = "ask", .payload = std::to_string(i)}, kPatience,
                              [this, i](absl::StatusOr<ReceivedMessage> reply) {
                                log_.Add(std::to_string(i) + "=" + std::string(reply->payload()));
                              })
                    .ok());
  }
  const uint32_t inbox = session_->ReadBusiness().subscribe().subscription();
  session_->Delivery(inbox);
  std::vector<v1::Message> requests;
  for (int i = 0; i < kCount; ++i) requests.push_back(session_->ReadBusiness().message());
  for (auto at = requests.rbegin(); at != requests.rend(); ++at)
    session_->Message(at->reply_to(), at->payload());
  const std::vector<std::string> lines = log_.Take(kCount);
  for (int i = 0; i < kCount; ++i) {
    const std::string n = std::to_string(kCount - 1 - i);
    EXPECT_EQ(lines[static_cast<size_t>(i)], n + "=" + n);
  }
}

TEST_F(PublishingTest, ARequestThatNobodyCanAnswerFailsAtOnce) {
  Start();
  EXPECT_TRUE(client_->Publish("t", "an earlier publish").ok());
  auto reply = Async([this] { return client_->Request({.topic = "ask"}, absl::InfiniteDuration()); });
  for (int i = 0; i < 3; ++i) session_->ReadBusiness();
  session_->Error(v1::ERROR_CODE_NO_SUBSCRIBERS, 0, 2);
  EXPECT_EQ(reply.get().status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(log_.size(), 0u);
}

TEST_F(PublishingTest, ARequestDoesNotWaitLongerThanItsTimeout) {
  Start();
  EXPECT_EQ(client_->Request({.topic = "ask"}, absl::Milliseconds(10)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(client_
                  ->Request({.topic = "ask"}, absl::Milliseconds(10),
                            [this](const absl::StatusOr<ReceivedMessage>& reply) {
                              log_.Add(absl::StatusCodeToString(reply.status().code()));
                            })
                  .ok());
  EXPECT_EQ(log_.TakeOne(), "DEADLINE_EXCEEDED");
}

TEST_F(PublishingTest, AReplyGoesWhereTheRequestWantsIt) {
  Start();
  EXPECT_TRUE(client_->Reply({.topic = "ask", .reply_to = "$inbox.you.1"}, "!").ok());
  const v1::Message reply = session_->ReadBusiness().message();
  EXPECT_EQ(reply.topic(), "$inbox.you.1");
  EXPECT_EQ(reply.payload(), "!");
  EXPECT_EQ(client_->Reply({.topic = "ask"}, "!").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(client_->Request({.topic = "ask", .reply_to = "mine"}, kPatience).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
