#include "protocol/publish.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "protocol/frame.h"
#include "protocol/sluice.pb.h"
#include "protocol/topic.h"
#include "tests/support/canonical_body.h"

namespace sluice {
namespace {

v1::Message Sample() {
  v1::Message message;
  message.set_topic("ticks.nyse.IBM");
  message.set_payload(std::string("\x00\xff payload", 10));
  message.set_reply_to("$inbox.a.1");
  auto* header = message.add_headers();
  header->set_name("key");
  header->set_value("value");
  return message;
}

// The checker knows the fields of Message and Header by these tags: number << 3 | 2.
static_assert(v1::ClientFrame::kMessageFieldNumber == 1 && v1::ServerFrame::kMessageFieldNumber == 1);
static_assert(v1::Message::kTopicFieldNumber == 1 && v1::Message::kPayloadFieldNumber == 2);
static_assert(v1::Message::kReplyToFieldNumber == 3 && v1::Message::kHeadersFieldNumber == 4);
static_assert(v1::Header::kNameFieldNumber == 1 && v1::Header::kValueFieldNumber == 2);

std::string Body(const v1::Message& message) {
  v1::ClientFrame frame;
  *frame.mutable_message() = message;
  return frame.SerializeAsString();
}

// `inside` as the one field of a frame, whatever it is.
std::string Wrap(const std::string& inside) {
  EXPECT_LT(inside.size(), 128u);
  return std::string("\x0a") + static_cast<char>(inside.size()) + inside;
}

PublishVerdict Check(const std::string& body, PublishLimits limits = {}) {
  PublishView view;
  return CheckPublish(body, limits, &view);
}

TEST(CheckPublish, AcceptsWhatGeneratedCodeWritesAndShowsItsParts) {
  const std::string body = Body(Sample());
  EXPECT_TRUE(IsPublish(body));
  PublishView view;
  ASSERT_EQ(CheckPublish(body, {}, &view), PublishVerdict::kOk);
  EXPECT_EQ(view.topic, "ticks.nyse.IBM");
  EXPECT_EQ(view.payload, Sample().payload());
  EXPECT_EQ(view.reply_to, "$inbox.a.1");
  EXPECT_EQ(view.headers, 1u);
  MessageView message;
  ASSERT_TRUE(ReadMessage(body, &message));
  EXPECT_EQ(message.topic, view.topic);
  ASSERT_EQ(message.headers.size(), 1u);
  EXPECT_EQ(message.headers[0].name, "key");
  EXPECT_EQ(message.headers[0].value, "value");
}

// Publishes of several shapes: all lengths of one byte, lengths of two and three bytes, every field and none.
std::vector<v1::Message> Samples() {
  std::vector<v1::Message> samples = {Sample()};
  samples.emplace_back().set_topic("t");
  v1::Message& large = samples.emplace_back(Sample());
  large.set_topic(std::string(200, 't'));
  large.set_payload(std::string(20'000, '\x80'));
  for (int i = 0; i < 3; ++i) {
    auto* header = large.add_headers();
    header->set_name("größe " + std::to_string(i));
    header->set_value(std::string(130, 'v'));
  }
  return samples;
}

TEST(PeekTopic, IsThatOfTheFirstOfSeveralFramesAndOfNoneThatIsCut) {
  for (const v1::Message& sample : Samples()) {
    const std::string body = Body(sample);
    std::string frames;
    for (uint32_t length = static_cast<uint32_t>(body.size()); length > 0; length >>= 7) {
      frames.push_back(static_cast<char>(length >= 0x80 ? length | 0x80 : length));
    }
    frames += body;
    EXPECT_EQ(PeekTopic(frames + frames), sample.topic());
    for (const size_t cut : {size_t{0}, size_t{1}, frames.size() - 1}) {
      EXPECT_EQ(PeekTopic(frames.substr(0, cut)), "") << cut;
    }
  }
  EXPECT_EQ(PeekTopic("\xff\xff\xff\xff\xff"), "");
  EXPECT_EQ(PeekTopic(std::string_view("\x04\x0a\x02\x12\x00", 5)), "");  // another field comes first
}

TEST(CheckPublish, RefusesEveryTruncation) {
  for (const v1::Message& sample : Samples()) {
    const std::string body = Body(sample);
    ASSERT_EQ(Check(body), PublishVerdict::kOk);
    for (size_t size = 0; size < body.size(); ++size) {
      ASSERT_EQ(Check(body.substr(0, size)), PublishVerdict::kBadFrame) << size << " of " << body.size();
    }
  }
}

TEST(CheckPublish, RefusesEveryTruncationOfTheInsideUnlessItEndsBetweenFields) {
  const std::string inside = Sample().SerializeAsString();
  size_t accepted = 0;
  for (size_t size = 0; size < inside.size(); ++size) {
    const PublishVerdict verdict = Check(Wrap(inside.substr(0, size)));
    if (verdict == PublishVerdict::kOk) ++accepted;
    v1::Message message;
    if (!message.ParseFromString(inside.substr(0, size))) {
      EXPECT_EQ(verdict, PublishVerdict::kBadFrame) << size;
    }
  }
  EXPECT_EQ(accepted, 3u);  // behind the topic, the payload, and reply_to
}

// Whether a subscriber's generated parser, and our own, take the frame for what the broker took it for.
::testing::AssertionResult MeansTheSame(const std::string& body, const PublishView& view) {
  MessageView read;
  if (!ReadMessage(body, &read)) return ::testing::AssertionFailure() << "cannot be read by our own client";
  if (read.topic != view.topic || read.payload != view.payload || read.reply_to != view.reply_to ||
      read.headers.size() != view.headers) {
    return ::testing::AssertionFailure() << "says something else to our own client";
  }
  v1::ServerFrame frame;
  if (!frame.ParseFromString(body)) return ::testing::AssertionFailure() << "does not parse";
  if (frame.SerializeAsString() != CanonicalBody(read)) {
    return ::testing::AssertionFailure() << "says something else to the generated parser";
  }
  return ::testing::AssertionSuccess();
}

TEST(CheckPublish, TakesNoChangeOfAByteForSomethingElseThanASubscriberDoes) {
  size_t accepted = 0;
  size_t refused = 0;
  for (const v1::Message& sample : Samples()) {
    const std::string body = Body(sample);
    for (size_t at = 0; at < body.size(); ++at) {
      if (at == 600) at = body.size() - 600;  // the middle of a large payload
      for (int value = 0; value < 256; ++value) {
        std::string changed = body;
        changed[at] = static_cast<char>(value);
        PublishView view;
        if (CheckPublish(changed, {}, &view) != PublishVerdict::kOk) {
          ++refused;
          continue;
        }
        ++accepted;
        ASSERT_TRUE(MeansTheSame(changed, view)) << "byte " << at << " set to " << value;
      }
    }
  }
  EXPECT_GT(accepted, 1000u);
  EXPECT_GT(refused, 1000u);
}

TEST(CheckPublish, TakesNoInsertedOrRemovedByteForSomethingElseThanASubscriberDoes) {
  const std::string body = Body(Sample());
  for (size_t at = 0; at <= body.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = body;
      changed.insert(at, 1, static_cast<char>(value));
      for (int grow : {0, 1}) {  // with the outer length as it was, and made to fit
        changed[1] = static_cast<char>(body[1] + grow);
        PublishView view;
        if (CheckPublish(changed, {}, &view) == PublishVerdict::kOk) {
          ASSERT_TRUE(MeansTheSame(changed, view)) << "byte " << value << " inserted at " << at;
        }
      }
    }
    std::string changed = body;
    changed.erase(at, 1);
    if (at != 1) changed[1] = static_cast<char>(body[1] - 1);
    PublishView view;
    if (CheckPublish(changed, {}, &view) == PublishVerdict::kOk) {
      ASSERT_TRUE(MeansTheSame(changed, view)) << "byte removed at " << at;
    }
  }
}

TEST(CheckPublish, AcceptsFieldsInAnyOrderAndEmptyOnes) {
  EXPECT_EQ(Check(Wrap("\x12\x01p\x0a\x01t")), PublishVerdict::kOk);
  EXPECT_EQ(Check(Wrap(std::string("\x0a\x01t\x12\x00\x1a\x00", 7))), PublishVerdict::kOk);
  EXPECT_EQ(Check(Wrap("\x0a\x01t\x22\x06\x12\x01v\x0a\x01n")), PublishVerdict::kOk);
}

TEST(CheckPublish, ShowsWhatItRefusesPolitely) {
  v1::Message message = Sample();
  message.set_topic("a..b");
  const std::string body = Body(message);
  PublishView view;
  ASSERT_EQ(CheckPublish(body, {}, &view), PublishVerdict::kBadTopic);
  EXPECT_EQ(view.topic, "a..b");
  EXPECT_EQ(view.reply_to, "$inbox.a.1");
}

TEST(CheckPublish, TakesAsManyHeadersAsAreAllowedAndNoMore) {
  v1::Message message = Sample();
  while (message.headers_size() < static_cast<int>(kHeadersMax)) message.add_headers()->set_name("n");
  EXPECT_EQ(Check(Body(message)), PublishVerdict::kOk);
  message.add_headers()->set_name("n");
  EXPECT_EQ(Check(Body(message)), PublishVerdict::kBadHeaders);
}

TEST(FrameBodyBytesMax, HoldsTheLargestPublishThatIsAllowed) {
  for (uint64_t payload : {0, 1024, 64 << 20}) {
    for (uint64_t headers : {1024, 16 << 10, 1 << 20}) {
      const PublishLimits limits{.payload_bytes_max = payload, .headers_bytes_max = headers};
      v1::Message message;
      message.set_topic(std::string(kTopicBytesMax, 't'));
      message.set_reply_to(std::string(kTopicBytesMax, 'r'));
      message.set_payload(std::string(payload, 'p'));
      uint64_t left = headers;
      while (message.headers_size() < static_cast<int>(kHeadersMax)) {
        auto* header = message.add_headers();
        header->set_name("n");
        const uint64_t rest = kHeadersMax - message.headers_size();
        header->set_value(std::string(left / (rest + 1) - 1, 'v'));
        left -= header->name().size() + header->value().size();
      }
      const std::string body = Body(message);
      EXPECT_EQ(Check(body, limits), PublishVerdict::kOk) << payload << " " << headers;
      EXPECT_LE(body.size(), FrameBodyBytesMax(limits));
    }
  }
}

// protocol/README.md says this number to clients.
TEST(FrameBodyBytesMax, IsPayloadAndHeadersAndAFixedRest) {
  EXPECT_EQ(FrameBodyBytesMax({.payload_bytes_max = 0, .headers_bytes_max = 0}), 4670u);
  EXPECT_EQ(FrameBodyBytesMax({.payload_bytes_max = 1000, .headers_bytes_max = 200}), 4670u + 1200);
}

TEST(IsPublish, LooksAtTheFirstTagOnly) {
  EXPECT_FALSE(IsPublish(""));
  EXPECT_TRUE(IsPublish("\x0a"));
  EXPECT_FALSE(IsPublish("\x12"));
  EXPECT_FALSE(IsPublish(std::string("\x8a\x00", 2)));  // the same tag, padded
}

TEST(ReadMessage, RefusesEveryTruncation) {
  const std::string body = Body(Sample());
  MessageView view;
  for (size_t size = 0; size < body.size(); ++size) EXPECT_FALSE(ReadMessage(body.substr(0, size), &view));
}

TEST(ReadMessage, RefusesWhatStandsTwice) {
  MessageView view;
  for (const char* twice :
       {"\x0a\x01t\x0a\x01t", "\x0a\x01t\x12\x01p\x12\x01p", "\x0a\x01t\x1a\x01r\x1a\x01r"}) {
    EXPECT_FALSE(ReadMessage(Wrap(twice), &view));
  }
}

TEST(ReadMessage, ForgetsThePreviousMessage) {
  MessageView view;
  const std::string full = Body(Sample());
  const std::string bare = Wrap("\x0a\x01t");
  ASSERT_TRUE(ReadMessage(full, &view));
  ASSERT_TRUE(ReadMessage(bare, &view));
  EXPECT_EQ(view.topic, "t");
  EXPECT_EQ(view.payload, "");
  EXPECT_EQ(view.reply_to, "");
  EXPECT_TRUE(view.headers.empty());
}

TEST(ReadMessage, PassesOverWhatALaterBrokerAddsBehindTheMessage) {
  const std::string message = Wrap("\x0a\x01t");
  const std::string varint = "\xc0\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";  // 40
  const std::string bytes = "\xca\x02\x03sub";                                    // 41
  const std::string fixed64 =
      "\xf9\x02"
      "12345678";  // 47
  const std::string fixed32 =
      "\xfd\x02"
      "1234";  // 47
  for (const std::string& added : {varint, bytes, fixed64, fixed32, varint + bytes + fixed64 + fixed32}) {
    const std::string body = message + added;
    v1::ServerFrame frame;
    ASSERT_TRUE(frame.ParseFromString(body) && frame.has_message());
    MessageView view;
    ASSERT_TRUE(ReadMessage(body, &view));
    EXPECT_EQ(view.topic, "t");
    EXPECT_EQ(Check(body), PublishVerdict::kBadFrame);
    EXPECT_FALSE(ReadMessage(body.substr(0, body.size() - 1), &view));
  }
}

TEST(ReadMessage, RefusesOtherFieldsBehindTheMessage) {
  const std::string message = Wrap("\x0a\x01t");
  MessageView view;
  EXPECT_FALSE(ReadMessage(message + "\xb8\x02\x01", &view));      // 39
  EXPECT_FALSE(ReadMessage(message + "\x80\x03\x01", &view));      // 48
  EXPECT_FALSE(ReadMessage(message + "\xc3\x02\xc4\x02", &view));  // 40, a group
  EXPECT_FALSE(ReadMessage(message + "\xca\x02\x03\xc0\x02", &view));
  EXPECT_FALSE(ReadMessage(message + message, &view));
}

TEST(ReadMessage, RefusesWhatIsNoMessageFrame) {
  v1::ServerFrame goodbye;
  goodbye.mutable_goodbye()->set_reason(v1::REASON_KICKED);
  MessageView view;
  EXPECT_FALSE(ReadMessage("", &view));
  EXPECT_FALSE(ReadMessage(goodbye.SerializeAsString(), &view));
  EXPECT_FALSE(ReadMessage(Body(Sample()) + goodbye.SerializeAsString(), &view));
}

TEST(CheckPublish, RefusesAnythingBesideTheMessage) {
  const std::string body = Body(Sample());
  v1::ServerFrame goodbye;
  goodbye.mutable_goodbye()->set_reason(v1::REASON_KICKED);
  EXPECT_EQ(Check(body + goodbye.SerializeAsString()), PublishVerdict::kBadFrame);
  EXPECT_EQ(Check(goodbye.SerializeAsString() + body), PublishVerdict::kBadFrame);
  EXPECT_EQ(Check(body + body), PublishVerdict::kBadFrame);
  EXPECT_EQ(Check(body + '\0'), PublishVerdict::kBadFrame);
}

TEST(CheckPublish, RefusesTheBrokersFieldsAndUnknownOnes) {
  const std::string topic = "\x0a\x01t";
  EXPECT_EQ(Check(Wrap(topic)), PublishVerdict::kOk);
  EXPECT_EQ(Check(Wrap(topic + "\x82\x01\x01x")), PublishVerdict::kBadFrame);  // 16, bytes
  EXPECT_EQ(Check(Wrap(topic + "\x2a\x01x")), PublishVerdict::kBadFrame);      // 5, bytes
  EXPECT_EQ(Check(Wrap(topic + "\x08\x01")), PublishVerdict::kBadFrame);       // 1, varint
  EXPECT_EQ(Check(Wrap(topic + "\x2b\x2c")), PublishVerdict::kBadFrame);       // a group
}

TEST(CheckPublish, RefusesWhatStandsTwice) {
  const std::string topic = "\x0a\x01t";
  EXPECT_EQ(Check(Wrap(topic + topic)), PublishVerdict::kBadFrame);
  EXPECT_EQ(Check(Wrap(topic + "\x12\x01p\x12\x01p")), PublishVerdict::kBadFrame);
  EXPECT_EQ(Check(Wrap(topic + "\x1a\x01r\x1a\x01r")), PublishVerdict::kBadFrame);
  EXPECT_EQ(Check(Wrap(topic + "\x22\x06\x0a\x01n\x0a\x01m")), PublishVerdict::kBadFrame);
  EXPECT_EQ(Check(Wrap(topic + "\x22\x09\x0a\x01n\x12\x01v\x12\x01v")), PublishVerdict::kBadFrame);
}

TEST(CheckPublish, RefusesWhatIsNotCanonical) {
  EXPECT_EQ(Check(Wrap(std::string("\x0a\x81\x00t", 4))), PublishVerdict::kBadFrame);  // padded length
  EXPECT_EQ(Check(std::string("\x0a\x83\x00\x0a\x01t", 6)), PublishVerdict::kBadFrame);
  EXPECT_EQ(Check("\x0a\x83\x80\x80\x80\x80\x80\x80\x80\x80\x01\x0a\x01t"), PublishVerdict::kBadFrame);
  EXPECT_EQ(Check(Wrap("\x0a\x01\xff")), PublishVerdict::kBadFrame);           // not UTF-8
  EXPECT_EQ(Check(Wrap("\x0a\x01t\x1a\x01\xff")), PublishVerdict::kBadFrame);  // not UTF-8
}

TEST(CheckPublish, RefusesPolitelyWhatIsWellFormed) {
  v1::Message message = Sample();
  message.set_topic("a..b");
  EXPECT_EQ(Check(Body(message)), PublishVerdict::kBadTopic);
  message.clear_topic();
  EXPECT_EQ(Check(Body(message)), PublishVerdict::kBadTopic);
  message = Sample();
  message.set_reply_to("a.*");
  EXPECT_EQ(Check(Body(message)), PublishVerdict::kBadReplyTo);
  message = Sample();
  message.mutable_headers(0)->clear_name();
  EXPECT_EQ(Check(Body(message)), PublishVerdict::kBadHeaders);
}

TEST(CheckPublish, HoldsTheLimitsToTheByte) {
  const PublishLimits limits{.payload_bytes_max = 4, .headers_bytes_max = 8};
  v1::Message message = Sample();
  message.set_payload("1234");
  EXPECT_EQ(Check(Body(message), limits), PublishVerdict::kOk);
  EXPECT_LE(Body(message).size(), FrameBodyBytesMax(limits));
  message.set_payload("12345");
  EXPECT_EQ(Check(Body(message), limits), PublishVerdict::kPayloadTooLarge);
  message = Sample();
  message.set_payload("");
  message.mutable_headers(0)->set_value("value+");
  EXPECT_EQ(Check(Body(message), limits), PublishVerdict::kBadHeaders);
}

TEST(WritePublishFrame, WritesTheBytesOfTheGeneratedCode) {
  std::mt19937 random(7);
  const auto text = [&](size_t bytes_max) { return std::string(random() % (bytes_max + 1), 'x'); };
  for (int round = 0; round < 500; ++round) {
    // Sizes on both sides of the lengths at which a varint grows.
    const size_t payload_max = round % 50 == 0 ? 3 << 20 : round % 5 == 0 ? 40000 : 300;
    v1::ClientFrame frame;
    v1::Message& message = *frame.mutable_message();
    message.set_topic(text(200));
    message.set_payload(text(payload_max));
    message.set_reply_to(text(2));
    for (uint32_t headers = random() % 3; headers > 0; --headers) {
      v1::Header& header = *message.add_headers();
      header.set_name("n" + text(200));
      header.set_value(text(3));
    }
    MessageView view{.topic = message.topic(), .payload = message.payload(), .reply_to = message.reply_to()};
    for (const v1::Header& header : message.headers())
      view.headers.push_back({header.name(), header.value()});

    std::string expected;
    AppendFrame(frame, &expected);
    ASSERT_EQ(PublishFrameBytes(view), expected.size());
    std::string written(expected.size(), '?');
    ASSERT_EQ(WritePublishFrame(view, written.data()), written.data() + written.size());
    ASSERT_EQ(written, expected);
  }
}

}  // namespace
}  // namespace sluice
