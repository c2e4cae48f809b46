#include "tests/bench/stream_checks.h"

#include <gtest/gtest.h>

namespace sluice::bench {
namespace {

TEST(StreamChecksTest, AStreamInOrderIsWithoutFault) {
  StreamChecks checks(2);
  for (uint32_t i = 0; i < 5; ++i) checks.OnReceived(1, i);
  EXPECT_EQ(checks.Lost(1, 5), 0u);
  EXPECT_EQ(checks.Lost(1, 7), 2u);
  EXPECT_EQ(checks.Lost(0, 3), 3u);
  EXPECT_EQ(checks.repeated(), 0u);
  EXPECT_EQ(checks.reordered(), 0u);
  EXPECT_EQ(checks.foreign(), 0u);
}

TEST(StreamChecksTest, WhatIsSkippedIsLost) {
  StreamChecks checks(1);
  for (const uint32_t i : {0, 1, 4, 5}) checks.OnReceived(0, i);
  EXPECT_EQ(checks.Lost(0, 6), 2u);
  EXPECT_EQ(checks.Lost(0, 8), 4u);
}

TEST(StreamChecksTest, WhatComesLateIsReorderedAndNotLost) {
  StreamChecks checks(1);
  for (const uint32_t i : {0, 2, 1, 3}) checks.OnReceived(0, i);
  EXPECT_EQ(checks.Lost(0, 4), 0u);
  EXPECT_EQ(checks.reordered(), 1u);
  EXPECT_EQ(checks.repeated(), 0u);
}

TEST(StreamChecksTest, WhatComesTwiceIsRepeated) {
  StreamChecks checks(1);
  // Once from before the first fault, once from behind it.
  for (const uint32_t i : {0, 1, 0, 2, 2, 3}) checks.OnReceived(0, i);
  EXPECT_EQ(checks.Lost(0, 4), 0u);
  EXPECT_EQ(checks.repeated(), 2u);
}

TEST(StreamChecksTest, AFaultInOneStreamIsNotOneInAnother) {
  StreamChecks checks(2);
  checks.OnReceived(0, 3);
  checks.OnReceived(1, 0);
  EXPECT_EQ(checks.Lost(0, 4), 3u);
  EXPECT_EQ(checks.Lost(1, 1), 0u);
}

TEST(StreamChecksTest, StreamsThatAreNotTheSubscribersAreForeign) {
  StreamChecks checks(2);
  checks.OnReceived(2, 0);
  checks.OnReceived(SIZE_MAX, 0);
  EXPECT_EQ(checks.foreign(), 2u);
}

}  // namespace
}  // namespace sluice::bench
