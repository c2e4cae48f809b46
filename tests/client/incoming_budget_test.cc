#include "client/incoming_budget.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

namespace sluice::client {
namespace {

bool Woken(const Wakeup& wakeup) {
  pollfd wake = {wakeup.fd(), POLLIN, 0};
  const bool woken = ::poll(&wake, 1, 0) == 1;
  wakeup.Drain();
  return woken;
}

TEST(IncomingBudgetTest, IsFullAtTheBoundAndOpensAgainAtHalfOfIt) {
  Wakeup wakeup;
  ASSERT_TRUE(wakeup.Open().ok());
  IncomingBudget budget(100, &wakeup);
  budget.Add(99);
  EXPECT_EQ(budget.Judge(), Intake::kOpen);
  budget.Add(1);
  EXPECT_EQ(budget.Judge(), Intake::kFull);
  budget.Release(49);
  EXPECT_FALSE(Woken(wakeup));
  EXPECT_EQ(budget.Judge(), Intake::kFull);
  budget.Release(1);
  EXPECT_TRUE(Woken(wakeup));
  EXPECT_EQ(budget.Judge(), Intake::kOpen);
  budget.Release(50);
  EXPECT_FALSE(Woken(wakeup));
  EXPECT_EQ(budget.bytes(), 0u);
}

TEST(IncomingBudgetTest, TheWakeIsNeverLost) {
  Wakeup wakeup;
  ASSERT_TRUE(wakeup.Open().ok());
  // The least bound, so that one release in the wrong moment is enough.
  IncomingBudget budget(1, &wakeup);
  constexpr int kRounds = 100000;
  std::atomic<int> added{0};
  std::thread consumer([&] {
    for (int released = 0; released < kRounds;) {
      if (added.load() > released) {
        budget.Release(1);
        ++released;
      }
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    while (budget.Judge() == Intake::kFull) {
      pollfd wake = {wakeup.fd(), POLLIN, 0};
      ASSERT_EQ(::poll(&wake, 1, 60000), 1) << "nobody woke us";
      wakeup.Drain();
    }
    budget.Add(1);
    ++added;
  }
  consumer.join();
}

}  // namespace
}  // namespace sluice::client
