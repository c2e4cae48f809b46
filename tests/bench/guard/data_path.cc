// The work that the instruction guard counts (README.md here). Only what happens within MeasuredPart() is
// counted.
//
//   data_path          the names of the cells, one a line
//   data_path CELL     runs one; says how many messages were delivered in the measured part
#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/guard/socketless_shard.h"

namespace sluice::bench {
namespace {

struct Cell {
  std::string_view name;
  int turns;
  std::unique_ptr<SocketlessShard> (*make)();
};

using Session = SocketlessShard::Session;
constexpr int kWarmUpTurns = 50;

std::string TopicOf(size_t number) { return fmt::format("ticks.nyse.T{:03}", number); }

// Messages on topics picked at random, the same ones in every run.
std::string RandomTopics(size_t topics, size_t messages, size_t payload_bytes) {
  std::mt19937 random(20261124);
  std::string frames;
  for (size_t i = 0; i < messages; ++i) frames += PublishFrame(TopicOf(random() % topics), payload_bytes);
  return frames;
}

std::string OneTopic(size_t messages, size_t payload_bytes) {
  std::string frames;
  for (size_t i = 0; i < messages; ++i) frames += PublishFrame(TopicOf(0), payload_bytes);
  return frames;
}

std::unique_ptr<SocketlessShard> OneTopicTo(size_t subscribers) {
  auto shard = std::make_unique<SocketlessShard>();
  for (size_t i = 0; i < subscribers; ++i) shard->Subscribe(shard->AddSubscriber(), 1, TopicOf(0));
  return shard;
}

template <size_t kSubscribers, size_t kPayloadBytes>
std::unique_ptr<SocketlessShard> Batched() {
  auto shard = OneTopicTo(kSubscribers);
  shard->AddPublisher(OneTopic(1000, kPayloadBytes));
  return shard;
}

// A turn for every message, as at a low rate.
std::unique_ptr<SocketlessShard> MessageByMessage() {
  auto shard = OneTopicTo(10);
  const std::string frame = PublishFrame(TopicOf(0), 128);
  shard->AddPublisher(frame, static_cast<uint32_t>(frame.size()));
  return shard;
}

// Ten subscribers of each of ten topics.
std::unique_ptr<SocketlessShard> TenTopics() {
  auto shard = std::make_unique<SocketlessShard>();
  for (size_t i = 0; i < 100; ++i) shard->Subscribe(shard->AddSubscriber(), 1, TopicOf(i % 10));
  shard->AddPublisher(RandomTopics(10, 2000, 128));
  return shard;
}

// Ten sessions, each with a subscription of its own for each of sixteen topics.
std::unique_ptr<SocketlessShard> SixteenSubscriptions() {
  auto shard = std::make_unique<SocketlessShard>();
  for (size_t i = 0; i < 10; ++i) {
    Session* session = shard->AddSubscriber();
    for (uint32_t topic = 0; topic < 16; ++topic) shard->Subscribe(session, topic + 1, TopicOf(topic));
  }
  shard->AddPublisher(RandomTopics(16, 2000, 128));
  return shard;
}

// Nearly every message is on a topic that is in no cache, and matches two filters with wildcards.
std::unique_ptr<SocketlessShard> UncachedTopics() {
  auto shard = std::make_unique<SocketlessShard>(16);
  for (size_t i = 0; i < 5; ++i) shard->Subscribe(shard->AddSubscriber(), 1, "ticks.nyse.*");
  for (size_t i = 0; i < 5; ++i) shard->Subscribe(shard->AddSubscriber(), 1, "ticks.>");
  shard->AddPublisher(RandomTopics(1000, 2000, 128));
  return shard;
}

// Messages dealt to the ten members of a queue group.
std::unique_ptr<SocketlessShard> QueueGroup() {
  auto shard = std::make_unique<SocketlessShard>();
  for (size_t i = 0; i < 10; ++i) shard->Subscribe(shard->AddSubscriber(), 1, TopicOf(0), "workers");
  shard->AddPublisher(OneTopic(1000, 128));
  return shard;
}

// Nine healthy subscribers and one whose socket is full all the time; it is the last session.
std::unique_ptr<SocketlessShard> OneStuck() {
  auto shard = OneTopicTo(9);
  Session* stuck = shard->AddSubscriber();
  shard->Subscribe(stuck, 1, TopicOf(0));
  stuck->transport.SetWriteBytesMax(0);
  shard->AddPublisher(OneTopic(1000, 128), 16 << 10);
  return shard;
}

// Sockets that take less than they are offered, so that nearly every write ends within a frame.
std::unique_ptr<SocketlessShard> PartialWrites() {
  auto shard = std::make_unique<SocketlessShard>();
  for (size_t i = 0; i < 10; ++i) {
    Session* session = shard->AddSubscriber();
    shard->Subscribe(session, 1, TopicOf(0));
    session->transport.SetWriteBytesMax(10'000);
  }
  shard->AddPublisher(OneTopic(1000, 128));
  return shard;
}

constexpr Cell kCells[] = {
    {"one topic, 1 subscriber, 128 B", 20, Batched<1, 128>},
    {"one topic, 10 subscribers, 16 B", 10, Batched<10, 16>},
    {"one topic, 10 subscribers, 128 B", 20, Batched<10, 128>},
    {"one topic, 100 subscribers, 128 B", 20, Batched<100, 128>},
    {"one topic, 10 subscribers, 128 B, message by message", 1000, MessageByMessage},
    {"10 topics at random, 10 subscribers each, 128 B", 20, TenTopics},
    {"10 sessions with 16 subscriptions, 128 B", 20, SixteenSubscriptions},
    {"topics not cached, two wildcard filters, 5 subscribers each, 128 B", 20, UncachedTopics},
    {"one topic, 10 subscribers, 128 B, writes of 10 kB at most", 20, PartialWrites},
    {"queue group of 10, 128 B", 20, QueueGroup},
    {"9 healthy subscribers beside a stuck one, 128 B", 20, OneStuck},
};

}  // namespace

// Outside of the nameless namespace, and not inlined, so that it has a name for callgrind.
[[gnu::noinline]] void MeasuredPart(SocketlessShard* shard, int turns) {
  for (int turn = 0; turn < turns; ++turn) shard->RunTurn();
}

namespace {

uint64_t Run(const Cell& cell) {
  const std::unique_ptr<SocketlessShard> shard = cell.make();
  for (int turn = 0; turn < kWarmUpTurns; ++turn) shard->RunTurn();
  const uint64_t delivered_before = shard->delivered_messages();
  MeasuredPart(shard.get(), cell.turns);
  return shard->delivered_messages() - delivered_before;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  using namespace sluice::bench;  // NOLINT: the whole program is this
  for (const Cell& cell : kCells) {
    if (argc < 2) {
      fmt::print("{}\n", cell.name);
    } else if (cell.name == argv[1]) {
      fmt::print("{}\n", Run(cell));
      return EXIT_SUCCESS;
    }
  }
  return argc < 2 ? EXIT_SUCCESS : EXIT_FAILURE;
}
