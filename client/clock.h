// The clock that deadlines are measured with: it never jumps. Internal to the client.
//
// Thread safety: pure functions.
#ifndef SLUICE_CLIENT_CLOCK_H_
#define SLUICE_CLIENT_CLOCK_H_

#include <algorithm>
#include <chrono>

#include "absl/time/time.h"

namespace sluice::client {

// Good for differences only; not the time of day.
inline absl::Time MonotonicNow() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

// Saturates: InfiniteFuture for a duration without end.
inline absl::Time DeadlineIn(absl::Duration timeout) {
  return timeout == absl::InfiniteDuration() ? absl::InfiniteFuture() : MonotonicNow() + timeout;
}

// For the standard library's waits. Far enough stands for never, so that its arithmetic cannot overflow.
inline std::chrono::steady_clock::time_point ToSteady(absl::Time time) {
  const absl::Duration since = std::min(time - absl::UnixEpoch(), absl::Hours(24 * 365 * 100));
  return std::chrono::steady_clock::time_point(absl::ToChronoNanoseconds(since));
}

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_CLOCK_H_
