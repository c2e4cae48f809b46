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

TEST(JudgeTest, SoftLimitsAreJudgedForThemselves) {
  QueueLimits limits = kLimits;
  limits.pending_bytes_soft = 100;
  limits.pending_messages_soft = 2;
  limits.pending_age_soft = absl::Seconds(1);
  EXPECT_TRUE(Judge({.waiting_bytes = 101, .waiting_messages = 3}, limits, kNow).healthy());
  EXPECT_TRUE(JudgeSoft({.waiting_bytes = 100, .waiting_messages = 2}, limits, kNow).healthy());
  ExpectOver(JudgeSoft({.waiting_bytes = 101}, limits, kNow), v1::REASON_PENDING_BYTES, 100, 101);
  ExpectOver(JudgeSoft({.waiting_messages = 3}, limits, kNow), v1::REASON_PENDING_MESSAGES, 2, 3);
  ExpectOver(JudgeSoft({.oldest = kNow - absl::Milliseconds(1001)}, limits, kNow), v1::REASON_PENDING_AGE,
             1000, 1001);
  EXPECT_EQ(JudgeSoft({.waiting_bytes = 101}, limits, kNow).kind, LimitKind::kSoft);
  EXPECT_EQ(Judge({.waiting_bytes = 1001}, limits, kNow).kind, LimitKind::kHard);
  EXPECT_TRUE(JudgeSoft({.waiting_bytes = 1 << 30, .oldest = absl::InfinitePast()}, kLimits, kNow).healthy());
}

TEST(NearestLimitTest, ASoftLimitIsNearerThanTheHardOne) {
  QueueLimits limits = kLimits;
  limits.pending_messages_soft = 5;
  const Nearness nearest = NearestLimit({.waiting_bytes = 500, .waiting_messages = 4}, limits, kNow);
  EXPECT_EQ(nearest.limit, v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(nearest.kind, LimitKind::kSoft);
  EXPECT_EQ(nearest.limit_value, 5u);
  EXPECT_EQ(nearest.share, 0.8);
  EXPECT_EQ(NearestLimit({.waiting_bytes = 900, .waiting_messages = 4}, limits, kNow).kind, LimitKind::kHard);
}

TEST(ShareOfTest, TakesTheLimitsOfOneKind) {
  QueueLimits limits = kLimits;
  limits.pending_messages_soft = 4;
  const QueueBound hard = ShareOf(limits, LimitKind::kHard, 0.5, kNow);
  EXPECT_EQ(hard.bytes_max, 500u);
  EXPECT_EQ(hard.messages_max, 5u);
  EXPECT_EQ(hard.enqueued_since, kNow - absl::Milliseconds(2500));
  const QueueBound soft = ShareOf(limits, LimitKind::kSoft, 0.5, kNow);
  EXPECT_EQ(soft.bytes_max, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(soft.messages_max, 2u);
  EXPECT_EQ(soft.enqueued_since, absl::InfinitePast());
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
