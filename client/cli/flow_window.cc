#include "client/cli/flow_window.h"

#include <algorithm>

namespace sluice::cli {

FlowWindow::FlowWindow(uint64_t bytes_max, uint32_t receivers)
    : bytes_max_(bytes_max), granule_bytes_(std::max<uint64_t>(1, bytes_max / 8)), receivers_(receivers) {
  slowest_.store(Slowest());
}

FlowWindow::Taken FlowWindow::Take(uint64_t bytes) {
  uint64_t taken = taken_.load(std::memory_order_relaxed);
  for (;;) {
    // Read before the receivers' counts: one that moves after we looked changes it.
    const uint32_t progress = progress_.load(std::memory_order_acquire);
    if (stopped_.load(std::memory_order_acquire)) return Taken::kStopped;
    uint64_t slowest = slowest_.load(std::memory_order_relaxed);
    const auto fits = [&] {
      return slowest == kLeft || taken <= slowest || taken - slowest + bytes <= bytes_max_;
    };
    if (!fits()) {
      slowest = Slowest();
      slowest_.store(slowest, std::memory_order_relaxed);
    }
    if (!fits()) {
      progress_.wait(progress, std::memory_order_acquire);
      taken = taken_.load(std::memory_order_relaxed);
      continue;
    }
    if (taken_.compare_exchange_weak(taken, taken + bytes, std::memory_order_relaxed)) return Taken::kYes;
  }
}

void FlowWindow::Leave(uint32_t receiver) {
  receivers_[receiver].left.store(true, std::memory_order_release);
  Tell();
}

void FlowWindow::Stop() {
  stopped_.store(true, std::memory_order_release);
  Tell();
}

void FlowWindow::Tell() {
  progress_.fetch_add(1, std::memory_order_acq_rel);
  progress_.notify_all();
}

uint64_t FlowWindow::Slowest() const {
  uint64_t slowest = kLeft;
  for (const Receiver& receiver : receivers_) {
    if (receiver.left.load(std::memory_order_acquire)) continue;
    slowest = std::min(slowest, receiver.bytes.load(std::memory_order_acquire));
  }
  return slowest;
}

}  // namespace sluice::cli
