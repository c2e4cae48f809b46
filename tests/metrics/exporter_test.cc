#include "metrics/exporter.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "metrics/catalogue.h"
#include "tests/metrics/fake_source.h"
#include "tests/support/command.h"
#include "tests/support/eventually.h"
#include "tests/support/http_client.h"
#include "tests/support/kernel_faults.h"
#include "tests/support/metrics_page.h"
#include "tests/support/socket_pair.h"

namespace sluice {
namespace {

using testing::ConnectTo;
using testing::FakeSource;
using ::testing::HasSubstr;
using testing::HttpAsk;
using testing::HttpGet;
using testing::HttpReply;
using ::testing::IsEmpty;
using testing::MetricsPage;
using testing::WriteBytes;

constexpr const char* kToken = "a-token-of-a-test";
const BuildInfo kBuild = {.version = "1.2.3", .compiler = "g++ 12.2.0", .build_type = "release"};

class ExporterTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(kBuild); }
  // Nothing waits for a shard when the exporter ends.
  void TearDown() override { source_.SetShards(FakeSource::Shards::kAnswer); }

  void Start(const BuildInfo& build) {
    absl::StatusOr<std::unique_ptr<Exporter>> exporter =
        Exporter::Start("127.0.0.1:0", {.build = build, .actions_token = kToken}, &source_);
    ASSERT_TRUE(exporter.ok()) << exporter.status();
    exporter_ = *std::move(exporter);
  }

  uint16_t port() const { return exporter_->port(); }

  FakeSource source_;
  std::unique_ptr<Exporter> exporter_;
};

