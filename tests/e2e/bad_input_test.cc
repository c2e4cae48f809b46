// What a client gets that sends what it should not, or does not send what it should: a clear Error or
// Goodbye, and nobody else notices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/frame.h"
#include "protocol/names.h"
#include "tests/support/broker_process.h"
#include "tests/support/bystanders.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Clock = std::chrono::steady_clock;

class BadInputTest : public ::testing::Test {
 protected:
  // One healthy pair watches every test from its beginning to its end.
  explicit BadInputTest(const std::vector<std::string>& flags = {})
      : broker_(flags), bystanders_(broker_.port()) {
    bystanders_.Beat();
  }

  void TearDown() override {
    bystanders_.Beat(100);
    bystanders_.Leave();
  }

  WireClient Connected(std::string_view name = "misbehaving") {
    WireClient client(broker_.port());
    client.Connect(name);
    return client;
  }

  // A connected client that sends `bytes` gets this Error, then Goodbye, and is closed.
  void ExpectRefused(std::string_view bytes, v1::ErrorCode code, v1::Reason reason) {
    WireClient client = Connected();
    client.SendRaw(bytes);
    client.ExpectError(code);
    client.ExpectGoodbye(reason);
    bystanders_.Beat();
  }

  // So does one that has not said Connect.
  void ExpectRefusedAtOnce(std::string_view bytes, v1::ErrorCode code, v1::Reason reason) {
    WireClient client(broker_.port());
    client.SendRaw(bytes);
    client.ExpectError(code);
    client.ExpectGoodbye(reason);
    bystanders_.Beat();
  }

  BrokerProcess broker_;
  Bystanders bystanders_;
};

// A frame with this body, whatever it is.
std::string Framed(std::string_view body) { return Varint(body.size()) + std::string(body); }

std::string Field(uint32_t number, std::string_view value) {
  return Varint(uint64_t{number} << 3 | 2) + Varint(value.size()) + std::string(value);
}

std::string ConnectFrame(const v1::Connect& connect) {
  v1::ClientFrame frame;
  *frame.mutable_connect() = connect;
  return Encode(frame);
}

v1::Connect ConnectAs(uint32_t version, std::string_view name, std::string_view library = "") {
  v1::Connect connect;
  connect.set_protocol_version(version);
  connect.set_client_name(std::string(name));
  connect.set_client_library(std::string(library));
  return connect;
}

// ---- Bytes that are no frames ----

TEST_F(BadInputTest, RandomBytesGetAnAnswerAndAnEnd) {
  std::mt19937_64 random(20'261'124);
  for (int round = 0; round < 400; ++round) {
    SCOPED_TRACE(round);
    std::string garbage(1 + random() % 3000, '\0');
    for (char& byte : garbage) byte = static_cast<char>(random());
    WireClient client = round % 2 == 0 ? WireClient(broker_.port()) : Connected();
    client.SendRaw(garbage);
    client.EndInput();
    const WireClient::Rest rest = client.ReadToEnd();
    ASSERT_TRUE(rest.goodbye.has_value());
    // What looks like the beginning of a longer frame is only found out at its end.
    EXPECT_THAT(
        rest.goodbye->reason(),
        ::testing::AnyOf(v1::REASON_PROTOCOL_ERROR, v1::REASON_FRAME_TOO_LARGE, v1::REASON_CLIENT_CLOSED));
    bystanders_.Beat();
  }
}

TEST_F(BadInputTest, OfAFrameThatNeverEndsNothingIsDelivered) {
  WireClient subscriber = Connected("subscriber");
  subscriber.Subscribe(1, "truncated");
  const std::string frame = PublishFrame("truncated", "never to be seen");
  for (size_t bytes = 1; bytes < frame.size(); ++bytes) {
    WireClient client = Connected("truncating");
    client.SendRaw(std::string_view(frame).substr(0, bytes));
    client.EndInput();
    client.ExpectGoodbye(v1::REASON_CLIENT_CLOSED);
  }
  EXPECT_EQ(broker_.Metric("sluice_frames_truncated_total"), static_cast<double>(frame.size() - 1));
  EXPECT_THAT(broker_.LogLines("client closed within a frame"), ::testing::Not(IsEmpty()));
  WireClient client = Connected();
  client.SendRaw(frame);
  client.Publish("truncated", "the end");
  EXPECT_EQ(subscriber.NextMessage().message.payload(), "never to be seen");
  EXPECT_EQ(subscriber.NextMessage().message.payload(), "the end");
}

