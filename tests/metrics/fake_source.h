// A broker of numbers only, for tests of what the exporter shows.
#ifndef SLUICE_TESTS_METRICS_FAKE_SOURCE_H_
#define SLUICE_TESTS_METRICS_FAKE_SOURCE_H_

#include <array>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "metrics/exporter.h"

namespace sluice::testing {

class FakeSource : public SnapshotSource {
 public:
  // Its two shards; count in them as the shards do.
  std::array<ShardCounters, 2> shards;

  void SetDistributions(const SubscriptionDistributions& distributions) {
    const std::scoped_lock lock(mutex_);
    distributions_ = distributions;
  }
  void SetHealthy(const absl::Status& status) {
    const std::scoped_lock lock(mutex_);
    healthy_ = status;
  }
  void SetReady(const absl::Status& status) {
    const std::scoped_lock lock(mutex_);
    ready_ = status;
  }
  // One shard does not answer any more: who asks waits as long as it is willing to.
  enum class Shards { kAnswer, kOneIsStuck };
  void SetShards(Shards shards_now) {
    const std::scoped_lock lock(mutex_);
    shards_now_ = shards_now;
    changed_.notify_all();
  }
  // How often it was asked.
  int asked() const {
    const std::scoped_lock lock(mutex_);
    return asked_;
  }

  std::vector<const ShardCounters*> Counters() const override { return {&shards[0], &shards[1]}; }
  SubscriptionDistributions AskDistributions(absl::Duration wait_max) override {
    std::unique_lock lock(mutex_);
    ++asked_;
    SubscriptionDistributions answer = distributions_;
    const auto all_answer = [this] { return shards_now_ == Shards::kAnswer; };
    if (!changed_.wait_for(lock, absl::ToChronoNanoseconds(wait_max), all_answer)) ++answer.shards_missing;
    return answer;
  }
  MemoryUse Memory() const override { return {.retained_bytes = 4096, .budget_bytes = 8192}; }
  absl::Status Healthy() const override {
    const std::scoped_lock lock(mutex_);
    return healthy_;
  }
  absl::Status Ready() const override {
    const std::scoped_lock lock(mutex_);
    return ready_;
  }

 private:
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  SubscriptionDistributions distributions_;
  absl::Status healthy_;
  absl::Status ready_;
  Shards shards_now_ = Shards::kAnswer;
  int asked_ = 0;
};

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_METRICS_FAKE_SOURCE_H_
