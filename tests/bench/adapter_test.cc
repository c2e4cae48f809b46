#include "tests/bench/adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "protocol/frame.h"
#include "protocol/sluice.pb.h"
#include "tests/bench/stamp.h"

namespace sluice::bench {
namespace {

constexpr uint32_t kPayloadBytes = 40;

std::string Payload(uint32_t sequence) {
  std::string payload(kPayloadBytes, 'p');
  WriteStamp({.stream = 7, .sequence = sequence, .sent_ns = 1}, payload.data());
  return payload;
}

template <class Frame>
std::string SluiceFrame(const Frame& frame) {
  std::string bytes;
  AppendFrame(frame, &bytes);
  return bytes;
}

std::string SluiceMessage(uint32_t sequence) {
  v1::ServerFrame frame;
  frame.mutable_message()->set_topic(TopicName(12));
  frame.mutable_message()->set_payload(Payload(sequence));
  return SluiceFrame(frame);
}

std::string SluiceConnected() {
  v1::ServerFrame frame;
  frame.mutable_connected()->set_inbox("$inbox.x");
  return SluiceFrame(frame);
}

std::string SluiceSubscribed() {
  v1::ServerFrame frame;
  frame.mutable_subscribed()->set_subscription(1);
  return SluiceFrame(frame);
}

std::string SluiceDelivery() {
  v1::ServerFrame frame;
  frame.mutable_delivery()->set_subscription(1);
  return SluiceFrame(frame);
}

std::string SluiceError() {
  v1::ServerFrame frame;
  frame.mutable_error()->set_text("no");
  return SluiceFrame(frame);
}

// What a subscriber receives: two answers, one complaint, three messages.
std::string Received(Protocol protocol) {
  switch (protocol) {
    case Protocol::kSluice:
      return SluiceConnected() + SluiceSubscribed() + SluiceDelivery() + SluiceMessage(0) + SluiceError() +
             SluiceMessage(1) + SluiceMessage(2);
    case Protocol::kNats: {
      const std::string head = "MSG " + TopicName(12) + " 10000 40\r\n";
      return "INFO {\"server_id\":\"x\"}\r\nPONG\r\nPING\r\nPONG\r\n" + head + Payload(0) + "\r\n" +
             "-ERR 'no'\r\n" + head + Payload(1) + "\r\n" + head + Payload(2) + "\r\n";
    }
    case Protocol::kRedis: {
      const std::string head = "*3\r\n$7\r\nmessage\r\n$13\r\n" + TopicName(12) + "\r\n$40\r\n";
      return "+PONG\r\n*3\r\n$9\r\nsubscribe\r\n$13\r\n" + TopicName(12) + "\r\n:1\r\n" + head + Payload(0) +
             "\r\n-ERR no\r\n:5\r\n" + head + Payload(1) + "\r\n" + head + Payload(2) + "\r\n";
    }
    case Protocol::kMqtt: {
      const std::string head = std::string("\x30\x37\x00\x0d", 4) + "bench/0000012";
      return std::string("\x20\x02\x00\x00", 4) + head + Payload(0) + std::string("\x90\x03\x00\x01\x80", 5) +
             head + Payload(1) + head + Payload(2);
    }
    case Protocol::kLimit: {
      const std::string head = std::string("\x28\x00\x00\x00", 4);
      const std::string answer = "\xff\xff\xff\xff";
      return answer + answer + head + Payload(0) + head + Payload(1) + head + Payload(2);
    }
  }
  return "";
}

class AdapterTest : public testing::TestWithParam<Protocol> {
 protected:
  const std::unique_ptr<Adapter> adapter_ = MakeAdapter(GetParam(), kPayloadBytes);