TEST_F(BadInputTest, LengthsThatNoFrameMayHaveAreRefused) {
  for (const uint64_t length :
       {uint64_t{1} << 28, (uint64_t{1} << 31) - 1, uint64_t{1} << 31, (uint64_t{1} << 32) - 1,
        uint64_t{1} << 32, (uint64_t{1} << 63) - 1, uint64_t{1} << 63, ~uint64_t{0}}) {
    SCOPED_TRACE(length);
    ExpectRefused(Varint(length) + "what follows", v1::ERROR_CODE_BAD_FRAME, v1::REASON_PROTOCOL_ERROR);
    ExpectRefusedAtOnce(Varint(length), v1::ERROR_CODE_BAD_FRAME, v1::REASON_PROTOCOL_ERROR);
  }
  for (const std::string_view padded :
       {std::string_view("\x80\x00", 2), std::string_view("\x85\x80\x00", 3),
        std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11)}) {
    ExpectRefused(padded, v1::ERROR_CODE_BAD_FRAME, v1::REASON_PROTOCOL_ERROR);
    ExpectRefusedAtOnce(padded, v1::ERROR_CODE_BAD_FRAME, v1::REASON_PROTOCOL_ERROR);
  }
}

TEST_F(BadInputTest, LengthsOverTheMaximumAreRefusedBeforeTheFrameComes) {
  ExpectRefused(Varint((1 << 28) - 1), v1::ERROR_CODE_FRAME_TOO_LARGE, v1::REASON_FRAME_TOO_LARGE);
  ExpectRefused(Varint(3 << 20), v1::ERROR_CODE_FRAME_TOO_LARGE, v1::REASON_FRAME_TOO_LARGE);
  ExpectRefusedAtOnce(Varint((16 << 10) + 1), v1::ERROR_CODE_FRAME_TOO_LARGE, v1::REASON_FRAME_TOO_LARGE);

  WireClient client(broker_.port());
  client.SendRaw(Varint(20'000));
  const v1::Goodbye goodbye = client.ExpectGoodbye(v1::REASON_FRAME_TOO_LARGE);
  EXPECT_EQ(goodbye.limit(), (16u << 10) + FramePrefixBytes(16 << 10));
  EXPECT_GE(goodbye.value(), 20'000u);
}

TEST_F(BadInputTest, AFrameThatIsNoClientFrameIsRefused) {
  for (const std::string& body : {
           std::string(),                                // no member at all
           std::string("\x12\x05zz"),                    // connect, cut off
           std::string("\x0b\x0c"),                      // a group
           Field(9, "a member that nobody knows"),       // the client would wait for an answer
           Field(28, ""),                                // a Goodbye, which is the broker's to say
           Field(100, "") + Field(1, "\x0a\x01t"),       // a message behind another field
           std::string("\xff\xff\xff\xff\xff\xff\xff"),  // a tag that does not end
       }) {
    SCOPED_TRACE(Printable(body));
    ExpectRefused(Framed(body), v1::ERROR_CODE_BAD_FRAME, v1::REASON_PROTOCOL_ERROR);
  }
}

TEST_F(BadInputTest, AControlFrameHasItsOwnMaximum) {
  std::string body = Field(3, Field(2, std::string(17'000, 'x')));
  ExpectRefused(Framed(body), v1::ERROR_CODE_FRAME_TOO_LARGE, v1::REASON_FRAME_TOO_LARGE);
}

TEST_F(BadInputTest, UnknownFieldsInAControlFrameAreIgnored) {
  WireClient client = Connected();
  client.SendRaw(Framed(Field(3, std::string("\x08\x07", 2) + Field(2, "later") + Field(99, "whatever"))));
  EXPECT_EQ(client.NextOf(v1::ServerFrame::kSubscribed).subscribed().subscription(), 7u);
}

// ---- Publishes that are not what they seem ----

class SmuggledPublishTest : public BadInputTest {
 protected:
  // What came before the bad frame is delivered, nothing of it, and nothing behind it.
  void ExpectNotForwarded(std::string_view bad_body) {
    WireClient subscriber = Connected("subscriber");
    subscriber.Subscribe(1, "smuggle");
    WireClient client = Connected();
    client.SendRaw(PublishFrame("smuggle", "before") + Framed(bad_body) + PublishFrame("smuggle", "behind"));
    EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_BAD_FRAME).publish(), 2u);
    client.ExpectGoodbye(v1::REASON_PROTOCOL_ERROR);
    Connected().Publish("smuggle", "after");
    EXPECT_EQ(subscriber.NextMessage().message.payload(), "before");
    EXPECT_EQ(subscriber.NextMessage().message.payload(), "after");
    bystanders_.Beat();
  }

  const std::string message_ = Field(1, "smuggle") + Field(2, "bad");
};

TEST_F(SmuggledPublishTest, ASecondFieldBesideAPublishIsRefused) {
  ExpectNotForwarded(Field(1, message_) + Field(28, ""));          // Goodbye, to a subscriber
  ExpectNotForwarded(Field(1, message_) + Field(16, "\x08\x09"));  // Delivery
  ExpectNotForwarded(Field(1, message_) + Field(1, message_));
  ExpectNotForwarded(Field(1, message_) + Field(2, "\x08\x01"));
  ExpectNotForwarded(Field(1, message_) + Field(40, "of a stream"));
  ExpectNotForwarded(Field(1, message_) + std::string(1, '\0'));
}

TEST_F(SmuggledPublishTest, AFieldOfTheBrokerInsideAMessageIsRefused) {
  for (const uint32_t number : {5u, 15u, 16u, 17u, 40u, 1000u, (1u << 29) - 1}) {
    SCOPED_TRACE(number);
    ExpectNotForwarded(Field(1, message_ + Field(number, "x")));
  }
}

TEST_F(SmuggledPublishTest, AFieldTwiceOrInAnotherFormIsRefused) {
  ExpectNotForwarded(Field(1, message_ + Field(2, "again")));
  ExpectNotForwarded(Field(1, Field(1, "other") + message_));
  ExpectNotForwarded(Field(1, Field(1, "smuggle") + std::string("\x12\x83\x00"
                                                                "bad",
                                                                6)));    // a padded length
  ExpectNotForwarded(Field(1, std::string("\x8a\x00\x07smuggle", 10)));  // a padded tag
  ExpectNotForwarded(Field(1, Field(1, "smuggle") + "\x12\x7f"));        // longer than the message
  ExpectNotForwarded(Field(1, message_ + Field(4, Field(1, "name") + Field(1, "name"))));
  ExpectNotForwarded(Field(1, Field(1, "smuggl\xff") + Field(2, "bad")));
  ExpectNotForwarded(Field(1, message_ + Field(4, Field(1, "\xc0\x80"))));
}

// ---- The opening ----

TEST_F(BadInputTest, NothingGoesBeforeConnect) {
  v1::ClientFrame subscribe;
  subscribe.mutable_subscribe()->set_subscription(1);
  subscribe.mutable_subscribe()->set_filter("too.early");
  v1::ClientFrame ping;
  ping.mutable_ping();
  for (const std::string& frame : {PublishFrame("too.early", "x"), Encode(subscribe), Encode(ping)}) {
    ExpectRefusedAtOnce(frame, v1::ERROR_CODE_NOT_CONNECTED, v1::REASON_PROTOCOL_ERROR);
  }
}

TEST_F(BadInputTest, AVersionThatIsNotSpokenIsRefused) {
  ExpectRefusedAtOnce(ConnectFrame(ConnectAs(0, "ancient")), v1::ERROR_CODE_UNSUPPORTED_VERSION,
                      v1::REASON_UNSUPPORTED_VERSION);
}

TEST_F(BadInputTest, ANewerClientIsToldWhatIsSpokenHere) {
  WireClient client(broker_.port());
  client.SendRaw(ConnectFrame(ConnectAs(1000, "from the future")));
  EXPECT_EQ(client.NextOf(v1::ServerFrame::kConnected).connected().protocol_version(), kProtocolVersion);
}

TEST_F(BadInputTest, ASecondConnectIsRefused) {
  ExpectRefused(ConnectFrame(ConnectAs(1, "again")), v1::ERROR_CODE_ALREADY_CONNECTED,
                v1::REASON_PROTOCOL_ERROR);
}

TEST_F(BadInputTest, NamesThatCouldUpsetALogAreRefused) {
  for (const std::string& name : {std::string("line\nbreak"), std::string("bell\a"), std::string("\x1b[2J"),
                                  std::string("nul\0", 4), std::string(129, 'x')}) {
    SCOPED_TRACE(Printable(name));
    ExpectRefusedAtOnce(ConnectFrame(ConnectAs(1, name)), v1::ERROR_CODE_BAD_CONNECT,
                        v1::REASON_PROTOCOL_ERROR);
    ExpectRefusedAtOnce(ConnectFrame(ConnectAs(1, "fine", name)), v1::ERROR_CODE_BAD_CONNECT,
                        v1::REASON_PROTOCOL_ERROR);
  }
  // Not even a string, says the parser.
  ExpectRefusedAtOnce(Framed(Field(2, std::string("\x08\x01", 2) + Field(2, "\xff\xfe"))),
                      v1::ERROR_CODE_BAD_FRAME, v1::REASON_PROTOCOL_ERROR);
  Connected(std::string(128, 'x')).Ping();
  Connected("größe ✓").Ping();
  Connected("").Ping();
}

TEST_F(BadInputTest, FramesBehindARefusedConnectAreNotLookedAt) {
  WireClient subscriber = Connected("subscriber");
  subscriber.Subscribe(1, "unheard");
  WireClient client(broker_.port());
  client.SendRaw(ConnectFrame(ConnectAs(0, "ancient")) + PublishFrame("unheard", "x"));
  client.ExpectGoodbye(v1::REASON_UNSUPPORTED_VERSION);
  Connected().Publish("unheard", "heard");
  EXPECT_EQ(subscriber.NextMessage().message.payload(), "heard");
}

// ---- Requests that are refused while the session goes on ----

TEST_F(BadInputTest, InvalidTopicsAreRefusedByTheNumberOfTheirPublish) {
  const std::string long_token(256, 'x');
  std::string many_tokens = "x";
  for (int i = 0; i < 32; ++i) many_tokens += ".x";
  const std::vector<std::string> topics = {
      "",      ".",        "a..b",     ".a", "a.", "a b",   " ",   "a\tb",
      "a\nb",  "a.*",      "a.>",      "*",  ">",  "a*b.c", "a>b", std::string("a\0b", 3),
      "a\x7f", long_token, many_tokens};
  WireClient client = Connected();
  uint64_t number = 0;
  for (const std::string& topic : topics) {
    SCOPED_TRACE(Printable(topic));
    client.Publish(topic, "x");
    EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_BAD_TOPIC).publish(), ++number);
    if (!topic.empty()) {  // without a reply_to is what most messages are
      client.Publish("fine", "x", topic);
      EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_BAD_TOPIC).publish(), ++number);
    }
    bystanders_.Beat();
  }
  const v1::PublishAck ack = client.Ack();
  EXPECT_EQ(ack.up_to(), number);
  EXPECT_EQ(ack.messages(), number);
  EXPECT_EQ(ack.refused(), number);
  EXPECT_EQ(ack.matched(), 0u);

  client.Publish(long_token.substr(1), "x");
  client.Publish(many_tokens.substr(2), "x");
  EXPECT_EQ(client.Ack().refused(), 0u);
}

