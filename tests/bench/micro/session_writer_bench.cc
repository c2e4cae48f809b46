// One session: offering to its subscriptions, gathering a write and booking it.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "broker/core/subscriber.h"
#include "tests/bench/guard/socketless_shard.h"
#include "tests/support/frames.h"

namespace sluice::bench {
namespace {

// `queues` subscriptions get a slice of `frames` frames each, and all of it leaves.
void OfferAndFlush(benchmark::State& state) {
  const uint32_t queues = static_cast<uint32_t>(state.range(0));
  const int64_t frames = state.range(1);
  MemoryAccount account;
  std::string bytes;
  for (int64_t i = 0; i < frames; ++i) bytes += PublishFrame("ticks.nyse.IBM", 128);
  const Slice slice = testing::SliceOf(bytes, &account);

  const SubscriberLimits limits;
  MemoryAccount subscriber_account;
  Subscriber subscriber(1, &limits, &subscriber_account);
  std::vector<Subscription*> subscriptions;
  for (uint32_t id = 1; id <= queues; ++id) {
    subscriptions.push_back(subscriber.Add(id, QueueLimits(), v1::OVERFLOW_POLICY_DISCONNECT));
    subscriber.TellSubscribed(id, 0);
  }
  CountingTransport transport;
  const auto scratch = std::make_unique<WriteScratch>();
  absl::Time now = absl::UnixEpoch();
  for (auto _ : state) {
    now += absl::Milliseconds(1);
    for (Subscription* subscription : subscriptions) subscriber.Offer(subscription, {&slice, 1}, now);
    benchmark::DoNotOptimize(subscriber.Flush(&transport, scratch.get(), 4 << 20, now));
  }
  state.SetItemsProcessed(state.iterations() * queues);
}
BENCHMARK(OfferAndFlush)->ArgNames({"queues", "frames"})->ArgsProduct({{1, 16, 100}, {1, 100}});

}  // namespace
}  // namespace sluice::bench
