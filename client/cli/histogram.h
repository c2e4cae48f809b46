// How often which value occurred, in buckets whose width grows with the value: exact below 256, and then no
// more than 1/128 (0.8 %) off, from 0 to 2^64. 60 KB, and a few nanoseconds for each value.
//
//   Histogram latency;
//   latency.Record(nanoseconds);
//   latency.ValueAt(0.99);
//
// Thread safety: none; each thread fills its own, and Merge() adds them up.
#ifndef SLUICE_CLIENT_CLI_HISTOGRAM_H_
#define SLUICE_CLIENT_CLI_HISTOGRAM_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace sluice::cli {

class Histogram {
 public:
  Histogram() : counts_(kBuckets) {}

  void Record(uint64_t value) {
    ++counts_[BucketOf(value)];
    ++count_;
    if (value > max_) max_ = value;
  }
  void Merge(const Histogram& other);

  uint64_t count() const { return count_; }
  // Exact.
  uint64_t max() const { return max_; }

  // The smallest value that a share of at least `quantile` (above 0, up to 1) of all does not exceed; the
  // upper end of its bucket, and never more than max(). 0 when there is none.
  uint64_t ValueAt(double quantile) const;

  // Every bucket that is not empty: its highest value, and how often. For those who add up several runs.
  std::vector<std::pair<uint64_t, uint64_t>> NonEmpty() const;

 private:
  // The first 256 buckets hold one value each. Behind them, each power of two has 128 buckets.
  static constexpr int kPrecisionBits = 8;
  static constexpr size_t kExact = size_t{1} << kPrecisionBits;
  static constexpr size_t kBuckets = kExact + (64 - kPrecisionBits) * kExact / 2;

  static size_t BucketOf(uint64_t value) {
    if (value < kExact) return static_cast<size_t>(value);
    // How many low bits the bucket does not tell apart.
    const int shift = std::bit_width(value) - kPrecisionBits;
    return static_cast<size_t>(value >> shift) + static_cast<size_t>(shift) * kExact / 2;
  }
  static uint64_t HighestOf(size_t bucket);

  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_HISTOGRAM_H_
