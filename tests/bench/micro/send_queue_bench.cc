// One subscription's queue: slices in, bytes out, and what a drop costs.
#include <benchmark/benchmark.h>

#include <optional>
#include <string>

#include "broker/core/send_queue.h"
#include "tests/bench/guard/socketless_shard.h"
#include "tests/support/frames.h"

namespace sluice::bench {
namespace {

Slice FramesSlice(size_t frames, MemoryAccount* account) {
  std::string bytes;
  for (size_t i = 0; i < frames; ++i) bytes += PublishFrame("ticks.nyse.IBM", 128);
  return testing::SliceOf(bytes, account);
}

// A slice of so many frames comes and leaves as a whole.
void PushAndConsume(benchmark::State& state) {
  MemoryAccount account;
  const Slice slice = FramesSlice(static_cast<size_t>(state.range(0)), &account);
  SendQueue queue;
  for (auto _ : state) {
    queue.Push(slice);
    benchmark::DoNotOptimize(queue.Consume(slice.bytes));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(PushAndConsume)->Arg(1)->Arg(400);

// Slices wait for one another, as behind a socket that is full.
void PushMany(benchmark::State& state) {
  MemoryAccount account;
  const Slice slice = FramesSlice(1, &account);
  for (auto _ : state) {
    SendQueue queue;
    for (int64_t i = 0; i < state.range(0); ++i) queue.Push(slice);
    benchmark::DoNotOptimize(queue);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(PushMany)->Arg(16)->Arg(1024);

// The kernel takes half of a slice of so many frames, and then the rest: a cut within a frame.
void ConsumeInTwo(benchmark::State& state) {
  MemoryAccount account;
  const Slice slice = FramesSlice(static_cast<size_t>(state.range(0)), &account);
  SendQueue queue;
  for (auto _ : state) {
    queue.Push(slice);
    const uint32_t half = slice.bytes / 2 + 1;
    uint32_t rest_bytes = 0;
    if (const std::optional<FrameRest> rest = queue.Consume(half)) {
      rest_bytes = rest->bytes;
      queue.ConsumeRest(rest->bytes, rest->kind);
      queue.FinishFrame(rest->kind);
    }
    benchmark::DoNotOptimize(queue.Consume(slice.bytes - half - rest_bytes));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(ConsumeInTwo)->Arg(2)->Arg(400);

// What waits is dropped behind the frame that is half on the wire.
void DropWaiting(benchmark::State& state) {
  MemoryAccount account;
  const Slice slice = FramesSlice(2, &account);
  for (auto _ : state) {
    SendQueue queue;
    for (int64_t i = 0; i < state.range(0); ++i) queue.Push(slice);
    benchmark::DoNotOptimize(queue.Consume(slice.bytes / 2 + 1));
    benchmark::DoNotOptimize(queue.DropWaiting());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(DropWaiting)->Arg(1)->Arg(1024);

}  // namespace
}  // namespace sluice::bench
