#include "metrics/http_query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr std::array<std::string_view, 3> kKnown = {"sort", "limit", "topic"};

std::string ErrorOf(std::string_view query) {
  return std::string(HttpQuery::Parse(query, kKnown).status().message());
}

TEST(HttpQueryTest, ReadsKeysAndValues) {
  const absl::StatusOr<HttpQuery> query = HttpQuery::Parse("sort=age&limit=&topic", kKnown);
  ASSERT_TRUE(query.ok());
  EXPECT_EQ(query->Get("sort"), "age");
  EXPECT_EQ(query->Get("limit"), "");
  EXPECT_EQ(query->Get("topic"), "");
  EXPECT_EQ(HttpQuery::Parse("", kKnown)->Get("sort"), std::nullopt);
  EXPECT_EQ(HttpQuery::Parse("&&sort=a&", kKnown)->Get("sort"), "a");
}

TEST(HttpQueryTest, Decodes) {
  EXPECT_EQ(HttpQuery::Parse("topic=a%2eb%2F+%26%3d%25", kKnown)->Get("topic"), "a.b/ &=%");
  EXPECT_EQ(HttpQuery::Parse("t%6fpic=gr%C3%BC%C3%9Fe", kKnown)->Get("topic"), "grüße");
  EXPECT_EQ(HttpQuery::Parse("topic=a=b", kKnown)->Get("topic"), "a=b");
}

TEST(HttpQueryTest, SaysWhatIsWrong) {
  EXPECT_EQ(ErrorOf("sorted=x"), "'sorted' is not known here; allowed: sort, limit, topic");
  EXPECT_EQ(ErrorOf("sort=a&sort=b"), "'sort' is given twice");
  for (const char* bad :
       {"topic=%", "topic=%2", "topic=%2x", "topic=%x2", "topic=%+2", "topic=%FF", "%zz=1"}) {
    EXPECT_THAT(ErrorOf(bad), HasSubstr("not encoded as it should be")) << bad;
  }
  EXPECT_EQ(HttpQuery::Parse("a=b", {}).status().message(), "'a' is not known here; nothing is");
  EXPECT_THAT(ErrorOf("%1b%5b31m=1"), HasSubstr("\\x1b")) << "control characters are not repeated";
}

TEST(HttpQueryTest, TakesAnyBytes) {
  std::mt19937 random(7);
  constexpr std::string_view kBytes = "sortlimitopc=&%+0aF\xc3\xff";
  for (int i = 0; i < 20'000; ++i) {
    std::string query(random() % 20, ' ');
    for (char& c : query) c = kBytes[random() % kBytes.size()];
    (void)HttpQuery::Parse(query, kKnown);
  }
}

}  // namespace
}  // namespace sluice
