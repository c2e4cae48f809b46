#include "client/wire_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/names.h"

namespace sluice::client {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(WireWordsTest, EveryReasonHasTheBrokersNumberAndWord) {
  for (const v1::Reason reason : AllReasons()) {
    EXPECT_EQ(ReasonName(ToReason(reason)), ReasonName(reason));
    EXPECT_EQ(IsSlowConsumer(ToReason(reason)), IsSlowConsumer(reason));
  }
  EXPECT_EQ(ToReason(v1::REASON_COUNT_REACHED), Reason::kCountReached);
  EXPECT_EQ(ToReason(v1::REASON_CLIENT_CLOSED), Reason::kClientClosed);
  EXPECT_EQ(ToReason(v1::REASON_CONTROL_BYTES), Reason::kControlBytes);
  EXPECT_EQ(ToReason(v1::REASON_UNSUPPORTED_VERSION), Reason::kUnsupportedVersion);
  EXPECT_EQ(ToReason(v1::REASON_KICKED), Reason::kKicked);
  EXPECT_EQ(ReasonName(Reason::kServerSilent), "server_silent");
  EXPECT_EQ(ReasonName(static_cast<Reason>(999)), "unknown");
  EXPECT_FALSE(IsSlowConsumer(Reason::kConnectionLost));
}

TEST(WireWordsTest, PoliciesAndCausesHaveTheBrokersNumbers) {
  EXPECT_EQ(ToWire(OverflowPolicy::kDefault), v1::OVERFLOW_POLICY_DEFAULT);
  EXPECT_EQ(ToWire(OverflowPolicy::kDisconnect), v1::OVERFLOW_POLICY_DISCONNECT);
  EXPECT_EQ(ToWire(OverflowPolicy::kDropOldest), v1::OVERFLOW_POLICY_DROP_OLDEST);
  EXPECT_EQ(ToWire(OverflowPolicy::kDropNewest), v1::OVERFLOW_POLICY_DROP_NEWEST);
  EXPECT_EQ(ToWire(OverflowPolicy::kConflate), v1::OVERFLOW_POLICY_CONFLATE);
  EXPECT_EQ(ToWire(OverflowPolicy::kBlock), v1::OVERFLOW_POLICY_BLOCK);
  EXPECT_EQ(ToGapCause(v1::GAP_CAUSE_DROPPED), GapCause::kDropped);
  EXPECT_EQ(ToGapCause(v1::GAP_CAUSE_CONFLATED), GapCause::kConflated);
  EXPECT_EQ(ToLagCause(v1::LAG_CAUSE_UNSPECIFIED), LagCause::kUnknown);
  EXPECT_EQ(ToLagCause(v1::LAG_CAUSE_APPLICATION), LagCause::kApplication);
  EXPECT_EQ(ToLagCause(v1::LAG_CAUSE_NETWORK_SLOW), LagCause::kNetworkSlow);
  EXPECT_EQ(ToLagCause(v1::LAG_CAUSE_NETWORK_LOSSY), LagCause::kNetworkLossy);
  EXPECT_EQ(ToLagCause(v1::LAG_CAUSE_OVER_SUBSCRIBED), LagCause::kOverSubscribed);
  EXPECT_EQ(LagCauseName(LagCause::kOverSubscribed), "over_subscribed");
  EXPECT_EQ(LagCauseName(static_cast<LagCause>(99)), "unknown");
}

TEST(WireWordsTest, EveryErrorHasAStatusOfItsKind) {
  for (int code = 1; code <= v1::ErrorCode_MAX; ++code) {
    if (!v1::ErrorCode_IsValid(code)) continue;
    v1::Error error;
    error.set_code(static_cast<v1::ErrorCode>(code));
    error.set_text("why");
    const absl::Status status = ToStatus(error);
    EXPECT_NE(status.code(), absl::StatusCode::kUnknown) << code;
    EXPECT_THAT(std::string(status.message()), HasSubstr(": why"));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("unknown:"))) << code;
  }
}

TEST(WireWordsTest, ATextForPeopleKeepsItsQuotesAndNothingDangerous) {
  EXPECT_EQ(ForPeople("no \"topic\""), "no \"topic\"");
  EXPECT_EQ(ForPeople("a\x1b[2Jb"), "a\\x1b[2Jb");
  EXPECT_EQ(ForPeople("\xff"), "\\xff");
  EXPECT_LE(ForPeople(std::string(10000, 'x')).size(), 600u);
}

TEST(WireWordsTest, LimitsMakeTheWayAndBack) {
  const SubscriptionLimits limits = {.pending_bytes_max = 1,
                                     .pending_messages_max = 2,
                                     .pending_age_max = absl::Seconds(3),
                                     .pending_bytes_soft = 4,
                                     .pending_messages_soft = 5,
                                     .pending_age_soft = absl::Seconds(6),
                                     .soft_time = absl::Seconds(7)};
  v1::SubscriptionLimits wire;
  ToWire(limits, &wire);
  EXPECT_EQ(wire.pending_age_max_ms(), 3000u);
  const SubscriptionLimits back = FromWire(wire);
  EXPECT_EQ(back.pending_bytes_max, 1u);
  EXPECT_EQ(back.pending_messages_max, 2u);
  EXPECT_EQ(back.pending_age_max, absl::Seconds(3));
  EXPECT_EQ(back.pending_bytes_soft, 4u);
  EXPECT_EQ(back.pending_messages_soft, 5u);
  EXPECT_EQ(back.pending_age_soft, absl::Seconds(6));
  EXPECT_EQ(back.soft_time, absl::Seconds(7));
}

}  // namespace
}  // namespace sluice::client
