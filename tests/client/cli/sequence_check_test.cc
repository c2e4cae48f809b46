#include "client/cli/sequence_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace sluice::cli {
namespace {

SequenceCheck After(const std::vector<uint64_t>& sequences) {
  SequenceCheck check;
  for (const uint64_t sequence : sequences) check.OnReceived(sequence);
  return check;
}

TEST(SequenceCheckTest, FindsNothingWrongWithWhatIsRight) {
  const SequenceCheck check = After({0, 1, 2, 3});
  EXPECT_EQ(check.Lost(4), 0u);
  EXPECT_EQ(check.repeated(), 0u);
  EXPECT_EQ(check.reordered(), 0u);
}

TEST(SequenceCheckTest, CountsLossAtTheBeginningInTheMiddleAndAtTheEnd) {
  EXPECT_EQ(After({2, 3}).Lost(4), 2u);
  EXPECT_EQ(After({0, 3}).Lost(4), 2u);
  EXPECT_EQ(After({0, 1}).Lost(4), 2u);
  EXPECT_EQ(After({}).Lost(4), 4u);
  EXPECT_EQ(After({1, 3, 5}).Lost(10), 7u);
}

TEST(SequenceCheckTest, LateIsReorderedAndNotLost) {
  const SequenceCheck check = After({0, 3, 2, 1, 4});
  EXPECT_EQ(check.reordered(), 2u);
  EXPECT_EQ(check.repeated(), 0u);
  EXPECT_EQ(check.Lost(5), 0u);
}

TEST(SequenceCheckTest, TwiceIsRepeated) {
  const SequenceCheck check = After({0, 0, 1, 2, 1, 5, 3, 3, 5});
  EXPECT_EQ(check.repeated(), 4u);
  EXPECT_EQ(check.reordered(), 1u);
  EXPECT_EQ(check.Lost(6), 1u);
}

TEST(SequenceCheckTest, AgreesWithAnObviousReference) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 300; ++round) {
    std::vector<uint64_t> arrivals;
    const uint64_t sent = 1 + random() % 40;
    for (uint64_t sequence = 0; sequence < sent; ++sequence) {
      for (uint32_t copies = random() % 4 == 0 ? random() % 3 : 1; copies > 0; --copies)
        arrivals.push_back(sequence);
    }
    for (size_t i = 0; i + 1 < arrivals.size(); ++i) {
      if (random() % 3 == 0) std::swap(arrivals[i], arrivals[i + random() % (arrivals.size() - i)]);
    }
    std::set<uint64_t> seen;
    uint64_t repeated = 0, reordered = 0;
    for (const uint64_t sequence : arrivals) {
      if (!seen.empty() && sequence < *seen.rbegin() && !seen.contains(sequence)) ++reordered;
      if (!seen.insert(sequence).second) ++repeated;
    }
    const SequenceCheck check = After(arrivals);
    ASSERT_EQ(check.repeated(), repeated);
    ASSERT_EQ(check.reordered(), reordered);
    ASSERT_EQ(check.Lost(sent), sent - seen.size());
  }
}

}  // namespace
}  // namespace sluice::cli