TEST_F(BadInputTest, InvalidFiltersAreRefused) {
  const std::string long_token(256, 'x');
  std::string many_tokens = "x";
  for (int i = 0; i < 32; ++i) many_tokens += ".*";
  WireClient client = Connected();
  for (const std::string& filter :
       {std::string(), std::string("."), std::string("a..b"), std::string(".a"), std::string("a."),
        std::string("a b"), std::string("a\n"), std::string(">.a"), std::string("a.>.b"), std::string("a*"),
        std::string("*a"), std::string("a>"), std::string("a.**"), std::string("a.>>"),
        std::string("nul\0", 4), long_token, many_tokens}) {
    SCOPED_TRACE(Printable(filter));
    client.SendSubscribe(9, filter);
    EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_BAD_FILTER).subscription(), 9u);
    bystanders_.Beat();
  }
  client.Subscribe(9, long_token.substr(1));
  client.Subscribe(10, many_tokens.substr(2));
  client.Subscribe(11, ">");
  client.Subscribe(12, "*");
}

TEST_F(BadInputTest, IdsOfSubscriptionsAreChecked) {
  WireClient client = Connected();
  client.SendSubscribe(0, "ids");
  EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_BAD_SUBSCRIPTION).subscription(), 0u);
  client.Subscribe(1, "ids");
  client.Subscribe(~0u, "ids");
  client.SendSubscribe(1, "ids.other");
  EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_DUPLICATE_SUBSCRIPTION).subscription(), 1u);
  client.SendUnsubscribe(2);
  EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_UNKNOWN_SUBSCRIPTION).subscription(), 2u);
  client.SendUnsubscribe(0);
  EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_UNKNOWN_SUBSCRIPTION).subscription(), 0u);

  // The one that is in use has not suffered, and its id is free once it has ended.
  client.Publish("ids", "x");
  client.NextMessage();
  client.NextMessage();
  client.SendUnsubscribe(1);
  EXPECT_EQ(client.NextOf(v1::ServerFrame::kUnsubscribed).unsubscribed().offered(), 1u);
  client.SendUnsubscribe(1);
  client.ExpectError(v1::ERROR_CODE_UNKNOWN_SUBSCRIPTION);
  client.Subscribe(1, "ids.other");
}

