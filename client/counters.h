// What stats() shows of the I/O thread's work. Internal to the client.
//
// Thread safety: written by the I/O thread, read by any.
#ifndef SLUICE_CLIENT_COUNTERS_H_
#define SLUICE_CLIENT_COUNTERS_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "client/clock.h"

namespace sluice::client {

class Counter {
 public:
  void Add(uint64_t more) { value_.store(value() + more, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// How often and how long something was so.
class Spells {
 public:
  void Begin(absl::Time now) {
    if (running()) return;
    count_.Add(1);
    since_.store(ToNanoseconds(now), std::memory_order_relaxed);
  }
  void End(absl::Time now) {
    if (!running()) return;
    total_.Add(static_cast<uint64_t>(ToNanoseconds(now) - since_.load(std::memory_order_relaxed)));
    since_.store(kNotNow, std::memory_order_relaxed);
  }

  bool running() const { return since_.load(std::memory_order_relaxed) != kNotNow; }
  uint64_t count() const { return count_.value(); }
  // The present one included.
  absl::Duration Total(absl::Time now) const {
    const int64_t since = since_.load(std::memory_order_relaxed);
    return absl::Nanoseconds(static_cast<int64_t>(total_.value()) +
                             (since == kNotNow ? 0 : ToNanoseconds(now) - since));
  }

 private:
  static constexpr int64_t kNotNow = -1;
  static int64_t ToNanoseconds(absl::Time time) { return absl::ToUnixNanos(time); }

  Counter count_;
  Counter total_;
  std::atomic<int64_t> since_{kNotNow};
};

struct Counters {
  Counter reconnects;
  Counter messages_received;
  Counter bytes_sent;
  Counter bytes_received;
  Counter sends;
  Counter receives;
  Spells broker_paused;
  Spells reading_paused;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_COUNTERS_H_
