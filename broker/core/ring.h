// A queue in one growing array. Unlike std::deque an empty one owns no memory, which matters when there are a
// million of them and nearly all are empty. Internal to the broker.
#ifndef SLUICE_BROKER_CORE_RING_H_
#define SLUICE_BROKER_CORE_RING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "broker/core/chunk.h"

namespace sluice {

template <typename T>
class Ring {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  T& operator[](size_t i) { return items_[(head_ + i) & (capacity_ - 1)]; }
  const T& operator[](size_t i) const { return items_[(head_ + i) & (capacity_ - 1)]; }
  T& front() { return (*this)[0]; }
  const T& front() const { return (*this)[0]; }
  T& back() { return (*this)[size_ - 1]; }
  const T& back() const { return (*this)[size_ - 1]; }

  // `item` is none of this ring's.
  void push_back(const T& item) { NewBack() = item; }
  void push_back(T&& item) { NewBack() = std::move(item); }
  void push_front(T item) {
    if (size_ == capacity_) Grow();
    head_ = (head_ + capacity_ - 1) & (capacity_ - 1);
    ++size_;
    front() = std::move(item);
  }
  void pop_front() {
    front() = T();
    head_ = (head_ + 1) & (capacity_ - 1);
    --size_;
  }
  void pop_back() {
    back() = T();
    --size_;
  }
  // Frees the memory too.
  void clear() { *this = Ring(account_); }
  // An empty one that has grown frees its memory; room for a few stays.
  void Shrink() {
    if (capacity_ > kRoomKept) clear();
  }

  // Its memory counts in `account`, which outlives it; null: nowhere.
  explicit Ring(MemoryAccount* account = nullptr) : account_(account) {}
  Ring(Ring&& other) noexcept : Ring(other.account_) { Swap(&other); }
  Ring& operator=(Ring&& other) noexcept {
    Ring taken(std::move(other));
    Swap(&taken);
    return *this;
  }
  ~Ring() { Count(-static_cast<int64_t>(capacity_)); }
  MemoryAccount* account() const { return account_; }

 private:
  void Swap(Ring* other) {
    std::swap(account_, other->account_);
    std::swap(items_, other->items_);
    std::swap(capacity_, other->capacity_);
    std::swap(head_, other->head_);
    std::swap(size_, other->size_);
  }
  void Count(int64_t items) {
    if (account_ != nullptr) account_->Add(items * static_cast<int64_t>(sizeof(T)));
  }
  T& NewBack() {
    if (size_ == capacity_) Grow();
    ++size_;
    return back();
  }
  [[gnu::noinline]] void Grow() {
    const uint32_t capacity = capacity_ == 0 ? 2 : 2 * capacity_;
    auto items = std::make_unique<T[]>(capacity);
    for (size_t i = 0; i < size_; ++i) items[i] = std::move((*this)[i]);
    items_ = std::move(items);
    Count(capacity - capacity_);
    capacity_ = capacity;
    head_ = 0;
  }

  static constexpr uint32_t kRoomKept = 2;

  MemoryAccount* account_ = nullptr;
  std::unique_ptr<T[]> items_;
  uint32_t capacity_ = 0;  // a power of two
  uint32_t head_ = 0;
  uint32_t size_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_RING_H_
