#include "client/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <string>
#include <thread>
#include <vector>

#include "protocol/frame.h"

namespace sluice::client {
namespace {

using ::testing::HasSubstr;

constexpr PublishLimits kLimits = {.payload_bytes_max = 1000, .headers_bytes_max = 100};

class OutboxTest : public ::testing::Test {
 protected:
  OutboxTest() { EXPECT_TRUE(wakeup_.Open().ok()); }

  // Everything that would be written now, as "t:payload", "ack:id", "ping", "sub:id"; of which `frames_max`
  // frames and `part` bytes more leave.
  std::string Write(size_t frames_max = 1000, size_t part = 0) {
    std::vector<iovec> pieces(100);
    const size_t count = outbox_.Gather(pieces);
    std::string bytes;
    for (size_t i = 0; i < count; ++i)
      bytes.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    std::string text;
    size_t left = 0;
    for (std::string_view rest = bytes; !rest.empty() && frames_max > 0; --frames_max) {
      const FramePrefix prefix = ReadFramePrefix(rest);
      v1::ClientFrame frame;
      EXPECT_TRUE(
          frame.ParseFromArray(rest.data() + prefix.prefix_bytes, static_cast<int>(prefix.body_bytes)));
      text += Text(frame) + " ";
      left += prefix.frame_bytes();
      rest.remove_prefix(prefix.frame_bytes());
    }
    outbox_.Consume(left + part);
    return text;
  }

  static std::string Text(const v1::ClientFrame& frame) {
    if (frame.has_message()) return "m:" + frame.message().payload();
    if (frame.has_ack_request()) return "ack:" + std::to_string(frame.ack_request().id());
    if (frame.has_ping()) return "ping:" + std::to_string(frame.ping().id());
    if (frame.has_subscribe()) return "sub:" + std::to_string(frame.subscribe().subscription());
    return "?";
  }

  void Publish(const std::string& payload, PublishOptions options = {}) {
    EXPECT_TRUE(outbox_.Publish({.topic = "t", .payload = payload}, options).ok());
  }
  AckCallback LogAck(const std::string& name) {
    return [this, name](const absl::StatusOr<PublishReceipt>& receipt) {
      told_ += name + "=" +
               std::string(receipt.ok() ? "OK" : absl::StatusCodeToString(receipt.status().code())) + " ";
    };
  }
  PingDone LogPing(const std::string& name) {
    return [this, name](const absl::Status& status) {
      told_ += name + "=" + std::string(absl::StatusCodeToString(status.code())) + " ";
      last_ = status;
    };
  }
  std::string Told() { return std::exchange(told_, ""); }

  bool Woken() {
    pollfd wake = {wakeup_.fd(), POLLIN, 0};
    const bool woken = ::poll(&wake, 1, 0) == 1;
    wakeup_.Drain();
    return woken;
  }

  static std::string SubscribeFrame(uint32_t id) {
    v1::ClientFrame frame;
    frame.mutable_subscribe()->set_subscription(id);
    std::string bytes;
    AppendFrame(frame, &bytes);
    return bytes;
  }

  Wakeup wakeup_;
  Outbox outbox_{/*bytes_max=*/100, &wakeup_};
  std::string told_;
  absl::Status last_;
};

TEST_F(OutboxTest, WakesTheReaderOnceAndOnlyWhenItFoundNothing) {
  outbox_.BeginSession("", kLimits);
  Publish("1");
  EXPECT_FALSE(Woken());
  EXPECT_EQ(Write(), "m:1 ");
  Publish("2");
  EXPECT_FALSE(Woken());
  EXPECT_EQ(Write(), "m:2 ");
  EXPECT_EQ(Write(), "");
  Publish("3");
  EXPECT_TRUE(Woken());
  Publish("4");
  EXPECT_FALSE(Woken());
  EXPECT_EQ(Write(), "m:3 m:4 ");
}

TEST_F(OutboxTest, SaysWhenItIsFull) {
  outbox_.BeginSession("", kLimits);
  Publish(std::string(500, 'x'));  // larger than the buffer, which is empty
  const absl::Status full = outbox_.Publish({.topic = "t", .payload = "1"}, {.when_full = WhenFull::kFail});
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr("511 bytes wait"));
  const absl::Status late = outbox_.Publish({.topic = "t", .payload = "1"}, {.deadline = MonotonicNow()});
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded);
  Write();
  EXPECT_TRUE(outbox_.Publish({.topic = "t", .payload = "1"}, {.when_full = WhenFull::kFail}).ok());
}

