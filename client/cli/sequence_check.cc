#include "client/cli/sequence_check.h"

#include <algorithm>
#include <iterator>

namespace sluice::cli {

void SequenceCheck::OnUnexpected(uint64_t sequence) {
  if (sequence > next_) {
    missing_.emplace(next_, sequence);
    next_ = sequence + 1;
    return;
  }
  const auto behind = missing_.upper_bound(sequence);
  const auto gap = behind == missing_.begin() ? missing_.end() : std::prev(behind);
  if (gap == missing_.end() || sequence >= gap->second) {
    ++repeated_;
    return;
  }
  ++reordered_;
  const auto [begin, end] = *gap;
  missing_.erase(gap);
  if (begin < sequence) missing_.emplace(begin, sequence);
  if (sequence + 1 < end) missing_.emplace(sequence + 1, end);
}

uint64_t SequenceCheck::Lost(uint64_t sent) const {
  uint64_t lost = sent > next_ ? sent - next_ : 0;
  for (const auto& [begin, end] : missing_) {
    if (begin < sent) lost += std::min(end, sent) - begin;
  }
  return lost;
}

}  // namespace sluice::cli
