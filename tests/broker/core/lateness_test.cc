#include "broker/core/lateness.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

class FairClockTest : public ::testing::Test {
 protected:
  // Waits for `waited` of at most `max`, then works for `turn`. Returns what the turn took for now.
  absl::Time RunTurn(absl::Duration max, absl::Duration waited, absl::Duration turn = absl::ZeroDuration()) {
    const absl::Time began = real_;
    real_ += waited;
    const absl::Time now = clock_.Woke(began, max, real_);
    real_ += turn;
    clock_.TurnEnded(real_);
    return now;
  }

  const absl::Time start_ = absl::UnixEpoch() + absl::Hours(1);
  absl::Time real_ = start_;
  FairClock clock_;
};

TEST_F(FairClockTest, IsTheRealTimeWhileTheBrokerIsInTime) {
  EXPECT_EQ(RunTurn(absl::Seconds(10), absl::Seconds(3)), start_ + absl::Seconds(3));
  EXPECT_EQ(RunTurn(absl::Seconds(10), absl::Seconds(10)), start_ + absl::Seconds(13));
  EXPECT_EQ(clock_.late_total(), absl::ZeroDuration());
  EXPECT_EQ(clock_.late_count(), 0u);
}

TEST_F(FairClockTest, StandsStillWhileTheBrokerWasStoppedInAWait) {
  const absl::Duration stopped = absl::Seconds(20);
  EXPECT_EQ(RunTurn(absl::Seconds(1), absl::Seconds(1) + stopped), start_ + absl::Seconds(1));
  EXPECT_EQ(clock_.late_total(), stopped);
  EXPECT_EQ(clock_.late_count(), 1u);
  // And goes on from there: every deadline has moved by the stop.
  EXPECT_EQ(RunTurn(absl::Seconds(1), absl::Milliseconds(500)), start_ + absl::Milliseconds(1500));
}

TEST_F(FairClockTest, StandsStillDuringALongTurn) {
  EXPECT_EQ(RunTurn(absl::Seconds(1), absl::Milliseconds(10), absl::Seconds(5)),
            start_ + absl::Milliseconds(10));
  EXPECT_EQ(clock_.late_total(), absl::Seconds(5));
  EXPECT_EQ(RunTurn(absl::Seconds(1), absl::Milliseconds(10)), start_ + absl::Milliseconds(20));
}

TEST_F(FairClockTest, ToleratesALittleLateness) {
  EXPECT_EQ(RunTurn(absl::Seconds(1), absl::Seconds(1) + kLatenessTolerated, kLatenessTolerated),
            start_ + absl::Seconds(1) + kLatenessTolerated);
  EXPECT_EQ(clock_.late_count(), 0u);
  const absl::Duration beyond = kLatenessTolerated + absl::Nanoseconds(1);
  const absl::Time before = real_;
  EXPECT_EQ(RunTurn(absl::Seconds(1), absl::Seconds(1) + beyond, beyond), before + absl::Seconds(1));
  EXPECT_EQ(clock_.late_count(), 2u);
  EXPECT_EQ(clock_.late_total(), 2 * beyond);
}

TEST_F(FairClockTest, AddsUpWhatItMissed) {
  for (int i = 0; i < 10; ++i)
    static_cast<void>(RunTurn(absl::Seconds(1), absl::Seconds(3), absl::Seconds(2)));
  EXPECT_EQ(clock_.late_count(), 20u);
  EXPECT_EQ(clock_.late_total(), absl::Seconds(40));
  EXPECT_EQ(RunTurn(absl::Seconds(1), absl::ZeroDuration()), start_ + absl::Seconds(10));
}

TEST_F(FairClockTest, AWaitWithoutALimitIsNeverLate) {
  EXPECT_EQ(RunTurn(absl::InfiniteDuration(), absl::Hours(24)), start_ + absl::Hours(24));
  EXPECT_EQ(clock_.late_count(), 0u);
}

TEST_F(FairClockTest, NeverGoesBackwards) {
  absl::Time last = start_;
  for (int i = 0; i < 200; ++i) {
    const absl::Time now = RunTurn(absl::Milliseconds(i % 7 * 40 - 80), absl::Milliseconds(i % 5 * 90),
                                   absl::Milliseconds(i % 3 * 80));
    EXPECT_GE(now, last) << i;
    last = now;
  }
}

}  // namespace
}  // namespace sluice
