#include "broker/core/shared_limits.h"

#include <gtest/gtest.h>

#include <utility>

namespace sluice {
namespace {

TEST(SharedLimitsTest, PointToNothingUntilTheyAreGivenSome) {
  SharedLimits limits;
  EXPECT_FALSE(limits);
  limits = SharedLimits(QueueLimits{.pending_messages_max = 7});
  EXPECT_TRUE(limits);
  EXPECT_EQ(limits->pending_messages_max, 7u);
}

TEST(SharedLimitsTest, AllReferencesPointToTheSameUntilTheLastIsGone) {
  SharedLimits first(QueueLimits{.pending_bytes_max = 1, .pending_messages_max = 2});
  SharedLimits second = first;
  SharedLimits third;
  third = second;
  EXPECT_EQ(&*first, &*third);
  first = SharedLimits();
  second = SharedLimits(QueueLimits{.pending_bytes_max = 3});
  EXPECT_EQ(third->pending_bytes_max, 1u);
  EXPECT_EQ(third->pending_messages_max, 2u);
  EXPECT_EQ(second->pending_bytes_max, 3u);
  const SharedLimits last = std::move(third);
  EXPECT_FALSE(third);
  EXPECT_EQ(last->pending_bytes_max, 1u);
}

TEST(SharedLimitsPoolTest, EqualOnesAreTheSameWhileFewDifferentOnesAreAskedFor) {
  SharedLimitsPool pool;
  const QueueLimits usual{.pending_messages_max = 1000};
  const SharedLimits first = pool.Get(usual);
  for (uint64_t other = 1; other < 8; ++other) {
    EXPECT_EQ(pool.Get({.pending_bytes_max = other})->pending_bytes_max, other);
    EXPECT_EQ(&*pool.Get(usual), &*first);
  }
  for (uint64_t other = 1; other < 100; ++other) (void)pool.Get({.pending_bytes_max = other});
  EXPECT_EQ(*pool.Get(usual), usual);
  EXPECT_EQ(first->pending_messages_max, 1000u);
}

}  // namespace
}  // namespace sluice
