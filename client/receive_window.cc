#include "client/receive_window.h"

#include <algorithm>

namespace sluice::client {

uint64_t ReceiveWindow::bytes() const {
  MutexLock lock(&mutex_);
  return bytes_;
}

void ReceiveWindow::EndSession() {
  MutexLock lock(&mutex_);
  old_ += received_ - handled_;
  received_ = handled_ = granted_ = 0;
}

void ReceiveWindow::Begin(uint64_t granted_bytes, absl::Time now) {
  MutexLock lock(&mutex_);
  granted_ = granted_bytes;
  granted_at_ = now;
  caught_up_ = CaughtUp::kNo;
}

void ReceiveWindow::OnReceived(uint64_t bytes) {
  MutexLock lock(&mutex_);
  received_ += bytes;
}

ReceiveWindow::Grant ReceiveWindow::OnHandled(uint64_t bytes) {
  MutexLock lock(&mutex_);
  const uint64_t old = std::min(bytes, old_);
  old_ -= old;
  handled_ += bytes - old;
  if (old_ == 0 && handled_ == received_) caught_up_ = CaughtUp::kYes;
  return IsDue() ? Grant::kDue : Grant::kNotYet;
}

bool ReceiveWindow::IsDue() const { return granted_ > 0 && handled_ + bytes_ / 2 >= granted_; }

uint64_t ReceiveWindow::TakeGrant(absl::Time now) {
  MutexLock lock(&mutex_);
  if (!IsDue()) return 0;
  if (caught_up_ == CaughtUp::kYes && now - granted_at_ <= kGrowsWithin) {
    bytes_ = std::max(bytes_, std::min(2 * bytes_, bytes_max_));
  }
  caught_up_ = CaughtUp::kNo;
  granted_at_ = now;
  granted_ = handled_ + bytes_;
  return granted_;
}

}  // namespace sluice::client
