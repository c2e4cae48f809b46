#include "client/cli/histogram.h"

#include <algorithm>
#include <cmath>

namespace sluice::cli {

void Histogram::Merge(const Histogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
}

uint64_t Histogram::ValueAt(double quantile) const {
  if (count_ == 0) return 0;
  const uint64_t wanted = std::clamp<uint64_t>(
      static_cast<uint64_t>(std::ceil(quantile * static_cast<double>(count_))), 1, count_);
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen >= wanted) return std::min(HighestOf(i), max_);
  }
  return max_;
}

std::vector<std::pair<uint64_t, uint64_t>> Histogram::NonEmpty() const {
  std::vector<std::pair<uint64_t, uint64_t>> buckets;
  for (size_t i = 0; i < kBuckets; ++i) {
    if (counts_[i] > 0) buckets.emplace_back(HighestOf(i), counts_[i]);
  }
  return buckets;
}

uint64_t Histogram::HighestOf(size_t bucket) {
  if (bucket < kExact) return bucket;
  // BucketOf() backwards: value >> shift lies in [128, 256).
  const size_t shift = (bucket - kExact / 2) / (kExact / 2);
  const uint64_t top = bucket - shift * (kExact / 2);
  return ((top + 1) << shift) - 1;
}

}  // namespace sluice::cli
