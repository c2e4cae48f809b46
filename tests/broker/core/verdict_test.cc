#include "broker/core/verdict.h"

#include <gtest/gtest.h>

#include <limits>

namespace sluice {
namespace {

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);
constexpr QueueLimits kLimits = {
    .pending_bytes_max = 1000, .pending_messages_max = 10, .pending_age_max = absl::Seconds(5)};

void ExpectOver(const Verdict& verdict, v1::Reason reason, uint64_t limit, uint64_t value) {
  EXPECT_FALSE(verdict.healthy());
  EXPECT_EQ(verdict.over, reason);
  EXPECT_EQ(verdict.limit, limit);
  EXPECT_EQ(verdict.value, value);
}

TEST(JudgeTest, AnEmptyQueueIsHealthy) { EXPECT_TRUE(Judge({}, kLimits, kNow).healthy()); }

TEST(JudgeTest, AtALimitIsHealthyAndOneMoreIsNot) {
  EXPECT_TRUE(Judge({.waiting_bytes = 1000}, kLimits, kNow).healthy());
  ExpectOver(Judge({.waiting_bytes = 1001}, kLimits, kNow), v1::REASON_PENDING_BYTES, 1000, 1001);
  EXPECT_TRUE(Judge({.waiting_messages = 10}, kLimits, kNow).healthy());
  ExpectOver(Judge({.waiting_messages = 11}, kLimits, kNow), v1::REASON_PENDING_MESSAGES, 10, 11);
  EXPECT_TRUE(Judge({.oldest = kNow - absl::Seconds(5)}, kLimits, kNow).healthy());
  ExpectOver(Judge({.oldest = kNow - absl::Milliseconds(5001)}, kLimits, kNow), v1::REASON_PENDING_AGE, 5000,
             5001);
}

TEST(JudgeTest, AnAgeBarelyOverIsShownAsMoreThanTheLimit) {
  ExpectOver(Judge({.oldest = kNow - absl::Seconds(5) - absl::Nanoseconds(1)}, kLimits, kNow),
             v1::REASON_PENDING_AGE, 5000, 5001);
}

TEST(JudgeTest, NamesTheFirstLimitThatWasPassed) {
  QueueState state = {.waiting_bytes = 2000, .waiting_messages = 20, .oldest = kNow - absl::Minutes(1)};
  EXPECT_EQ(Judge(state, kLimits, kNow).over, v1::REASON_PENDING_BYTES);
  state.waiting_bytes = 0;
  EXPECT_EQ(Judge(state, kLimits, kNow).over, v1::REASON_PENDING_MESSAGES);
  state.waiting_messages = 0;
  EXPECT_EQ(Judge(state, kLimits, kNow).over, v1::REASON_PENDING_AGE);
}

TEST(JudgeTest, ZeroAndInfiniteAreNoLimits) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  const QueueState everything = {
      .waiting_bytes = kMost, .waiting_messages = kMost, .oldest = absl::InfinitePast()};
  EXPECT_TRUE(Judge(everything, {}, kNow).healthy());
  EXPECT_TRUE(Judge(everything, {.pending_age_max = absl::ZeroDuration()}, kNow).healthy());
  EXPECT_TRUE(Judge(everything, {.pending_age_max = absl::InfiniteDuration()}, kNow).healthy());
}

TEST(JudgeTest, AQueueWithoutMessagesHasNoAge) {
  EXPECT_TRUE(
      Judge({.oldest = absl::InfiniteFuture()}, {.pending_age_max = absl::Nanoseconds(1)}, kNow).healthy());
}

TEST(JudgeTest, AMessageFromTheFutureIsNotOld) {
  EXPECT_TRUE(
      Judge({.oldest = kNow + absl::Seconds(1)}, {.pending_age_max = absl::Nanoseconds(1)}, kNow).healthy());
}

}  // namespace
}  // namespace sluice
