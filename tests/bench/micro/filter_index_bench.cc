// Matching a topic.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "broker/core/filter_index.h"

namespace sluice::bench {
namespace {

// `filters` subscriptions with a filter each, and the topics that they are for.
class Index {
 public:
  Index(size_t filters, size_t cached_topics_max) : index_(cached_topics_max), subscriptions_(filters) {
    for (size_t i = 0; i < filters; ++i) {
      topics_.push_back(fmt::format("ticks.exchange{}.T{}", i % 16, i));
      index_.Attach(&subscriptions_[i], index_.FindOrCreate(topics_.back(), ""));
    }
  }
  ~Index() {
    for (Subscription& subscription : subscriptions_) index_.Detach(&subscription);
  }

  void AddFilter(const char* filter) {
    more_.push_back(std::make_unique<Subscription>());
    index_.Attach(more_.back().get(), index_.FindOrCreate(filter, ""));
  }
  // All topics, in an order that does not change from run to run.
  std::vector<std::string> Shuffled() const {
    std::vector<std::string> topics = topics_;
    std::shuffle(topics.begin(), topics.end(), std::mt19937(20261124));
    return topics;
  }
  FilterIndex& index() { return index_; }

 private:
  FilterIndex index_;
  std::vector<std::string> topics_;
  std::vector<Subscription> subscriptions_;
  std::vector<std::unique_ptr<Subscription>> more_;
};

void MatchAll(benchmark::State& state, Index* index) {
  const std::vector<std::string> topics = index->Shuffled();
  size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(index->index().Match(topics[next]));
    if (++next == topics.size()) next = 0;
  }
  state.SetItemsProcessed(state.iterations());
}

void MatchSameTopic(benchmark::State& state) {
  Index index(1, 16 << 10);
  MatchAll(state, &index);
}
BENCHMARK(MatchSameTopic);

void MatchCachedTopics(benchmark::State& state) {
  Index index(static_cast<size_t>(state.range(0)), 16 << 10);
  MatchAll(state, &index);
}
BENCHMARK(MatchCachedTopics)->Arg(10)->Arg(1000)->Arg(10'000);

void MatchUncachedTopics(benchmark::State& state) {
  Index index(static_cast<size_t>(state.range(0)), 1);
  MatchAll(state, &index);
}
BENCHMARK(MatchUncachedTopics)->Arg(10)->Arg(1000)->Arg(100'000);

void MatchUncachedTopicsWithWildcards(benchmark::State& state) {
  Index index(static_cast<size_t>(state.range(0)), 1);
  for (const char* filter : {"ticks.>", "ticks.*.T1", "*.exchange1.*"}) index.AddFilter(filter);
  MatchAll(state, &index);
}
BENCHMARK(MatchUncachedTopicsWithWildcards)->Arg(10)->Arg(1000)->Arg(100'000);

}  // namespace
}  // namespace sluice::bench