class FewSubscriptionsTest : public BadInputTest {
 protected:
  FewSubscriptionsTest() : BadInputTest({"--subscriptions-per-session-max=10"}) {}
};

TEST_F(FewSubscriptionsTest, NoMoreSubscriptionsThanAllowed) {
  WireClient client = Connected();
  EXPECT_EQ(client.connected().limits().subscriptions_max(), 10u);
  for (uint32_t id = 1; id <= 10; ++id) client.Subscribe(id, "many");
  client.SendSubscribe(11, "many");
  EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_TOO_MANY_SUBSCRIPTIONS).subscription(), 11u);
  client.SendUnsubscribe(3);
  client.NextOf(v1::ServerFrame::kUnsubscribed);
  client.Subscribe(11, "many");
}

class SmallMessagesTest : public BadInputTest {
 protected:
  SmallMessagesTest()
      : BadInputTest({"--max-message=4KiB", "--max-headers=1KiB", "--pending-bytes-max=64KiB",
                      "--pending-messages-max=1000", "--pending-age-max=10s"}) {}

  static v1::ClientFrame MessageWithHeaders(int headers, size_t value_bytes, std::string_view name = "n") {
    v1::ClientFrame frame;
    frame.mutable_message()->set_topic("large");
    for (int i = 0; i < headers; ++i) {
      v1::Header* header = frame.mutable_message()->add_headers();
      header->set_name(std::string(name));
      header->set_value(std::string(value_bytes, 'v'));
    }
    return frame;
  }
};

