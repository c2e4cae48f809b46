#include "client/cli/pacer.h"

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(PacerTest, TheFirstIsDueAtOnceAndTheOthersFollowAtTheRate) {
  Pacer pacer(4, 100, WhenLate::kCatchUp);
  EXPECT_EQ(pacer.due_ns(), 100);
  pacer.Next(100);
  EXPECT_EQ(pacer.due_ns(), 100 + kSecond / 4);
  pacer.Next(100 + kSecond / 4);
  EXPECT_EQ(pacer.due_ns(), 100 + kSecond / 2);
}

TEST(PacerTest, RoundingDoesNotAddUp) {
  Pacer pacer(3, 0, WhenLate::kCatchUp);
  for (int i = 0; i < 3'000'000; ++i) pacer.Next(0);
  EXPECT_EQ(pacer.due_ns(), 1'000'000 * kSecond);
}

TEST(PacerTest, CatchesUpWithWhatWasLate) {
  Pacer pacer(10, 0, WhenLate::kCatchUp);
  pacer.Next(60 * kSecond);
  EXPECT_EQ(pacer.due_ns(), kSecond / 10);
}

TEST(PacerTest, ForgetsAPauseButNotALittleLateness) {
  Pacer pacer(10, 0, WhenLate::kForget);
  pacer.Next(kSecond / 10 + 99'000'000);
  EXPECT_EQ(pacer.due_ns(), kSecond / 10);
  pacer.Next(60 * kSecond);
  EXPECT_EQ(pacer.due_ns(), 60 * kSecond);
  pacer.Next(60 * kSecond);
  EXPECT_EQ(pacer.due_ns(), 60 * kSecond + kSecond / 10);
}

}  // namespace
}  // namespace sluice::cli
