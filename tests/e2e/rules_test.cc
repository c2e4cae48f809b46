// The operator's rules for subscriptions, from the configuration file to what a slow subscriber gets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "tests/support/broker_process.h"
#include "tests/support/healthy_load.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::Gt;
using ::testing::SizeIs;

constexpr SocketPairOptions kTinyWindow = {.client_receive_buffer_bytes = 4 << 10};

constexpr const char* kRules = R"(
[[subscription_rules]]
filter = "load.>"
client = "dash-*"
overflow = "drop_oldest"
overflow_allowed = ["drop_oldest", "conflate"]
pending_messages_max = 50
pending_messages_ceiling = 200

[[subscription_rules]]
client = "dash-*"
pending_messages_max = 7
)";

class RulesTest : public ::testing::Test {
 protected:
  RulesTest()
      : broker_({"--config=" + dir_.Write("sluiced.toml", kRules), "--max-message=16KiB",
                 "--max-headers=1KiB", "--notsent-lowat=16KiB", "--write-timeout=60s"}),
        load_(broker_.port(), {.subscribers = 2, .topics = {"load.a", "load.b"}, .filter = "load.>"}) {}

  TempDir dir_;
  BrokerProcess broker_;
  HealthyLoad load_;
};

TEST_F(RulesTest, TheFirstThatMatchesIsWhatSubscribedTells) {
  WireClient dash(broker_.port());
  dash.Connect("dash-1");
  v1::Subscribed granted = dash.Subscribe(1, "load.*");
  EXPECT_EQ(granted.overflow(), v1::OVERFLOW_POLICY_DROP_OLDEST);
  EXPECT_EQ(granted.limits().pending_messages_max(), 50u);
  granted =
      dash.Subscribe(2, "load.a", {.pending_messages_max = 1000, .overflow = v1::OVERFLOW_POLICY_DISCONNECT});
  EXPECT_EQ(granted.overflow(), v1::OVERFLOW_POLICY_DROP_OLDEST);
  EXPECT_EQ(granted.limits().pending_messages_max(), 200u);
  granted = dash.Subscribe(3, "other.>");
  EXPECT_EQ(granted.overflow(), v1::OVERFLOW_POLICY_DISCONNECT);
  EXPECT_EQ(granted.limits().pending_messages_max(), 7u);
  WireClient feed(broker_.port());
  feed.Connect("feed");
  EXPECT_EQ(feed.Subscribe(1, "load.*").limits().pending_messages_max(), 131'072u);
  load_.Leave();
}

TEST(ObserveTest, OneOverALimitThatIsObservedGetsEverything) {
  BrokerProcess broker({"--on-overflow=observe", "--max-message=16KiB", "--max-headers=1KiB",
                        "--notsent-lowat=16KiB", "--write-timeout=60s"});
  HealthyLoad load(broker.port(), {.subscribers = 2, .topics = {"load.a"}, .filter = "load.>"});
  WireClient slow(broker.port(), kTinyWindow);
  slow.Connect("slow");
  const v1::Subscribed granted = slow.Subscribe(1, "load.>", {.pending_messages_max = 50});
  EXPECT_TRUE(granted.observed());
  EXPECT_EQ(granted.overflow(), v1::OVERFLOW_POLICY_DISCONNECT);
  const std::string series = "sluice_observed_overflows_total{reason=\"pending_messages\"}";
  while (broker.Metric(series) == 0) load.Step(50, 1000);
  for (int i = 0; i < 10; ++i) load.Step(50, 1000);
  for (uint64_t i = 0; i < load.published(); ++i) slow.NextMessage();
  EXPECT_EQ(broker.Metric(series), 1);
  EXPECT_THAT(broker.Metric("sluice_observed_messages_total"), Gt(400));
  EXPECT_THAT(broker.LogLines("slow consumer observed"), SizeIs(1));
  EXPECT_THAT(broker.LogLines("slow consumer disconnected"), SizeIs(0));
  EXPECT_EQ(broker.Metric("sluice_messages_dropped_total"), 0);
  load.Leave();
}

TEST(ObserveTest, TheSessionsLimitHolds) {
  BrokerProcess broker({"--on-overflow=observe", "--max-message=16KiB", "--max-headers=1KiB",
                        "--notsent-lowat=16KiB", "--write-timeout=60s", "--pending-bytes-max=64KiB",
                        "--session-bytes-max=200KiB"});
  HealthyLoad load(broker.port(), {.subscribers = 2, .topics = {"load.a"}, .filter = "load.>"});
  WireClient slow(broker.port(), kTinyWindow);
  slow.Connect("slow");
  slow.Subscribe(1, "load.>");
  for (int i = 0; i < 200 && broker.LogLines("slow consumer disconnected").empty(); ++i) load.Step(50, 1000);
  EXPECT_EQ(slow.ExpectGoodbye(v1::REASON_SESSION_BYTES).limit(), 200u << 10);
  load.Leave();
}

TEST_F(RulesTest, OneThatAskedToBeCutDropsTheOldestInstead) {
  WireClient slow(broker_.port(), kTinyWindow);
  slow.Connect("dash-slow");
  slow.Subscribe(1, "load.>", {.overflow = v1::OVERFLOW_POLICY_DISCONNECT});
  while (broker_.Metric("sluice_messages_dropped_total") == 0) load_.Step(50, 1000);
  slow.SendUnsubscribe(1);
  uint64_t received = 0;
  uint64_t told = 0;
  for (std::optional<v1::ServerFrame> frame; (frame = slow.NextFrame()).has_value();) {
    if (frame->has_message()) ++received;
    if (frame->has_gap()) told += frame->gap().messages();
    if (frame->has_unsubscribed()) break;
  }
  EXPECT_THAT(told, Gt(0u));
  EXPECT_EQ(received + told, load_.published());
  EXPECT_THAT(broker_.LogLines("slow consumer disconnected"), SizeIs(0));
  load_.Leave();
}

}  // namespace
}  // namespace sluice::testing
