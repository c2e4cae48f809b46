#include "protocol/publish.h"

#include <gtest/gtest.h>

#include <random>

#include "protocol/frame.h"
#include "protocol/sluice.pb.h"

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

TEST(CheckPublish, RefusesEveryTruncation) {
  const std::string body = Body(Sample());
  for (size_t size = 0; size < body.size(); ++size) {
    EXPECT_EQ(Check(body.substr(0, size)), PublishVerdict::kBadFrame) << size;
  }
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

TEST(CheckPublish, RefusesWhatIsNotCanonical) {
  EXPECT_EQ(Check(Wrap("\x0a\x01t\x0a\x01t")), PublishVerdict::kBadFrame);                   // twice
  EXPECT_EQ(Check(Wrap(std::string("\x0a\x81\x00t", 4))), PublishVerdict::kBadFrame);        // padded length
  EXPECT_EQ(Check(Wrap("\x0a\x01t\x22\x06\x0a\x01n\x0a\x01m")), PublishVerdict::kBadFrame);  // name twice
  EXPECT_EQ(Check(Wrap("\x0a\x01\xff")), PublishVerdict::kBadFrame);                         // not UTF-8
  EXPECT_EQ(Check(Wrap("\x0a\x01t\x1a\x01\xff")), PublishVerdict::kBadFrame);                // not UTF-8
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
