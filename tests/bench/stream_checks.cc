#include "tests/bench/stream_checks.h"

#include <algorithm>

namespace sluice::bench {

void StreamChecks::OnUnexpected(size_t stream, uint32_t sequence) {
  if (stream >= next_.size()) {
    ++foreign_;
    return;
  }
  Broken& broken = broken_[stream];
  if (next_[stream] != kBroken) {
    broken.first = next_[stream];
    next_[stream] = kBroken;
  }
  if (sequence < broken.first) {
    ++broken.repeated;
  } else {
    broken.check.OnReceived(sequence - broken.first);
  }
}

uint64_t StreamChecks::Lost(size_t stream, uint32_t sent) const {
  const auto found = broken_.find(stream);
  if (found == broken_.end()) return sent - std::min(sent, next_[stream]);
  const Broken& broken = found->second;
  return broken.check.Lost(sent - std::min(sent, broken.first));
}

uint64_t StreamChecks::repeated() const {
  uint64_t sum = 0;
  for (const auto& [stream, broken] : broken_) sum += broken.repeated + broken.check.repeated();
  return sum;
}

uint64_t StreamChecks::reordered() const {
  uint64_t sum = 0;
  for (const auto& [stream, broken] : broken_) sum += broken.check.reordered();
  return sum;
}

}  // namespace sluice::bench
