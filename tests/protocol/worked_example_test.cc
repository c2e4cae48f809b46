// The worked example of protocol/README.md: its bytes, read out of the page, are what generated code writes
// and what our own checks take.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "protocol/control.h"
#include "protocol/frame.h"
#include "protocol/publish.h"
#include "protocol/sluice.pb.h"

namespace sluice {
namespace {

struct ExampleFrame {
  char sender;  // 'C' or 'S'
  std::string bytes;
};

// The fenced block marked "hex": a line that begins with C or S begins a frame, '#' begins a remark.
std::vector<ExampleFrame> ReadExample() {
  std::ifstream file(SLUICE_PROTOCOL_README);
  EXPECT_TRUE(file.good()) << SLUICE_PROTOCOL_README;
  std::vector<ExampleFrame> frames;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("```")) {
      inside = line == "```hex";
      continue;
    }
    if (!inside) continue;
    if (line.starts_with('C') || line.starts_with('S')) {
      frames.push_back({line[0], ""});
      line[0] = ' ';
    }
    std::istringstream words(line.substr(0, line.find('#')));
    for (std::string word; words >> word;) {
      EXPECT_TRUE(word.size() == 2 && word.find_first_not_of("0123456789abcdef") == std::string::npos)
          << word;
      frames.back().bytes += static_cast<char>(std::stoi(word, nullptr, 16));
    }
  }
  return frames;
}

template <typename Frame>
ExampleFrame Encode(const Frame& frame) {
  ExampleFrame encoded{std::is_same_v<Frame, v1::ClientFrame> ? 'C' : 'S', ""};
  AppendFrame(frame, &encoded.bytes);
  return encoded;
}

void SetLimits(v1::SubscriptionLimits* limits) {
  limits->set_pending_bytes_max(8 << 20);
  limits->set_pending_messages_max(131'072);
  limits->set_pending_age_max_ms(60'000);
}

template <typename Frame>
Frame Published() {
  Frame frame;
  frame.mutable_message()->set_topic("ticks.IBM");
  frame.mutable_message()->set_payload("142.50");
  v1::Header* header = frame.mutable_message()->add_headers();
  header->set_name("unit");
  header->set_value("USD");
  return frame;
}

std::vector<ExampleFrame> Expected() {
  std::vector<ExampleFrame> frames;
  v1::ClientFrame client;
  v1::ServerFrame server;

  client.mutable_connect()->set_protocol_version(1);
  client.mutable_connect()->set_client_name("demo");
  frames.push_back(Encode(client));

  v1::Connected* connected = server.mutable_connected();
  connected->set_protocol_version(1);
  for (char i = 0; i < 16; ++i) *connected->mutable_session_id() += i;
  connected->set_inbox("$inbox.k7Qw");
  connected->set_broker("sluiced 0.1.0");
  v1::ServerLimits* limits = connected->mutable_limits();
  limits->set_payload_bytes_max(1 << 20);
  limits->set_headers_bytes_max(16 << 10);
  limits->set_subscriptions_max(10'000);
  limits->set_topic_bytes_max(255);
  limits->set_ping_interval_ms(30'000);
  SetLimits(limits->mutable_default_limits());
  SetLimits(limits->mutable_highest_limits());
  frames.push_back(Encode(server));

  client.mutable_subscribe()->set_subscription(1);
  client.mutable_subscribe()->set_filter("ticks.>");
  frames.push_back(Encode(client));

  server.mutable_subscribed()->set_subscription(1);
  server.mutable_subscribed()->set_overflow(v1::OVERFLOW_POLICY_DISCONNECT);
  SetLimits(server.mutable_subscribed()->mutable_limits());
  frames.push_back(Encode(server));

  frames.push_back(Encode(Published<v1::ClientFrame>()));

  client.mutable_ack_request()->set_id(1);
  frames.push_back(Encode(client));

  v1::PublishAck* ack = server.mutable_publish_ack();
  ack->set_id(1);
  ack->set_up_to(1);
  ack->set_messages(1);
  ack->set_matched(1);
  ack->set_queued(1);
  frames.push_back(Encode(server));

  server.mutable_delivery()->set_subscription(1);
  frames.push_back(Encode(server));

  frames.push_back(Encode(Published<v1::ServerFrame>()));

  server.mutable_goodbye()->set_reason(v1::REASON_CLIENT_CLOSED);
  v1::SubscriptionRecord* record = server.mutable_goodbye()->add_subscriptions();
  record->set_subscription(1);
  record->set_offered(1);
  frames.push_back(Encode(server));
  return frames;
}

std::string Hex(std::string_view bytes) {
  std::ostringstream hex;
  for (char c : bytes) hex << "0123456789abcdef"[(c >> 4) & 15] << "0123456789abcdef"[c & 15] << ' ';
  return hex.str();
}

TEST(WorkedExample, IsWhatGeneratedCodeWrites) {
  const std::vector<ExampleFrame> found = ReadExample();
  const std::vector<ExampleFrame> expected = Expected();
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].sender, expected[i].sender) << "frame " << i;
    EXPECT_EQ(Hex(found[i].bytes), Hex(expected[i].bytes)) << "frame " << i;
  }
}

TEST(WorkedExample, PassesTheChecksOfTheBroker) {
  size_t publishes = 0;
  for (const ExampleFrame& frame : ReadExample()) {
    const FramePrefix prefix = ReadFramePrefix(frame.bytes);
    ASSERT_EQ(prefix.status, FramePrefixStatus::kComplete);
    ASSERT_EQ(prefix.frame_bytes(), frame.bytes.size());
    if (frame.sender == 'S') continue;
    const std::string_view body = std::string_view(frame.bytes).substr(prefix.prefix_bytes);
    if (IsPublish(body)) {
      PublishView view;
      EXPECT_EQ(CheckPublish(body, {}, &view), PublishVerdict::kOk);
      EXPECT_EQ(view.topic, "ticks.IBM");
      ++publishes;
    } else {
      v1::ClientFrame control;
      EXPECT_EQ(ParseControl(body, &control), ControlVerdict::kOk);
    }
  }
  EXPECT_EQ(publishes, 1u);
}

TEST(WorkedExample, DeliversTheBytesThatWerePublished) {
  std::vector<std::string> messages;
  for (const ExampleFrame& frame : ReadExample()) {
    if (IsPublish(std::string_view(frame.bytes).substr(1))) messages.push_back(frame.bytes);
  }
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0], messages[1]);
}

}  // namespace
}  // namespace sluice
