// Nobody is judged by the broker's own lateness: a clock for deadlines and ages that stands still while the
// broker is late. Internal to the broker.
//
//   const absl::Time before = MonotonicNow();
//   poller.Wait(max);                                   // asked to wait no longer than `max`
//   const absl::Time now = clock.Woke(before, max, MonotonicNow());
//   ... the turn ...
//   clock.TurnEnded(MonotonicNow());
//
// The broker is late when a wait returned more than kLatenessTolerated after it should have at the latest
// (the process was stopped, or starved of CPU), or when a turn took longer than that. The time in excess is
// taken off the clock: every deadline moves by it. A wait never lasts beyond the next deadline, so a stop can
// never make one pass unseen.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_LATENESS_H_
#define SLUICE_BROKER_CORE_LATENESS_H_

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"

namespace sluice {

inline constexpr absl::Duration kLatenessTolerated = absl::Milliseconds(100);

class FairClock {
 public:
  // The turn's `now`.
  absl::Time Woke(absl::Time wait_began, absl::Duration wait_max, absl::Time woke) {
    // A deadline that had passed already asks for less than nothing, which no wait can keep.
    Account(woke - wait_began - std::max(wait_max, absl::ZeroDuration()));
    turn_began_ = woke;
    return woke - late_;
  }
  void TurnEnded(absl::Time ended) { Account(ended - turn_began_); }

  absl::Duration late_total() const { return late_; }
  uint64_t late_count() const { return late_count_; }

 private:
  void Account(absl::Duration excess) {
    if (excess <= kLatenessTolerated) return;
    late_ += excess;
    ++late_count_;
  }

  absl::Time turn_began_;
  absl::Duration late_;
  uint64_t late_count_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_LATENESS_H_
