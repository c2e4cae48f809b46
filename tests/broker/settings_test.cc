#include "broker/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "tests/support/field_count.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

const Setting& Find(std::string_view flag) {
  const std::span<const Setting> settings = Settings();
  const auto found = std::find_if(settings.begin(), settings.end(),
                                  [&](const auto& setting) { return setting.flag == flag; });
  if (found == settings.end()) throw std::out_of_range(std::string(flag));
  return *found;
}

// What Assign says, empty when it took the value.
std::string Refusal(std::string_view flag, std::string_view text) {
  Config config;
  return std::string(Assign(Find(flag), text, &config).message());
}

// The value that the setting shows after it was given `text`.
std::string Assigned(std::string_view flag, std::string_view text) {
  Config config;
  const absl::Status status = Assign(Find(flag), text, &config);
  return status.ok() ? Show(Find(flag), config) : status.ToString();
}

bool HasRange(const Setting& setting) {
  return setting.kind == SettingKind::kCount || setting.kind == SettingKind::kBytes ||
         setting.kind == SettingKind::kDuration;
}

// A bound of the table as one would write it, `difference` units beside it (durations are in milliseconds).
std::string Bound(const Setting& setting, uint64_t bound, int64_t difference) {
  const std::string number = std::to_string(bound + static_cast<uint64_t>(difference));
  return setting.kind == SettingKind::kDuration ? number + "ms" : number;
}

TEST(SettingsTest, EveryMemberOfConfigHasItsLine) {
  // All members but `subscription_rules` and `notes`.
  EXPECT_EQ(Settings().size(), testing::FieldCount<Config>() - 2);
  for (size_t a = 0; a < Settings().size(); ++a) {
    for (size_t b = 0; b < a; ++b)
      EXPECT_FALSE(Settings()[a].member == Settings()[b].member) << a << " " << b;
  }
}

TEST(SettingsTest, FlagsAndKeysAreUniqueAndFollowOneConvention) {
  std::set<std::string_view> flags;
  std::set<std::string> paths;
  for (const Setting& setting : Settings()) {
    EXPECT_TRUE(flags.insert(setting.flag).second) << setting.flag;
    EXPECT_TRUE(paths.insert(setting.Path()).second) << setting.Path();
    EXPECT_THAT(std::string(setting.flag), MatchesRegex("[a-z]+(-[a-z]+)*"));
    EXPECT_THAT(setting.Path(), MatchesRegex("([a-z]+\\.)?[a-z]+(_[a-z]+)*"));
    // Who knows the one can guess the other.
    std::string from_key(setting.key);
    std::replace(from_key.begin(), from_key.end(), '_', '-');
    EXPECT_TRUE(std::string_view(setting.flag).ends_with(from_key)) << setting.flag;
    EXPECT_THAT(std::string(setting.help), AllOf(Not(IsEmpty()), Not(HasSubstr("\n"))));
    EXPECT_FALSE(setting.help.ends_with('.')) << "one is added: " << setting.help;
  }
}

TEST(SettingsTest, SettingsOfASectionStandTogether) {
  std::vector<std::string_view> sections;
  for (const Setting& setting : Settings()) {
    if (sections.empty() || sections.back() != setting.section) sections.push_back(setting.section);
  }
  EXPECT_EQ(sections.front(), "") << "the top level of a TOML file ends at its first section";
  EXPECT_EQ(std::set<std::string_view>(sections.begin(), sections.end()).size(), sections.size());
}

TEST(SettingsTest, DefaultsAreAllowedAndReadBackAsShown) {
  const Config defaults;
  for (const Setting& setting : Settings()) {
    const std::string shown = Show(setting, defaults);
    Config config;
    ASSERT_TRUE(Assign(setting, shown, &config).ok()) << setting.flag << " " << shown;
    EXPECT_EQ(Show(setting, config), shown) << setting.flag;
  }
}

TEST(SettingsTest, TakesBothBoundsAndRefusesWhatLiesBeside) {
  for (const Setting& setting : Settings()) {
    if (!HasRange(setting)) continue;
    SCOPED_TRACE(setting.flag);
    ASSERT_LT(setting.min, setting.max);
    ASSERT_GT(setting.min, 0) << "0 has a meaning of its own, or none";
    EXPECT_EQ(Refusal(setting.flag, Bound(setting, setting.min, 0)), "");
    EXPECT_EQ(Refusal(setting.flag, Bound(setting, setting.max, 0)), "");

    const std::string below = Bound(setting, setting.min, -1);
    // Of 1 the number below is 0.
    if (setting.min > 1) {
      EXPECT_THAT(Refusal(setting.flag, below), AllOf(HasSubstr("'" + below + "'"), HasSubstr("is too small"),
                                                      HasSubstr("; allowed: " + setting.Allowed())));
    }
    const std::string above = Bound(setting, setting.max, 1);
    EXPECT_THAT(Refusal(setting.flag, above), AllOf(HasSubstr("'" + above + "'"), HasSubstr("is too large"),
                                                    HasSubstr("; allowed: " + setting.Allowed())));
    // A negative value is too small, not something else.
    EXPECT_THAT(Refusal(setting.flag, "-" + Bound(setting, setting.min, 0)), HasSubstr("is too small"));
    EXPECT_EQ(Refusal(setting.flag, "0").empty(), !setting.zero_means.empty());
  }
}