  // The bytes as they come, in pieces that end at `cuts`, as Subscriber::Read handles them.
  struct Found {
    std::vector<uint32_t> sequences;
    uint64_t answers = 0;
    uint64_t errors = 0;
    bool operator==(const Found&) const = default;
  };
  Found ParseInPieces(const std::string& bytes, const std::vector<size_t>& cuts) const {
    Parsed parsed;
    Found found;
    std::string unparsed;
    size_t skip = 0;
    size_t from = 0;
    for (const size_t to : cuts) {
      std::string piece = unparsed + bytes.substr(from, to - from);
      from = to;
      const size_t skipped = std::min(skip, piece.size());
      skip -= skipped;
      piece.erase(0, skipped);
      parsed.payloads.clear();
      const size_t consumed = adapter_->Parse(piece, &parsed);
      for (const char* payload : parsed.payloads) {
        EXPECT_EQ(ReadStamp(payload).stream, 7u);
        found.sequences.push_back(ReadStamp(payload).sequence);
      }
      if (consumed > piece.size()) skip = consumed - piece.size();
      unparsed = piece.substr(std::min(consumed, piece.size()));
    }
    EXPECT_EQ(unparsed, "");
    EXPECT_EQ(skip, 0u);
    found.answers = parsed.answers;
    found.errors = parsed.errors;
    return found;
  }
};

TEST_P(AdapterTest, FindsMessagesAnswersAndComplaints) {
  const std::string bytes = Received(GetParam());
  const Found found = ParseInPieces(bytes, {bytes.size()});
  EXPECT_THAT(found.sequences, testing::ElementsAre(0, 1, 2));
  EXPECT_EQ(found.answers, 2u);
  EXPECT_EQ(found.errors, GetParam() == Protocol::kLimit ? 0u : 1u);
}

TEST_P(AdapterTest, FindsTheSameWhereverTheBytesAreCut) {
  const std::string bytes = Received(GetParam());
  const Found whole = ParseInPieces(bytes, {bytes.size()});
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    EXPECT_EQ(ParseInPieces(bytes, {cut, bytes.size()}), whole) << "cut at " << cut;
  }
  std::vector<size_t> everywhere;
  for (size_t cut = 1; cut <= bytes.size(); ++cut) everywhere.push_back(cut);
  EXPECT_EQ(ParseInPieces(bytes, everywhere), whole);
}

TEST_P(AdapterTest, ShapesOfMessagesArePatchedInPlace) {
  MessageShape shape = adapter_->Message();
  ASSERT_LE(shape.payload_offset + kPayloadBytes, shape.bytes.size());
  WriteTopicDigits(12, shape.bytes.data() + shape.topic_digits_offset);
  std::memcpy(shape.bytes.data() + shape.payload_offset, Payload(1).data(), kPayloadBytes);
  switch (GetParam()) {
    case Protocol::kSluice:
      EXPECT_EQ(shape.bytes, SluiceMessage(1));
      break;
    case Protocol::kNats:
      EXPECT_EQ(shape.bytes, "PUB bench.0000012 40\r\n" + Payload(1) + "\r\n");
      break;
    case Protocol::kRedis:
      EXPECT_EQ(shape.bytes, "*3\r\n$7\r\nPUBLISH\r\n$13\r\nbench.0000012\r\n$40\r\n" + Payload(1) + "\r\n");
      break;
    case Protocol::kMqtt:
      EXPECT_EQ(shape.bytes, std::string("\x30\x37\x00\x0d", 4) + "bench/0000012" + Payload(1));
      break;
    case Protocol::kLimit:
      EXPECT_EQ(shape.bytes, std::string("\x28\x00\x00\x00", 4) + Payload(1));
      break;
  }
}

TEST_P(AdapterTest, RequestsSayHowManyAnswersTheyWant) {
  const Filter topic = {.id = 1, .name = "a.b", .kind = FilterKind::kTopic};
  const Filter wildcard = {.id = 2, .name = "a.*", .kind = FilterKind::kWildcard};
  const Request subscribe = adapter_->Subscribe({topic, wildcard});
  const Request unsubscribe = adapter_->Unsubscribe(wildcard);
  switch (GetParam()) {
    case Protocol::kSluice:
      EXPECT_EQ(subscribe.answers, 2u);
      EXPECT_EQ(unsubscribe.answers, 1u);
      break;
    case Protocol::kNats:
      EXPECT_EQ(subscribe.bytes, "SUB a.b 1\r\nSUB a.* 2\r\nPING\r\n");
      EXPECT_EQ(subscribe.answers, 1u);
      EXPECT_EQ(unsubscribe.bytes, "UNSUB 2\r\n");
      EXPECT_EQ(unsubscribe.answers, 0u);
      break;
    case Protocol::kRedis:
      EXPECT_EQ(subscribe.bytes,
                "*2\r\n$9\r\nSUBSCRIBE\r\n$3\r\na.b\r\n*2\r\n$10\r\nPSUBSCRIBE\r\n$3\r\na.*\r\n");
      EXPECT_EQ(subscribe.answers, 2u);
      EXPECT_EQ(unsubscribe.bytes, "*2\r\n$12\r\nPUNSUBSCRIBE\r\n$3\r\na.*\r\n");
      break;
    case Protocol::kMqtt:
      EXPECT_EQ(subscribe.bytes, std::string("\x82\x0e\x00\x02\x00\x03"
                                             "a/b\x00\x00\x03"
                                             "a/+\x00",
                                             16));
      EXPECT_EQ(subscribe.answers, 1u);
      EXPECT_EQ(unsubscribe.bytes, std::string("\xa2\x07\x00\x03\x00\x03"
                                               "a/+",
                                               9));
      break;
    case Protocol::kLimit:
      EXPECT_EQ(subscribe.answers, 0u);
      break;
  }
}

std::string NameOf(const testing::TestParamInfo<Protocol>& protocol) {
  switch (protocol.param) {
    case Protocol::kSluice:
      return "Sluice";
    case Protocol::kNats:
      return "Nats";
    case Protocol::kRedis:
      return "Redis";
    case Protocol::kMqtt:
      return "Mqtt";
    case Protocol::kLimit:
      return "Limit";
  }
  return "";
}

INSTANTIATE_TEST_SUITE_P(All, AdapterTest,
                         testing::Values(Protocol::kSluice, Protocol::kNats, Protocol::kRedis,
                                         Protocol::kMqtt, Protocol::kLimit),
                         NameOf);

TEST(SizedAdapterTest, TellsAMessageOfAnotherSize) {
  for (const Protocol protocol : {Protocol::kSluice, Protocol::kMqtt}) {
    const std::string bytes = MakeAdapter(protocol, kPayloadBytes + 1)->Message().bytes;
    Parsed parsed;
    EXPECT_EQ(MakeAdapter(protocol, kPayloadBytes)->Parse(bytes, &parsed), bytes.size());
    EXPECT_TRUE(parsed.payloads.empty());
    EXPECT_EQ(parsed.errors, 1u);
  }
}

}  // namespace
}  // namespace sluice::bench
