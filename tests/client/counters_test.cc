#include "client/counters.h"

#include <gtest/gtest.h>

namespace sluice::client {
namespace {

absl::Time At(int seconds) { return absl::UnixEpoch() + absl::Seconds(seconds); }

TEST(CountersTest, SpellsCountOnceAndAddUpThePresentOneIncluded) {
  Spells spells;
  EXPECT_EQ(spells.Total(At(5)), absl::ZeroDuration());
  spells.End(At(5));
  spells.Begin(At(10));
  spells.Begin(At(11));
  EXPECT_TRUE(spells.running());
  EXPECT_EQ(spells.count(), 1u);
  EXPECT_EQ(spells.Total(At(13)), absl::Seconds(3));
  spells.End(At(14));
  EXPECT_FALSE(spells.running());
  EXPECT_EQ(spells.Total(At(100)), absl::Seconds(4));
  spells.Begin(At(100));
  EXPECT_EQ(spells.count(), 2u);
  EXPECT_EQ(spells.Total(At(101)), absl::Seconds(5));
}

}  // namespace
}  // namespace sluice::client
