// The check that every publish goes through.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>

#include "protocol/frame.h"
#include "protocol/publish.h"
#include "protocol/topic.h"
#include "tests/bench/guard/socketless_shard.h"

namespace sluice::bench {
namespace {

void CheckPublishOf(benchmark::State& state) {
  const std::string frame = PublishFrame("ticks.nyse.IBM", static_cast<size_t>(state.range(0)));
  const std::string_view body = std::string_view(frame).substr(ReadFramePrefix(frame).prefix_bytes);
  const PublishLimits limits;
  PublishView view;
  for (auto _ : state) benchmark::DoNotOptimize(CheckPublish(body, limits, &view));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(CheckPublishOf)->Name("CheckPublish")->Arg(16)->Arg(128)->Arg(16 << 10);

void CheckTopic(benchmark::State& state, const std::string& topic) {
  for (auto _ : state) benchmark::DoNotOptimize(IsValidTopic(topic));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(CheckTopic, 4_bytes, "tick");
BENCHMARK_CAPTURE(CheckTopic, 14_bytes, "ticks.nyse.IBM");
BENCHMARK_CAPTURE(CheckTopic, 50_bytes, "plants.4711.halls.12.machines.0815.sensors.oil_temp");
BENCHMARK_CAPTURE(CheckTopic, not_ascii, "werke.m\xc3\xbcnchen.t\xc3\xbcr");

}  // namespace
}  // namespace sluice::bench