TEST_F(ExporterTest, ShowsWhatTheShardsCount) {
  source_.shards[0].messages_in.Add(3);
  source_.shards[1].messages_in.Add(4);
  source_.shards[1].turns.Add(9);
  SubscriptionDistributions distributions;
  distributions.pending_bytes.Observe(100);
  source_.SetDistributions(distributions);

  const HttpReply reply = HttpGet(port(), "/metrics");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.fields.at("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const MetricsPage page(reply.body);
  EXPECT_EQ(page.Value("sluice_messages_received_total"), 7);
  EXPECT_EQ(page.Value("sluice_loop_turns_total{shard=\"1\"}"), 9);
  EXPECT_EQ(page.Value("sluice_subscription_pending_bytes_count"), 1);
  EXPECT_EQ(page.Value("sluice_scrape_shards_missing"), 0);
  EXPECT_EQ(page.Value("sluice_retained_bytes"), 4096);
  EXPECT_EQ(page.Value("sluice_memory_budget_bytes"), 8192);
  EXPECT_GT(page.Value("process_resident_memory_bytes"), 0);
  EXPECT_EQ(page.Value("sluice_build_info{version=\"1.2.3\",compiler=\"g++ 12.2.0\",build_type=\"release\","
                       "protocol_version=\"1\"}"),
            1);
  for (const MetricInfo& info : Catalogue()) EXPECT_NE(page.Find(info.name), nullptr) << info.name;
}

TEST_F(ExporterTest, ShowsTheTopConsumersAndTheLimits) {
  SurveyedConsumer behind;
  behind.key = 5000;
  behind.consumer.set_id("0-7.1");
  behind.consumer.set_client_name("dash \"7\"");
  behind.consumer.set_address("127.0.0.1:5");
  behind.consumer.set_filter("ticks.>");
  behind.consumer.set_pending_bytes(5000);
  behind.consumer.set_limit_share(0.5);
  behind.consumer.set_oldest_age_seconds(1.5);
  behind.consumer.set_policy("drop_oldest");
  behind.consumer.set_nearest_limit("pending_bytes");
  behind.consumer.set_cause("application");
  SurveyedConsumer healthy;
  healthy.consumer.set_id("0-8.1");
  source_.SetConsumers({behind, healthy});
  const MetricsPage page(HttpGet(port(), "/metrics").body);
  EXPECT_EQ(source_.last_request().consumers_max, 10u);
  const std::string labels =
      "{consumer=\"0-7.1\",client=\"dash \\\\x227\\\\x22\",address=\"127.0.0.1:5\",filter=\"ticks.>\"}";
  EXPECT_EQ(page.Value("sluice_top_consumer_pending_bytes" + labels), 5000);
  EXPECT_EQ(page.Value("sluice_top_consumer_limit_share" + labels), 0.5);
  EXPECT_EQ(page.Value("sluice_top_consumer_oldest_age_seconds" + labels), 1.5);
  EXPECT_EQ(
      page.Value("sluice_top_consumer_info{consumer=\"0-7.1\",policy=\"drop_oldest\",limit=\"pending_bytes\","
                 "cause=\"application\"}"),
      1);
  EXPECT_EQ(page.Find("sluice_top_consumer_pending_bytes")->series.size(), 1u)
      << "the healthy one has no name";
  EXPECT_EQ(page.Find("sluice_top_consumer_info")->series.size(), 1u);
  EXPECT_EQ(page.Value("sluice_pending_bytes_limit"), 8e6);
  EXPECT_EQ(page.Value("sluice_write_timeout_seconds"), 10);
}

TEST_F(ExporterTest, TheApiIsServedWithMethodsQueryAndToken) {
  source_.SetSessions({{0, 7}});
  EXPECT_EQ(HttpGet(port(), "/api/consumers?sort=age&limit=3").status, 200);
  EXPECT_EQ(source_.last_request().sort, SurveyRequest::Sort::kAge);
  EXPECT_EQ(source_.last_request().consumers_max, 3u);
  EXPECT_EQ(HttpAsk(port(), "HEAD /api/broker HTTP/1.1\r\n\r\n").status, 200);
  EXPECT_EQ(HttpAsk(port(), "DELETE /api/consumers/0-7 HTTP/1.1\r\n\r\n").status, 401);
  EXPECT_THAT(source_.kicked(), IsEmpty());
  EXPECT_EQ(
      HttpAsk(port(),
              fmt::format("DELETE /api/consumers/0-7 HTTP/1.1\r\nauthorization:Bearer {}\r\n\r\n", kToken))
          .status,
      200);
  EXPECT_EQ(source_.kicked().size(), 1u);
}

TEST_F(ExporterTest, TheStatusPageStandsAtTheRoot) {
  const HttpReply page = HttpGet(port(), "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.fields.at("content-type"), "text/html; charset=utf-8");
  EXPECT_THAT(page.fields.at("content-security-policy"), HasSubstr("default-src 'none'"));
  EXPECT_EQ(page.fields.at("referrer-policy"), "no-referrer");
  EXPECT_EQ(page.fields.at("x-content-type-options"), "nosniff");
  EXPECT_THAT(page.body, HasSubstr("<!doctype html>"));
}

TEST_F(ExporterTest, EachScrapeReadsAnew) {
  for (int i = 1; i <= 3; ++i) {
    source_.shards[0].turns.Add();
    EXPECT_EQ(MetricsPage(HttpGet(port(), "/metrics").body).Value("sluice_loop_turns_total{shard=\"0\"}"), i);
  }
}

TEST_F(ExporterTest, PromtoolFindsNothingWrongWithThePage) {
  source_.shards[0].stall.ObserveNs(12'345);
  source_.shards[0].sessions_ended[20].Add();
  SubscriptionDistributions distributions;
  distributions.pending_bytes.Observe(uint64_t{1} << 40);
  source_.SetDistributions(distributions);
  const testing::CommandResult check =
      testing::RunCommand({"promtool", "check", "metrics"}, HttpGet(port(), "/metrics").body);
  EXPECT_EQ(check.exit_code, 0);
  EXPECT_THAT(check.output, IsEmpty());
}

TEST_F(ExporterTest, PromtoolWouldFindSomething) {
  // The test above can fail.
  EXPECT_NE(
      testing::RunCommand({"promtool", "check", "metrics"}, "# TYPE x_total gauge\nx_total 1\n").exit_code,
      0);
}

TEST_F(ExporterTest, HealthAndReadinessSayTheirReason) {
  for (const char* path : {"/healthz", "/readyz"}) {
    EXPECT_EQ(HttpGet(port(), path).status, 200);
    EXPECT_EQ(HttpGet(port(), path).body, "ok\n");
  }
  source_.SetReady(absl::UnavailableError("draining"));
  EXPECT_EQ(HttpGet(port(), "/healthz").status, 200);
  HttpReply reply = HttpGet(port(), "/readyz");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.body, "draining\n");
  source_.SetHealthy(absl::InternalError("shard 1 has not turned for 12s"));
  reply = HttpGet(port(), "/healthz");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.reason, "Service Unavailable");
  EXPECT_EQ(reply.body, "shard 1 has not turned for 12s\n");
}

TEST_F(ExporterTest, AnswersHeadAndRefusesOtherPathsAndMethods) {
  const HttpReply head = HttpAsk(port(), "HEAD /metrics HTTP/1.1\r\n\r\n");
  EXPECT_EQ(head.status, 200);
  EXPECT_GT(std::stoi(head.fields.at("content-length")), 1000);
  const HttpReply missing = HttpGet(port(), "/nothing");
  EXPECT_EQ(missing.status, 404);
  EXPECT_THAT(missing.body, HasSubstr("/metrics"));
  EXPECT_EQ(HttpGet(port(), "/metrics/").status, 404);
  EXPECT_EQ(HttpGet(port(), "/metricsx").status, 404);
  EXPECT_EQ(HttpGet(port(), "/metrics?name[]=x").status, 200);
  EXPECT_EQ(HttpAsk(port(), "POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n").status, 405);
}

TEST_F(ExporterTest, SlowClientsHoldUpNobody) {
  std::vector<net::Socket> slow;
  for (int i = 0; i < 100; ++i) {
    slow.push_back(ConnectTo(port()));
    WriteBytes(slow.back(), "GET /metrics HTTP/1.1\r\nX: ");
  }
  const absl::Time start = absl::Now();
  EXPECT_EQ(HttpGet(port(), "/metrics").status, 200);
  EXPECT_EQ(HttpGet(port(), "/healthz").status, 200);
  // Were they served in turn, a second each on a few threads, this would take ten.
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
}

TEST_F(ExporterTest, AShardThatDoesNotAnswerIsSaidAndNotWaitedForLong) {
  source_.SetShards(FakeSource::Shards::kOneIsStuck);
  SubscriptionDistributions distributions;
  distributions.pending_bytes.Observe(100);
  source_.SetDistributions(distributions);
  const absl::Time start = absl::Now();
  const MetricsPage page(HttpGet(port(), "/metrics").body);
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
  EXPECT_EQ(page.Value("sluice_scrape_shards_missing"), 1);
  EXPECT_EQ(page.Value("sluice_subscription_pending_bytes_count"), 1) << "what the others said";
  EXPECT_EQ(page.Value("sluice_messages_received_total"), 0);
}

TEST_F(ExporterTest, AnswersWhileTheBrokerIsStuck) {
  source_.SetShards(FakeSource::Shards::kOneIsStuck);
  source_.SetHealthy(absl::UnavailableError("shard 0 has not turned for 12s"));
  // Scrapes come faster than a stuck shard lets them go.
  std::vector<net::Socket> scrapes;
  for (int i = 0; i < 30; ++i) {
    scrapes.push_back(ConnectTo(port()));
    WriteBytes(scrapes.back(), "GET /metrics HTTP/1.1\r\n\r\n");
  }
  EXPECT_EQ(HttpGet(port(), "/healthz").body, "shard 0 has not turned for 12s\n");
  EXPECT_EQ(HttpGet(port(), "/readyz").status, 200);
  for (net::Socket& scrape : scrapes) {
    const MetricsPage page(testing::ParseHttpReply(testing::ReadUntilEof(scrape)).body);
    EXPECT_EQ(page.Value("sluice_scrape_shards_missing"), 1);
  }
  EXPECT_LT(source_.asked(), 30) << "they did not share an answer";
}

TEST_F(ExporterTest, ShowsThatThereAreNoDescriptors) {
  // UBSan opens a pipe when it meets a class for the first time.
  ASSERT_EQ(HttpGet(port(), "/metrics").status, 200);
  net::Socket scrape = ConnectTo(port());
  ASSERT_EQ(HttpGet(port(), "/healthz").status, 200);  // so the scrape's connection has been taken as well
  const testing::DescriptorLimit none(0);
  WriteBytes(scrape, "GET /metrics HTTP/1.1\r\n\r\n");
  const MetricsPage page(testing::ParseHttpReply(testing::ReadUntilEof(scrape)).body);
  EXPECT_GE(page.Value("process_open_fds"), 5);
  EXPECT_GE(page.Value("process_open_fds"), page.Value("process_max_fds") * 0.9);
}

TEST_F(ExporterTest, HostileBuildLabelsBreakNoPage) {
  const std::string hostile = "1.0\"} 1\nforged_total 5\n\\\xff\x1b[31m";
  Start({.version = hostile, .compiler = hostile, .build_type = hostile});
  const std::string text = HttpGet(port(), "/metrics").body;
  const MetricsPage page(text);
  EXPECT_EQ(page.Find("forged_total"), nullptr);
  EXPECT_EQ(testing::RunCommand({"promtool", "check", "metrics"}, text).exit_code, 0);
}

TEST_F(ExporterTest, SaysWhyItCannotStart) {
  const auto why = [&](const std::string& listen) {
    return Exporter::Start(listen, {.build = kBuild}, &source_).status();
  };
  const absl::Status in_use = why(fmt::format("127.0.0.1:{}", port()));
  EXPECT_EQ(in_use.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(in_use.message(), fmt::format("cannot listen on 127.0.0.1:{}: address already in use", port()));
  // An address of the range that documentation uses is nobody's.
  EXPECT_EQ(why("192.0.2.1:0").code(), absl::StatusCode::kNotFound);
  for (const char* listen : {"", "7585", ":7585", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                             "127.0.0.1:-1", "127.0.0.1:80,127.0.0.1:81", "::1:80", "127.0.0.1:80s", "+80"}) {
    const absl::Status bad = why(listen);
    EXPECT_EQ(bad.code(), absl::StatusCode::kInvalidArgument) << listen;
    EXPECT_THAT(std::string(bad.message()), HasSubstr("expected HOST:PORT"));
  }
}

TEST_F(ExporterTest, ListensOnANameToo) {
  absl::StatusOr<std::unique_ptr<Exporter>> named =
      Exporter::Start("localhost:0", {.build = kBuild}, &source_);
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_GT((*named)->port(), 0);
}

TEST_F(ExporterTest, CanBeStoppedAndStartedOnTheSamePort) {
  const uint16_t was = port();
  EXPECT_EQ(HttpGet(was, "/healthz").status, 200);
  exporter_.reset();
  absl::StatusOr<std::unique_ptr<Exporter>> again =
      Exporter::Start(fmt::format("127.0.0.1:{}", was), {.build = kBuild}, &source_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(HttpGet(was, "/healthz").status, 200);
}

TEST_F(ExporterTest, ManyScrapersAtOnceEachGetAWholePage) {
  std::vector<std::thread> scrapers;
  for (int i = 0; i < 8; ++i) {
    scrapers.emplace_back([&] {
      for (int scrape = 0; scrape < 20; ++scrape) {
        EXPECT_NO_THROW(MetricsPage(HttpGet(port(), "/metrics").body).Value("sluice_retained_bytes"));
      }
    });
  }
  for (int i = 0; i < 1000; ++i) source_.shards[0].turn.ObserveNs(i);
  for (std::thread& scraper : scrapers) scraper.join();
}

}  // namespace
}  // namespace sluice
