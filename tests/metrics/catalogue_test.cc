#include "metrics/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "metrics/exporter.h"
#include "metrics/families.h"
#include "metrics/process.h"
#include "tests/support/field_count.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;
using Reasons = std::array<Counter, kReasonsMax> ShardCounters::*;
using Causes = std::array<Counter, kLagCausesMax> ShardCounters::*;

bool IsReasons(const MetricInfo& info) { return std::holds_alternative<Reasons>(info.member); }
bool IsCounter(const MetricInfo& info) {
  return std::holds_alternative<Counter ShardCounters::*>(info.member) || IsReasons(info) ||
         std::holds_alternative<Causes>(info.member);
}

TEST(CatalogueTest, EveryMemberOfShardCountersHasExactlyOneLine) {
  std::vector<MetricInfo::Member> members;
  for (const MetricInfo& info : Catalogue()) {
    // Shown twice are the reasons of ends, all of them and those that mean a slow consumer, and the connections, in
    // all and by shard.
    const bool second_view =
        info.name == "sluice_slow_consumer_disconnects_total" || info.name == "sluice_shard_connections";
    const bool known = std::find(members.begin(), members.end(), info.member) != members.end();
    EXPECT_EQ(known, second_view) << info.name;
    if (!known) members.push_back(info.member);
  }
  EXPECT_EQ(members.size(), testing::FieldCount<ShardCounters>())
      << "a member of ShardCounters has no line in the catalogue";
}

TEST(CatalogueTest, OnlyReasonsAreShownByReason) {
  for (const MetricInfo& info : Catalogue()) {
    EXPECT_EQ(IsReasons(info),
              info.series == MetricSeries::kPerReason || info.series == MetricSeries::kPerSlowReason)
        << info.name;
  }
}

TEST(CatalogueTest, CausesAreShownByCauseAndNothingElseIs) {
  for (const MetricInfo& info : Catalogue()) {
    EXPECT_EQ(std::holds_alternative<Causes>(info.member), info.series == MetricSeries::kPerCause)
        << info.name;
  }
}

TEST(CatalogueTest, NanosecondsAreCountersThatSaySeconds) {
  for (const MetricInfo& info : Catalogue()) {
    if (info.unit != MetricUnit::kNanoseconds) continue;
    EXPECT_TRUE(std::holds_alternative<Counter ShardCounters::*>(info.member)) << info.name;
    EXPECT_TRUE(info.name.ends_with("_seconds_total")) << info.name;
  }
}

// All of the page, not only the catalogue.
std::vector<prometheus::MetricFamily> AllFamilies() {
  static const ShardCounters shard;
  std::vector<prometheus::MetricFamily> families = CounterFamilies({&shard});
  for (const std::vector<prometheus::MetricFamily>& more :
       {BrokerFamilies({}, {}, {}), ProcessFamilies(ProcessStats())}) {
    families.insert(families.end(), more.begin(), more.end());
  }
  return families;
}

TEST(CatalogueTest, NamesFollowTheConventionsOfPrometheus) {
  std::set<std::string> names;
  for (const prometheus::MetricFamily& family : AllFamilies()) {
    const std::string& name = family.name;
    SCOPED_TRACE(name);
    EXPECT_TRUE(names.insert(name).second);
    EXPECT_THAT(name, MatchesRegex("(sluice|process)_[a-z]+(_[a-z]+)*"));
    EXPECT_EQ(name.ends_with("_total"), family.type == prometheus::MetricType::Counter);
    // Base units: seconds and bytes, and nothing that a histogram or Prometheus adds by itself.
    for (const char* word :
         {"_ms", "_us", "_ns", "_millis", "_minutes", "_kib", "_kilobytes", "_mb", "_percent"}) {
      EXPECT_THAT(name, Not(HasSubstr(word)));
    }
    for (const std::string_view suffix : {"_count", "_sum", "_bucket"}) EXPECT_FALSE(name.ends_with(suffix));
  }
}

TEST(CatalogueTest, HelpTextsAreOneSentenceOnOneLine) {
  std::set<std::string> texts;
  for (const prometheus::MetricFamily& family : AllFamilies()) {
    SCOPED_TRACE(family.name);
    // prometheus-cpp writes them as they are: a newline would break the page.
    EXPECT_THAT(family.help, Not(HasSubstr("\n")));
    EXPECT_THAT(family.help, Not(HasSubstr("\\")));
    EXPECT_THAT(family.help, MatchesRegex("[A-Z].*\\."));
    EXPECT_TRUE(texts.insert(family.help).second) << "said of two metrics";
  }
}

TEST(CatalogueTest, LabelsAreBounded) {
  static const ShardCounters shard;
  const std::vector<const ShardCounters*> shards(64, &shard);
  const std::set<std::string> known = {"shard", "reason", "cause"};
  for (const prometheus::MetricFamily& family : CounterFamilies(shards)) {
    EXPECT_LE(family.metric.size(), 64) << family.name;
    for (const prometheus::ClientMetric& metric : family.metric) {
      EXPECT_LE(metric.label.size(), 1) << family.name;
      for (const auto& label : metric.label) EXPECT_TRUE(known.contains(label.name)) << label.name;
    }
  }
}

TEST(CatalogueTest, OneShardCanBeToldFromAnotherWhereTheSumWouldHideIt) {
  for (const MetricInfo& info : Catalogue()) {
    EXPECT_EQ(info.series == MetricSeries::kPerShard,
              info.name.starts_with("sluice_loop_") || info.name.starts_with("sluice_shard_"))
        << info.name;
    if (info.series == MetricSeries::kPerShard) continue;
    EXPECT_TRUE(IsCounter(info) || info.series == MetricSeries::kOne) << info.name;
  }
}

}  // namespace
}  // namespace sluice
