// A turn: what was read is matched, assembled, offered and flushed. Items are messages delivered.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <memory>
#include <random>
#include <string>

#include "tests/bench/guard/socketless_shard.h"

namespace sluice::bench {
namespace {

std::string TopicOf(size_t number) { return fmt::format("ticks.nyse.T{:03}", number); }

std::string RandomTopics(size_t topics, size_t payload_bytes = 128) {
  std::mt19937 random(20261124);
  std::string frames;
  for (size_t i = 0; i < 2000; ++i) frames += PublishFrame(TopicOf(random() % topics), payload_bytes);
  return frames;
}

void RunTurns(benchmark::State& state, SocketlessShard* shard) {
  for (auto _ : state) shard->RunTurn();
  state.SetItemsProcessed(static_cast<int64_t>(shard->delivered_messages()));
}

// Adjacent messages: one slice, without a copy.
void TurnOneTopic(benchmark::State& state) {
  SocketlessShard shard;
  for (int64_t i = 0; i < state.range(0); ++i) shard.Subscribe(shard.AddSubscriber(), 1, TopicOf(0));
  shard.AddPublisher(RandomTopics(1, static_cast<size_t>(state.range(1))));
  RunTurns(state, &shard);
}
BENCHMARK(TurnOneTopic)->ArgNames({"subscribers", "bytes"})->ArgsProduct({{1, 10, 100}, {16, 128}});

// Messages that lie apart: assembled once for ten subscribers of each topic.
void TurnTopicsAtRandom(benchmark::State& state) {
  SocketlessShard shard;
  const size_t topics = static_cast<size_t>(state.range(0));
  for (size_t i = 0; i < 10 * topics; ++i) shard.Subscribe(shard.AddSubscriber(), 1, TopicOf(i % topics));
  shard.AddPublisher(RandomTopics(topics));
  RunTurns(state, &shard);
}
BENCHMARK(TurnTopicsAtRandom)->ArgName("topics")->Arg(10)->Arg(100);

// Ten sessions that have all the topics, each as a subscription of its own.
void TurnManySubscriptions(benchmark::State& state) {
  SocketlessShard shard;
  const size_t topics = static_cast<size_t>(state.range(0));
  for (int i = 0; i < 10; ++i) {
    SocketlessShard::Session* session = shard.AddSubscriber();
    for (size_t topic = 0; topic < topics; ++topic) {
      shard.Subscribe(session, static_cast<uint32_t>(topic) + 1, TopicOf(topic));
    }
  }
  shard.AddPublisher(RandomTopics(topics));
  RunTurns(state, &shard);
}
BENCHMARK(TurnManySubscriptions)->ArgName("subscriptions")->Arg(16)->Arg(100);

// Healthy subscribers beside so many that are stuck; the stuck ones begin anew now and then, since what waits
// for them only grows.
void TurnBesideStuck(benchmark::State& state) {
  constexpr int kTurns = 64;
  const std::string frames = RandomTopics(1);
  int64_t delivered = 0;
  for (auto _ : state) {
    state.PauseTiming();
    auto shard = std::make_unique<SocketlessShard>();
    for (int64_t i = 0; i < 10 + state.range(0); ++i) {
      SocketlessShard::Session* session = shard->AddSubscriber();
      shard->Subscribe(session, 1, TopicOf(0));
      if (i >= 10) session->transport.SetWriteBytesMax(0);
    }
    shard->AddPublisher(frames);
    state.ResumeTiming();
    for (int turn = 0; turn < kTurns; ++turn) shard->RunTurn();
    state.PauseTiming();
    delivered += static_cast<int64_t>(shard->delivered_messages());
    shard.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(delivered);
}
BENCHMARK(TurnBesideStuck)->ArgName("stuck")->Arg(0)->Arg(10)->Arg(100);

}  // namespace
}  // namespace sluice::bench
