// Bounds the bytes that were received and not handled yet, over all subscriptions, by saying when the I/O
// thread is to stop reading. Internal to the client.
//
//   budget.Add(bytes);                                       // the I/O thread, with each piece it queues
//   if (budget.Judge() == Intake::kFull) /* do not poll for input */;
//   budget.Release(bytes);                                   // whoever handled them; wakes the I/O thread
//
// Full at the bound, open again at half of it.
//
// Thread safety: Release() from any thread; the rest by the I/O thread.
#ifndef SLUICE_CLIENT_INCOMING_BUDGET_H_
#define SLUICE_CLIENT_INCOMING_BUDGET_H_

#include <atomic>
#include <cstdint>

#include "client/wakeup.h"

namespace sluice::client {

enum class Intake { kOpen, kFull };

class IncomingBudget {
 public:
  // `wakeup` outlives the budget.
  IncomingBudget(uint64_t bytes_max, const Wakeup* wakeup) : bytes_max_(bytes_max), wakeup_(wakeup) {}

  void Add(uint64_t bytes) { bytes_.fetch_add(bytes); }

  void Release(uint64_t bytes) {
    const uint64_t left = bytes_.fetch_sub(bytes) - bytes;
    if (full_.load() && left <= bytes_max_ / 2) wakeup_->Notify();
  }

  Intake Judge() {
    if (full_.load(std::memory_order_relaxed)) {
      if (bytes_.load() > bytes_max_ / 2) return Intake::kFull;
      full_.store(false);
      return Intake::kOpen;
    }
    if (bytes_.load(std::memory_order_relaxed) < bytes_max_) return Intake::kOpen;
    full_.store(true);
    // Who released before he could see that has not woken us: look again. (One of the two sees the other,
    // since these accesses have one order for all threads.)
    if (bytes_.load() > bytes_max_ / 2) return Intake::kFull;
    full_.store(false);
    return Intake::kOpen;
  }

  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  const uint64_t bytes_max_;
  const Wakeup* const wakeup_;
  std::atomic<uint64_t> bytes_{0};
  std::atomic<bool> full_{false};
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_INCOMING_BUDGET_H_
