#include "client/backoff.h"

#include <gtest/gtest.h>

namespace sluice::client {
namespace {

constexpr BackoffOptions kOptions = {.first = absl::Milliseconds(100), .max = absl::Seconds(1)};

TEST(BackoffTest, DoublesUpToTheHighestAndDrawsTheUpperHalf) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    Backoff backoff(kOptions, seed);
    for (const int ceiling_ms : {100, 200, 400, 800, 1000, 1000, 1000}) {
      const absl::Duration delay = backoff.Next();
      EXPECT_GE(delay, absl::Milliseconds(ceiling_ms) / 2);
      EXPECT_LE(delay, absl::Milliseconds(ceiling_ms));
    }
  }
}

TEST(BackoffTest, BeginsAnewAfterReset) {
  Backoff backoff(kOptions, 1);
  for (int i = 0; i < 5; ++i) backoff.Next();
  backoff.Reset();
  EXPECT_LE(backoff.Next(), absl::Milliseconds(100));
}

TEST(BackoffTest, DiffersBetweenClientsAndRepeatsWithTheSeed) {
  Backoff a(kOptions, 1);
  Backoff again(kOptions, 1);
  Backoff b(kOptions, 2);
  const absl::Duration first = a.Next();
  EXPECT_EQ(first, again.Next());
  EXPECT_NE(first, b.Next());
}

}  // namespace
}  // namespace sluice::client