TEST(SettingsTest, ARefusedValueChangesNothing) {
  const Config defaults;
  for (const Setting& setting : Settings()) {
    Config config;
    ASSERT_FALSE(Assign(setting, std::string_view("no\0good", 7), &config).ok()) << setting.flag;
    EXPECT_EQ(Show(setting, config), Show(setting, defaults)) << setting.flag;
    if (!HasRange(setting)) continue;
    ASSERT_FALSE(Assign(setting, Bound(setting, setting.max, 1), &config).ok()) << setting.flag;
    EXPECT_EQ(Show(setting, config), Show(setting, defaults)) << setting.flag;
  }
}

TEST(SettingsTest, ReadsSizesWithTheirUnits) {
  EXPECT_EQ(Assigned("max-message", "2097152"), "2MiB");
  EXPECT_EQ(Assigned("max-message", "2048KiB"), "2MiB");
  EXPECT_EQ(Assigned("max-message", "2MiB"), "2MiB");
  EXPECT_EQ(Assigned("max-message", "2 MiB"), "2MiB");
  EXPECT_EQ(Assigned("max-message", "2097152B"), "2MiB");
  EXPECT_EQ(Assigned("max-message", "2MB"), "2000000");
  EXPECT_EQ(Assigned("max-message", "2000kB"), "2000000");
  EXPECT_EQ(Assigned("pending-bytes-max", "2GiB"), "2GiB");
  EXPECT_EQ(Assigned("pending-bytes-max", "2GB"), "1953125KiB");
  EXPECT_EQ(Assigned("pending-bytes-max", "0"), "0");
  EXPECT_EQ(Assigned("pending-bytes-max", "0MiB"), "0");
  for (const char* text :
       {"", " ", "MiB", "8mib", "1.5MiB", "8MiB ", " 8MiB", "8M", "0x10", "1e6", "8MiBMiB", "+5"}) {
    EXPECT_THAT(Refusal("max-message", text), HasSubstr("is not a size like 8MiB; allowed: 1KiB to 64MiB"))
        << text;
  }
}

TEST(SettingsTest, NumbersThatDoNotFitAreTooLargeAndDoNotWrap) {
  for (const char* text : {"18446744073709551615", "18446744073709551616", "99999999999999999999999999",
                           "17179869184GiB", "18446744073709551615GiB", "17592186044416MiB"}) {
    EXPECT_THAT(Refusal("pending-bytes-max", text), HasSubstr("is too large")) << text;
  }
  EXPECT_THAT(Refusal("shards", "18446744073709551617"), HasSubstr("is too large"));
  EXPECT_THAT(Refusal("shards", "-18446744073709551617"), HasSubstr("is too small"));
}

TEST(SettingsTest, ReadsDurationsWithTheirUnits) {
  EXPECT_EQ(Assigned("write-timeout", "500ms"), "500ms");
  EXPECT_EQ(Assigned("write-timeout", "1.5s"), "1.5s");
  EXPECT_EQ(Assigned("write-timeout", "90s"), "90s");
  EXPECT_EQ(Assigned("write-timeout", "1m30s"), "90s");
  EXPECT_EQ(Assigned("write-timeout", "60s"), "60s");
  EXPECT_EQ(Assigned("write-timeout", "2m"), "2m");
  EXPECT_EQ(Assigned("write-timeout", "60m"), "1h");
  EXPECT_EQ(Assigned("pending-age-max", "24h"), "24h");
  EXPECT_EQ(Assigned("write-timeout", "0"), "0");
  EXPECT_EQ(Assigned("write-timeout", "0s"), "0");
  EXPECT_THAT(Refusal("write-timeout", "inf"), HasSubstr("is too large"));
  EXPECT_THAT(Refusal("write-timeout", "-inf"), HasSubstr("is too small"));
  EXPECT_THAT(Refusal("write-timeout", "1ns"), HasSubstr("is too small"));
  for (const char* text : {"", "10", "s", "10 s", "10s ", "ten", "1d", "1s1", "nan"}) {
    EXPECT_THAT(Refusal("write-timeout", text), HasSubstr("is not a duration like 10s or 500ms")) << text;
  }
}

