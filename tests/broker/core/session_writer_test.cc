#include "broker/core/session_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/support/frames.h"
#include "tests/support/scripted_transport.h"

namespace sluice {
namespace {

using ::sluice::testing::MessageFrame;
using ::sluice::testing::ReadStream;
using ::sluice::testing::ReceivedStream;
using ::sluice::testing::ScriptedTransport;
using ::sluice::testing::ServerPong;
using ::sluice::testing::SliceOf;

class SessionWriterTest : public ::testing::Test {
 protected:
  void Offer(SessionWriter* writer, Subscription* subscription, const std::string& payload) {
    subscription->queue.Push(SliceOf(MessageFrame("t", payload), &account_));
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
    std::map<uint32_t, std::vector<std::string>> expected;
    SessionWriter writer;
    transport_.Clear();
    transport_.AfterwardsTakes(step);
    for (int i = 0; i < 3; ++i) {
      for (Subscription* subscription : {&one, &two}) {
        const std::string payload(static_cast<size_t>(7 * i), static_cast<char>('a' + i));
        Offer(&writer, subscription, payload);
        expected[subscription->id].push_back(payload);
      }
    }
    while (!writer.empty()) (void)writer.Flush(&transport_, scratch_.get(), 1 << 20);
    EXPECT_EQ(ReadStream(transport_.stream()).payloads, expected) << "step " << step;
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
    transport_.Clear();
    uint64_t pongs = 0;
    uint64_t dropped = 0;
    for (int i = 0; i < 200; ++i) {
      Subscription* subscription = subscriptions[random() % 3].get();
      switch (random() % 8) {
        case 0: {
          writer.QueueControl(ServerPong(++pongs));
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
          transport_.Takes(random() % 2000);
          (void)writer.Flush(&transport_, scratch_.get(), 1 << 20);
          break;
        default:
          Offer(&writer, subscription,
                std::to_string(++offered[subscription->id]) + std::string(random() % 900, '.'));
      }
    }
    transport_.AfterwardsTakes(ScriptedTransport::kEverything);
    while (!writer.empty())
      ASSERT_NE(writer.Flush(&transport_, scratch_.get(), 1 << 30).outcome, FlushOutcome::kBroken);
    for (const auto& subscription : subscriptions) {
      EXPECT_EQ(subscription->queue.pending_bytes(), 0u);
      EXPECT_EQ(subscription->queue.pending_messages(), 0u);
    }
    const ReceivedStream received = ReadStream(transport_.stream());
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

TEST_F(SessionWriterTest, AFloodedQueueDoesNotSilenceItsNeighbourWhateverTheSizeOfItsSlices) {
  // Sizes at which the flood fills a quantum, and at some of them all but the last of the pieces of a write.
  for (size_t payload = 500; payload < 2200; payload += 7) {
    SCOPED_TRACE(payload);
    Subscription flood;
    Subscription neighbour;
    flood.id = 1;
    neighbour.id = 2;
    SessionWriter writer;
    transport_.Clear();
    Offer(&writer, &flood, std::string(payload, 'f'));
    Offer(&writer, &neighbour, "hello");
    for (int writes = 0; writes < 3; ++writes) {
      while (flood.queue.slices().size() < 200) Offer(&writer, &flood, std::string(payload, 'f'));
      (void)writer.Flush(&transport_, scratch_.get(), 1);  // one write
    }
    EXPECT_EQ(ReadStream(transport_.stream()).payloads[2], std::vector<std::string>{"hello"});
    writer.Forget(&flood);
  }
}

TEST_F(SessionWriterTest, AFrameLargerThanAQuantumIsOwedEvenIfItLeavesInManyWrites) {
  for (const size_t room :
       {size_t{20'000}, size_t{100'000}, size_t{300'000}, ScriptedTransport::kEverything}) {
    SCOPED_TRACE(room);
    Subscription large;
    Subscription small;
    large.id = 1;
    small.id = 2;
    SessionWriter writer;
    transport_.Clear();
    transport_.AfterwardsTakes(room);
    uint64_t large_bytes = 0;
    uint64_t small_bytes = 0;
    while (transport_.stream().size() < (10u << 20)) {
      while (large.queue.slices().size() < 2) Offer(&writer, &large, std::string(1 << 20, 'l'));
      while (small.queue.slices().size() < 300) Offer(&writer, &small, std::string(1000, 's'));
      const uint64_t large_pending = large.queue.pending_bytes();
      const uint64_t small_pending = small.queue.pending_bytes();
      (void)writer.Flush(&transport_, scratch_.get(), 1);
      large_bytes += large_pending - large.queue.pending_bytes();
      small_bytes += small_pending - small.queue.pending_bytes();
    }
    // Never further apart than a large frame and a quantum.
    EXPECT_LE(std::max(large_bytes, small_bytes) - std::min(large_bytes, small_bytes),
              (1u << 20) + (128u << 10))
        << large_bytes << " against " << small_bytes;
    writer.Forget(&large);
    writer.Forget(&small);
  }
}

TEST_F(SessionWriterTest, PassesOverAQueueThatADropHasEmptied) {
  Subscription dropped;
  Subscription other;
  dropped.id = 1;
  other.id = 2;
  SessionWriter writer;
  Offer(&writer, &dropped, "gone");
  static_cast<void>(dropped.queue.DropWaiting());
  EXPECT_EQ(writer.Flush(&transport_, scratch_.get(), 1 << 20).outcome, FlushOutcome::kDrained);
  EXPECT_TRUE(writer.empty());
  EXPECT_FALSE(dropped.active());
  EXPECT_EQ(transport_.stream(), "");

  Offer(&writer, &dropped, "gone");
  Offer(&writer, &other, "hello");
  static_cast<void>(dropped.queue.DropWaiting());
  EXPECT_EQ(writer.Flush(&transport_, scratch_.get(), 1 << 20).outcome, FlushOutcome::kDrained);
  EXPECT_EQ(ReadStream(transport_.stream()).payloads,
            (std::map<uint32_t, std::vector<std::string>>{{2, {"hello"}}}));
}

TEST_F(SessionWriterTest, PaysOffDebtsOfAllQueuesWithoutAWrite) {
  Subscription one;
  Subscription two;
  one.id = 1;
  two.id = 2;
  SessionWriter writer;
  for (Subscription* subscription : {&one, &two}) {
    for (int i = 0; i < 2; ++i) Offer(&writer, subscription, std::string(3 << 20, 'x'));
  }
  const FlushResult result = writer.Flush(&transport_, scratch_.get(), 1 << 30);
  EXPECT_EQ(result.outcome, FlushOutcome::kDrained);
  EXPECT_EQ(result.messages_sent, 4u);
  EXPECT_EQ(result.writes, 4u);
  EXPECT_EQ(transport_.calls().size(), 4u);
  std::vector<uint32_t> order;
  for (const v1::ServerFrame& frame : ReadStream(transport_.stream()).frames) {
    if (frame.has_delivery()) order.push_back(frame.delivery().subscription());
  }
  EXPECT_EQ(order, (std::vector<uint32_t>{1, 2, 1, 2}));
}

}  // namespace
}  // namespace sluice
