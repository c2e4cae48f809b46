#include "broker/core/publisher.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/core/fan_out.h"
#include "broker/core/filter_index.h"
#include "protocol/frame.h"
#include "protocol/sluice.pb.h"
#include "tests/support/frames.h"
#include "tests/support/scripted_transport.h"

namespace sluice {
namespace {

using testing::ReadStream;

class PublisherTest : public ::testing::Test {
 protected:
  PublisherTest() : subscriber_(1, &limits_, &account_) {}

  Subscription* Subscribe(uint32_t id, std::string_view filter) {
    Subscription* subscription = subscriber_.Add(id, {}, v1::OVERFLOW_POLICY_DISCONNECT);
    subscription->told = Subscription::Told::kYes;
    index_.Attach(subscription, index_.FindOrCreate(filter, ""));
    return subscription;
  }

  // As the frame reader hands it over.
  ReceivedFrame Received(std::string_view frame) {
    ReceivedFrame received;
    (void)read_.Room(static_cast<uint32_t>(frame.size()));
    received.offset = read_.Append(frame);
    received.chunk = read_.chunk();
    received.bytes = static_cast<uint32_t>(frame.size());
    const FramePrefix prefix = ReadFramePrefix(frame);
    received.body = std::string_view(received.chunk->data() + received.offset, frame.size());
    received.body.remove_prefix(prefix.prefix_bytes);
    return received;
  }
  PublishOutcome PublishFrame(std::string_view frame) {
    return publisher_.Publish(Received(frame), publish_limits_, &index_, &fan_out_, &view_);
  }
  PublishOutcome Publish(const v1::Message& message) {
    v1::ClientFrame frame;
    *frame.mutable_message() = message;
    std::string bytes;
    AppendFrame(frame, &bytes);
    return PublishFrame(bytes);
  }
  PublishOutcome Publish(std::string_view topic, std::string_view payload = "x",
                         std::string_view reply_to = "") {
    v1::Message message;
    message.set_topic(std::string(topic));
    message.set_payload(std::string(payload));
    message.set_reply_to(std::string(reply_to));
    return Publish(message);
  }
  void FanOutAll() {
    while (fan_out_.Next(now_) != nullptr) {
    }
    (void)subscriber_.Flush(&transport_, scratch_.get(), 1 << 30, now_);
  }

