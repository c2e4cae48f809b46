#include "client/life_clock.h"

#include <gtest/gtest.h>

namespace sluice::client {
namespace {

constexpr absl::Duration kInterval = absl::Seconds(10);

absl::Time At(int seconds) { return absl::UnixEpoch() + absl::Seconds(seconds); }

TEST(LifeClockTest, AsksAfterOneSilentIntervalAndGivesUpAfterASecond) {
  LifeClock clock(kInterval, At(0));
  EXPECT_EQ(clock.Judge(At(9)), LifeVerdict::kAlive);
  EXPECT_EQ(clock.NextJudgement(), At(10));
  EXPECT_EQ(clock.Judge(At(10)), LifeVerdict::kAsk);
  EXPECT_EQ(clock.Judge(At(11)), LifeVerdict::kAlive);
  EXPECT_EQ(clock.NextJudgement(), At(20));
  EXPECT_EQ(clock.Judge(At(19)), LifeVerdict::kAlive);
  EXPECT_EQ(clock.Judge(At(20)), LifeVerdict::kDead);
}

TEST(LifeClockTest, TakesAnySignForAnAnswer) {
  LifeClock clock(kInterval, At(0));
  EXPECT_EQ(clock.Judge(At(10)), LifeVerdict::kAsk);
  clock.OnSign(At(12));
  EXPECT_EQ(clock.Judge(At(21)), LifeVerdict::kAlive);
  EXPECT_EQ(clock.Judge(At(22)), LifeVerdict::kAsk);
}

TEST(LifeClockTest, AsksFirstAfterTheProcessItselfWasStopped) {
  LifeClock clock(kInterval, At(0));
  EXPECT_EQ(clock.Judge(At(3600)), LifeVerdict::kAsk);
  EXPECT_EQ(clock.Judge(At(3609)), LifeVerdict::kAlive);
  EXPECT_EQ(clock.Judge(At(3610)), LifeVerdict::kDead);
}

TEST(LifeClockTest, JudgesNothingWhileAnyReasonSuspendsIt) {
  LifeClock clock(kInterval, At(0));
  clock.Suspend(Suspension::kOwnReads);
  clock.Suspend(Suspension::kBroker);
  clock.Suspend(Suspension::kBroker);
  EXPECT_EQ(clock.Judge(At(100)), LifeVerdict::kAlive);
  EXPECT_EQ(clock.NextJudgement(), absl::InfiniteFuture());
  clock.Resume(Suspension::kBroker, At(100));
  EXPECT_EQ(clock.Judge(At(200)), LifeVerdict::kAlive);
  clock.Resume(Suspension::kOwnReads, At(200));
  EXPECT_EQ(clock.NextJudgement(), At(210));
  EXPECT_EQ(clock.Judge(At(209)), LifeVerdict::kAlive);
  EXPECT_EQ(clock.Judge(At(210)), LifeVerdict::kAsk);
}

TEST(LifeClockTest, ForgetsItsQuestionWhenItIsResumed) {
  LifeClock clock(kInterval, At(0));
  EXPECT_EQ(clock.Judge(At(10)), LifeVerdict::kAsk);
  clock.Suspend(Suspension::kOwnReads);
  clock.Resume(Suspension::kOwnReads, At(50));
  EXPECT_EQ(clock.Judge(At(59)), LifeVerdict::kAlive);
  EXPECT_EQ(clock.Judge(At(60)), LifeVerdict::kAsk);
}

TEST(LifeClockTest, IgnoresAResumeThatNothingSuspended) {
  LifeClock clock(kInterval, At(0));
  clock.Resume(Suspension::kBroker, At(9));
  EXPECT_EQ(clock.NextJudgement(), At(10));
}

}  // namespace
}  // namespace sluice::client
