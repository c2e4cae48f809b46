// How many messages the overflow policies of one session left out of what matched, per subscription and in
// all. Most sessions never lose one, so it costs a pointer until the first, and then only those subscriptions
// that did. Internal to the broker.
//
//   LeftOutBooks books;
//   books.AddDropped(subscription->id, 3);
//   books.AddGap(subscription->id);              // its client is told of them
//   books.Of(subscription->id).dropped;          // 3
//   books.Forget(subscription->id);              // it is gone; the total keeps it
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_LEFT_OUT_BOOKS_H_
#define SLUICE_BROKER_CORE_LEFT_OUT_BOOKS_H_

#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_map.h"

namespace sluice {

// Messages. A newer one came in the place of each conflated one.
struct LeftOut {
  uint64_t dropped = 0;
  uint64_t conflated = 0;
  // Places in the stream where the client is told of them.
  uint64_t gaps = 0;

  bool empty() const { return dropped + conflated + gaps == 0; }
  LeftOut& operator+=(const LeftOut& other) {
    dropped += other.dropped;
    conflated += other.conflated;
    gaps += other.gaps;
    return *this;
  }
};

class LeftOutBooks {
 public:
  void AddDropped(uint32_t subscription, uint64_t messages) { Add(subscription, {.dropped = messages}); }
  void AddConflated(uint32_t subscription, uint64_t messages) { Add(subscription, {.conflated = messages}); }
  void AddGap(uint32_t subscription) { Add(subscription, {.gaps = 1}); }
  void Forget(uint32_t subscription) {
    if (books_ != nullptr) books_->by_subscription.erase(subscription);
  }

  LeftOut Of(uint32_t subscription) const {
    if (books_ == nullptr) return {};
    const auto found = books_->by_subscription.find(subscription);
    return found == books_->by_subscription.end() ? LeftOut() : found->second;
  }
  // visit(subscription, left_out) of each that lost something.
  template <typename Visit>
  void ForEach(Visit visit) const {
    if (books_ == nullptr) return;
    for (const auto& [subscription, left_out] : books_->by_subscription) visit(subscription, left_out);
  }
  LeftOut total() const { return books_ == nullptr ? LeftOut() : books_->total; }

 private:
  void Add(uint32_t subscription, const LeftOut& left_out) {
    if (left_out.empty()) return;
    if (books_ == nullptr) books_ = std::make_unique<Books>();
    books_->total += left_out;
    books_->by_subscription[subscription] += left_out;
  }

  struct Books {
    LeftOut total;
    absl::flat_hash_map<uint32_t, LeftOut> by_subscription;
  };
  std::unique_ptr<Books> books_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_LEFT_OUT_BOOKS_H_
