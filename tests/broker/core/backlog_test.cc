#include "broker/core/backlog.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/frames.h"

namespace sluice {
namespace {

using ::sluice::testing::MessageFrame;
using ::sluice::testing::SliceOf;

TEST(BacklogTest, ThePoolHandsOutAgainWhatWasGivenBack) {
  MemoryAccount account;
  BacklogPool pool(&account);
  BacklogRef first = pool.Take();
  BacklogRef second = pool.Take();
  EXPECT_NE(first, second);
  Backlog* const used = second.get();
  second = nullptr;
  EXPECT_EQ(pool.spare_count(), 1u);
  EXPECT_EQ(pool.Take().get(), used);
  EXPECT_EQ(pool.spare_count(), 1u);
}

TEST(BacklogTest, OneThatIsNotEmptyIsNotHandedOutAgain) {
  MemoryAccount account;
  BacklogPool pool(&account);
  BacklogRef backlog = pool.Take();
  backlog->queue.Push(SliceOf(MessageFrame("t", "x"), &account));
  backlog = nullptr;
  EXPECT_EQ(pool.spare_count(), 0u);
  EXPECT_EQ(account.bytes(), 0);
}

TEST(BacklogTest, TheSlicesOfAQueueCountAsMemoryWhileTheyAreThere) {
  MemoryAccount account;
  MemoryAccount chunks;
  BacklogPool pool(&account);
  {
    BacklogRef backlog = pool.Take();
    for (int i = 0; i < 1000; ++i) backlog->queue.Push(SliceOf(MessageFrame("t", "x"), &chunks));
    EXPECT_GE(account.bytes(), static_cast<int64_t>(1000 * sizeof(Slice)));
    EXPECT_EQ(backlog->queue.slices_bytes(), 1000 * sizeof(Slice));
    (void)backlog->queue.DropWaiting();
    EXPECT_EQ(account.bytes(), 0);
    for (int i = 0; i < 1000; ++i) backlog->queue.Push(SliceOf(MessageFrame("t", "x"), &chunks));
    Ring<Slice> waiting = backlog->queue.TakeWaiting();
    EXPECT_GE(account.bytes(), static_cast<int64_t>(1000 * sizeof(Slice)));
  }
  EXPECT_LT(account.bytes(), 1000);  // room for a few, in the spare one
}

TEST(BacklogTest, ThePoolKeepsABoundedNumber) {
  MemoryAccount account;
  BacklogPool pool(&account);
  std::vector<BacklogRef> taken;
  for (size_t i = 0; i < BacklogPool::kSpareMax + 10; ++i) taken.push_back(pool.Take());
  taken.clear();
  EXPECT_EQ(pool.spare_count(), BacklogPool::kSpareMax);
}

}  // namespace
}  // namespace sluice
