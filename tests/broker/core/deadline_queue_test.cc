#include "broker/core/deadline_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>

namespace sluice {
namespace {

const absl::Time kStart = absl::UnixEpoch();

TEST(DeadlineQueueTest, AnEmptyOneHasNothingDueEver) {
  DeadlineQueue deadlines;
  EXPECT_EQ(deadlines.next(), absl::InfiniteFuture());
  EXPECT_EQ(deadlines.PopDue(absl::InfiniteFuture()), std::nullopt);
}

TEST(DeadlineQueueTest, GivesTheEarliestFirstAndOnlyWhatIsDue) {
  DeadlineQueue deadlines;
  deadlines.Schedule(3, kStart + absl::Seconds(3));
  deadlines.Schedule(1, kStart + absl::Seconds(1));
  deadlines.Schedule(2, kStart + absl::Seconds(2));
  EXPECT_EQ(deadlines.next(), kStart + absl::Seconds(1));
  EXPECT_EQ(deadlines.PopDue(kStart), std::nullopt);
  EXPECT_EQ(deadlines.PopDue(kStart + absl::Seconds(2)), uint64_t{1});
  EXPECT_EQ(deadlines.PopDue(kStart + absl::Seconds(2)), uint64_t{2});
  EXPECT_EQ(deadlines.PopDue(kStart + absl::Seconds(2)), std::nullopt);
  EXPECT_EQ(deadlines.next(), kStart + absl::Seconds(3));
  EXPECT_EQ(deadlines.size(), 1u);
}

TEST(DeadlineQueueTest, IsDueAtItsVeryInstant) {
  DeadlineQueue deadlines;
  deadlines.Schedule(7, kStart);
  EXPECT_EQ(deadlines.PopDue(kStart - absl::Nanoseconds(1)), std::nullopt);
  EXPECT_EQ(deadlines.PopDue(kStart), uint64_t{7});
}

TEST(DeadlineQueueTest, KeepsNothingForADeadlineThatNeverComes) {
  DeadlineQueue deadlines;
  deadlines.Schedule(7, absl::InfiniteFuture());
  EXPECT_EQ(deadlines.size(), 0u);
}

TEST(DeadlineQueueTest, GivesATokenForEachOfItsDeadlines) {
  DeadlineQueue deadlines;
  deadlines.Schedule(7, kStart + absl::Seconds(2));
  deadlines.Schedule(7, kStart + absl::Seconds(1));
  EXPECT_EQ(deadlines.PopDue(kStart + absl::Seconds(1)), uint64_t{7});
  EXPECT_EQ(deadlines.PopDue(kStart + absl::Seconds(1)), std::nullopt);
  EXPECT_EQ(deadlines.PopDue(kStart + absl::Seconds(2)), uint64_t{7});
}

TEST(DeadlineQueueTest, AgreesWithAMapUnderRandomUse) {
  std::mt19937 random(1);
  DeadlineQueue deadlines;
  std::multimap<absl::Time, uint64_t> model;
  absl::Time now = kStart;
  for (uint64_t step = 0; step < 20'000; ++step) {
    if (random() % 2 == 0) {
      // No two at the same instant: their order is not promised.
      const absl::Time when = now + absl::Milliseconds(random() % 1000) + absl::Nanoseconds(step);
      deadlines.Schedule(step, when);
      model.emplace(when, step);
    } else {
      now += absl::Milliseconds(random() % 10);
      while (const std::optional<uint64_t> token = deadlines.PopDue(now)) {
        ASSERT_FALSE(model.empty());
        ASSERT_LE(model.begin()->first, now);
        ASSERT_EQ(*token, model.begin()->second);
        model.erase(model.begin());
      }
    }
    ASSERT_EQ(deadlines.size(), model.size());
    ASSERT_EQ(deadlines.next(), model.empty() ? absl::InfiniteFuture() : model.begin()->first);
  }
}

}  // namespace
}  // namespace sluice
