#include "client/cli/demo_sightings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

using ::testing::HasSubstr;

const nlohmann::json kNone = nlohmann::json::object();

std::vector<std::string> Seen(const DemoSightings& sightings) {
  std::vector<std::string> seen;
  for (const Sighting& one : sightings.list()) {
    if (one.seen) seen.push_back(one.what);
  }
  return seen;
}

nlohmann::json Consumer(nlohmann::json fields) { return {{"consumers", {std::move(fields)}}}; }
nlohmann::json Episode(nlohmann::json fields) { return {{"episodes", {std::move(fields)}}}; }

TEST(DemoSightingsTest, NothingIsSeenOfABrokerWhereAllIsWell) {
  DemoSightings sightings;
  sightings.LookAt(kNone, kNone);
  for (const char* name : {"screen", "dashboard", "laptop", "batch-report", "settlement", "risk-engine"}) {
    sightings.LookAt(Consumer({{"client_name", name}, {"state", "ok"}, {"dropped", 0}, {"conflated", 0}}),
                     Episode({{"client_name", name}, {"outcome", "going_on"}}));
    sightings.LookAt(name, DemoConsumer::Books{.received = 7});
  }
  EXPECT_TRUE(Seen(sightings).empty());
  EXPECT_FALSE(sightings.all_seen());
}

TEST(DemoSightingsTest, SeesEachWhereItShows) {
  const struct {
    nlohmann::json consumers;
    nlohmann::json episodes;
    const char* what;
  } kCases[] = {
      {Consumer(
           {{"client_name", "screen"}, {"state", "lagging"}, {"dropped", 5}, {"cause", "over_subscribed"}}),
       kNone, "lists it as lagging"},
      {Consumer({{"client_name", "dashboard"}, {"conflated", 5}}), kNone, "newer messages replaced"},
      {Consumer({{"client_name", "settlement"}, {"state", "blocking"}}), kNone, "as blocking"},
      {kNone, Episode({{"client_name", "laptop"}, {"outcome", "recovered"}}), "has recovered"},
      {kNone,
       Episode(
           {{"client_name", "batch-report"}, {"outcome", "disconnected"}, {"reason", "pending_messages"}}),
       "ended with its cut"},
  };
  for (const auto& one : kCases) {
    DemoSightings sightings;
    sightings.LookAt(one.consumers, one.episodes);
    EXPECT_THAT(Seen(sightings), ::testing::ElementsAre(HasSubstr(one.what)));
    sightings.LookAt(kNone, kNone);
    EXPECT_EQ(Seen(sightings).size(), 1) << "what was seen stays seen";
  }
}

TEST(DemoSightingsTest, ALagWithoutACauseOrADropIsNotEnough) {
  DemoSightings sightings;
  sightings.LookAt(Consumer({{"client_name", "screen"}, {"state", "lagging"}, {"dropped", 5}, {"cause", ""}}),
                   kNone);
  sightings.LookAt(Consumer({{"client_name", "screen"}, {"state", "lagging"}, {"cause", "application"}}),
                   kNone);
  EXPECT_TRUE(Seen(sightings).empty());
}

TEST(DemoSightingsTest, TheOneThatIsCutIsToComeBackAndToGetMessages) {
  DemoSightings sightings;
  DemoConsumer::Books books = {
      .received = 7, .lost = 3, .cuts = 1, .received_at_last_cut = 7, .cut_text = "too many"};
  sightings.LookAt("batch-report", books);
  EXPECT_TRUE(Seen(sightings).empty());
  books.received = 8;
  sightings.LookAt("batch-report", books);
  EXPECT_THAT(Seen(sightings), ::testing::ElementsAre(HasSubstr("came back")));
}

TEST(DemoSightingsTest, AWarningIsToBeTakenBack) {
  DemoSightings sightings;
  DemoConsumer::Books books = {.received = 7, .warnings = 1};
  sightings.LookAt("laptop", books);
  EXPECT_TRUE(Seen(sightings).empty());
  books.recoveries = 1;
  sightings.LookAt("laptop", books);
  EXPECT_THAT(Seen(sightings), ::testing::ElementsAre(HasSubstr("keeps up again")));
}

TEST(DemoSightingsTest, ExpectsWhatOthersAdd) {
  DemoSightings sightings;
  const DemoSightings::Id page = sightings.Expect("the page answers");
  sightings.See(page, false);
  EXPECT_TRUE(Seen(sightings).empty());
  sightings.See(page, true);
  sightings.See(page, false);
  EXPECT_THAT(Seen(sightings), ::testing::ElementsAre("the page answers"));
}

TEST(MetricOfTest, AddsUpOverLabels) {
  constexpr char kPage[] =
      "# HELP a_total text\na_total{reason=\"x y\"} 2\na_total{reason=\"z\"} 3\na_total_more 7\nb "
      "4.5\na_total\n";
  EXPECT_EQ(MetricOf(kPage, "a_total"), 5);
  EXPECT_EQ(MetricOf(kPage, "b"), 4.5);
  EXPECT_EQ(MetricOf(kPage, "c"), 0);
  EXPECT_EQ(MetricOf("", "a"), 0);
}

}  // namespace
}  // namespace sluice::cli
