// metrics/README.md lists every metric that /metrics shows. With SLUICE_UPDATE=1 in the environment it is written anew:
//
//   SLUICE_UPDATE=1 build/release/tests/metrics/metrics_table_test
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/families.h"

namespace sluice {
namespace {

constexpr std::string_view kBegin = "<!-- The table is made by tests/metrics/metrics_table_test. -->\n";

std::vector<prometheus::MetricFamily> AllFamilies() {
  static const ShardCounters shard;
  SurveyedConsumer consumer;
  consumer.key = 1;
  std::vector<prometheus::MetricFamily> families = CounterFamilies({&shard});
  for (std::vector<prometheus::MetricFamily> more :
       {BrokerFamilies({}, {}, {}), ConsumerFamilies({consumer}), LimitFamilies({}), ProcessFamilies({})}) {
    families.insert(families.end(), std::make_move_iterator(more.begin()),
                    std::make_move_iterator(more.end()));
  }
  return families;
}

const char* TypeName(prometheus::MetricType type) {
  switch (type) {
    case prometheus::MetricType::Counter:
      return "counter";
    case prometheus::MetricType::Gauge:
      return "gauge";
    case prometheus::MetricType::Histogram:
      return "histogram";
    default:
      return "?";
  }
}

std::string Table() {
  std::string table = "| metric | type | labels | what it says |\n|---|---|---|---|\n";
  for (const prometheus::MetricFamily& family : AllFamilies()) {
    std::string labels;
    for (const prometheus::ClientMetric::Label& label : family.metric.at(0).label) {
      labels += fmt::format("{}`{}`", labels.empty() ? "" : ", ", label.name);
    }
    table +=
        fmt::format("| `{}` | {} | {} | {} |\n", family.name, TypeName(family.type), labels, family.help);
  }
  return table;
}

TEST(MetricsTableTest, TheReadmeListsEveryMetric) {
  std::ifstream file(SLUICE_METRICS_README);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t begin = text.find(kBegin);
  ASSERT_NE(begin, std::string::npos);
  const std::string wanted = text.substr(0, begin) + std::string(kBegin) + Table();
  if (std::getenv("SLUICE_UPDATE") != nullptr) {
    std::ofstream(SLUICE_METRICS_README) << wanted;
    return;
  }
  EXPECT_EQ(text, wanted) << "run this test with SLUICE_UPDATE=1";
}

}  // namespace
}  // namespace sluice