TEST(SettingsTest, ShowsValuesInTheLargestUnitWithoutARemainder) {
  EXPECT_EQ(ShowBytes(0), "0");
  EXPECT_EQ(ShowBytes(1), "1");
  EXPECT_EQ(ShowBytes(1023), "1023");
  EXPECT_EQ(ShowBytes(1024), "1KiB");
  EXPECT_EQ(ShowBytes(1025), "1025");
  EXPECT_EQ(ShowBytes(uint64_t{3} << 30), "3GiB");
  EXPECT_EQ(ShowDuration(absl::ZeroDuration()), "0");
  EXPECT_EQ(ShowDuration(absl::Milliseconds(1)), "1ms");
  EXPECT_EQ(ShowDuration(absl::Seconds(61)), "61s");
  EXPECT_EQ(ShowDuration(absl::Minutes(90)), "90m");
  EXPECT_EQ(ShowDuration(absl::Hours(36)), "36h");
}

TEST(SettingsTest, LevelsAndFormatsAreTakenByTheirNamesOnly) {
  for (const char* level : {"trace", "debug", "info", "warn", "error"}) {
    EXPECT_EQ(Assigned("log-level", level), level);
  }
  for (const char* format : {"text", "json"}) EXPECT_EQ(Assigned("log-format", format), format);
  for (const char* text : {"", "INFO", "warning", "0", "info "}) {
    EXPECT_THAT(Refusal("log-level", text),
                HasSubstr("is none of them; allowed: trace, debug, info, warn, error"));
    EXPECT_THAT(Refusal("log-format", text), HasSubstr("is none of them; allowed: text, json"));
  }
}

TEST(SettingsTest, AddressesNeedHostAndPort) {
  for (const char* flag : {"listen", "http"}) {
    for (const char* text : {"127.0.0.1:0", "0.0.0.0:7584", "[::1]:7584", "broker.example:65535"}) {
      EXPECT_EQ(Assigned(flag, text), text);
    }
    for (const char* text : {"", "7584", ":7584", "::1:7584", "a:65536", "a:-1", "a:", "a b:1", "a,b:1"}) {
      EXPECT_THAT(Refusal(flag, text), HasSubstr("expected HOST:PORT")) << text;
    }
  }
}

TEST(SettingsTest, OnlyTheHttpSideCanBeOff) {
  EXPECT_EQ(Assigned("http", "off"), "off");
  EXPECT_THAT(Refusal("http", "Off"), HasSubstr("or off"));
  EXPECT_THAT(Refusal("listen", "off"), Not(HasSubstr("or off")));
  EXPECT_THAT(Refusal("listen", "off"), HasSubstr("the port is missing"));
}

TEST(SettingsTest, PathsMayHoldWhatAFileNameMayHoldAsLongAsItIsText) {
  for (const std::string text : {"", "0", "off", "a b", "a\"b\\c'd", "grüße/π", "new\nline", "\x1b[31m"}) {
    EXPECT_EQ(Assigned("ports-file", text), text);
  }
  EXPECT_THAT(Refusal("ports-file", std::string_view("a\0b", 3)), HasSubstr("holds a zero byte"));
  EXPECT_THAT(Refusal("ports-file", "a\xff"), HasSubstr("is not valid UTF-8"));
  EXPECT_EQ(Refusal("ports-file", std::string(4095, 'x')), "");
  EXPECT_THAT(Refusal("ports-file", std::string(4096, 'x')), HasSubstr("is too long"));
}

TEST(SettingsTest, HostileValuesAreQuotedEscapedAndShort) {
  const std::string hostile = "\x1b[2J\nsluiced: all is well\xff\"" + std::string(100'000, 'x');
  for (const Setting& setting : Settings()) {
    const std::string refusal = Refusal(setting.flag, hostile);
    SCOPED_TRACE(setting.flag);
    EXPECT_FALSE(refusal.empty());
    EXPECT_LT(refusal.size(), 1000);
    EXPECT_THAT(std::vector<char>(refusal.begin(), refusal.end()),
                Each(::testing::AllOf(::testing::Ge(' '), ::testing::Lt('\x7f'))));
    EXPECT_THAT(refusal, HasSubstr("\\x1b[2J\\x0asluiced"));
  }
}

TEST(SettingsTest, SaysWhyASmallSendBufferIsRefused) {
  EXPECT_THAT(Refusal("send-buffer", "32KiB"), HasSubstr("delayed acknowledgement"));
}

}  // namespace
}  // namespace sluice
