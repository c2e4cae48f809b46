// How much memory blocked subscribers keep alive, at the worst: never more than eight times what distinct
// messages wait, and one small chunk for each filter group that has a blocked member.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/core/fan_out.h"
#include "broker/core/filter_index.h"
#include "broker/core/subscriber.h"
#include "protocol/sluice.pb.h"
#include "tests/support/frames.h"
#include "tests/support/scripted_transport.h"

namespace sluice {
namespace {

using testing::MessageFrame;
using testing::ReadStream;
using testing::ScriptedTransport;

constexpr uint32_t kChunkBytes = 256 << 10;
constexpr size_t kChunksKept = 2;
// The pool's, and the one that is read into.
constexpr int64_t kOwnBytes = int64_t{kChunksKept + 1} * kChunkBytes;
constexpr int64_t kSmallChunkBytes = 4 << 10;

struct Peer {
  Peer(uint64_t token, const SubscriberLimits* limits, MemoryAccount* account)
      : subscriber(token, limits, account) {}

  Subscriber subscriber;
  ScriptedTransport transport;
};

class PinnedChunksTest : public ::testing::Test {
 protected:
  // What all that waits would need if each message were there once.
  int64_t distinct_bytes() const { return distinct_bytes_; }

  Peer* Subscribe(std::string_view filter, v1::OverflowPolicy policy = v1::OVERFLOW_POLICY_DISCONNECT,
                  const QueueLimits& limits = {}) {
    peers_.push_back(std::make_unique<Peer>(peers_.size(), &limits_, &account_));
    Peer* peer = peers_.back().get();
    Subscription* subscription = peer->subscriber.Add(1, limits, policy);
    subscription->told = Subscription::Told::kYes;
    index_.Attach(subscription, index_.FindOrCreate(filter, ""));
    return peer;
  }
  void Publish(std::string_view topic, std::string_view payload) {
    const std::string frame = MessageFrame(topic, payload);
    const uint32_t offset = read_.Append(frame);
    fan_out_.Take(index_.Match(topic), read_.chunk(), offset, static_cast<uint32_t>(frame.size()), &tally_);
    distinct_bytes_ += static_cast<int64_t>(frame.size());
  }
  // Offers and flushes what was published, and then reads what nobody wants until another chunk is begun.
  void Turn() {
    while (Subscriber* subscriber = fan_out_.Next(now_)) Flush(peers_[subscriber->token()].get());
    (void)read_.Room(kChunkBytes);
    now_ += absl::Milliseconds(20);
    for (const auto& peer : peers_) {
      if (now_ >= peer->subscriber.NextCheck()) peer->subscriber.Check(&peer->transport, now_);
    }
  }
  void Flush(Peer* peer) {
    (void)peer->subscriber.Flush(&peer->transport, scratch_.get(), 1 << 20, now_);
    (void)peer->subscriber.TakeLosses();
    (void)peer->subscriber.TakeLagReport();
  }
  void Block(Peer* peer) {
    peer->transport.AfterwardsTakes(0);
    peer->subscriber.QueueControl(testing::ServerPong(1));
    Flush(peer);
    ASSERT_TRUE(peer->subscriber.blocked());
  }
  void Drain(Peer* peer) {
    peer->transport.AfterwardsTakes(ScriptedTransport::kEverything);
    while (!peer->subscriber.writer().empty()) {
      peer->subscriber.BecameWritable();
      Flush(peer);
    }
  }
  // How many messages it has received, which are whole and in order.
  static size_t Received(const Peer& peer) {
    std::vector<std::string> payloads = ReadStream(peer.transport.stream()).payloads[1];
    for (std::string& payload : payloads) payload.erase(payload.find('.'));
    EXPECT_TRUE(std::is_sorted(payloads.begin(), payloads.end(),
                               [](const auto& a, const auto& b) { return std::stoull(a) < std::stoull(b); }));
    return payloads.size();
  }
  static std::string Payload(int number, size_t bytes) {
    return std::to_string(number) + "." + std::string(bytes, 'x');
  }
  void TearDown() override {
    for (const auto& peer : peers_) {
      peer->subscriber.ForEachSubscription([&](Subscription* subscription) { index_.Detach(subscription); });
      fan_out_.Forget(&peer->subscriber);
    }
  }

