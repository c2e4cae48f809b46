// Limits that several subscriptions have in common. Nearly all of a million were asked for with the same
// ones, so that each holds a pointer. Internal to the broker.
//
//   SharedLimits limits(QueueLimits{.pending_messages_max = 1000});
//   subscription.limits = limits;                       // another reference, no copy
//   if (limits->pending_messages_max > 0) ...
//
// They never change; the last reference frees them. Smaller than a std::shared_ptr, and counted without
// atomics.
//
// Thread safety: all references to the same limits belong to one shard.
#ifndef SLUICE_BROKER_CORE_SHARED_LIMITS_H_
#define SLUICE_BROKER_CORE_SHARED_LIMITS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "broker/core/verdict.h"

namespace sluice {

class SharedLimits {
 public:
  // None: there is nothing to point to.
  SharedLimits() = default;
  explicit SharedLimits(const QueueLimits& limits) : shared_(new Shared{limits}) {}
  SharedLimits(const SharedLimits& other) : shared_(other.shared_) {
    if (shared_ != nullptr) ++shared_->references;
  }
  SharedLimits(SharedLimits&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
  SharedLimits& operator=(SharedLimits other) noexcept {
    std::swap(shared_, other.shared_);
    return *this;
  }
  ~SharedLimits() {
    if (shared_ != nullptr && --shared_->references == 0) delete shared_;
  }

  explicit operator bool() const { return shared_ != nullptr; }
  const QueueLimits& operator*() const { return shared_->limits; }
  const QueueLimits* operator->() const { return &shared_->limits; }

 private:
  struct Shared {
    const QueueLimits limits;
    uint32_t references = 1;
  };
  Shared* shared_ = nullptr;
};

// Gives the same limits to all that ask for equal ones, of which it knows the last few.
class SharedLimitsPool {
 public:
  SharedLimits Get(const QueueLimits& limits) {
    for (const SharedLimits& known : known_) {
      if (known && *known == limits) return known;
    }
    SharedLimits& place = known_[next_++ % known_.size()];
    place = SharedLimits(limits);
    return place;
  }

 private:
  std::array<SharedLimits, 8> known_;
  size_t next_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_SHARED_LIMITS_H_
