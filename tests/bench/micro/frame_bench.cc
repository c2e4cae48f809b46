// Frames: reading them out of what was received, and finding where a slice may be cut.
#include <benchmark/benchmark.h>

#include <cstring>
#include <span>
#include <string>

#include "broker/core/frame_reader.h"
#include "protocol/frame.h"
#include "tests/bench/guard/socketless_shard.h"

namespace sluice::bench {
namespace {

std::string Frames(size_t payload_bytes, size_t bytes_max) {
  const std::string frame = PublishFrame("ticks.nyse.IBM", payload_bytes);
  std::string frames;
  while (frames.size() + frame.size() <= bytes_max) frames += frame;
  return frames;
}

// One read of 64 KiB, frame by frame; the copy into the room is not counted.
void ReadFrames(benchmark::State& state) {
  MemoryAccount account;
  ChunkPool pool(256 << 10, &account);
  const std::string frames = Frames(static_cast<size_t>(state.range(0)), kReadBytesMax);
  FrameReader reader;
  int64_t read = 0;
  for (auto _ : state) {
    state.PauseTiming();
    OpenChunk open(&pool);
    const std::span<char> room = reader.Room(&open);
    std::memcpy(room.data(), frames.data(), frames.size());
    reader.Received(&open, static_cast<uint32_t>(frames.size()));
    state.ResumeTiming();
    ReceivedFrame frame;
    while (reader.Next(&open, 1 << 20, &frame) == FrameStatus::kFrame) ++read;
    benchmark::DoNotOptimize(frame);
  }
  state.SetItemsProcessed(read);
}
BENCHMARK(ReadFrames)->Arg(16)->Arg(128)->Arg(1024);

void FindBoundary(benchmark::State& state) {
  const std::string frames = Frames(static_cast<size_t>(state.range(0)), kReadBytesMax);
  int64_t walked = 0;
  for (auto _ : state) {
    const FrameBoundary boundary = LastBoundaryWithin(frames, frames.size() - 1);
    walked += boundary.frames;
    benchmark::DoNotOptimize(boundary);
  }
  state.SetItemsProcessed(walked);
}
BENCHMARK(FindBoundary)->Arg(16)->Arg(128)->Arg(1024);

}  // namespace
}  // namespace sluice::bench
