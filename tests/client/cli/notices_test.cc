#include "client/cli/notices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(NoticesTest, ADisconnectSaysWhyAndWhatWasLost) {
  DisconnectedEvent event;
  event.reason = Reason::kPendingBytes;
  event.text = "9 bytes waited; at most 8 may";
  event.limit = 8;
  event.value = 9;
  event.losses = {
      {.subscription = 1, .filter = "a", .offered = 10, .received = 3, .told_missing = 0, .lost = 7}};
  event.publishes_unknown = 1;
  event.retry_after = absl::Seconds(2);
  EXPECT_EQ(Describe(event),
            "disconnected: pending_bytes (9 bytes waited; at most 8 may); 7 messages lost; the broker may or "
            "may not "
            "have 1 published message; reconnecting in 2s");
}

TEST(NoticesTest, ADisconnectSaysWhatWaitedAndWhatThePoliciesLeftOut) {
  DisconnectedEvent event;
  event.reason = Reason::kPendingAge;
  event.counts = {.pending_bytes = 800,
                  .pending_messages = 8,
                  .oldest_age = absl::Milliseconds(61'500),
                  .dropped_messages = 20,
                  .conflated_messages = 1};
  event.losses = {{.filter = "a", .told_at_end = 3, .lost = 7}, {.filter = "b", .told_at_end = 2, .lost = 2}};
  EXPECT_EQ(Describe(event),
            "disconnected: pending_age; 8 messages waited, the oldest for 1m1.5s; 20 messages dropped in "
            "all; 1 message replaced in all, 5 told only now; 9 messages lost; reconnecting");
}

TEST(NoticesTest, WithoutWordsOfTheBrokerTheNumbersAreSaid) {
  DisconnectedEvent event;
  event.reason = Reason::kPendingAge;
  event.limit = 60'000;
  event.value = 60'012;
  EXPECT_EQ(Describe(event), "disconnected: pending_age; limit 1m, value 1m0.012s; reconnecting");
  event.retry = Retry::kGaveUp;
  EXPECT_THAT(Describe(event), ::testing::EndsWith("; giving up"));
}

TEST(NoticesTest, AReconnectSaysHowTheSessionBeforeEnded) {
  ConnectedEvent event;
  event.server = "127.0.0.1:7584";
  event.reconnects = 1;
  EXPECT_EQ(Describe(event), "connected again to 127.0.0.1:7584");
  event.previous.emplace();
  event.previous->reason = Reason::kWriteTimeout;
  event.previous->losses = {{.filter = "a", .lost = 1}};
  EXPECT_EQ(Describe(event),
            "connected again to 127.0.0.1:7584; the session before ended: write_timeout; 1 message lost");
  event.previous->counts.dropped_messages = 5;
  event.previous->losses[0].told_at_end = 2;
  EXPECT_EQ(
      Describe(event),
      "connected again to 127.0.0.1:7584; the session before ended: write_timeout; 5 messages dropped in "
      "all, 2 told only now; 1 message lost");
  // A Goodbye had told the numbers.
  event.previous->losses.clear();
  EXPECT_EQ(Describe(event), "connected again to 127.0.0.1:7584; the session before ended: write_timeout");
}

TEST(NoticesTest, LagAndGapsAreSaidInNumbers) {
  EXPECT_EQ(Describe(SlowConsumerEvent{.filter = "a.>",
                                       .state = SlowConsumerEvent::State::kRaised,
                                       .limit = Reason::kPendingMessages,
                                       .limit_value = 100,
                                       .value = 75}),
            "falling behind on a.>: pending_messages 75 of 100");
  EXPECT_EQ(Describe(SlowConsumerEvent{.filter = "a.>",
                                       .state = SlowConsumerEvent::State::kRaised,
                                       .limit = Reason::kPendingAge,
                                       .limit_value = 60'000,
                                       .value = 45'000}),
            "falling behind on a.>: pending_age 45s of 1m");
  EXPECT_EQ(Describe(SlowConsumerEvent{.filter = "a.>",
                                       .state = SlowConsumerEvent::State::kRaised,
                                       .limit = Reason::kPendingMessages,
                                       .limit_value = 100,
                                       .value = 75,
                                       .soft_time = absl::Seconds(30)}),
            "falling behind on a.>: pending_messages 75 of 100, a soft limit, which may be passed for 30s");
  EXPECT_EQ(Describe(SlowConsumerEvent{.filter = "a.>", .state = SlowConsumerEvent::State::kCleared}),
            "keeping up again on a.>");
  EXPECT_EQ(Describe(GapEvent{.filter = "a", .messages = 3, .bytes = 2048, .cause = GapCause::kDropped}),
            "missed 3 messages (2 KiB) of a: dropped by the broker");
}

TEST(NoticesTest, OfWhoIsOutOfCreditNoRatesAreSaid) {
  const SlowConsumerEvent event = {.filter = "a.>",
                                   .limit = Reason::kPendingMessages,
                                   .limit_value = 100,
                                   .value = 75,
                                   .cause = LagCause::kApplication};
  EXPECT_EQ(Describe(event),
            "falling behind on a.>: pending_messages 75 of 100; what has come is read too slowly here, or "
            "not at all");
}

TEST(NoticesTest, WhyItFallsBehindIsSaidInWords) {
  SlowConsumerEvent event = {.filter = "a.>",
                             .limit = Reason::kPendingMessages,
                             .limit_value = 100,
                             .value = 75,
                             .drain_bytes_per_second = 1024,
                             .feed_bytes_per_second = 2048};
  const std::string lag = "falling behind on a.>: pending_messages 75 of 100";
  EXPECT_EQ(Describe(event), lag);
  event.cause = LagCause::kApplication;
  EXPECT_EQ(Describe(event), lag + "; nobody reads here what comes (2 KiB/s)");
  event.cause = LagCause::kNetworkSlow;
  EXPECT_EQ(Describe(event), lag + "; the network is too slow: it brings 1 KiB/s of 2 KiB/s");
  event.cause = LagCause::kNetworkLossy;
  EXPECT_EQ(Describe(event), lag + "; the network loses packets: it brings 1 KiB/s of 2 KiB/s");
  event.cause = LagCause::kOverSubscribed;
  event.time_to_limit = absl::Seconds(12);
  EXPECT_EQ(Describe(event),
            lag + "; more comes than is read here: 1 KiB/s of 2 KiB/s; the limit is reached in 12 s");
  event.cause = static_cast<LagCause>(99);  // of a newer broker
  EXPECT_EQ(Describe(event), lag + "; the limit is reached in 12 s");
  event.cause = LagCause::kOverSubscribed;
  event.time_to_limit = absl::InfiniteDuration();
  event.drain_bytes_per_second = 4096;
  EXPECT_EQ(Describe(event), lag + "; catching up: 4 KiB/s is read of 2 KiB/s");
}

TEST(NoticesTest, CountsWhatWasMissedAndRefused) {
  const Interrupt interrupt;
  Console console(&interrupt);
  Notices notices(&console);
  ClientCallbacks callbacks = notices.callbacks();
  ::testing::internal::CaptureStderr();
  callbacks.on_gap({.messages = 3});
  DisconnectedEvent cut;
  cut.reason = Reason::kPendingBytes;
  cut.losses = {{.lost = 4}, {.lost = 5}};
  callbacks.on_disconnected(cut);
  ConnectedEvent again;
  again.reconnects = 1;
  again.previous.emplace();
  again.previous->losses = {{.lost = 6}};
  callbacks.on_connected(again);
  for (uint64_t publish = 1; publish <= 25; ++publish) {
    callbacks.on_error({.status = absl::PermissionDeniedError("no"), .publish = publish});
  }
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(notices.left_out(), 3u);
  EXPECT_EQ(notices.lost(), 4u + 5 + 6);
  EXPECT_EQ(notices.refused(), 25u);
  EXPECT_THAT(said, HasSubstr("sluice: message 10 was refused: no"));
  EXPECT_THAT(said, Not(HasSubstr("message 11")));
}

TEST(NoticesTest, OurOwnCloseIsNoNews) {
  const Interrupt interrupt;
  Console console(&interrupt);
  Notices notices(&console);
  ::testing::internal::CaptureStderr();
  DisconnectedEvent closed;
  closed.reason = Reason::kClientClosed;
  closed.retry = Retry::kGaveUp;
  notices.callbacks().on_disconnected(closed);
  notices.callbacks().on_connected({.server = "x", .reconnects = 0});
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_TRUE(WaitFor({notices.gave_up().fd()}, absl::InfinitePast()).none());
}

}  // namespace
}  // namespace sluice::cli
