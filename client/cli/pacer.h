// When the next of a regular series is due.
//
//   Pacer pacer(/*per_second=*/1000, NowNs(), WhenLate::kCatchUp);
//   for (…) { WaitUntil(pacer.due_ns()); Send(); pacer.Next(NowNs()); }
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_CLI_PACER_H_
#define SLUICE_CLIENT_CLI_PACER_H_

#include <chrono>
#include <cstdint>

namespace sluice::cli {

// Nanoseconds of the monotonic clock: that of client::MonotonicNow(), and the same in all processes of a
// machine.
inline int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

enum class WhenLate {
  // What was late is made up for: the n-th is due at start + n / rate, whatever happened before.
  kCatchUp,
  // More than 100 ms of lateness are forgotten: after a pause it goes on at the rate, without a burst.
  kForget,
};

class Pacer {
 public:
  // Times in nanoseconds of any monotonic clock. `per_second` is above 0.
  Pacer(double per_second, int64_t start_ns, WhenLate when_late)
      : interval_ns_(1e9 / per_second), start_ns_(start_ns), when_late_(when_late) {}

  int64_t due_ns() const;
  // The one that was due has gone, at `now_ns`.
  void Next(int64_t now_ns);

 private:
  static constexpr int64_t kForgottenBehindNs = 100'000'000;

  const double interval_ns_;
  int64_t start_ns_;
  // Counted from start_ns_, so that rounding does not add up.
  uint64_t gone_ = 0;
  const WhenLate when_late_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_PACER_H_
