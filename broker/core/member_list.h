// The members of a filter group. Of a million groups nearly all have one: it stands in the list itself, and
// only more of them have memory of their own. Internal to the broker.
//
//   members.push_back(subscription);
//   for (Subscription* member : members) ...
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_MEMBER_LIST_H_
#define SLUICE_BROKER_CORE_MEMBER_LIST_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace sluice {

struct Subscription;

class MemberList {
 public:
  MemberList() = default;
  MemberList(const MemberList&) = delete;
  MemberList& operator=(const MemberList&) = delete;
  ~MemberList() { FreeMany(); }

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  Subscription** begin() { return capacity_ == 0 ? &one_ : many_; }
  Subscription** end() { return begin() + size_; }
  Subscription* const* begin() const { return capacity_ == 0 ? &one_ : many_; }
  Subscription* const* end() const { return begin() + size_; }
  Subscription*& operator[](size_t i) { return begin()[i]; }
  Subscription* operator[](size_t i) const { return begin()[i]; }
  Subscription* back() const { return begin()[size_ - 1]; }

  void push_back(Subscription* member) {
    if (size_ == (capacity_ == 0 ? 1 : capacity_)) Grow();
    begin()[size_++] = member;
  }
  // With the last one the memory goes as well.
  void pop_back() {
    if (--size_ == 0) FreeMany();
  }

 private:
  void Grow() {
    const uint32_t capacity = capacity_ == 0 ? 4 : 2 * capacity_;
    auto* const many = new Subscription*[capacity];
    std::copy(begin(), end(), many);
    FreeMany();
    many_ = many;
    capacity_ = capacity;
  }
  void FreeMany() {
    if (capacity_ != 0) delete[] many_;
    capacity_ = 0;
    one_ = nullptr;
  }

  union {
    Subscription* one_ = nullptr;
    Subscription** many_;
  };
  uint32_t size_ = 0;
  uint32_t capacity_ = 0;  // of many_; 0: one_ it is
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_MEMBER_LIST_H_
