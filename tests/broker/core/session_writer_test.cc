#include "broker/core/session_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "protocol/frame.h"
#include "protocol/sluice.pb.h"

namespace sluice {
namespace {

// Takes as many bytes as it is told; nothing at zero.
class ScriptedTransport : public Transport {
 public:
  WriteResult Write(std::span<const iovec> pieces) override {
    size_t room = next_bytes_max;
    size_t taken = 0;
    for (const iovec& piece : pieces) {
      const size_t n = std::min(room, piece.iov_len);
      wire.append(static_cast<const char*>(piece.iov_base), n);
      room -= n;
      taken += n;
    }
    if (taken == 0) return {WriteStatus::kWouldBlock, 0};
    return {WriteStatus::kTaken, taken};
  }
  std::optional<uint64_t> BytesAcked() override { return std::nullopt; }

  size_t next_bytes_max = 0;
  std::string wire;
};

std::string MessageFrame(const std::string& payload) {
  v1::ServerFrame frame;
  frame.mutable_message()->set_topic("t");
  frame.mutable_message()->set_payload(payload);
  std::string bytes;
  AppendFrame(frame, &bytes);
  return bytes;
}

// What a client makes of the stream: payloads per subscription in order, and the pongs.
struct Received {
  std::map<uint32_t, std::vector<std::string>> payloads;
  std::vector<uint64_t> pongs;
};

Received Parse(std::string_view wire) {
  Received received;
  uint32_t current = 0;
  while (!wire.empty()) {
    const FramePrefix prefix = ReadFramePrefix(wire);
    v1::ServerFrame frame;
    EXPECT_EQ(prefix.status, FramePrefixStatus::kComplete);
    EXPECT_LE(prefix.frame_bytes(), wire.size());
    if (!frame.ParseFromString(std::string(wire.substr(prefix.prefix_bytes, prefix.body_bytes)))) {
      ADD_FAILURE() << "the stream is torn";
      return received;
    }
    if (frame.has_delivery()) current = frame.delivery().subscription();
    if (frame.has_server_pong()) received.pongs.push_back(frame.server_pong().id());
    if (frame.has_message()) received.payloads[current].push_back(frame.message().payload());
    wire.remove_prefix(prefix.frame_bytes());
  }
  return received;
}

class SessionWriterTest : public ::testing::Test {
 protected:
  void Offer(SessionWriter* writer, Subscription* subscription, const std::string& payload) {
    const std::string frame = MessageFrame(payload);
    Slice slice;
    slice.chunk = Chunk::Create(static_cast<uint32_t>(frame.size()), &account_);
    std::memcpy(slice.chunk->data(), frame.data(), frame.size());
    slice.bytes = static_cast<uint32_t>(frame.size());
    slice.messages = 1;
    subscription->queue.Push(std::move(slice));
    writer->Activate(subscription);
  }

  MemoryAccount account_;
  ScriptedTransport transport_;
  std::unique_ptr<WriteScratch> scratch_ = std::make_unique<WriteScratch>();
};

TEST_F(SessionWriterTest, ResumesAtTheExactByteWhateverTheKernelTakes) {
  for (size_t step = 1; step <= 40; ++step) {
    Subscription one;
    Subscription two;
    one.id = 1;
    two.id = 2;
    Received expected;
    SessionWriter writer;
    transport_.wire.clear();
    transport_.next_bytes_max = step;
    for (int i = 0; i < 3; ++i) {
      for (Subscription* subscription : {&one, &two}) {
        const std::string payload(static_cast<size_t>(7 * i), static_cast<char>('a' + i));
        Offer(&writer, subscription, payload);
        expected.payloads[subscription->id].push_back(payload);
      }
    }
    while (!writer.empty()) (void)writer.Flush(&transport_, scratch_.get(), 1 << 20);
    EXPECT_EQ(Parse(transport_.wire).payloads, expected.payloads) << "step " << step;
    EXPECT_EQ(one.queue.pending_bytes() + two.queue.pending_bytes(), 0u);
    EXPECT_EQ(one.queue.sent_messages(), 3u);
  }
  EXPECT_EQ(account_.bytes(), 0);
}

TEST_F(SessionWriterTest, AgreesWithTheModelUnderRandomWritesOffersAndDrops) {
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    SessionWriter writer;
    std::vector<std::unique_ptr<Subscription>> subscriptions;
    std::map<uint32_t, uint64_t> offered;
    for (uint32_t id = 1; id <= 3; ++id) {
      subscriptions.push_back(std::make_unique<Subscription>());
      subscriptions.back()->id = id;
    }
    transport_.wire.clear();
    uint64_t pongs = 0;
    uint64_t dropped = 0;
    for (int i = 0; i < 200; ++i) {
      Subscription* subscription = subscriptions[random() % 3].get();
      switch (random() % 8) {
        case 0: {
          v1::ServerFrame frame;
          frame.mutable_server_pong()->set_id(++pongs);
          writer.QueueControl(frame);
          break;
        }
        case 1: {
          const SendQueue::Dropped drop = subscription->queue.DropWaiting();
          dropped += drop.messages;
          if (subscription->queue.empty()) writer.Deactivate(subscription);
          break;
        }
        case 2:
        case 3:
          transport_.next_bytes_max = random() % 2000;
          (void)writer.Flush(&transport_, scratch_.get(), 1 << 20);
          break;
        default:
          Offer(&writer, subscription,
                std::to_string(++offered[subscription->id]) + std::string(random() % 900, '.'));
      }
    }
    transport_.next_bytes_max = 1 << 30;
    while (!writer.empty())
      ASSERT_NE(writer.Flush(&transport_, scratch_.get(), 1 << 30).outcome, FlushOutcome::kBroken);
    for (const auto& subscription : subscriptions) {
      EXPECT_EQ(subscription->queue.pending_bytes(), 0u);
      EXPECT_EQ(subscription->queue.pending_messages(), 0u);
    }
    const Received received = Parse(transport_.wire);
    EXPECT_EQ(received.pongs.size(), pongs);
    uint64_t total_offered = 0;
    uint64_t total_received = 0;
    for (const auto& [id, count] : offered) total_offered += count;
    for (const auto& [id, payloads] : received.payloads) {
      total_received += payloads.size();
      uint64_t last = 0;
      for (const std::string& payload : payloads) {
        const uint64_t number = std::stoull(payload);
        EXPECT_GT(number, last) << "subscription " << id << " out of order";
        last = number;
      }
    }
    EXPECT_EQ(total_received + dropped, total_offered);
  }
}

}  // namespace
}  // namespace sluice
