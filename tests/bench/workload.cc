#include "tests/bench/workload.h"

#include <algorithm>

namespace sluice::bench {

uint64_t Workload::window_messages() const {
  return std::max<uint64_t>(4, window_bytes / (payload_bytes + 64));
}

uint32_t Workload::TopicsOf(uint32_t subscriber) const {
  if (layout == Layout::kAll) return topics;
  return (topics + subscribers - 1 - subscriber) / subscribers;
}

uint32_t Workload::TopicOf(uint32_t subscriber, uint32_t index) const {
  return layout == Layout::kAll ? index : subscriber + index * subscribers;
}

}  // namespace sluice::bench