TEST_F(OutboxTest, APublisherThatWaitsGoesOnWhenHalfIsFree) {
  outbox_.BeginSession("", kLimits);
  for (int i = 0; i < 10; ++i) Publish("x");
  while (outbox_.stats().bytes < 100) Publish("x");
  std::thread waiting([this] { Publish("late"); });
  std::string written;
  while (written.find("late") == std::string::npos) written += Write(1);
  waiting.join();
}

TEST_F(OutboxTest, NobodyWaitsOnTheThreadThatEmptiesIt) {
  outbox_.set_io_thread(std::this_thread::get_id());
  Publish(std::string(100, 'x'));
  EXPECT_EQ(outbox_.Publish({.topic = "t"}, {}).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(OutboxTest, PublishersThatWaitLearnThatItIsClosed) {
  Publish(std::string(100, 'x'));
  std::thread waiting(
      [this] { EXPECT_EQ(outbox_.Publish({.topic = "t"}, {}).code(), absl::StatusCode::kCancelled); });
  outbox_.StopPublishing();
  waiting.join();
  EXPECT_EQ(outbox_.RequestReceipt(LogAck("x")).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(outbox_.Ping(PingKind::kFlush, LogPing("x")).code(), absl::StatusCode::kCancelled);
}

TEST_F(OutboxTest, RefusesWhatTheBrokerWouldRefuse) {
  outbox_.BeginSession("", kLimits);
  const auto refusal = [this](const MessageView& message) {
    const absl::Status status = outbox_.Publish(message, {});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message.topic;
    return std::string(status.message());
  };
  const std::string large(1001, 'x');
  EXPECT_THAT(refusal({.topic = "a..b"}), HasSubstr("a..b"));
  EXPECT_THAT(refusal({.topic = "a.*"}), HasSubstr("a.*"));
  EXPECT_THAT(refusal({.topic = ""}), HasSubstr("empty"));
  EXPECT_THAT(refusal({.topic = "t", .payload = large}),
              HasSubstr("1001 bytes: the broker takes at most 1000"));
  EXPECT_THAT(refusal({.topic = "t", .reply_to = "a b"}), HasSubstr("a b"));
  EXPECT_THAT(refusal({.topic = "t", .headers = {{"", "v"}}}), HasSubstr("no name"));
  EXPECT_THAT(refusal({.topic = "t", .headers = {{"n", "\xff"}}}), HasSubstr("not UTF-8"));
  EXPECT_THAT(refusal({.topic = "t", .headers = {{"n", std::string_view(large).substr(0, 100)}}}),
              HasSubstr("101 bytes: at most 100"));
  MessageView many{.topic = "t"};
  many.headers.assign(257, {"n", ""});
  EXPECT_THAT(refusal(many), HasSubstr("257 headers: at most 256"));
  EXPECT_EQ(outbox_.stats().published, 0u);
}

TEST_F(OutboxTest, AsksForReceiptsSoThatEachIsAboutItsOwn) {
  outbox_.BeginSession("", kLimits);
  Publish("1");
  Publish("2", {.ack = LogAck("two")});
  Publish("3", {.ack = LogAck("three")});
  Publish("4");
  EXPECT_TRUE(outbox_.RequestReceipt(LogAck("rest")).ok());
  EXPECT_EQ(Write(), "m:1 ack:1 m:2 ack:2 m:3 ack:3 m:4 ack:4 ");
}

TEST_F(OutboxTest, TellsWhoseRefusedPublishItWas) {
  outbox_.BeginSession("", kLimits);
  Publish("1");
  Publish("2", {.ack = LogAck("two")});
  Publish("3", {.request = 77});
  const absl::Status why = absl::NotFoundError("nobody");
  RefusedPublish refused = outbox_.OnPublishError(1, why);
  EXPECT_EQ(refused.number, 1u);
  EXPECT_EQ(refused.request, 0u);
  EXPECT_EQ(refused.told, AckLedger::Told::kNotYet);
  EXPECT_EQ(outbox_.OnPublishError(2, why).told, AckLedger::Told::kBySingle);
  refused = outbox_.OnPublishError(3, why);
  EXPECT_EQ(refused.request, 77u);
}

TEST_F(OutboxTest, KeepsWhatHasNotLeftForTheNextSession) {
  outbox_.BeginSession(SubscribeFrame(1), kLimits);
  Publish("1");
  Publish("2");
  EXPECT_EQ(Write(2), "sub:1 m:1 ");
  Write(0, /*part=*/3);
  outbox_.AppendControl(SubscribeFrame(2));
  EXPECT_EQ(outbox_.EndSession(), 1u);
  Publish("3");
  outbox_.AppendControl(SubscribeFrame(3));  // forgotten: there is no session
  outbox_.BeginSession(SubscribeFrame(9), kLimits);
  EXPECT_EQ(Write(), "sub:9 m:2 m:3 ");
  // In the new session the broker counts from 1 again.
  EXPECT_EQ(outbox_.OnPublishError(1, absl::NotFoundError("")).number, 2u);
  EXPECT_EQ(outbox_.OnPublishError(2, absl::NotFoundError("")).number, 3u);
}

TEST_F(OutboxTest, OnlyWhatLeftAndWasNotConfirmedIsUnknown) {
  outbox_.BeginSession("", kLimits);
  Publish("1");
  Publish("2");
  EXPECT_TRUE(outbox_.Ping(PingKind::kRoundTrip, LogPing("pong")).ok());
  Publish("3");
  Publish("4");
  EXPECT_EQ(Write(4), "m:1 m:2 ping:1 m:3 ");
  outbox_.OnPong(1);
  EXPECT_EQ(Told(), "pong=OK ");
  EXPECT_EQ(outbox_.EndSession(), 1u);
  EXPECT_EQ(outbox_.stats().unknown, 1u);
  EXPECT_EQ(outbox_.stats().messages, 1u);
}

TEST_F(OutboxTest, AReceiptConfirmsToo) {
  outbox_.BeginSession("", kLimits);
  Publish("1", {.ack = LogAck("one")});
  Publish("2");
  Write();
  EXPECT_TRUE(outbox_.WantsConfirmation());
  v1::PublishAck ack;
  ack.set_id(1);
  ack.set_up_to(1);
  outbox_.OnPublishAck(ack);
  EXPECT_EQ(Told(), "one=OK ");
  EXPECT_EQ(outbox_.EndSession(), 1u);
  EXPECT_FALSE(outbox_.WantsConfirmation());
}

TEST_F(OutboxTest, TheFlushTellsOnceHowManyAreUnknown) {
  outbox_.BeginSession("", kLimits);
  Publish("1");
  Publish("2", {.ack = LogAck("two")});  // hears of it by itself
  Publish("3", {.request = 5});          // so does a request
  Write();
  EXPECT_EQ(outbox_.EndSession(), 3u);
  EXPECT_EQ(Told(), "two=UNAVAILABLE ");
  outbox_.BeginSession("", kLimits);
  EXPECT_TRUE(outbox_.Ping(PingKind::kRoundTrip, LogPing("ping")).ok());
  EXPECT_TRUE(outbox_.Ping(PingKind::kFlush, LogPing("flush")).ok());
  EXPECT_TRUE(outbox_.Ping(PingKind::kFlush, LogPing("again")).ok());
  Write();
  outbox_.OnPong(3);
  EXPECT_EQ(Told(), "ping=OK flush=UNAVAILABLE again=OK ");
}

TEST_F(OutboxTest, AFlushThatWaitsWhenTheConnectionBreaksTellsAtOnce) {
  outbox_.BeginSession("", kLimits);
  Publish("1");
  Write();
  EXPECT_TRUE(outbox_.Ping(PingKind::kFlush, LogPing("flush")).ok());
  outbox_.EndSession();
  EXPECT_EQ(Told(), "flush=UNAVAILABLE ");
  EXPECT_THAT(std::string(last_.message()), HasSubstr("1 messages"));
}

TEST_F(OutboxTest, AFlushBetweenSessionsWaitsForTheNext) {
  outbox_.BeginSession("", kLimits);
  outbox_.EndSession();
  Publish("1");
  EXPECT_TRUE(outbox_.Ping(PingKind::kFlush, LogPing("flush")).ok());
  outbox_.BeginSession(SubscribeFrame(1), kLimits);
  EXPECT_EQ(Write(), "sub:1 m:1 ping:1 ");
  outbox_.OnPong(1);
  EXPECT_EQ(Told(), "flush=OK ");
}

TEST_F(OutboxTest, ARequestThatHasNotLeftIsNotSentLater) {
  outbox_.BeginSession("", kLimits);
  Publish("1");
  Publish("2", {.request = 5});
  Publish("3", {.ack = LogAck("three")});
  outbox_.EndSession();
  EXPECT_EQ(Told(), "");
  outbox_.BeginSession("", kLimits);
  // The separator that stood before 3 covers 1 now.
  EXPECT_EQ(Write(), "m:1 ack:1 m:3 ack:2 ");
  EXPECT_EQ(outbox_.OnPublishError(2, absl::NotFoundError("")).number, 3u);
}

TEST_F(OutboxTest, APublishForOneSessionIsNotTakenInAnother) {
  outbox_.BeginSession("", kLimits);
  const uint64_t session = outbox_.session();
  EXPECT_TRUE(outbox_.Publish({.topic = "t"}, {.session = session}).ok());
  outbox_.EndSession();
  EXPECT_EQ(outbox_.session(), 0u);
  EXPECT_EQ(outbox_.Publish({.topic = "t"}, {.session = session}).code(), absl::StatusCode::kUnavailable);
  outbox_.BeginSession("", kLimits);
  EXPECT_EQ(outbox_.Publish({.topic = "t"}, {.session = session}).code(), absl::StatusCode::kUnavailable);
}

TEST_F(OutboxTest, DropsWhatTheNextBrokerWouldNotTake) {
  // No session yet: no limits are known.
  EXPECT_TRUE(outbox_.Publish({.topic = "t", .payload = "small"}, {}).ok());
  EXPECT_TRUE(outbox_.Publish({.topic = "t", .payload = "too large"}, {}).ok());
  EXPECT_TRUE(outbox_.Publish({.topic = "t", .payload = "as large"}, {.ack = LogAck("as large")}).ok());
  Publish("end");
  const std::vector<Outbox::Dropped> dropped = outbox_.BeginSession("", {.payload_bytes_max = 5});
  ASSERT_EQ(dropped.size(), 1u);
  EXPECT_EQ(dropped[0].number, 2u);
  EXPECT_EQ(dropped[0].status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Told(), "as large=INVALID_ARGUMENT ");
  EXPECT_EQ(Write(), "m:small ack:1 m:end ");
  EXPECT_EQ(outbox_.OnPublishError(2, absl::NotFoundError("")).number, 4u);
}

TEST_F(OutboxTest, ClosingFailsWhatWaitsAndCountsWhatWasNotSent) {
  outbox_.BeginSession("", kLimits);
  Publish("1", {.ack = LogAck("one")});
  Write();
  Publish("2", {.ack = LogAck("two")});
  Publish("3");
  EXPECT_TRUE(outbox_.Ping(PingKind::kFlush, LogPing("flush")).ok());
  EXPECT_EQ(outbox_.Close(absl::CancelledError("closed")), 2u);
  EXPECT_EQ(Told(), "one=UNAVAILABLE two=CANCELLED flush=UNAVAILABLE ");
  EXPECT_EQ(outbox_.Publish({.topic = "t"}, {}).code(), absl::StatusCode::kCancelled);
}

TEST_F(OutboxTest, AGoodbyeThatConfirmsEverythingLeavesNothingUnknown) {
  outbox_.BeginSession("", kLimits);
  Publish("1");
  Write();
  outbox_.OnAllProcessed();
  EXPECT_EQ(outbox_.EndSession(), 0u);
}

}  // namespace
}  // namespace sluice::client
