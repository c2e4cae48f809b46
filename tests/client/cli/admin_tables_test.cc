// What `sluice consumers`, `episodes` and `top` make of the broker's answers, whatever these hold.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "client/cli/consumers.h"
#include "client/cli/episodes.h"
#include "client/cli/top.h"

namespace sluice::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const nlohmann::json kList = {
    {"subscriptions", 12},
    {"consumers",
     {{{"id", "0-7.1"},
       {"state", "lagging"},
       {"client_name", "dash\n7"},
       {"filter", "ticks.>"},
       {"limit_share", 0.81},
       {"pending_bytes", 6815744},
       {"pending_messages", 1230},
       {"oldest_age_seconds", 2.5},
       {"time_to_limit_seconds", 12.0},
       {"dropped", 3},
       {"conflated", 4},
       {"cause", "application"}},
      {{"id", "0-8.1"}, {"state", "ok"}, {"client_name", "well"}, {"filter", "a"}}}}};

TEST(ConsumerTableTest, ShowsTheNumbersRounded) {
  const std::vector<std::string> lines = ConsumerTable(kList).Lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[1],
              AllOf(HasSubstr("lagging"), HasSubstr("81%"), HasSubstr("6.5 MiB"), HasSubstr("1.23k"),
                    HasSubstr("2.5 s"), HasSubstr("12 s"), HasSubstr("  7  application"),
                    HasSubstr("dash\\n7"), HasSubstr("ticks.>"), HasSubstr("0-7.1")));
  EXPECT_THAT(lines[2], AllOf(HasSubstr("ok"), HasSubstr("0%"), HasSubstr("  -  ")));
  EXPECT_EQ(ConsumerCount(kList), "2 of 12 consumers");
}

TEST(ConsumerTableTest, SaysWhatIsMissing) {
  EXPECT_EQ(ConsumerCount({{"shards_missing", 1}, {"subscriptions", 0}}),
            "0 of 0 consumers; 1 of the broker's shards did not answer");
}

TEST(ConsumerTableTest, TakesAnswersOfOtherVersions) {
  EXPECT_EQ(ConsumerTable(nlohmann::json::object()).size(), 0u);
  EXPECT_EQ(
      ConsumerTable({{"consumers", {nlohmann::json::object(), 7, "x", {{"pending_bytes", "many"}}}}}).size(),
      4u);
}

TEST(EpisodeTableTest, ShowsHowItWentAndWhatFilledTheQueue) {
  const nlohmann::json list = {
      {"episodes",
       {{{"began", "2026-11-30T02:00:00Z"},
         {"duration_seconds", 90},
         {"outcome", "disconnected"},
         {"reason", "pending_bytes"},
         {"dropped", 1500},
         {"topics", {{{"name", "a"}, {"share", 0.9}}, {{"name", "b"}, {"share", 0.1}}}}}}}};
  EXPECT_THAT(EpisodeTable(list).ToString(),
              AllOf(HasSubstr("2026-11-30T02:00:00Z"), HasSubstr("disconnected: pending_bytes"),
                    HasSubstr("1.5k"), HasSubstr("a 90%, b 10%")));
}

TEST(TopTest, FiltersByWhatIsShown) {
  EXPECT_EQ(Filtered(kList, "")["consumers"].size(), 2u);
  EXPECT_EQ(Filtered(kList, "ticks")["consumers"].size(), 1u);
  EXPECT_EQ(Filtered(kList, "ok")["consumers"][0]["client_name"], "well");
  EXPECT_EQ(Filtered(kList, "nobody")["consumers"].size(), 0u);
  EXPECT_EQ(Filtered(nlohmann::json::object(), "x").size(), 0u);
}

TEST(TopTest, RatesAreDifferences) {
  const nlohmann::json before = {{"messages_received", 100}, {"messages_delivered", 1000}};
  const nlohmann::json now = {{"messages_received", 300},   {"messages_delivered", 5000},
                              {"version", "1.2\x1b[31m"},   {"state", "serving"},
                              {"retained_bytes", 50},       {"memory_budget_bytes", 200},
                              {"lagging_subscriptions", 3}, {"uptime_seconds", 3725}};
  const std::string line = BrokerLine(before, now, absl::Seconds(2));
  EXPECT_THAT(line, AllOf(HasSubstr("in 100/s"), HasSubstr("out 2k/s"), HasSubstr("memory 25%"),
                          HasSubstr("lagging 3"), HasSubstr("up 1h2m5s"), Not(HasSubstr("\x1b"))));
  EXPECT_THAT(BrokerLine(nullptr, now, absl::Seconds(2)), HasSubstr("in -"));
}

}  // namespace
}  // namespace sluice::cli