TEST_F(SmallMessagesTest, APayloadOverTheMaximumIsRefused) {
  WireClient subscriber = Connected("subscriber");
  subscriber.Subscribe(1, "large");
  WireClient client = Connected();
  EXPECT_EQ(client.connected().limits().payload_bytes_max(), 4096u);
  client.Publish("large", std::string(4097, 'x'));
  EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_PAYLOAD_TOO_LARGE).publish(), 1u);
  client.Publish("large", std::string(4096, 'y'));
  EXPECT_EQ(client.Ack().refused(), 1u);
  EXPECT_EQ(subscriber.NextMessage().message.payload(), std::string(4096, 'y'));

  client.Publish("large", std::string(40'000, 'x'));
  client.ExpectError(v1::ERROR_CODE_FRAME_TOO_LARGE);
  client.ExpectGoodbye(v1::REASON_FRAME_TOO_LARGE);
}

TEST_F(SmallMessagesTest, HeadersOverTheMaximumAreRefused) {
  WireClient subscriber = Connected("subscriber");
  subscriber.Subscribe(1, "large");
  WireClient client = Connected();
  EXPECT_EQ(client.connected().limits().headers_bytes_max(), 1024u);
  client.Send(MessageWithHeaders(1, 1024));
  EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_BAD_HEADERS).publish(), 1u);
  client.Send(MessageWithHeaders(257, 1));
  EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_BAD_HEADERS).publish(), 2u);
  client.Send(MessageWithHeaders(1, 5, ""));
  EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_BAD_HEADERS).publish(), 3u);
  client.Send(MessageWithHeaders(256, 3));
  client.Send(MessageWithHeaders(1, 1023));
  EXPECT_EQ(client.Ack().refused(), 3u);
  EXPECT_THAT(subscriber.NextMessage().message.headers(), SizeIs(256));
  EXPECT_THAT(subscriber.NextMessage().message.headers(0).value(), SizeIs(1023));
}

