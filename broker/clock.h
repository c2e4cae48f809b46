// Monotonic time as absl::Time, so that deadlines and ages are typed. Its zero is the machine's start, not
// 1970: only differences mean something. Internal to the broker.
//
// Thread safety: any thread.
#ifndef SLUICE_BROKER_CLOCK_H_
#define SLUICE_BROKER_CLOCK_H_

#include <ctime>

#include "absl/time/time.h"

namespace sluice {

inline absl::Time MonotonicNow() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::TimeFromTimespec(now);
}

}  // namespace sluice

#endif  // SLUICE_BROKER_CLOCK_H_
