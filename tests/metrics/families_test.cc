#include "metrics/families.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include <cmath>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "metrics/catalogue.h"
#include "protocol/names.h"
#include "tests/support/metrics_page.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using testing::MetricsPage;
using ::testing::Not;

std::string Serialize(const std::vector<prometheus::MetricFamily>& families) {
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return text.str();
}

MetricsPage CounterPage(const std::vector<const ShardCounters*>& shards) {
  return MetricsPage(Serialize(CounterFamilies(shards)));
}

MetricsPage BrokerPage(const BuildInfo& build, const SubscriptionDistributions& subscriptions,
                       uint64_t retained) {
  const MemoryUse memory = {.retained_bytes = retained, .budget_bytes = 2 * retained};
  return MetricsPage(Serialize(BrokerFamilies(build, subscriptions, memory)));
}

// A number of its own for each member, and where it must show.
std::map<std::string, double> SetEachToAnotherValue(ShardCounters* c) {
  c->connections_accepted.Add(1001);
  c->connections_refused.Add(1002);
  c->accept_errors.Add(1003);
  c->connections_open.Set(1004);
  c->subscriptions.Set(1005);
  c->errors_sent.Add(1006);
  c->messages_in.Add(1007);
  c->message_bytes_in.Add(1008);
  c->messages_out.Add(1009);
  c->message_bytes_out.Add(1010);
  c->messages_dropped.Add(1011);
  c->messages_conflated.Add(1099);
  c->publish_refused.Add(1012);
  c->match_cache_hits.Add(1013);
  c->match_cache_misses.Add(1014);
  c->pending_bytes.Set(1015);
  c->pending_messages.Set(1016);
  c->writes.Add(1017);
  c->write_bytes.Add(1018);
  c->partial_writes.Add(1019);
  c->write_would_block.Add(1020);
  c->epollout_arms.Add(1021);
  c->epollout_resumes.Add(1022);
  c->reads.Add(1023);
  c->read_bytes.Add(1024);
  c->frames_in.Add(1025);
  c->clients_paused.Add(1026);
  c->turns.Add(1027);
  c->late_turns.Add(1028);
  c->lateness_ns.Add(1'029'000'000'000);
  c->mailbox_bytes.Set(1030);
  c->mailbox_slices_sent.Add(1031);
  c->mailbox_paused.Add(1032);
  c->memory_sheds.Add(1040);
  c->memory_paused.Add(1041);
  c->sessions_ended[v1::REASON_CLIENT_CLOSED].Add(1033);
  c->sessions_ended[v1::REASON_WRITE_TIMEOUT].Add(1034);
  c->stall.ObserveNs(1'035'000'000'000);
  c->turn.ObserveNs(1'036'000'000'000);
  c->lagging_episodes.Add(1037);
  c->lagging_subscriptions.Set(1038);
  c->lagging_causes[v1::LAG_CAUSE_NETWORK_SLOW].Add(1042);
  c->frames_truncated.Add(1039);
  c->observed_overflows[v1::REASON_PENDING_AGE].Add(1042);
  c->observed_messages.Add(1043);
  c->blocking_subscriptions.Set(1044);
  c->block_paused.Add(1045);
  c->publishers_blocked.Set(1046);
  c->subscriptions_cut[v1::REASON_PENDING_BYTES].Add(1047);
  c->gaps.Add(1048);
  c->consumer_events.Add(1098);
  c->publishers_blocked_ns.Add(1'049'000'000'000);
  c->delivery.ObserveNs(1'050'000'000'000);
  return {
      {"sluice_connections_accepted_total", 1001},
      {"sluice_connections_refused_total", 1002},
      {"sluice_accept_errors_total", 1003},
      {"sluice_connections_open", 1004},
      {"sluice_shard_connections{shard=\"0\"}", 1004},
      {"sluice_subscriptions", 1005},
      {"sluice_errors_sent_total", 1006},
      {"sluice_messages_received_total", 1007},
      {"sluice_message_received_bytes_total", 1008},
      {"sluice_messages_delivered_total", 1009},
      {"sluice_message_delivered_bytes_total", 1010},
      {"sluice_messages_dropped_total", 1011},
      {"sluice_messages_conflated_total", 1099},
      {"sluice_publishes_refused_total", 1012},
      {"sluice_match_cache_hits_total", 1013},
      {"sluice_match_cache_misses_total", 1014},
      {"sluice_pending_bytes", 1015},
      {"sluice_pending_messages", 1016},
      {"sluice_writes_total", 1017},
      {"sluice_write_bytes_total", 1018},
      {"sluice_partial_writes_total", 1019},
      {"sluice_writes_blocked_total", 1020},
      {"sluice_epollout_arms_total", 1021},
      {"sluice_epollout_resumes_total", 1022},
      {"sluice_reads_total", 1023},
      {"sluice_read_bytes_total", 1024},
      {"sluice_frames_received_total", 1025},
      {"sluice_client_pauses_total", 1026},
      {"sluice_loop_turns_total{shard=\"0\"}", 1027},
      {"sluice_loop_late_turns_total{shard=\"0\"}", 1028},
      {"sluice_loop_lateness_seconds_total{shard=\"0\"}", 1029},
      {"sluice_mailbox_bytes", 1030},
      {"sluice_mailbox_slices_sent_total", 1031},
      {"sluice_mailbox_pauses_total", 1032},
      {"sluice_sessions_ended_total{reason=\"client_closed\"}", 1033},
      {"sluice_sessions_ended_total{reason=\"write_timeout\"}", 1034},
      {"sluice_slow_consumer_disconnects_total{reason=\"write_timeout\"}", 1034},
      {"sluice_write_stall_duration_seconds_sum", 1035},
      {"sluice_loop_turn_duration_seconds_sum{shard=\"0\"}", 1036},
      {"sluice_lagging_episodes_total", 1037},
      {"sluice_lagging_subscriptions", 1038},
      {"sluice_lagging_causes_total{cause=\"network_slow\"}", 1042},
      {"sluice_frames_truncated_total", 1039},
      {"sluice_memory_sheds_total", 1040},
      {"sluice_memory_pauses_total", 1041},
      {"sluice_observed_overflows_total{reason=\"pending_age\"}", 1042},
      {"sluice_subscriptions_cut_total{reason=\"pending_bytes\"}", 1047},
      {"sluice_observed_messages_total", 1043},
      {"sluice_blocking_subscriptions", 1044},
      {"sluice_block_pauses_total", 1045},
      {"sluice_blocked_publishers", 1046},
      {"sluice_gaps_sent_total", 1048},
      {"sluice_consumer_events_total", 1098},
      {"sluice_publisher_blocked_seconds_total", 1049},
      {"sluice_delivery_latency_seconds_sum", 1050},
  };
}

