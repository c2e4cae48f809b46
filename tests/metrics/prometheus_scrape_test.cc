// A real Prometheus scrapes the exporter and is asked what it understood.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "metrics/catalogue.h"
#include "metrics/exporter.h"
#include "protocol/names.h"
#include "tests/metrics/fake_source.h"
#include "tests/support/prometheus_server.h"

namespace sluice {
namespace {

using testing::FakeSource;
using testing::PrometheusServer;

TEST(PrometheusScrapeTest, UnderstandsCountersGaugesHistogramsAndLabels) {
  FakeSource source;
  ShardCounters& shard = source.shards[1];
  shard.messages_in.Add((uint64_t{1} << 53) - 1);
  shard.connections_open.Set(17);
  shard.sessions_ended[v1::REASON_WRITE_TIMEOUT].Add(3);
  for (int i = 0; i < 100; ++i) shard.stall.ObserveNs(15'000'000);  // between 10 and 20 ms
  absl::StatusOr<std::unique_ptr<Exporter>> exporter = Exporter::Start(
      "127.0.0.1:0", {.build = {.version = "1.2.3", .compiler = "c", .build_type = "test"}}, &source);
  ASSERT_TRUE(exporter.ok()) << exporter.status();

  PrometheusServer prometheus((*exporter)->port());
  prometheus.WaitFor("up{job=\"sluice\"}", 1);
  prometheus.WaitFor("sluice_build_info", 1);
  const std::vector<PrometheusServer::Sample> build = prometheus.Query("sluice_build_info");
  EXPECT_EQ(build.at(0).labels.at("version"), "1.2.3");
  EXPECT_EQ(build.at(0).labels.at("protocol_version"), std::to_string(kProtocolVersion));

  prometheus.WaitFor("sluice_messages_received_total", 9007199254740991);
  prometheus.WaitFor("sluice_connections_open", 17);
  prometheus.WaitFor("sluice_slow_consumer_disconnects_total{reason=\"write_timeout\"}", 3);
  prometheus.WaitFor("sum(sluice_slow_consumer_disconnects_total)", 3);
  prometheus.WaitFor("count(sluice_loop_turns_total)", 2);

  prometheus.WaitFor("sluice_write_stall_duration_seconds_count", 100);
  prometheus.WaitFor("sluice_write_stall_duration_seconds_bucket{le=\"0.01\"}", 0);
  prometheus.WaitFor("sluice_write_stall_duration_seconds_bucket{le=\"0.02\"}", 100);
  prometheus.WaitFor("histogram_quantile(0.5, sluice_write_stall_duration_seconds_bucket)", 0.015);

  EXPECT_EQ(prometheus.MetadataOf("sluice_messages_received_total").type, "counter");
  EXPECT_EQ(prometheus.MetadataOf("sluice_connections_open").type, "gauge");
  EXPECT_EQ(prometheus.MetadataOf("sluice_write_stall_duration_seconds").type, "histogram");
  for (const MetricInfo& info : Catalogue()) {
    EXPECT_EQ(prometheus.MetadataOf(info.name).help, info.help) << info.name;
  }

  // The next scrapes see what is counted from now on.
  shard.sessions_ended[v1::REASON_WRITE_TIMEOUT].Add(2);
  prometheus.WaitFor("sluice_slow_consumer_disconnects_total{reason=\"write_timeout\"}", 5);
}

TEST(PrometheusScrapeTest, SeesThatTheBrokerIsGone) {
  FakeSource source;
  absl::StatusOr<std::unique_ptr<Exporter>> exporter = Exporter::Start("127.0.0.1:0", {}, &source);
  ASSERT_TRUE(exporter.ok()) << exporter.status();
  PrometheusServer prometheus((*exporter)->port());
  prometheus.WaitFor("up{job=\"sluice\"}", 1);
  exporter->reset();
  prometheus.WaitFor("up{job=\"sluice\"}", 0);
}

}  // namespace
}  // namespace sluice
