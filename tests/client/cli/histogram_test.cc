#include "client/cli/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace sluice::cli {
namespace {

constexpr double kQuantiles[] = {0.0001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1};

// The smallest value that at least that share does not exceed.
uint64_t ExactQuantile(const std::vector<uint64_t>& sorted, double quantile) {
  const auto rank = static_cast<size_t>(std::ceil(quantile * static_cast<double>(sorted.size())));
  return sorted[std::max<size_t>(rank, 1) - 1];
}

void ExpectNearExact(std::vector<uint64_t> values) {
  Histogram histogram;
  for (const uint64_t value : values) histogram.Record(value);
  std::sort(values.begin(), values.end());
  ASSERT_EQ(histogram.count(), values.size());
  ASSERT_EQ(histogram.max(), values.back());
  for (const double quantile : kQuantiles) {
    const uint64_t exact = ExactQuantile(values, quantile);
    const uint64_t told = histogram.ValueAt(quantile);
    EXPECT_GE(told, exact) << quantile;
    EXPECT_LE(told - exact, exact / 128) << quantile << ": exact " << exact << ", told " << told;
  }
}

TEST(HistogramTest, KnowsNothingOfNothing) {
  Histogram histogram;
  EXPECT_EQ(histogram.ValueAt(0.5), 0u);
  EXPECT_EQ(histogram.max(), 0u);
}

TEST(HistogramTest, SmallValuesAreExact) {
  for (uint64_t value = 0; value < 256; ++value) {
    Histogram histogram;
    histogram.Record(value);
    histogram.Record(1'000'000);
    ASSERT_EQ(histogram.ValueAt(0.5), value);
  }
}

TEST(HistogramTest, IsNearTheExactQuantilesOfAnyDistribution) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::vector<uint64_t> uniform, exponential, heavy_tailed, every_size;
  std::exponential_distribution<double> waits(1e-5);
  std::lognormal_distribution<double> latencies(11, 2);
  for (int i = 0; i < 100'000; ++i) {
    uniform.push_back(random() % 10'000'000);
    exponential.push_back(static_cast<uint64_t>(waits(random)));
    heavy_tailed.push_back(static_cast<uint64_t>(latencies(random)));
    every_size.push_back(random() >> (random() % 64));
  }
  ExpectNearExact(uniform);
  ExpectNearExact(exponential);
  ExpectNearExact(heavy_tailed);
  ExpectNearExact(every_size);
  ExpectNearExact({UINT64_MAX, 0, uint64_t{1} << 63});
}

TEST(HistogramTest, EdgesOfBucketsAreWithinTheirBounds) {
  for (int bit = 8; bit < 64; ++bit) {
    for (const int64_t around : {-1, 0, 1}) {
      const uint64_t value = (uint64_t{1} << bit) + static_cast<uint64_t>(around);
      ExpectNearExact({value, UINT64_MAX});
    }
  }
}

TEST(HistogramTest, MergedIsAsIfRecordedByOne) {
  Histogram all, left, right;
  for (uint64_t i = 0; i < 10'000; ++i) {
    const uint64_t value = i * i;
    all.Record(value);
    (i % 3 == 0 ? left : right).Record(value);
  }
  left.Merge(right);
  EXPECT_EQ(left.count(), all.count());
  EXPECT_EQ(left.max(), all.max());
  for (const double quantile : kQuantiles) EXPECT_EQ(left.ValueAt(quantile), all.ValueAt(quantile));
}

TEST(HistogramTest, TellsItsBucketsInOrder) {
  Histogram histogram;
  for (const uint64_t value : {300, 7, 301, 7}) histogram.Record(value);
  const std::vector<std::pair<uint64_t, uint64_t>> buckets = {{7, 2}, {301, 2}};
  EXPECT_EQ(histogram.NonEmpty(), buckets);
}

}  // namespace
}  // namespace sluice::cli
