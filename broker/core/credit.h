// How much a subscription with a window may still be sent. Internal to the broker.
//
// It counts bytes of message frames, their lengths included; headers, Gaps and other frames of the broker cost
// nothing. A frame is paid for as a whole when its first byte leaves, and may begin while anything is left:
// so no window is too small for a message, and what was sent may exceed what was granted by less than a frame.
//
//   Credit credit(/*granted_bytes=*/1000);
//   credit.Grant(1500);                      // in all: a lower or repeated number says nothing
//   credit.Spend(frame_bytes);
//   if (credit.left() == 0) ...              // nothing begins until there is more
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_CREDIT_H_
#define SLUICE_BROKER_CORE_CREDIT_H_

#include <algorithm>
#include <cstdint>
#include <limits>

namespace sluice {

class Credit {
 public:
  // 0: there is no window.
  explicit Credit(uint64_t granted_bytes) : granted_bytes_(granted_bytes) {}

  // All that was granted so far.
  uint64_t granted_bytes() const { return granted_bytes_; }
  uint64_t left() const { return granted_bytes_ - std::min(granted_bytes_, spent_bytes_); }

  void Grant(uint64_t granted_bytes) { granted_bytes_ = std::max(granted_bytes_, granted_bytes); }
  void Spend(uint64_t bytes) { spent_bytes_ += bytes; }
  // From now on everything may leave.
  void Lift() { granted_bytes_ = std::numeric_limits<uint64_t>::max(); }

 private:
  uint64_t granted_bytes_;
  uint64_t spent_bytes_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_CREDIT_H_
