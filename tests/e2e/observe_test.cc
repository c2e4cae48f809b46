// What operators see of a real broker: its page through promtool and a real Prometheus, its health.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <string>

#include "tests/support/broker_process.h"
#include "tests/support/command.h"
#include "tests/support/eventually.h"
#include "tests/support/http_client.h"
#include "tests/support/metrics_page.h"
#include "tests/support/prometheus_server.h"
#include "tests/support/wire_client.h"

namespace sluice {
namespace {

using testing::BrokerProcess;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::HttpGet;
using ::testing::IsEmpty;
using testing::MetricsPage;
using testing::WireClient;

TEST(ObserveTest, PrometheusCountsWhatWasPublishedAndDelivered) {
  BrokerProcess broker;
  testing::PrometheusServer prometheus(broker.http_port());
  prometheus.WaitFor("up{job=\"sluice\"}", 1);
  prometheus.WaitFor("sluice_build_info", 1);
  WireClient client(broker.port());
  client.Connect("observer");
  client.Subscribe(1, "a.>");
  for (int i = 0; i < 42; ++i) client.Publish("a.b", "payload");
  for (int i = 0; i < 42; ++i) client.NextMessage();
  prometheus.WaitFor("sum(sluice_messages_received_total)", 42);
  prometheus.WaitFor("sum(sluice_messages_delivered_total)", 42);
  prometheus.WaitFor("sluice_connections_open", 1);
  prometheus.WaitFor("sluice_subscription_pending_bytes_count", 1);
  prometheus.WaitFor("sluice_scrape_shards_missing", 0);
}

TEST(ObserveTest, PromtoolFindsNothingWrongWithABrokersPage) {
  BrokerProcess broker;
  const testing::CommandResult check =
      testing::RunCommand({"promtool", "check", "metrics"}, HttpGet(broker.http_port(), "/metrics").body);
  EXPECT_EQ(check.exit_code, 0);
  EXPECT_THAT(check.output, IsEmpty());
}

TEST(ObserveTest, HealthyAndReadyUntilItDrains) {
  // A client that does not read what is queued keeps the broker draining.
  BrokerProcess broker({"--drain-timeout=1h", "--write-timeout=0"});
  EXPECT_EQ(HttpGet(broker.http_port(), "/healthz").status, 200);
  EXPECT_EQ(HttpGet(broker.http_port(), "/readyz").status, 200);
  EXPECT_EQ(HttpGet(broker.http_port(), "/readyz").body, "ok\n");
  WireClient stuck(broker.port(), {.client_receive_buffer_bytes = 4096});
  stuck.Connect("stuck");
  stuck.Subscribe(1, "a");
  WireClient publisher(broker.port());
  publisher.Connect("publisher");
  for (int i = 0; i < 6; ++i) publisher.Publish("a", std::string(1 << 20, 'x'));
  ASSERT_TRUE(Eventually([&] { return broker.Metric("sluice_epollout_arms_total") > 0; }));
  broker.Signal(SIGTERM);
  EXPECT_TRUE(Eventually([&] { return HttpGet(broker.http_port(), "/readyz").status == 503; }));
  EXPECT_THAT(HttpGet(broker.http_port(), "/readyz").body, HasSubstr("draining"));
  EXPECT_EQ(HttpGet(broker.http_port(), "/healthz").status, 200);
  broker.Signal(SIGKILL);
  broker.WaitForExit();
}

TEST(ObserveTest, WithoutDescriptorsThePageStillSaysSo) {
  BrokerProcess broker;
  // Once with descriptors: UBSan opens a pipe when it meets a class for the first time.
  EXPECT_EQ(HttpGet(broker.http_port(), "/metrics").status, 200);
  EXPECT_EQ(HttpGet(broker.http_port(), "/healthz").status, 200);
  const uint64_t open = broker.OpenDescriptors();
  broker.LimitDescriptors(open);
  const MetricsPage page(HttpGet(broker.http_port(), "/metrics").body);
  EXPECT_EQ(page.Value("process_max_fds"), static_cast<double>(open));
  EXPECT_GE(page.Value("process_open_fds"), static_cast<double>(open));
  EXPECT_EQ(HttpGet(broker.http_port(), "/healthz").status, 200);
}

}  // namespace
}  // namespace sluice