TEST_F(SmallMessagesTest, LimitsThatCannotBeGrantedAreRefused) {
  WireClient client = Connected();
  const v1::SubscriptionLimits& highest = client.connected().limits().highest_limits();
  EXPECT_EQ(highest.pending_bytes_max(), 65'536u);
  EXPECT_EQ(highest.pending_messages_max(), 1000u);
  EXPECT_EQ(highest.pending_age_max_ms(), 10'000u);

  // Twice the largest frame: payload, headers, topics, and their framing.
  const uint32_t body_bytes_max = 4096 + 1024 + 4670;
  const uint64_t bytes_min = 2 * (FramePrefixBytes(body_bytes_max) + body_bytes_max);
  for (const SubscribeOptions& refused :
       {SubscribeOptions{.pending_bytes_max = 1}, SubscribeOptions{.pending_bytes_max = bytes_min - 1},
        SubscribeOptions{.pending_bytes_max = 65'537}, SubscribeOptions{.pending_bytes_max = ~uint64_t{0}},
        SubscribeOptions{.pending_messages_max = 1001}, SubscribeOptions{.pending_age_max_ms = 10'001},
        SubscribeOptions{.pending_age_max_ms = ~uint64_t{0}}}) {
    client.SendSubscribe(1, "limits", refused);
    const v1::Error error = client.ExpectError(v1::ERROR_CODE_BAD_LIMITS);
    EXPECT_EQ(error.subscription(), 1u);
    EXPECT_THAT(error.text(), HasSubstr("allowed"));
  }
  const v1::Subscribed granted = client.Subscribe(
      1, "limits", {.pending_bytes_max = bytes_min, .pending_messages_max = 1, .pending_age_max_ms = 1});
  EXPECT_EQ(granted.limits().pending_bytes_max(), bytes_min);
  EXPECT_EQ(granted.limits().pending_messages_max(), 1u);
  EXPECT_EQ(granted.limits().pending_age_max_ms(), 1u);
  EXPECT_EQ(client.Subscribe(2, "limits").limits().pending_bytes_max(), 65'536u);
}

TEST_F(BadInputTest, PoliciesThatAreNotOfferedAreRefused) {
  WireClient client = Connected();
  for (const auto policy : {static_cast<v1::OverflowPolicy>(6), static_cast<v1::OverflowPolicy>(77)}) {
    client.SendSubscribe(4, "policies", {.overflow = policy});
    EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_UNSUPPORTED_POLICY).subscription(), 4u);
  }
  client.SendSubscribe(4, "policies", {.conflate_header = "key"});
  EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_UNSUPPORTED_POLICY).subscription(), 4u);
  EXPECT_EQ(client.Subscribe(4, "policies", {.overflow = v1::OVERFLOW_POLICY_DISCONNECT}).overflow(),
            v1::OVERFLOW_POLICY_DISCONNECT);
}

TEST_F(BadInputTest, NamesOfQueueGroupsFollowTheRulesOfATopic) {
  WireClient client = Connected();
  for (const std::string& group : {std::string("a b"), std::string("a\n"), std::string("a..b"),
                                   std::string("*"), std::string("a.>"), std::string(256, 'x')}) {
    SCOPED_TRACE(Printable(group));
    client.SendSubscribe(4, "groups", {.queue_group = group});
    EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_BAD_QUEUE_GROUP).subscription(), 4u);
  }
  client.Subscribe(4, "groups", {.queue_group = "workers.blue"});
  client.Subscribe(5, "groups", {.queue_group = std::string(255, 'x')});
}