TEST(FamiliesTest, EachMemberShowsUnderItsOwnName) {
  ShardCounters shard;
  const std::map<std::string, double> expected = SetEachToAnotherValue(&shard);
  const MetricsPage page = CounterPage({&shard});
  for (const auto& [series, value] : expected) EXPECT_EQ(page.Value(series), value) << series;
  // One expectation per line of the catalogue, and one for the second reason.
  EXPECT_EQ(expected.size(), Catalogue().size() + 1) << "a line of the catalogue is not tested here";
  EXPECT_EQ(page.families().size(), Catalogue().size());
}

TEST(FamiliesTest, ShardsAreAddedUpOrShownOneByOne) {
  ShardCounters a;
  ShardCounters b;
  SetEachToAnotherValue(&a);
  const std::map<std::string, double> expected = SetEachToAnotherValue(&b);
  const MetricsPage page = CounterPage({&a, &b});
  for (const auto& [series, value] : expected) {
    const size_t label = series.find("shard=\"0\"");
    if (label == std::string::npos) {
      EXPECT_EQ(page.Value(series), 2 * value) << series;
    } else {
      std::string other = series;
      other.replace(label, std::string("shard=\"0\"").size(), "shard=\"1\"");
      EXPECT_EQ(page.Value(series), value) << series;
      EXPECT_EQ(page.Value(other), value) << other;
    }
  }
}

TEST(FamiliesTest, GaugesOfOneShardMayBeBelowZero) {
  // One shard frees what another one queued.
  ShardCounters a;
  ShardCounters b;
  a.pending_bytes.Set(100);
  b.pending_bytes.Set(-40);
  EXPECT_EQ(CounterPage({&a, &b}).Value("sluice_pending_bytes"), 60);
}

