// A broker of numbers only, for tests of what the exporter shows.
#ifndef SLUICE_TESTS_METRICS_FAKE_SOURCE_H_
#define SLUICE_TESTS_METRICS_FAKE_SOURCE_H_

#include <array>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "metrics/exporter.h"

namespace sluice::testing {

class FakeSource : public SnapshotSource {
 public:
  // Its two shards; count in them as the shards do.
  std::array<ShardCounters, 2> shards;

  void SetDistributions(const SubscriptionDistributions& distributions) {
    const absl::MutexLock lock(&mutex_);
    distributions_ = distributions;
  }
  void SetHealthy(const absl::Status& status) {
    const absl::MutexLock lock(&mutex_);
    healthy_ = status;
  }
  void SetReady(const absl::Status& status) {
    const absl::MutexLock lock(&mutex_);
    ready_ = status;
  }
  // One shard does not answer any more: who asks waits as long as it is willing to.
  enum class Shards { kAnswer, kOneIsStuck };
  void SetShards(Shards shards_now) {
    const absl::MutexLock lock(&mutex_);
    shards_now_ = shards_now;
  }
  // How often it was asked.
  int asked() const {
    const absl::MutexLock lock(&mutex_);
    return asked_;
  }

  std::vector<const ShardCounters*> Counters() const override { return {&shards[0], &shards[1]}; }
  SubscriptionDistributions AskDistributions(absl::Duration wait_max) override {
    const absl::MutexLock lock(&mutex_);
    ++asked_;
    SubscriptionDistributions answer = distributions_;
    const auto all_answer = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return shards_now_ == Shards::kAnswer;
    };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&all_answer), wait_max)) ++answer.shards_missing;
    return answer;
  }
  uint64_t RetainedBytes() const override { return 4096; }
  absl::Status Healthy() const override {
    const absl::MutexLock lock(&mutex_);
    return healthy_;
  }
  absl::Status Ready() const override {
    const absl::MutexLock lock(&mutex_);
    return ready_;
  }

 private:
  mutable absl::Mutex mutex_;
  SubscriptionDistributions distributions_ ABSL_GUARDED_BY(mutex_);
  absl::Status healthy_ ABSL_GUARDED_BY(mutex_);
  absl::Status ready_ ABSL_GUARDED_BY(mutex_);
  Shards shards_now_ ABSL_GUARDED_BY(mutex_) = Shards::kAnswer;
  int asked_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_METRICS_FAKE_SOURCE_H_