TEST_F(BadInputTest, TheBrokersOwnTopicsAreNotForEverybody) {
  WireClient owner = Connected("owner");
  const std::string inbox = owner.connected().inbox();
  WireClient client = Connected();
  for (const std::string& topic : {std::string("$sys"), std::string("$sys.x"), std::string("$"),
                                   std::string("$inbox"), std::string("$inboxes.x")}) {
    SCOPED_TRACE(topic);
    client.Publish(topic, "x");
    client.ExpectError(v1::ERROR_CODE_NOT_PERMITTED);
  }
  for (const std::string& filter :
       {std::string("$sys"), std::string("$sysx.>"), std::string("$inbox.>"), std::string("$inbox.*.x"),
        inbox + ".>", inbox, client.connected().inbox(), client.connected().inbox() + "x.>"}) {
    SCOPED_TRACE(filter);
    client.SendSubscribe(1, filter);
    EXPECT_EQ(client.ExpectError(v1::ERROR_CODE_NOT_PERMITTED).subscription(), 1u);
  }
  // A filter that begins with a wildcard does not see them, its owner does.
  client.Subscribe(1, ">");
  client.Subscribe(2, "*.*.reply");
  owner.Subscribe(1, inbox + ".>");
  client.Publish(inbox + ".reply", "for the owner only");
  client.Publish("seen.by.reply", "for the client");
  EXPECT_EQ(owner.NextMessage().message.payload(), "for the owner only");
  EXPECT_EQ(client.NextMessage().message.payload(), "for the client");
  EXPECT_EQ(client.NextMessage().message.payload(), "for the client");
}

// ---- Those who keep the broker waiting ----

class ImpatientTest : public BadInputTest {
 protected:
  ImpatientTest() : BadInputTest({"--connect-timeout=1s", "--frame-timeout=400ms"}) {}

  // Sends a byte each 50 ms until the broker says Goodbye.
  v1::Goodbye Trickle(WireClient* client, std::string_view bytes, v1::Reason reason) {
    for (const char byte : bytes) {
      pollfd readable = {.fd = client->socket().fd(), .events = POLLIN, .revents = 0};
      if (::poll(&readable, 1, 50) > 0) break;
      if (!client->TrySendRaw({&byte, 1})) break;
    }
    return client->ExpectGoodbye(reason);
  }
};

TEST_F(ImpatientTest, OneThatConnectsAndSaysNothingIsCut) {
  WireClient client(broker_.port());
  const Clock::time_point began = Clock::now();
  const v1::Goodbye goodbye = client.ExpectGoodbye(v1::REASON_CONNECT_TIMEOUT);
  EXPECT_EQ(goodbye.limit(), 1000u);
  EXPECT_GE(goodbye.value(), 1000u);
  EXPECT_GE(Clock::now() - began, std::chrono::milliseconds(900));
}

TEST_F(ImpatientTest, OneThatSendsItsConnectByteByByteIsCutAllTheSame) {
  WireClient client(broker_.port());
  const std::string bytes = ConnectFrame(ConnectAs(1, std::string(120, 'x')));
  Trickle(&client, bytes, v1::REASON_CONNECT_TIMEOUT);
}

TEST_F(ImpatientTest, AFrameThatStopsHalfWayIsCut) {
  WireClient client = Connected();
  client.SendRaw(PublishFrame("half", "a payload").substr(0, 7));
  const v1::Goodbye goodbye = client.ExpectGoodbye(v1::REASON_FRAME_TIMEOUT);
  EXPECT_EQ(goodbye.limit(), 400u);
}

class LessImpatientTest : public BadInputTest {
 protected:
  LessImpatientTest() : BadInputTest({"--frame-timeout=2s"}) {}
};

TEST_F(LessImpatientTest, AFrameThatComesSlowlyButComesIsTaken) {
  WireClient subscriber = Connected("subscriber");
  subscriber.Subscribe(1, "slow");
  WireClient client = Connected();
  const std::string frame = PublishFrame("slow", "coach");
  for (const char byte : frame) {  // twice the timeout in all
    ::poll(nullptr, 0, 4000 / static_cast<int>(frame.size()));
    client.SendRaw({&byte, 1});
  }
  EXPECT_EQ(subscriber.NextMessage().message.payload(), "coach");
}

// ---- Memory ----