  MemoryAccount account_;
  ChunkPool pool_{256 << 10, &account_};
  OpenChunk read_{&pool_};
  FilterIndex index_{100};
  FanOut fan_out_{&pool_};
  SubscriberLimits limits_;
  Subscriber subscriber_;
  testing::ScriptedTransport transport_;
  std::unique_ptr<WriteScratch> scratch_ = std::make_unique<WriteScratch>();
  PublishLimits publish_limits_ = {.payload_bytes_max = 1000, .headers_bytes_max = 100};
  Publisher publisher_;
  PublishView view_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
};

TEST_F(PublisherTest, BringsTheVeryBytesToThoseWhoSubscribed) {
  Subscribe(7, "a.*");
  v1::ClientFrame frame;
  v1::Message* message = frame.mutable_message();
  message->set_topic("a.b");
  message->set_payload(std::string("\0\xff payload", 10));
  message->set_reply_to("r");
  v1::Header* header = message->add_headers();
  header->set_name("n");
  header->set_value("v");
  std::string bytes;
  AppendFrame(frame, &bytes);
  EXPECT_EQ(PublishFrame(bytes), PublishOutcome::kTaken);
  EXPECT_EQ(view_.topic, "a.b");
  EXPECT_EQ(view_.reply_to, "r");
  FanOutAll();
  const std::string& stream = transport_.stream();
  EXPECT_EQ(stream.substr(stream.size() - bytes.size()), bytes);
  EXPECT_EQ(ReadStream(stream).deliveries, 1u);
}

TEST_F(PublisherTest, NumbersPublishesFromOneAndRefusedOnesToo) {
  Subscribe(1, "a");
  EXPECT_EQ(publisher_.published(), 0u);
  EXPECT_EQ(Publish("a"), PublishOutcome::kTaken);
  EXPECT_EQ(publisher_.published(), 1u);
  EXPECT_EQ(Publish("a..b"), PublishOutcome::kBadTopic);
  EXPECT_EQ(publisher_.published(), 2u);
  EXPECT_EQ(Publish("nobody"), PublishOutcome::kTaken);
  EXPECT_EQ(publisher_.published(), 3u);
}

TEST_F(PublisherTest, CountsWhatItRefusesAndBringsItToNobody) {
  Subscribe(1, ">");
  v1::Message headers;
  headers.set_topic("a");
  headers.add_headers()->set_name(std::string(101, 'n'));
  v1::Message nameless;
  nameless.set_topic("a");
  nameless.add_headers()->set_value("v");
  EXPECT_EQ(Publish(""), PublishOutcome::kBadTopic);
  EXPECT_EQ(Publish("a.*"), PublishOutcome::kBadTopic);
  EXPECT_EQ(Publish("a", "x", "b..c"), PublishOutcome::kBadReplyTo);
  EXPECT_EQ(Publish(headers), PublishOutcome::kBadHeaders);
  EXPECT_EQ(Publish(nameless), PublishOutcome::kBadHeaders);
  EXPECT_EQ(Publish("a", std::string(1001, 'x')), PublishOutcome::kPayloadTooLarge);
  EXPECT_EQ(Publish("$SYS.a"), PublishOutcome::kNotPermitted);
  // A second field beside the message, which a subscriber could take for a frame of the broker.
  EXPECT_EQ(PublishFrame(std::string("\x07\x0a\x03\x0a\x01"
                                     "a"
                                     "\x80\x01",
                                     8)),
            PublishOutcome::kBadFrame);
  EXPECT_EQ(Publish("a", std::string(1000, 'x')), PublishOutcome::kTaken);
  FanOutAll();
  const std::shared_ptr<PublishTally> tally = publisher_.TakeTally();
  EXPECT_EQ(tally->messages, 9u);
  EXPECT_EQ(tally->refused, 8u);
  EXPECT_EQ(tally->matched, 1u);
  EXPECT_EQ(tally->dropped, 0u);
  EXPECT_EQ(ReadStream(transport_.stream()).payloads[1].size(), 1u);
}

TEST_F(PublisherTest, EverybodyMayPublishToAnInboxAndToNothingElseOfTheBrokers) {
  EXPECT_EQ(Publish("$inbox.0123abcd.1"), PublishOutcome::kTaken);
  EXPECT_EQ(Publish("$inbox.0123abcd.a.b"), PublishOutcome::kTaken);
  for (const char* topic : {"$inbox", "$inboxes.a", "$", "$SYS", "$sys.a", "$inbo.x"}) {
    EXPECT_EQ(Publish(topic), PublishOutcome::kNotPermitted) << topic;
  }
  EXPECT_EQ(Publish("a.$inbox"), PublishOutcome::kTaken);
}

TEST_F(PublisherTest, SaysThatNobodySubscribesOnlyToThoseWhoWantAReply) {
  EXPECT_EQ(Publish("a"), PublishOutcome::kTaken);
  EXPECT_EQ(Publish("a", "x", "reply"), PublishOutcome::kNoSubscribers);
  Subscription* subscription = Subscribe(1, "a");
  EXPECT_EQ(Publish("a", "x", "reply"), PublishOutcome::kTaken);
  fan_out_.Settle(subscription->group, now_);
  index_.Detach(subscription);
  EXPECT_EQ(Publish("a", "x", "reply"), PublishOutcome::kNoSubscribers);
  const std::shared_ptr<PublishTally> tally = publisher_.TakeTally();
  EXPECT_EQ(tally->messages, 4u);
  EXPECT_EQ(tally->matched, 1u);
  EXPECT_EQ(tally->refused, 0u);
}

TEST_F(PublisherTest, ATallyCoversWhatWasPublishedSinceTheOneBefore) {
  Subscribe(1, "a");
  Subscribe(2, ">");
  Publish("a");
  Publish("b");
  const std::shared_ptr<PublishTally> first = publisher_.TakeTally();
  Publish("a");
  Publish("..");
  const std::shared_ptr<PublishTally> second = publisher_.TakeTally();
  const std::shared_ptr<PublishTally> third = publisher_.TakeTally();
  // Taken in the turn, complete at its end.
  EXPECT_EQ(first->matched, 0u);
  FanOutAll();
  EXPECT_EQ(first->messages, 2u);
  EXPECT_EQ(first->matched, 3u);
  EXPECT_EQ(second->messages, 2u);
  EXPECT_EQ(second->matched, 2u);
  EXPECT_EQ(second->refused, 1u);
  EXPECT_EQ(third->messages, 0u);
  EXPECT_EQ(publisher_.published(), 4u);
}

}  // namespace
}  // namespace sluice
