#include "client/cli/demo_news.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = DemoNews::Kind;

const absl::Time kStart = absl::UnixEpoch();

TEST(DemoNewsTest, HasEachLineOnce) {
  DemoNews news;
  news.Tell("screen", Kind::kGap, "missed 3 messages", kStart);
  EXPECT_THAT(news.Take(), ElementsAre("screen        missed 3 messages"));
  EXPECT_THAT(news.Take(), IsEmpty());
}

TEST(DemoNewsTest, ShowsOneOfAKindAndClientInAWhile) {
  DemoNews news;
  for (int i = 0; i < 5; ++i) news.Tell("screen", Kind::kGap, "missed", kStart + absl::Seconds(i));
  news.Tell("laptop", Kind::kGap, "missed", kStart + absl::Seconds(5));
  news.Tell("screen", Kind::kKeepingUp, "keeping up", kStart + absl::Seconds(5));
  EXPECT_THAT(news.Take(),
              ElementsAre("screen        missed", "laptop        missed", "screen        keeping up"));
  news.Tell("screen", Kind::kGap, "missed", kStart + DemoNews::kQuiet);
  news.Tell("screen", Kind::kGap, "missed", kStart + 2 * DemoNews::kQuiet);
  EXPECT_THAT(news.Take(),
              ElementsAre("screen        missed (and 4 more like it before)", "screen        missed"));
}

}  // namespace
}  // namespace sluice::cli
