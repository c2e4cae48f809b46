#include "client/cli/bench_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

BenchReport Sound() {
  BenchReport report;
  report.publishers = 1;
  report.subscribers = 2;
  report.payload_bytes = 128;
  report.topics = 1;
  report.window_bytes = 1 << 20;
  report.publishing = absl::Seconds(2);
  report.delivering = absl::Seconds(4);
  report.published = report.confirmed = 1000;
  report.delivered = 2000;
  report.latency_ns.Record(1000);
  report.latency_ns.Record(3000);
  return report;
}

TEST(BenchReportTest, IsSoundWhenEverythingArrived) { EXPECT_TRUE(Sound().sound()); }

TEST(BenchReportTest, AnythingThatIsWrongMakesItUnsound) {
  for (uint64_t BenchReport::*count :
       {&BenchReport::lost, &BenchReport::repeated, &BenchReport::reordered, &BenchReport::foreign}) {
    BenchReport report = Sound();
    report.*count = 1;
    EXPECT_FALSE(report.sound());
    EXPECT_THAT(ToJson(report), HasSubstr("\"sound\":false"));
  }
  BenchReport unconfirmed = Sound();
  --unconfirmed.confirmed;
  EXPECT_FALSE(unconfirmed.sound());
  BenchReport cut = Sound();
  cut.problems.push_back("subscriber 1 disconnected");
  EXPECT_FALSE(cut.sound());
}

TEST(BenchReportTest, SaysRatesLatencyAndWhatWasChecked) {
  const std::string text = ToText(Sound());
  EXPECT_THAT(text, HasSubstr("1 publisher, 2 subscribers, 128B each, 1 topic, closed loop, window 1MiB"));
  EXPECT_THAT(text, HasSubstr("published   1000 messages in 2 s: 500/s"));
  EXPECT_THAT(text, HasSubstr("delivered   2000 messages in 4 s: 500/s"));
  EXPECT_THAT(text, HasSubstr("p50 1 µs"));
  EXPECT_THAT(text, HasSubstr("max 3 µs"));
  EXPECT_THAT(text, HasSubstr("0 lost, 0 repeated, 0 reordered\n"));
  EXPECT_THAT(text, Not(HasSubstr("problems")));
}

TEST(BenchReportTest, SaysWhatWentWrong) {
  BenchReport report = Sound();
  report.lost = 7;
  report.confirmed = 900;
  report.problems.assign(12, "subscriber \x1b[2J disconnected");
  const std::string text = ToText(report);
  EXPECT_THAT(text, HasSubstr("7 lost"));
  EXPECT_THAT(text, HasSubstr("confirmed 900"));
  EXPECT_THAT(text, HasSubstr("subscriber \\x1b[2J disconnected"));
  EXPECT_THAT(text, HasSubstr("and 2 more"));
}

TEST(BenchReportTest, WithoutSubscribersNothingWasDelivered) {
  BenchReport report = Sound();
  report.subscribers = 0;
  report.delivered = 0;
  report.latency_ns = Histogram();
  EXPECT_THAT(ToText(report), Not(HasSubstr("delivered")));
  EXPECT_THAT(ToJson(report), Not(HasSubstr("latency")));
}

TEST(BenchReportTest, SaysWhatTheSlowOnesHandledAndHowOldItWas) {
  BenchReport report = Sound();
  EXPECT_THAT(ToText(report), Not(HasSubstr("slow")));
  EXPECT_THAT(ToJson(report), Not(HasSubstr("slow")));
  report.slow_handler = absl::Milliseconds(5);
  report.slow_handled = 20;
  report.slow_missed = 900;
  report.staleness_ns.Record(7'000'000);
  EXPECT_THAT(ToText(report),
              HasSubstr("slow        one beside each, 5 ms for each message: 20 handled, 900 missed"));
  EXPECT_THAT(ToText(report), HasSubstr("stale       p50 7"));
  EXPECT_THAT(ToJson(report),
              HasSubstr("\"slow_handled\":20,\"slow_missed\":900,\"staleness_p50_seconds\":0.007"));
  EXPECT_TRUE(report.sound());
}

TEST(BenchReportTest, JsonIsOneLine) {
  BenchReport report = Sound();
  report.problems = {"a\nb"};
  const std::string json = ToJson(report);
  EXPECT_EQ(json.find('\n'), json.size() - 1);
  EXPECT_THAT(json, HasSubstr("\"published_per_second\":500,"));
  EXPECT_THAT(json, HasSubstr("\"latency_max_seconds\":3e-06"));
  EXPECT_THAT(json, HasSubstr("\"problems\":[{\"text\":\"a\\nb\"}]"));
}

}  // namespace
}  // namespace sluice::cli
