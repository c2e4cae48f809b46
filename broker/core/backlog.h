// What only a subscription with something to send needs: its queue, and its place in the writer's round. It
// comes with the first slice and goes with the last, so a shard keeps some for those who come next. Internal
// to the broker.
//
//   BacklogPool pool(&account);
//   BacklogRef backlog = pool.Take();
//   backlog->queue.Push(slice);
//   ...
//   backlog = nullptr;                          // goes back to where it came from
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_BACKLOG_H_
#define SLUICE_BROKER_CORE_BACKLOG_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "broker/core/send_queue.h"

namespace sluice {

struct Subscription;
struct Backlog;
class BacklogPool;

struct GiveBacklogBack {
  void operator()(Backlog* backlog) const;
  // The rare way, kept apart so that the other one is inlined.
  static void Free(Backlog* backlog);
};
using BacklogRef = std::unique_ptr<Backlog, GiveBacklogBack>;

struct Backlog {
  explicit Backlog(MemoryAccount* account = nullptr) : queue(account) {}

  SendQueue queue;

  // A circular list of subscriptions with something to send, and what this one may still send (or, below
  // zero, owes) in the round.
  Subscription* next_active = nullptr;
  Subscription* previous_active = nullptr;
  int64_t deficit_bytes = 0;

  // Since when the queue has been above a soft limit, without interruption and without that its policy acted.
  // InfiniteFuture(): it is not. Only a lagging one is.
  absl::Time above_soft_since = absl::InfiniteFuture();

  // Where it came from; null: from the heap.
  BacklogPool* pool = nullptr;

  // Neither queued nor active: as good as a new one.
  bool idle() const { return next_active == nullptr && queue.idle(); }
};

// Outlives all that were taken from it.
class BacklogPool {
 public:
  // Of a hundred bytes, and as many for the slices.
  static constexpr size_t kSpareMax = 8192;

  // What their slices take counts in `account`.
  explicit BacklogPool(MemoryAccount* account) : account_(account) {}
  BacklogPool(const BacklogPool&) = delete;
  BacklogPool& operator=(const BacklogPool&) = delete;

  BacklogRef Take() {
    if (spare_.empty()) {
      BacklogRef fresh(new Backlog(account_));
      fresh->pool = this;
      return fresh;
    }
    BacklogRef backlog(spare_.back().release());
    spare_.pop_back();
    return backlog;
  }
  size_t spare_count() const { return spare_.size(); }

 private:
  friend struct GiveBacklogBack;

  MemoryAccount* const account_;
  std::vector<std::unique_ptr<Backlog>> spare_;
};

inline void GiveBacklogBack::operator()(Backlog* backlog) const {
  BacklogPool* const pool = backlog->pool;
  if (pool == nullptr || !backlog->idle() || pool->spare_.size() >= BacklogPool::kSpareMax) {
    Free(backlog);
    return;
  }
  backlog->above_soft_since = absl::InfiniteFuture();
  pool->spare_.emplace_back(backlog);
}

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_BACKLOG_H_