TEST(FamiliesTest, EveryReasonHasItsSeriesFromTheStart) {
  const ShardCounters shard;
  const MetricsPage page = CounterPage({&shard});
  static_assert(v1::Reason_MAX < static_cast<int>(kReasonsMax), "sessions_ended has no place for it");
  size_t all = 0;
  size_t slow = 0;
  for (int number = v1::REASON_UNSPECIFIED + 1; number <= v1::Reason_MAX; ++number) {
    if (!v1::Reason_IsValid(number)) continue;
    const v1::Reason reason = static_cast<v1::Reason>(number);
    const std::string label = "{reason=\"" + std::string(ReasonName(reason)) + "\"}";
    EXPECT_EQ(page.Value("sluice_sessions_ended_total" + label), 0);
    EXPECT_EQ(page.values().contains("sluice_slow_consumer_disconnects_total" + label),
              IsSlowConsumer(reason));
    ++all;
    slow += IsSlowConsumer(reason) ? 1 : 0;
  }
  EXPECT_EQ(page.Find("sluice_sessions_ended_total")->series.size(), all);
  EXPECT_EQ(page.Find("sluice_slow_consumer_disconnects_total")->series.size(), slow);
}

TEST(FamiliesTest, EveryCauseHasItsSeriesFromTheStart) {
  const ShardCounters shard;
  static_assert(v1::LagCause_MAX < static_cast<int>(kLagCausesMax), "lagging_causes has no place for it");
  const MetricsPage page = CounterPage({&shard});
  for (const char* cause : {"application", "network_slow", "network_lossy", "over_subscribed"}) {
    EXPECT_EQ(page.Value(std::string("sluice_lagging_causes_total{cause=\"") + cause + "\"}"), 0);
  }
  EXPECT_EQ(page.Find("sluice_lagging_causes_total")->series.size(), size_t{v1::LagCause_MAX});
}