  MemoryAccount account_;
  ChunkPool pool_{kChunkBytes, &account_, kChunksKept};
  OpenChunk read_{&pool_};
  FilterIndex index_{4000};
  FanOut fan_out_{&pool_};
  SubscriberLimits limits_;
  std::unique_ptr<WriteScratch> scratch_ = std::make_unique<WriteScratch>();
  std::vector<std::unique_ptr<Peer>> peers_;
  PublishTally tally_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
  int64_t distinct_bytes_ = 0;
};

TEST_F(PinnedChunksTest, TinySlicesOfManyChunksAreKeptTogether) {
  Peer* peer = Subscribe("a");
  Block(peer);
  for (int i = 0; i < 1000; ++i) {
    Publish("a", Payload(i, 20));
    Turn();
    ASSERT_LE(account_.bytes(), 8 * distinct_bytes() + kOwnBytes + kSmallChunkBytes);
  }
  Drain(peer);
  EXPECT_EQ(Received(*peer), 1000u);
}

// Each time its socket may take more when a message comes, and takes next to nothing.
TEST_F(PinnedChunksTest, OneThatIsResumedAgainAndAgainPinsNoMore) {
  Peer* peer = Subscribe("a");
  Block(peer);
  for (int i = 0; i < 1000; ++i) {
    peer->subscriber.BecameWritable();
    peer->transport.Takes(3).WouldBlock();
    Publish("a", Payload(i, 20));
    Turn();
    ASSERT_TRUE(peer->subscriber.blocked());
    ASSERT_LE(account_.bytes(), 8 * distinct_bytes() + kOwnBytes + kSmallChunkBytes) << i;
  }
  Drain(peer);
  EXPECT_EQ(Received(*peer), 1000u);
}

// Each is blocked by a message in a chunk of its own.
TEST_F(PinnedChunksTest, TwoThousandSparseGroupsKeepASmallChunkEach) {
  constexpr int kGroups = 2000;
  for (int i = 0; i < kGroups; ++i) {
    const std::string topic = "t" + std::to_string(i);
    Peer* peer = Subscribe(topic);
    peer->transport.Takes(10).WouldBlock();
    peer->transport.AfterwardsTakes(0);
    Publish(topic, Payload(0, 20));
    Publish(topic, Payload(1, 20));
    Turn();
    ASSERT_TRUE(peer->subscriber.blocked());
    // Those that have been blocked for less than a second may still hold the chunk that they were blocked in.
    ASSERT_LE(account_.bytes(), 8 * distinct_bytes() + kOwnBytes + 52 * int64_t{kChunkBytes}) << i;
  }
  now_ += absl::Seconds(1);
  Turn();
  EXPECT_LE(account_.bytes(), 8 * distinct_bytes() + kOwnBytes);
  for (int round = 2; round < 7; ++round) {
    for (int i = 0; i < kGroups; ++i) Publish("t" + std::to_string(i), Payload(round, 20));
    Turn();
    EXPECT_LE(account_.bytes(), 8 * distinct_bytes() + kOwnBytes + kGroups * kSmallChunkBytes);
  }
  for (const auto& peer : peers_) Drain(peer.get());
  for (const auto& peer : peers_) ASSERT_EQ(Received(*peer), 7u);
}

TEST_F(PinnedChunksTest, AThousandMembersOfOneGroupCostOneBacklog) {
  for (int i = 0; i < 1000; ++i) {
    Peer* peer = Subscribe("a");
    peer->transport.Takes(10).WouldBlock();
    peer->transport.AfterwardsTakes(0);
  }
  // What blocks them all is shared as it lies: to copy it for each would cost more.
  for (int i = 0; i < 100; ++i) Publish("a", Payload(i, 20));
  Turn();
  now_ += absl::Seconds(1);
  Turn();
  EXPECT_LE(account_.bytes(), 8 * distinct_bytes() + kOwnBytes + kChunkBytes);
  for (int i = 100; i < 200; ++i) {
    Publish("a", Payload(i, 20));
    Turn();
    ASSERT_LE(account_.bytes(), 8 * distinct_bytes() + kOwnBytes + kChunkBytes + kSmallChunkBytes) << i;
  }
  for (const auto& peer : peers_) {
    // Six of the ten bytes that left were a header.
    ASSERT_EQ(static_cast<int64_t>(peer->subscriber.pending_bytes()), distinct_bytes() - 4);
  }
  for (const auto& peer : peers_) Drain(peer.get());
  for (const auto& peer : peers_) ASSERT_EQ(Received(*peer), 200u);
}

// Begins to take again what arrives while its socket is full.
TEST_F(PinnedChunksTest, OneThatHasShedEnoughPinsNoMore) {
  constexpr QueueLimits kLimits = {.pending_messages_max = 100};
  Peer* peer = Subscribe("a", v1::OVERFLOW_POLICY_DROP_NEWEST, kLimits);
  Block(peer);
  const int64_t waiting_max = 101 * static_cast<int64_t>(MessageFrame("a", Payload(9999, 20)).size());
  for (int i = 0; i < 4000; ++i) {
    Publish("a", Payload(i, 20));
    Turn();
    if (i % 4 == 0) {
      peer->subscriber.BecameWritable();
      peer->transport.Takes(30).WouldBlock();
      Flush(peer);
    }
    ASSERT_LE(account_.bytes(), 8 * waiting_max + kOwnBytes + (64 << 10)) << i;
  }
  EXPECT_GT(peer->subscriber.left_out().total().dropped, 100u);
}

}  // namespace
}  // namespace sluice
