#include "client/cli/values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

using ::testing::HasSubstr;

constexpr Range<uint64_t> kAny{0, UINT64_MAX};
const Range<absl::Duration> kAnyTime{absl::ZeroDuration(), absl::Hours(24)};

std::string WhyNot(const absl::Status& status) { return std::string(status.message()); }

TEST(ValuesTest, ReadsCountsWithAndWithoutAFactor) {
  EXPECT_EQ(*ParseCount("0", kAny), 0u);
  EXPECT_EQ(*ParseCount("250", kAny), 250u);
  EXPECT_EQ(*ParseCount("10k", kAny), 10'000u);
  EXPECT_EQ(*ParseCount("3M", kAny), 3'000'000u);
  EXPECT_EQ(*ParseCount("2G", kAny), 2'000'000'000u);
  EXPECT_EQ(*ParseCount("18446744073709551615", kAny), UINT64_MAX);
}

TEST(ValuesTest, RefusesWhatIsNoCountAndSaysWhatIsAllowed) {
  for (const char* text :
       {"", "k", "-1", "+1", "1.5", "1 k", "1K", "0x10", "1e3", "18446744073709551616", "20000000000G"}) {
    const auto count = ParseCount(text, {1, 5000});
    ASSERT_FALSE(count.ok()) << text;
    EXPECT_THAT(WhyNot(count.status()), HasSubstr("1 to 5000")) << text;
    EXPECT_THAT(WhyNot(count.status()), HasSubstr("'" + std::string(text) + "'"));
  }
}

TEST(ValuesTest, RefusesWhatIsOutOfRangeAndSaysWhichWay) {
  EXPECT_EQ(WhyNot(ParseCount("0", {1, 10'000}).status()), "'0' is too small; allowed: 1 to 10k");
  EXPECT_EQ(WhyNot(ParseCount("11k", {1, 10'000}).status()), "'11k' is too large; allowed: 1 to 10k");
  EXPECT_EQ(WhyNot(ParseSize("2GiB", {1, 64 << 20}).status()), "'2GiB' is too large; allowed: 1B to 64MiB");
  EXPECT_EQ(WhyNot(ParseDuration("1ms", {absl::Seconds(1), absl::Hours(1)}).status()),
            "'1ms' is too small; allowed: 1s to 1h");
  EXPECT_EQ(WhyNot(ParseRate("0", {0.01, 1e6}).status()), "'0' is too small; allowed: 0.01 to 1M per second");
}

TEST(ValuesTest, ReadsSizesOfBothFamilies) {
  EXPECT_EQ(*ParseSize("100", kAny), 100u);
  EXPECT_EQ(*ParseSize("100B", kAny), 100u);
  EXPECT_EQ(*ParseSize("64KiB", kAny), 65'536u);
  EXPECT_EQ(*ParseSize("64kB", kAny), 64'000u);
  EXPECT_EQ(*ParseSize("1MiB", kAny), 1'048'576u);
  EXPECT_EQ(*ParseSize("1GB", kAny), 1'000'000'000u);
  for (const char* text : {"", "B", "KiB", "1.5MiB", "1 MiB", "1M", "1KB"}) {
    EXPECT_FALSE(ParseSize(text, kAny).ok()) << text;
  }
}

TEST(ValuesTest, ReadsDurationsThatSayTheirUnit) {
  EXPECT_EQ(*ParseDuration("250ms", kAnyTime), absl::Milliseconds(250));
  EXPECT_EQ(*ParseDuration("1m30s", kAnyTime), absl::Seconds(90));
  for (const char* text : {"", "5", "s", "-1s", "inf", "fast"}) {
    EXPECT_FALSE(ParseDuration(text, kAnyTime).ok()) << text;
  }
}

TEST(ValuesTest, ReadsRates) {
  const Range<double> range{0.001, 1e9};
  EXPECT_DOUBLE_EQ(*ParseRate("0.5", range), 0.5);
  EXPECT_DOUBLE_EQ(*ParseRate("1000", range), 1000);
  EXPECT_DOUBLE_EQ(*ParseRate("2.5k", range), 2500);
  for (const char* text : {"", "k", "nan", "inf", "-1", "0", "1/s", "1e3"}) {
    EXPECT_FALSE(ParseRate(text, range).ok()) << text;
  }
}

TEST(ValuesTest, ReadsHeaders) {
  EXPECT_EQ(*ParseHeader("unit=usd"), std::pair(std::string("unit"), std::string("usd")));
  EXPECT_EQ(*ParseHeader("a=b=c"), std::pair(std::string("a"), std::string("b=c")));
  EXPECT_EQ(*ParseHeader("empty="), std::pair(std::string("empty"), std::string()));
  EXPECT_THAT(WhyNot(ParseHeader("unit").status()), HasSubstr("NAME=VALUE"));
  EXPECT_THAT(WhyNot(ParseHeader("=x").status()), HasSubstr("NAME=VALUE"));
}

TEST(ValuesTest, ErrorsShowNoControlCharacters) {
  EXPECT_THAT(WhyNot(ParseCount("\x1b[2J", kAny).status()), HasSubstr("\\x1b[2J"));
}

TEST(ValuesTest, WhatIsShownIsReadBack) {
  for (const uint64_t bytes :
       {uint64_t{1}, uint64_t{100}, uint64_t{1} << 10, uint64_t{3} << 20, uint64_t{1} << 40}) {
    EXPECT_EQ(*ParseSize(ShowSize(bytes), kAny), bytes);
  }
  for (const uint64_t count : {uint64_t{7}, uint64_t{12'345}, uint64_t{50'000}, uint64_t{4'000'000}}) {
    EXPECT_EQ(*ParseCount(ShowCount(count), kAny), count);
  }
  for (const int ms : {1, 500, 1000, 60'000, 90'000, 3'600'000, 5'400'000}) {
    EXPECT_EQ(*ParseDuration(ShowDuration(absl::Milliseconds(ms)), kAnyTime), absl::Milliseconds(ms));
  }
  EXPECT_EQ(ShowDuration(absl::Minutes(2)), "2m");
  EXPECT_EQ(ShowDuration(absl::Hours(2)), "2h");
  EXPECT_EQ(ShowDuration(absl::Minutes(90)), "1h30m");
}

}  // namespace
}  // namespace sluice::cli