TEST(FamiliesTest, BucketsOfAHistogramAddUpAndEndWithItsCount) {
  ShardCounters a;
  ShardCounters b;
  a.stall.ObserveNs(500);              // 0.5 us
  a.stall.ObserveNs(1'000'000);        // 1 ms: belongs to that bound
  b.stall.ObserveNs(1'000'001);        // just above it
  b.stall.ObserveNs(100'000'000'000);  // above all bounds
  const MetricsPage page = CounterPage({&a, &b});
  const std::string name = "sluice_write_stall_duration_seconds";
  EXPECT_EQ(page.Value(name + "_bucket{le=\"1e-06\"}"), 1);
  EXPECT_EQ(page.Value(name + "_bucket{le=\"0.0005\"}"), 1);
  EXPECT_EQ(page.Value(name + "_bucket{le=\"0.001\"}"), 2);
  EXPECT_EQ(page.Value(name + "_bucket{le=\"0.002\"}"), 3);
  EXPECT_EQ(page.Value(name + "_bucket{le=\"50\"}"), 3);
  EXPECT_EQ(page.Value(name + "_bucket{le=\"+Inf\"}"), 4);
  EXPECT_EQ(page.Value(name + "_count"), 4);
  EXPECT_DOUBLE_EQ(page.Value(name + "_sum"), 100.0020005 + 1e-9);
  EXPECT_EQ(page.Find(name)->series.size(), DurationHistogram::kBounds + 3);
}

TEST(FamiliesTest, BoundsAreWrittenShort) {
  // 1e-06 and not 9.9999999999999995e-07.
  const ShardCounters shard;
  const MetricsPage page = CounterPage({&shard});
  for (const auto& [series, value] : page.values()) {
    const size_t bound = series.find("le=\"");
    if (bound == std::string::npos) continue;
    EXPECT_LE(series.size() - bound, std::string("le=\"0.0005\"}").size()) << series;
  }
}

TEST(FamiliesTest, DistributionsShowSubscriptionsAtThisMoment) {
  SubscriptionDistributions subscriptions;
  subscriptions.pending_bytes.Observe(0);
  subscriptions.pending_bytes.Observe(0);
  subscriptions.pending_bytes.Observe(5000);
  subscriptions.pending_messages.Observe(3);
  subscriptions.limit_share.Observe(0.8);
  subscriptions.limit_share.Observe(0, 3);
  subscriptions.oldest_age_ms.Observe(1500);
  subscriptions.oldest_age_seconds_max = 1.5;
  subscriptions.shards_missing = 2;
  const MetricsPage page = BrokerPage({}, subscriptions, 12345);
  EXPECT_EQ(page.Value("sluice_subscription_pending_bytes_bucket{le=\"0\"}"), 2);
  EXPECT_EQ(page.Value("sluice_subscription_pending_bytes_bucket{le=\"4096\"}"), 2);
  EXPECT_EQ(page.Value("sluice_subscription_pending_bytes_bucket{le=\"16384\"}"), 3);
  EXPECT_EQ(page.Value("sluice_subscription_pending_bytes_count"), 3);
  EXPECT_EQ(page.Value("sluice_subscription_pending_bytes_sum"), 5000);
  EXPECT_EQ(page.Value("sluice_subscription_pending_messages_count"), 1);
  EXPECT_EQ(page.Value("sluice_subscription_pending_messages_sum"), 3);
  EXPECT_EQ(page.Value("sluice_subscription_limit_share_bucket{le=\"0.75\"}"), 3);
  EXPECT_EQ(page.Value("sluice_subscription_limit_share_bucket{le=\"0.9\"}"), 4);
  EXPECT_EQ(page.Value("sluice_subscription_limit_share_sum"), 0.8);
  EXPECT_EQ(page.Value("sluice_subscription_oldest_age_seconds_bucket{le=\"1.024\"}"), 0);
  EXPECT_EQ(page.Value("sluice_subscription_oldest_age_seconds_bucket{le=\"4.096\"}"), 1);
  EXPECT_EQ(page.Value("sluice_subscription_oldest_age_seconds_sum"), 1.5);
  EXPECT_EQ(page.Value("sluice_oldest_age_seconds"), 1.5);
  EXPECT_EQ(page.Value("sluice_scrape_shards_missing"), 2);
  EXPECT_EQ(page.Value("sluice_retained_bytes"), 12345);
  EXPECT_EQ(page.Value("sluice_memory_budget_bytes"), 24690);
}

TEST(FamiliesTest, BuildInfoSaysWhatRuns) {
  EXPECT_EQ(BrokerPage({"0.1.0", "g++ 12.2", "release"}, {}, 0)
                .Value("sluice_build_info{version=\"0.1.0\",compiler=\"g++ 12.2\",build_type=\"release\","
                       "protocol_version=\"1\"}"),
            1);
}

TEST(FamiliesTest, HostileBuildLabelsBreakNoPage) {
  const std::string hostile = "a\"} 1\nforged_total 5\n\\x\xff\xc2\x9b\x1b[31m";
  const std::string text = Serialize(BrokerFamilies({hostile, hostile, std::string(10'000, 'x')}, {}, {}));
  const MetricsPage page(text);
  EXPECT_EQ(page.Find("forged_total"), nullptr);
  EXPECT_EQ(page.Find("sluice_build_info")->series.size(), 1);
  for (const char c : text) EXPECT_TRUE(c == '\n' || (c >= ' ' && c < '\x7f')) << static_cast<int>(c);
  EXPECT_LT(page.Find("sluice_build_info")->series[0].size(), 1000);
}

TEST(FamiliesTest, HostileNamesOfConsumersBreakNoPage) {
  SurveyedConsumer hostile;
  hostile.key = 1;
  hostile.consumer.set_id("0-1.1");
  hostile.consumer.set_client_name("a\"} 1\nforged_total 5\n\\x\xff\xc2\x9b\x1b[31m");
  hostile.consumer.set_filter(std::string(10'000, 'x'));
  const std::string text = Serialize(ConsumerFamilies({hostile}));
  const MetricsPage page(text);
  EXPECT_EQ(page.Find("forged_total"), nullptr);
  for (const char c : text) EXPECT_TRUE(c == '\n' || (c >= ' ' && c < '\x7f')) << static_cast<int>(c);
  EXPECT_LT(page.Find("sluice_top_consumer_pending_bytes")->series[0].size(), 500u);
}

TEST(FamiliesTest, ProcessNumbersHaveTheNamesThatDashboardsKnow) {
  ProcessStats stats;
  stats.cpu_seconds = 1.25;
  stats.start_time_seconds = 1'700'000'000.5;
  stats.resident_memory_bytes = 3;
  stats.virtual_memory_bytes = 4;
  stats.open_fds = 5;
  stats.max_fds = 6;
  stats.threads = 7;
  const MetricsPage page(Serialize(ProcessFamilies(stats)));
  EXPECT_EQ(page.values(), (std::map<std::string, double>{{"process_cpu_seconds_total", 1.25},
                                                          {"process_start_time_seconds", 1'700'000'000.5},
                                                          {"process_resident_memory_bytes", 3},
                                                          {"process_virtual_memory_bytes", 4},
                                                          {"process_open_fds", 5},
                                                          {"process_max_fds", 6},
                                                          {"process_threads", 7}}));
}

TEST(FamiliesTest, LargeNumbersKeepTheirDigits) {
  ShardCounters shard;
  shard.message_bytes_in.Add((uint64_t{1} << 53) - 1);
  const std::string text = Serialize(CounterFamilies({&shard}));
  EXPECT_THAT(text, HasSubstr("\nsluice_message_received_bytes_total 9007199254740991\n"));
  EXPECT_THAT(text, Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace sluice
