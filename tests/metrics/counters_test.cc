#include "metrics/counters.h"

#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <thread>

namespace sluice {
namespace {

template <typename Histogram>
uint64_t Total(const Histogram& histogram) {
  uint64_t total = 0;
  for (size_t bucket = 0; bucket <= Histogram::kBounds; ++bucket) total += histogram.BucketCount(bucket);
  return total;
}

TEST(CounterTest, StartsAtZeroAndGrowsByWhatIsAdded) {
  Counter counter;
  EXPECT_EQ(counter.Get(), 0);
  counter.Add();
  counter.Add(41);
  EXPECT_EQ(counter.Get(), 42);
}

TEST(GaugeTest, GoesUpAndDownAndBelowZero) {
  Gauge gauge;
  gauge.Add(5);
  gauge.Add(-7);
  EXPECT_EQ(gauge.Get(), -2);
  gauge.Set(9);
  EXPECT_EQ(gauge.Get(), 9);
}

TEST(DurationHistogramTest, BoundsAreOneTwoFiveFromAMicrosecondToFiftySeconds) {
  EXPECT_EQ(DurationHistogram::kBoundsNs.front(), 1'000);
  EXPECT_EQ(DurationHistogram::kBoundsNs[1], 2'000);
  EXPECT_EQ(DurationHistogram::kBoundsNs[2], 5'000);
  EXPECT_EQ(DurationHistogram::kBoundsNs.back(), 50'000'000'000);
  for (size_t i = 1; i < DurationHistogram::kBounds; ++i) {
    EXPECT_LT(DurationHistogram::kBoundsNs[i - 1], DurationHistogram::kBoundsNs[i]);
  }
}

TEST(DurationHistogramTest, ABoundBelongsToItsBucketAndWhatIsAboveToTheNext) {
  for (size_t bucket = 0; bucket < DurationHistogram::kBounds; ++bucket) {
    const int64_t bound = static_cast<int64_t>(DurationHistogram::kBoundsNs[bucket]);
    DurationHistogram histogram;
    histogram.ObserveNs(bound);
    EXPECT_EQ(histogram.BucketCount(bucket), 1);
    histogram.ObserveNs(bound + 1);
    EXPECT_EQ(histogram.BucketCount(bucket + 1), 1);
    EXPECT_EQ(Total(histogram), 2);
    EXPECT_EQ(histogram.SumNs(), static_cast<uint64_t>(2 * bound + 1));
  }
}

TEST(DurationHistogramTest, TakesTheExtremes) {
  DurationHistogram histogram;
  histogram.ObserveNs(0);
  histogram.ObserveNs(-1);
  histogram.ObserveNs(std::numeric_limits<int64_t>::min());
  EXPECT_EQ(histogram.BucketCount(0), 3);
  EXPECT_EQ(histogram.SumNs(), 0) << "a negative time must not take from the sum";
  histogram.ObserveNs(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(histogram.BucketCount(DurationHistogram::kBounds), 1);
}

TEST(DistributionTest, BoundsArePowersOfFourBehindZero) {
  EXPECT_EQ(Distribution::kBoundValues[0], 0);
  EXPECT_EQ(Distribution::kBoundValues[1], 1);
  EXPECT_EQ(Distribution::kBoundValues[2], 4);
  EXPECT_EQ(Distribution::kBoundValues.back(), uint64_t{1} << 30);
}

TEST(DistributionTest, ABoundBelongsToItsBucketAndWhatIsAboveToTheNext) {
  for (size_t bucket = 0; bucket < Distribution::kBounds; ++bucket) {
    Distribution distribution;
    distribution.Observe(Distribution::kBoundValues[bucket]);
    EXPECT_EQ(distribution.BucketCount(bucket), 1);
    distribution.Observe(Distribution::kBoundValues[bucket] + 1);
    EXPECT_EQ(distribution.BucketCount(bucket + 1), 1);
    EXPECT_EQ(Total(distribution), 2);
  }
  Distribution distribution;
  distribution.Observe(std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(distribution.BucketCount(Distribution::kBounds), 1);
}

TEST(DistributionTest, MergingAddsBucketsAndSums) {
  Distribution a;
  Distribution b;
  a.Observe(0);
  a.Observe(100);
  b.Observe(100);
  b.Observe(uint64_t{1} << 40);
  a.Merge(b);
  EXPECT_EQ(Total(a), 4);
  EXPECT_EQ(a.Sum(), 200 + (uint64_t{1} << 40));
  EXPECT_EQ(a.BucketCount(0), 1);
  EXPECT_EQ(a.BucketCount(5), 2);  // up to 256
  EXPECT_EQ(a.BucketCount(Distribution::kBounds), 1);
  EXPECT_EQ(Total(b), 2) << "the other one stays";
}

TEST(ShardCountersTest, AnotherThreadMayReadWhileTheShardCounts) {
  ShardCounters counters;
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    uint64_t last = 0;
    while (!stop.load()) {
      const uint64_t now = counters.messages_in.Get();
      EXPECT_GE(now, last);
      last = now;
      EXPECT_GE(counters.pending_bytes.Get(), 0);
      EXPECT_LE(counters.turn.BucketCount(0), 100'000);
    }
  });
  for (int i = 0; i < 100'000; ++i) {
    counters.messages_in.Add();
    counters.pending_bytes.Add(10);
    counters.pending_bytes.Add(-10);
    counters.turn.ObserveNs(1);
  }
  stop.store(true);
  reader.join();
  EXPECT_EQ(counters.messages_in.Get(), 100'000);
  EXPECT_EQ(counters.turn.BucketCount(0), 100'000);
}

TEST(ShardCountersTest, ShardsShareNoCacheLine) {
  EXPECT_EQ(alignof(ShardCounters), 64);
  EXPECT_EQ(sizeof(ShardCounters) % 64, 0);
}

}  // namespace
}  // namespace sluice
