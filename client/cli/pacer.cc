#include "client/cli/pacer.h"

#include <cmath>

namespace sluice::cli {

int64_t Pacer::due_ns() const {
  return start_ns_ + static_cast<int64_t>(std::llround(static_cast<double>(gone_) * interval_ns_));
}

void Pacer::Next(int64_t now_ns) {
  ++gone_;
  if (when_late_ == WhenLate::kCatchUp || now_ns - due_ns() <= kForgottenBehindNs) return;
  start_ns_ = now_ns;
  gone_ = 0;
}

}  // namespace sluice::cli