TEST_F(BadInputTest, ManyThatClaimALargeFrameAndSendNothingOfItCostLittle) {
  constexpr size_t kClaiming = 2000;
  std::vector<WireClient> clients;
  clients.reserve(kClaiming);
  for (size_t i = 0; i < kClaiming; ++i) clients.push_back(Connected("claiming"));
  bystanders_.Beat();
  const uint64_t before = broker_.ResidentBytes();
  for (WireClient& client : clients) client.SendRaw(Varint(1 << 20) + "\x0a");
  bystanders_.Beat(100);
  // All of it has been read: nothing else is left to read than what the bystanders send.
  broker_.WaitForMetric("sluice_connections_open", kClaiming + 2);
  if (!kSanitized) {
    EXPECT_LE(broker_.ResidentBytes() - before, kClaiming * (10 << 10));
  }

  // Before Connect such a claim is refused.
  std::vector<WireClient> strangers;
  for (size_t i = 0; i < kClaiming; ++i) {
    strangers.emplace_back(broker_.port());
    strangers.back().SendRaw(Varint(1 << 20));
  }
  for (WireClient& stranger : strangers) stranger.ExpectGoodbye(v1::REASON_FRAME_TOO_LARGE);
  if (!kSanitized) {
    EXPECT_LE(broker_.ResidentBytes() - before, kClaiming * (20 << 10));
  }
}

// ---- Room ----

class CrowdedTest : public BadInputTest {
 protected:
  CrowdedTest() : BadInputTest({"--connections-max=20"}) {}
};

TEST_F(CrowdedTest, ConnectionsOverTheMaximumAreTurnedAway) {
  std::vector<WireClient> clients;
  while (clients.size() < 18) clients.push_back(Connected());  // with the bystanders that is full
  for (int i = 0; i < 50; ++i) {
    WireClient over(broker_.port());
    const v1::Goodbye goodbye = over.ExpectGoodbye(v1::REASON_TOO_MANY_CONNECTIONS);
    EXPECT_GT(goodbye.retry_after_ms(), 0u);
    EXPECT_THAT(goodbye.text(), HasSubstr("20"));
    bystanders_.Beat();
  }
  EXPECT_EQ(broker_.Metric("sluice_connections_refused_total"), 50);
  // Also all at once.
  std::vector<WireClient> crowd;
  for (int i = 0; i < 200; ++i) crowd.emplace_back(broker_.port());
  size_t told = 0;
  for (WireClient& over : crowd) told += over.ReadToEnd().goodbye.has_value() ? 1 : 0;
  EXPECT_GE(told, 50u);
  for (WireClient& client : clients) client.Ping();

  clients.pop_back();
  broker_.WaitForMetric("sluice_connections_open", 19);
  Connected().Ping();
}

TEST_F(BadInputTest, OutOfDescriptorsItKeepsServingAndRecovers) {
  std::vector<WireClient> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(Connected());
  // The undefined behaviour sanitizer opens a pipe when it sees a class for the first time: it must have seen
  // all that comes below.
  clients.back().Ping();
  broker_.LimitDescriptors(broker_.OpenDescriptors() + 3);
  // The first ones find room, the others are told that there is none.
  size_t told = 0;
  for (int i = 0; i < 30; ++i) {
    WireClient client(broker_.port());
    client.SendRaw(ConnectFrame(ConnectAs(1, "one too many")));
    const std::optional<v1::ServerFrame> answer = client.NextFrame();
    ASSERT_TRUE(answer.has_value());
    if (answer->has_connected()) {
      clients.push_back(std::move(client));
      continue;
    }
    EXPECT_EQ(answer->goodbye().reason(), v1::REASON_OUT_OF_RESOURCES);
    EXPECT_GT(answer->goodbye().retry_after_ms(), 0u);
    ++told;
    bystanders_.Beat();
  }
  EXPECT_GE(told, 20u);
  for (WireClient& client : clients) client.Ping();
  EXPECT_THAT(broker_.LogLines("out of file descriptors"), SizeIs(1));
  const double cpu_before = broker_.CpuSeconds();
  ::poll(nullptr, 0, 300);
  if (!kSanitized) {  // and it does not spin
    EXPECT_LE(broker_.CpuSeconds() - cpu_before, 0.1);
  }

  broker_.LimitDescriptors(1000);
  for (int i = 0; i < 20; ++i) clients.push_back(Connected());
  for (WireClient& client : clients) client.Ping();
  const uint64_t descriptors = broker_.OpenDescriptors();
  clients.clear();
  broker_.WaitForMetric("sluice_connections_open", 2);
  EXPECT_LE(broker_.OpenDescriptors(), descriptors - 30);
}

}  // namespace
}  // namespace sluice::testing
