#include "broker/core/backlog.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/frames.h"

namespace sluice {
namespace {

using ::sluice::testing::MessageFrame;
using ::sluice::testing::SliceOf;

TEST(BacklogTest, ThePoolHandsOutAgainWhatWasGivenBack) {
  BacklogPool pool;
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
  BacklogPool pool;
  BacklogRef backlog = pool.Take();
  backlog->queue.Push(SliceOf(MessageFrame("t", "x"), &account));
  backlog = nullptr;
  EXPECT_EQ(pool.spare_count(), 0u);
  EXPECT_EQ(account.bytes(), 0);
}

TEST(BacklogTest, ThePoolKeepsABoundedNumber) {
  BacklogPool pool;
  std::vector<BacklogRef> taken;
  for (size_t i = 0; i < BacklogPool::kSpareMax + 10; ++i) taken.push_back(pool.Take());
  taken.clear();
  EXPECT_EQ(pool.spare_count(), BacklogPool::kSpareMax);
}

}  // namespace
}  // namespace sluice
