// Slow consumers: each limit cuts the one that goes over it, tells it why in every way there is, and nobody
// else notices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fmt/format.h"
#include "protocol/names.h"
#include "tests/support/broker_process.h"
#include "tests/support/bystanders.h"
#include "tests/support/healthy_load.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::SizeIs;

constexpr std::string_view kCutLine = "slow consumer disconnected";
// A client that does not read blocks the broker after so little.
constexpr SocketPairOptions kTinyWindow = {.client_receive_buffer_bytes = 4096};

std::vector<std::string> Together(std::vector<std::string> flags, const std::vector<std::string>& more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

class LimitsTest : public ::testing::Test {
 protected:
  explicit LimitsTest(const std::vector<std::string>& flags = {"--goodbye-timeout=20s"})
      : broker_(Together(
            {"--max-message=16KiB", "--max-headers=1KiB", "--notsent-lowat=16KiB", "--retry-after=100ms"},
            flags)),
        load_(broker_.port(), {.topics = {"load.a", "load.b", "load.c"}, .filter = "load.>"}) {}

  void TearDown() override {
    load_.Step(100, 1000);
    load_.Leave();
  }

  WireClient Victim(std::string_view previous_session = "") {
    WireClient victim(broker_.port(), kTinyWindow);
    victim.Connect("victim", previous_session);
    return victim;
  }

  // Goes on until `cuts` sessions were cut; at most 64 MB.
  void LoadUntilCut(size_t cuts = 1) {
    for (int i = 0; i < 2000 && broker_.LogLines(kCutLine).size() < cuts; ++i) load_.Step(32, 1000);
    ASSERT_THAT(broker_.LogLines(kCutLine), SizeIs(cuts));
  }

  static std::string CutsBy(v1::Reason reason) {
    return fmt::format("sluice_slow_consumer_disconnects_total{{reason=\"{}\"}}", ReasonName(reason));
  }

  // All the ways in which the victim's end is told must say the same. The victim begins to read only now.
  v1::Goodbye ExpectTold(WireClient* victim, v1::Reason reason) {
    const std::string line = broker_.WaitForLog(kCutLine);
    const WireClient::Rest rest = victim->ReadToEnd();
    const v1::Goodbye goodbye = rest.goodbye.value_or(v1::Goodbye());
    EXPECT_EQ(ReasonName(goodbye.reason()), ReasonName(reason));
    EXPECT_GT(goodbye.limit(), 0u);
    EXPECT_GE(goodbye.value(), goodbye.limit());
    EXPECT_FALSE(goodbye.text().empty());
    EXPECT_GT(goodbye.pending_bytes(), 0u);

    EXPECT_THAT(line,
                AllOf(HasSubstr(" client=victim "), HasSubstr(fmt::format(" reason={} ", ReasonName(reason))),
                      HasSubstr(fmt::format(" limit={} value={} ", goodbye.limit(), goodbye.value())),
                      HasSubstr(fmt::format(" subscription={} ", goodbye.subscription())),
                      HasSubstr(fmt::format(" pending_bytes={} pending_messages={} ", goodbye.pending_bytes(),
                                            goodbye.pending_messages()))));
    EXPECT_THAT(broker_.LogLines(kCutLine), SizeIs(1));
    EXPECT_EQ(broker_.Metric(CutsBy(reason)), 1);
    broker_.WaitForMetric("sluice_pending_bytes", 0);
    broker_.WaitForMetric("sluice_pending_messages", 0);

    // The books. The message that was half on the wire came whole, so it is pending and received.
    uint64_t offered = 0;
    for (const v1::SubscriptionRecord& record : goodbye.subscriptions()) offered += record.offered();
    EXPECT_GT(rest.messages, 0u);
    EXPECT_GE(offered, rest.messages + goodbye.pending_messages() - 1);
    EXPECT_LE(offered, rest.messages + goodbye.pending_messages());

    const v1::Connected again = Victim(victim->connected().session_id()).connected();
    EXPECT_TRUE(again.has_previous_session());
    EXPECT_EQ(again.previous_session().goodbye().SerializeAsString(), goodbye.SerializeAsString());
    EXPECT_EQ(again.previous_session().cuts_in_a_row(), 1u);
    EXPECT_LE(again.previous_session().ended_ms_ago(), 60'000u);
    return goodbye;
  }

  BrokerProcess broker_;
  HealthyLoad load_;
};

TEST_F(LimitsTest, PendingBytesCut) {
  WireClient victim = Victim();
  victim.Subscribe(7, "load.>", {.pending_bytes_max = 50'000});
  LoadUntilCut();
  const v1::Goodbye goodbye = ExpectTold(&victim, v1::REASON_PENDING_BYTES);
  EXPECT_EQ(goodbye.limit(), 50'000u);
  EXPECT_LE(goodbye.value(), 50'000u + 32 * 1100);  // a step at once
  EXPECT_EQ(goodbye.subscription(), 7u);
  EXPECT_THAT(broker_.WaitForLog(kCutLine), HasSubstr(" filter=load.> "));
  ASSERT_THAT(goodbye.subscriptions(), SizeIs(1));
  EXPECT_EQ(goodbye.subscriptions(0).filter(), "load.>");
}

TEST_F(LimitsTest, PendingMessagesCut) {
  WireClient victim = Victim();
  victim.Subscribe(3, "load.b");
  victim.Subscribe(4, "load.a", {.pending_messages_max = 20});
  LoadUntilCut();
  const v1::Goodbye goodbye = ExpectTold(&victim, v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(goodbye.limit(), 20u);
  EXPECT_LE(goodbye.value(), 20u + 11);
  EXPECT_EQ(goodbye.subscription(), 4u);
  EXPECT_THAT(broker_.WaitForLog(kCutLine), HasSubstr(" filter=load.a "));
  EXPECT_THAT(goodbye.subscriptions(), SizeIs(2));
}

TEST_F(LimitsTest, PendingAgeCuts) {
  WireClient victim = Victim();
  victim.Subscribe(1, "load.>", {.pending_age_max_ms = 500});
  // More than the kernel takes, and then nothing: only a timer can find it.
  load_.Step(100, 1000);
  const v1::Goodbye goodbye = ExpectTold(&victim, v1::REASON_PENDING_AGE);
  EXPECT_EQ(goodbye.limit(), 500u);
  EXPECT_LE(goodbye.value(), 500u + 1000 + 500);
  EXPECT_EQ(goodbye.subscription(), 1u);
}

TEST_F(LimitsTest, TooLongAboveASoftLimitCuts) {
  WireClient victim = Victim();
  const v1::Subscribed granted =
      victim.Subscribe(1, "load.>", {.pending_messages_soft = 5, .soft_time_ms = 500});
  EXPECT_EQ(granted.limits().pending_messages_soft(), 5u);
  EXPECT_EQ(granted.limits().soft_time_ms(), 500u);
  // Far below the hard limit, and then nothing: only a timer can find it.
  load_.Step(100, 1000);
  const v1::Goodbye goodbye = ExpectTold(&victim, v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(goodbye.limit(), 5u);
  EXPECT_LE(goodbye.value(), 100u);
  EXPECT_GE(goodbye.above_soft_ms(), 500u);
  EXPECT_EQ(goodbye.subscription(), 1u);
  EXPECT_THAT(goodbye.text(), HasSubstr("the soft limit, which it was above for"));
  EXPECT_THAT(broker_.WaitForLog(kCutLine), HasSubstr(" above_soft_for="));
}

class SoftDefaultTest : public LimitsTest {
 protected:
  SoftDefaultTest() : LimitsTest({"--pending-bytes-soft=2KiB", "--soft-time=300ms"}) {}
};

TEST_F(SoftDefaultTest, TheBrokersSoftLimitAppliesToWhoAsksForNothing) {
  WireClient victim = Victim();
  EXPECT_EQ(victim.connected().limits().default_limits().pending_bytes_soft(), 2048u);
  EXPECT_EQ(
      victim.Subscribe(1, "load.>", {.overflow = v1::OVERFLOW_POLICY_DROP_OLDEST}).limits().soft_time_ms(),
      300u);
  load_.Step(100, 1000);
  // Its policy acts as over a hard limit: it goes on with what is newest.
  broker_.WaitForMetric("sluice_messages_dropped_total", ::testing::Gt(0));
  victim.SendUnsubscribe(1);
  uint64_t told = 0;
  uint64_t received = 0;
  for (std::optional<v1::ServerFrame> frame; (frame = victim.NextFrame()).has_value();) {
    if (frame->has_gap()) told += frame->gap().messages();
    if (frame->has_message()) ++received;
    if (frame->has_unsubscribed()) break;
  }
  EXPECT_EQ(received + told, load_.published());
  EXPECT_THAT(broker_.LogLines(kCutLine), SizeIs(0));
}

class SessionBytesTest : public LimitsTest {
 protected:
  SessionBytesTest()
      : LimitsTest({"--pending-bytes-max=64KiB", "--session-bytes-max=100KiB", "--goodbye-timeout=20s"}) {}
};

TEST_F(SessionBytesTest, BytesOfAllSubscriptionsTogetherCut) {
  WireClient victim = Victim();
  victim.Subscribe(1, "load.a");
  victim.Subscribe(2, "load.b");
  victim.Subscribe(3, "load.c");
  LoadUntilCut();
  const v1::Goodbye goodbye = ExpectTold(&victim, v1::REASON_SESSION_BYTES);
  EXPECT_EQ(goodbye.limit(), 100u << 10);
  EXPECT_LE(goodbye.value(), (100u << 10) + 32 * 1100 + 1100);
  EXPECT_EQ(goodbye.subscription(), 0u);
  EXPECT_THAT(goodbye.subscriptions(), SizeIs(3));
}

class WriteTimeoutTest : public LimitsTest {
 protected:
  WriteTimeoutTest() : LimitsTest({"--write-timeout=500ms", "--goodbye-timeout=20s"}) {}
};

TEST_F(WriteTimeoutTest, OneThatTakesNothingForSoLongIsCutAlsoOnAQuietTopic) {
  WireClient victim = Victim();
  victim.Subscribe(1, "load.>");
  load_.Step(100, 1000);
  const v1::Goodbye goodbye = ExpectTold(&victim, v1::REASON_WRITE_TIMEOUT);
  EXPECT_EQ(goodbye.limit(), 500u);
  EXPECT_LE(goodbye.value(), 500u + 500);
  EXPECT_EQ(goodbye.subscription(), 0u);
}

TEST_F(LimitsTest, ATakenSocketEndsWithoutGoodbyeAndTheRecordTellsTheRest) {
  WireClient victim = Victim();
  victim.Subscribe(1, "load.>", {.pending_bytes_max = 50'000});
  LoadUntilCut();
  // Its client gives up before it has read a byte.
  const std::string session = victim.connected().session_id();
  victim.Reset();
  broker_.WaitForMetric("sluice_connections_open", 3);
  const v1::SessionRecord record = Victim(session).connected().previous_session();
  EXPECT_EQ(record.goodbye().reason(), v1::REASON_PENDING_BYTES);
  EXPECT_EQ(record.goodbye().limit(), 50'000u);
  EXPECT_EQ(broker_.Metric(CutsBy(v1::REASON_PENDING_BYTES)), 1);
}

class ShortGoodbyeTest : public LimitsTest {
 protected:
  ShortGoodbyeTest() : LimitsTest({"--goodbye-timeout=100ms"}) {}
};

TEST_F(ShortGoodbyeTest, OneThatDoesNotEvenReadItsGoodbyeIsClosedInTime) {
  WireClient victim = Victim();
  victim.Subscribe(1, "load.>", {.pending_bytes_max = 50'000});
  LoadUntilCut();
  broker_.WaitForMetric("sluice_connections_open", 3);
  const WireClient::Rest rest = victim.ReadToEnd();
  EXPECT_FALSE(rest.goodbye.has_value());
  const v1::SessionRecord record = Victim(victim.connected().session_id()).connected().previous_session();
  EXPECT_EQ(record.goodbye().reason(), v1::REASON_PENDING_BYTES);
  EXPECT_LE(record.goodbye().subscriptions(0).offered(), load_.published());
  EXPECT_GE(record.goodbye().subscriptions(0).offered(), 50u);
}

TEST_F(LimitsTest, RetryAfterDoublesWithEachCutInARow) {
  std::string session;
  uint64_t retry_after_ms = 100;
  for (uint32_t cut = 1; cut <= 9; ++cut) {
    SCOPED_TRACE(cut);
    WireClient victim = Victim(session);
    EXPECT_EQ(victim.connected().previous_session().cuts_in_a_row(), cut - 1);
    session = victim.connected().session_id();
    victim.Subscribe(1, "load.>", {.pending_bytes_max = 50'000});
    LoadUntilCut(cut);
    const v1::Goodbye goodbye = victim.ExpectGoodbye(v1::REASON_PENDING_BYTES);
    EXPECT_EQ(goodbye.retry_after_ms(), retry_after_ms);
    EXPECT_THAT(broker_.LogLines(kCutLine).back(), HasSubstr(fmt::format(" cuts_in_a_row={} ", cut)));
    if (cut <= 6) retry_after_ms *= 2;
  }

  // The chain is broken by a session that ends otherwise, and one without a predecessor begins anew.
  WireClient reset = Victim(session);
  session = reset.connected().session_id();
  reset.Reset();
  broker_.WaitForMetric("sluice_sessions_ended_total{reason=\"client_reset\"}", 1);
  WireClient victim = Victim(session);
  EXPECT_EQ(victim.connected().previous_session().goodbye().reason(), v1::REASON_CLIENT_RESET);
  EXPECT_EQ(victim.connected().previous_session().cuts_in_a_row(), 0u);
  victim.Subscribe(1, "load.>", {.pending_bytes_max = 50'000});
  LoadUntilCut(10);
  EXPECT_EQ(victim.ExpectGoodbye(v1::REASON_PENDING_BYTES).retry_after_ms(), 100u);
}

TEST_F(LimitsTest, APreviousSessionThatNobodyKnowsIsNoError) {
  EXPECT_FALSE(Victim(std::string(16, 'x')).connected().has_previous_session());
  EXPECT_FALSE(Victim("short").connected().has_previous_session());
  EXPECT_FALSE(Victim(std::string(5000, 'x')).connected().has_previous_session());
  // Nor is one that still goes on.
  WireClient living = Victim();
  EXPECT_FALSE(Victim(living.connected().session_id()).connected().has_previous_session());
}

TEST_F(LimitsTest, ALaggingSubscriptionIsWarnedAndClearedWithoutBeingCut) {
  WireClient laggard = Victim();
  laggard.Subscribe(1, "load.>", {.pending_messages_max = 1000});
  // Between the high watermark and the limit.
  while (broker_.Metric("sluice_pending_messages") < 800) load_.Step(20, 100);
  broker_.WaitForMetric("sluice_lagging_subscriptions", 1);
  const v1::SlowConsumer raised = laggard.NextOf(v1::ServerFrame::kSlowConsumer).slow_consumer();
  EXPECT_EQ(raised.state(), v1::SlowConsumer::STATE_RAISED);
  EXPECT_EQ(raised.limit(), v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(raised.limit_value(), 1000u);
  EXPECT_GE(raised.value(), 750u);
  v1::SlowConsumer cleared = raised;
  while (cleared.state() == v1::SlowConsumer::STATE_RAISED) {  // perhaps again with another cause
    cleared = laggard.NextOf(v1::ServerFrame::kSlowConsumer).slow_consumer();
  }
  EXPECT_EQ(cleared.state(), v1::SlowConsumer::STATE_CLEARED);
  EXPECT_LT(cleared.value(), 500u);
  for (uint64_t i = 0; i < load_.published(); ++i) laggard.NextMessage();
  broker_.WaitForMetric("sluice_lagging_subscriptions", 0);
  EXPECT_THAT(broker_.LogLines(kCutLine), SizeIs(0));
}

class AskingTest : public LimitsTest {
 protected:
  AskingTest() : LimitsTest({"--control-bytes-max=64KiB", "--goodbye-timeout=20s"}) {}
};

TEST_F(AskingTest, OneThatKeepsAskingAndNeverReadsIsCut) {
  WireClient victim = Victim();
  load_.Step(100, 1000);
  const uint64_t before = broker_.ResidentBytes();
  std::string questions;
  v1::ClientFrame ping;
  for (uint64_t id = 1; id <= 2000; ++id) {
    ping.mutable_ping()->set_id(id);
    questions += Encode(ping);
  }
  while (broker_.LogLines(kCutLine).empty()) {
    ASSERT_TRUE(victim.TrySendRaw(questions));
    load_.Step(10, 1000);
  }
  if (!kSanitized) {
    EXPECT_LE(broker_.ResidentBytes(), before + (4 << 20));
  }
  // What was on its way comes whole, then Goodbye instead of the answers that waited.
  const v1::Goodbye goodbye = victim.ExpectGoodbye(v1::REASON_CONTROL_BYTES);
  EXPECT_EQ(goodbye.limit(), 64u << 10);
  EXPECT_GT(goodbye.value(), 64u << 10);
  // One read of questions may bring it over, not a second's worth of them.
  EXPECT_LE(goodbye.value(), (64u << 10) + (128u << 10));
  EXPECT_EQ(broker_.Metric(CutsBy(v1::REASON_CONTROL_BYTES)), 1);
}

// ---- Memory ----

class ManyStuckTest : public ::testing::Test {
 protected:
  ManyStuckTest()
      : broker_({"--max-message=16KiB", "--max-headers=1KiB", "--notsent-lowat=16KiB",
                 "--goodbye-timeout=100ms"}),
        load_(broker_.port(), {.subscribers = 5, .topics = {kTopic}, .filter = "a.>"}) {}

  void AddStuck(std::string_view filter, const SubscribeOptions& options) {
    stuck_.emplace_back(broker_.port(), kTinyWindow);
    stuck_.back().Connect("stuck");
    stuck_.back().Subscribe(1, filter, options);
  }

  uint64_t GrowthSince(uint64_t resident_bytes) const {
    const uint64_t now = broker_.ResidentBytes();
    return kSanitized || now < resident_bytes ? 0 : now - resident_bytes;
  }

  static constexpr const char* kTopic = "a.b.c.d.e.f.g.h";
  static constexpr size_t kStuck = 200;
  BrokerProcess broker_;
  HealthyLoad load_;
  std::vector<WireClient> stuck_;
};

TEST_F(ManyStuckTest, TwoHundredWithOneFilterShareOneBacklog) {
  load_.Step(1000, 1000);
  const uint64_t before = broker_.ResidentBytes();
  for (size_t i = 0; i < kStuck; ++i) AddStuck("a.>", {.pending_bytes_max = 8 << 20});
  // 7 MB that wait for each of them: 1.4 GB if everybody had a copy.
  for (int i = 0; i < 70; ++i) load_.Step(100, 1000);
  EXPECT_GE(broker_.Metric("sluice_pending_bytes"), 1e9);
  EXPECT_LE(broker_.Metric("sluice_retained_bytes"), 16e6);
  EXPECT_LE(GrowthSince(before), 24u << 20);
  EXPECT_THAT(broker_.LogLines(kCutLine), SizeIs(0));

  // A little more, and all are cut.
  for (int i = 0; i < 20; ++i) load_.Step(100, 1000);
  broker_.WaitForMetric("sluice_slow_consumer_disconnects_total{reason=\"pending_bytes\"}", kStuck);
  broker_.WaitForMetric("sluice_connections_open", 6);
  EXPECT_EQ(broker_.Metric("sluice_pending_bytes"), 0);
  broker_.WaitForMetric("sluice_retained_bytes", Le(4e6));
  EXPECT_THAT(broker_.LogLines(kCutLine), SizeIs(kStuck));
  load_.Step(1000, 1000);
  load_.Leave();
}

TEST_F(ManyStuckTest, TwoHundredWithFiltersOfTheirOwnCostWhatTheyMayHave) {
  load_.Step(1000, 1000);
  const uint64_t before = broker_.ResidentBytes();
  for (size_t i = 0; i < kStuck; ++i) {
    std::string filter;
    for (int token = 0; token < 8; ++token) {
      if (token > 0) filter += '.';
      filter += (i >> token & 1) != 0 ? '*' : kTopic[2 * token];
    }
    AddStuck(filter, {.pending_bytes_max = 100'000});
  }
  uint64_t growth_max = 0;
  double retained_max = 0;
  while (broker_.LogLines(kCutLine).size() < kStuck) {
    load_.Step(10, 1000);
    growth_max = std::max(growth_max, GrowthSince(before));
    retained_max = std::max(retained_max, broker_.Metric("sluice_retained_bytes"));
  }
  // Their limit, and a step over it; a half for chunks that are not full.
  const double allowed = kStuck * 112'000 * 1.5 + 4e6;
  EXPECT_LE(retained_max, allowed);
  EXPECT_LE(static_cast<double>(growth_max), allowed + 8e6);
  broker_.WaitForMetric("sluice_connections_open", 6);
  load_.Step(1000, 1000);
  broker_.WaitForMetric("sluice_retained_bytes", Le(4e6));
  load_.Leave();
}

}  // namespace
}  // namespace sluice::testing
