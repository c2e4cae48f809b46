#include "broker/core/lag_cause.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);

constexpr uint64_t kSegmentBytes = 1448;

// What happened in `time`; bytes since the beginning.
struct Case {
  std::string name = {};
  v1::LagCause cause = v1::LAG_CAUSE_UNSPECIFIED;
  absl::Duration time = absl::Milliseconds(100);
  absl::Duration busy = {};
  absl::Duration receive_window_limited = {};
  uint64_t acked_bytes = 0;
  uint64_t retransmitted_bytes = 0;
  uint64_t fed_bytes = 100'000;
  uint64_t unsent_bytes = 50'000;
  uint64_t receive_window_bytes = 64 << 10;
  absl::Duration round_trip = absl::Milliseconds(1);
};

// The same counts at every connection's past.
LagSample Before(uint64_t acked_bytes) {
  return {.at = kStart,
          .transport = {.busy = absl::Hours(2),
                        .receive_window_limited = absl::Hours(1),
                        .acked_bytes = acked_bytes,
                        .retransmitted_bytes = acked_bytes,
                        .unsent_bytes = 50'000,
                        .receive_window_bytes = 64 << 10,
                        .segment_bytes_max = kSegmentBytes,
                        .round_trip = absl::Milliseconds(1),
                        .round_trip_min = absl::Milliseconds(1)},
          .pending_bytes = 5000,
          .gone_bytes = 70'000};
}

LagSample After(const LagSample& before, const Case& what) {
  LagSample after = before;
  after.at += what.time;
  after.transport.busy += what.busy;
  after.transport.receive_window_limited += what.receive_window_limited;
  after.transport.acked_bytes += what.acked_bytes;
  after.transport.retransmitted_bytes += what.retransmitted_bytes;
  after.transport.unsent_bytes = what.unsent_bytes;
  after.transport.receive_window_bytes = what.receive_window_bytes;
  after.transport.round_trip = what.round_trip;
  // Some of it waits, some has left.
  after.pending_bytes += what.fed_bytes / 4;
  after.gone_bytes += what.fed_bytes - what.fed_bytes / 4;
  return after;
}

constexpr absl::Duration kMs = absl::Milliseconds(1);

TEST(LagCauseTest, EachConditionHasItsCause) {
  const Case cases[] = {
      {.name = "the window is closed and nothing moves",
       .cause = v1::LAG_CAUSE_APPLICATION,
       .receive_window_limited = 100 * kMs,
       .receive_window_bytes = 0},
      {.name = "the same at the first look",
       .cause = v1::LAG_CAUSE_APPLICATION,
       .time = absl::ZeroDuration(),
       .receive_window_bytes = 0},
      {.name = "a window of less than a segment is as good as closed",
       .cause = v1::LAG_CAUSE_APPLICATION,
       .time = 5 * kMs,
       .receive_window_bytes = kSegmentBytes - 1},
      {.name = "a closed window whose probes count as sent again",
       .cause = v1::LAG_CAUSE_APPLICATION,
       .retransmitted_bytes = 10,
       .receive_window_bytes = 0},
      {.name = "limited by the window, and it takes under a hundredth",
       .cause = v1::LAG_CAUSE_APPLICATION,
       .receive_window_limited = 50 * kMs,
       .acked_bytes = 999},
      {.name = "limited by the window, and it takes a hundredth",
       .cause = v1::LAG_CAUSE_OVER_SUBSCRIBED,
       .receive_window_limited = 50 * kMs,
       .acked_bytes = 1000},
      {.name = "limited by the window, and nothing new comes",
       .cause = v1::LAG_CAUSE_OVER_SUBSCRIBED,
       .receive_window_limited = 50 * kMs,
       .acked_bytes = 1,
       .fed_bytes = 0},
      {.name = "limited by a window that a queue on the way fills",
       .cause = v1::LAG_CAUSE_NETWORK_SLOW,
       .receive_window_limited = 90 * kMs,
       .acked_bytes = 50'000,
       .round_trip = 80 * kMs},
      {.name = "a closed window for a moment says nothing about the whole time",
       .cause = v1::LAG_CAUSE_NETWORK_SLOW,
       .busy = 100 * kMs,
       .receive_window_limited = 49 * kMs,
       .acked_bytes = 50'000,
       .receive_window_bytes = 0},
      {.name = "a fiftieth is sent again",
       .cause = v1::LAG_CAUSE_NETWORK_LOSSY,
       .busy = 100 * kMs,
       .acked_bytes = 50'000,
       .retransmitted_bytes = 1000},
      {.name = "less is what a full queue on the way makes",
       .cause = v1::LAG_CAUSE_NETWORK_SLOW,
       .busy = 100 * kMs,
       .acked_bytes = 50'000,
       .retransmitted_bytes = 999},
      {.name = "everything is lost",
       .cause = v1::LAG_CAUSE_NETWORK_LOSSY,
       .busy = 100 * kMs,
       .retransmitted_bytes = 1448},
      {.name = "what was lost keeps the peer's window full",
       .cause = v1::LAG_CAUSE_NETWORK_LOSSY,
       .busy = 100 * kMs,
       .receive_window_limited = 80 * kMs,
       .acked_bytes = 10'000,
       .retransmitted_bytes = 3000},
      {.name = "always limited by the window, and asked again for room",
       .cause = v1::LAG_CAUSE_OVER_SUBSCRIBED,
       .busy = 100 * kMs,
       .receive_window_limited = 95 * kMs,
       .acked_bytes = 10'000,
       .retransmitted_bytes = 3000},
      {.name = "always under way", .cause = v1::LAG_CAUSE_NETWORK_SLOW, .busy = 50 * kMs, .acked_bytes = 1},
      {.name = "nothing under way most of the time, so it is not the network",
       .cause = v1::LAG_CAUSE_OVER_SUBSCRIBED,
       .busy = 49 * kMs,
       .acked_bytes = 1},
      {.name = "nothing is known", .cause = v1::LAG_CAUSE_UNSPECIFIED},
      {.name = "too short for the kernel's times",
       .cause = v1::LAG_CAUSE_UNSPECIFIED,
       .time = 19 * kMs,
       .busy = 19 * kMs,
       .acked_bytes = 1},
      {.name = "a closed window is none when there is nothing to send",
       .cause = v1::LAG_CAUSE_UNSPECIFIED,
       .unsent_bytes = 0,
       .receive_window_bytes = 0},
  };
  for (const Case& what : cases) {
    SCOPED_TRACE(what.name);
    for (const uint64_t past_bytes : {uint64_t{0}, uint64_t{1} << 40}) {
      const LagSample before = Before(past_bytes);
      EXPECT_EQ(FindLag(before, After(before, what), before).cause, what.cause);
    }
  }
}

TEST(LagCauseTest, RatesAreThoseOfTheTimeBetween) {
  const LagSample before = Before(0);
  LagSample after = After(before, {.time = absl::Milliseconds(500), .acked_bytes = 1000, .fed_bytes = 4000});
  after.transport.delivery_bytes_per_second = 77;
  const LagFinding finding = FindLag(before, after, before);
  EXPECT_EQ(finding.drain_bytes_per_second, 2000u);
  EXPECT_EQ(finding.feed_bytes_per_second, 8000u);
  EXPECT_EQ(finding.delivery_bytes_per_second, 77u);
  EXPECT_EQ(FindLag(before, before, before).feed_bytes_per_second, 0u);
}

TEST(LagCauseTest, TheTimeToTheLimitFollowsFromTheRates) {
  const LagFinding lag = {.drain_bytes_per_second = 1000, .feed_bytes_per_second = 3000};
  const LagFinding recovers = {.drain_bytes_per_second = 3000, .feed_bytes_per_second = 3000};
  const LagFinding stands = {.drain_bytes_per_second = 0, .feed_bytes_per_second = 0};
  const QueueState half = {.waiting_bytes = 5000, .waiting_messages = 50};
  const Nearness bytes = {.limit = v1::REASON_PENDING_BYTES, .limit_value = 10'000, .value = 8000};
  EXPECT_EQ(TimeToLimit(lag, bytes, half, 5000), absl::Seconds(1));
  EXPECT_EQ(TimeToLimit(lag, bytes, half, 10'000), absl::Seconds(2));  // half of it is another queue's
  EXPECT_EQ(TimeToLimit(recovers, bytes, half, 5000), absl::InfiniteDuration());
  EXPECT_EQ(TimeToLimit(lag, bytes, {}, 5000), absl::InfiniteDuration());
  const Nearness messages = {.limit = v1::REASON_PENDING_MESSAGES, .limit_value = 100, .value = 80};
  EXPECT_EQ(TimeToLimit(lag, messages, half, 5000), absl::Seconds(1));
  const Nearness age = {.limit = v1::REASON_PENDING_AGE, .limit_value = 60'000, .value = 40'000};
  EXPECT_EQ(TimeToLimit(lag, age, half, 5000), absl::Seconds(30));
  EXPECT_EQ(TimeToLimit(recovers, age, half, 5000), absl::InfiniteDuration());
  EXPECT_EQ(TimeToLimit(stands, age, half, 5000), absl::Seconds(20));
  const Nearness over = {.limit = v1::REASON_PENDING_BYTES, .limit_value = 10'000, .value = 11'000};
  EXPECT_EQ(TimeToLimit(lag, over, half, 5000), absl::ZeroDuration());
}

class LagWatchTest : public ::testing::Test {
 protected:
  LagWatchTest() {
    watch_.Start();
    (void)watch_.Observe(last_);
  }

  // Goes on from the last sample.
  LagWatch::Outcome Observe(const Case& what) {
    last_ = After(last_, what);
    EXPECT_TRUE(watch_.due(last_.at));
    return watch_.Observe(last_);
  }

  LagSample last_ = Before(0);
  LagWatch watch_;
  const Case reads_ = {.name = "reads",
                       .cause = v1::LAG_CAUSE_OVER_SUBSCRIBED,
                       .receive_window_limited = 100 * kMs,
                       .acked_bytes = 20'000};
  const Case stands_ = {.name = "stands",
                        .cause = v1::LAG_CAUSE_APPLICATION,
                        .receive_window_limited = 100 * kMs,
                        .receive_window_bytes = 0};
};

TEST_F(LagWatchTest, IsDueFromItsStartAndThenEveryTenthOfASecond) {
  LagWatch watch;
  EXPECT_FALSE(watch.due(kStart));
  watch.Start();
  EXPECT_TRUE(watch.due(kStart));
  EXPECT_EQ(watch.Observe(Before(0)), LagWatch::Outcome::kSame);
  watch.Start();  // it has been
  EXPECT_FALSE(watch.due(kStart + absl::Milliseconds(99)));
  EXPECT_TRUE(watch.due(kStart + absl::Milliseconds(100)));
  EXPECT_EQ(watch.due_at(), kStart + absl::Milliseconds(100));
  watch.Stop();
  EXPECT_FALSE(watch.due(kStart + absl::Hours(1)));
}

TEST_F(LagWatchTest, KnowsTheCauseAtTheSecondLook) {
  EXPECT_EQ(watch_.finding().cause, v1::LAG_CAUSE_UNSPECIFIED);
  EXPECT_EQ(Observe(reads_), LagWatch::Outcome::kChanged);
  EXPECT_EQ(watch_.finding().cause, v1::LAG_CAUSE_OVER_SUBSCRIBED);
  EXPECT_EQ(watch_.finding().drain_bytes_per_second, 200'000u);
}

TEST_F(LagWatchTest, AChangeIsSeenWithinTwoSecondsOrSo) {
  for (int i = 0; i < 50; ++i) (void)Observe(reads_);
  ASSERT_EQ(watch_.finding().cause, v1::LAG_CAUSE_OVER_SUBSCRIBED);
  int changes = 0;
  absl::Time changed_at;
  const absl::Time stands_since = last_.at;
  for (int i = 0; i < 50; ++i) {
    if (Observe(stands_) == LagWatch::Outcome::kSame) continue;
    ++changes;
    changed_at = last_.at;
  }
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(watch_.finding().cause, v1::LAG_CAUSE_APPLICATION);
  EXPECT_LE(changed_at - stands_since, absl::Milliseconds(2200));
  EXPECT_EQ(watch_.finding().drain_bytes_per_second, 0u);
}

TEST_F(LagWatchTest, CausesChangeAtMostOnceInTwoSeconds) {
  int changes = 0;
  Case long_reads = reads_;
  Case long_stands = stands_;
  long_reads.time = long_stands.time = 400 * kMs;
  long_reads.receive_window_limited = long_stands.receive_window_limited = 400 * kMs;
  long_stands.retransmitted_bytes = 1 << 20;  // lossy as soon as something is acknowledged
  for (int i = 0; i < 100; ++i) {
    changes += Observe(i % 2 == 0 ? long_reads : long_stands) == LagWatch::Outcome::kChanged ? 1 : 0;
  }
  EXPECT_LE(changes, 21);
  EXPECT_GT(changes, 0);
}

TEST_F(LagWatchTest, ANewStallKnowsOnlyOfEarlierLosses) {
  for (int i = 0; i < 20; ++i) (void)Observe(stands_);
  watch_.Stop();
  EXPECT_EQ(watch_.finding().cause, v1::LAG_CAUSE_UNSPECIFIED);
  // Between two stalls something was sent again.
  last_ = After(last_, {.acked_bytes = 10'000, .retransmitted_bytes = 5000});
  watch_.Start();
  (void)watch_.Observe(last_);
  const Case under_way = {.busy = 100 * kMs};
  (void)Observe(under_way);
  EXPECT_EQ(watch_.finding().cause, v1::LAG_CAUSE_NETWORK_LOSSY);
  EXPECT_EQ(watch_.finding().drain_bytes_per_second, 0u);
  // That is forgotten in the end.
  for (int i = 0; i < 150; ++i) (void)Observe(under_way);
  EXPECT_EQ(watch_.finding().cause, v1::LAG_CAUSE_NETWORK_SLOW);
}

TEST_F(LagWatchTest, WhoCatchesUpKeepsItsCause) {
  for (int i = 0; i < 3; ++i) (void)Observe(stands_);
  Case catches_up = reads_;
  catches_up.fed_bytes = 10'000;
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Observe(catches_up), LagWatch::Outcome::kSame);
  EXPECT_EQ(watch_.finding().cause, v1::LAG_CAUSE_APPLICATION);
  EXPECT_EQ(watch_.finding().drain_bytes_per_second, 200'000u);
}

TEST_F(LagWatchTest, WhatIsKnownIsNotForgotten) {
  for (int i = 0; i < 20; ++i) (void)Observe(stands_);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(Observe({.name = "nothing is known", .cause = v1::LAG_CAUSE_UNSPECIFIED}),
              LagWatch::Outcome::kSame);
  }
  EXPECT_EQ(watch_.finding().cause, v1::LAG_CAUSE_APPLICATION);
  // Nor at the end.
  EXPECT_EQ(watch_.Conclude(After(last_, {})).cause, v1::LAG_CAUSE_APPLICATION);
}

TEST_F(LagWatchTest, TheLastWordIsSaidHoweverShortItWasWatched) {
  Case first = stands_;
  first.time = 5 * kMs;
  EXPECT_EQ(watch_.Conclude(After(last_, first)).cause, v1::LAG_CAUSE_APPLICATION);
  EXPECT_EQ(watch_.finding().cause, v1::LAG_CAUSE_UNSPECIFIED);
  EXPECT_EQ(LagWatch().Conclude(After(last_, first)).cause, v1::LAG_CAUSE_APPLICATION);
  EXPECT_EQ(LagWatch().Conclude(last_).cause, v1::LAG_CAUSE_UNSPECIFIED);
}

}  // namespace
}  // namespace sluice
