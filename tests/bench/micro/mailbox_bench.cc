// Letters between shards: written, sent, taken and answered, by one thread.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "broker/mailbox.h"
#include "tests/bench/guard/socketless_shard.h"
#include "tests/support/frames.h"

namespace sluice::bench {
namespace {

// A turn that sends so many letters with a slice each to one other shard, and is told that it is done.
void SendLetters(benchmark::State& state) {
  MemoryAccount account;
  const Slice slice = testing::SliceOf(PublishFrame("ticks.nyse.IBM", 128), &account);
  const auto tally = std::make_shared<PublishTally>();
  Outbox outbox(0, 2);
  Mailbox mailbox;
  uint64_t turn = 0;
  for (auto _ : state) {
    ++turn;
    for (int64_t i = 0; i < state.range(0); ++i) {
      DeliverLetter letter;
      letter.group = static_cast<uint64_t>(i) + 1;
      letter.slices.push_back(slice);
      letter.parts.push_back({tally, 1});
      outbox.Write(1, std::move(letter));
    }
    outbox.Send(turn, [&](uint32_t, Mail mail) { mailbox.Put(std::move(mail)); });
    for (const Mail& mail : mailbox.Take()) {
      const auto& last = std::get<TurnLetter>(mail.letters.back());
      outbox.Done(1, DoneLetter{last.turn, last.bytes});
    }
    benchmark::DoNotOptimize(outbox.TurnDone(turn));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(SendLetters)->Arg(1)->Arg(16)->Arg(256);

}  // namespace
}  // namespace sluice::bench
