#include "broker/log.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::MatchesRegex;

std::vector<std::string> Lines(const std::string& text) {
  EXPECT_TRUE(text.empty() || text.ends_with('\n'));
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// A line of the text form behind its time: "warn  message key=value".
std::string WithoutTime(const std::string& line) { return line.substr(line.find(' ') + 1); }

std::string WriteText(std::string_view message, std::initializer_list<LogField> fields = {}) {
  std::ostringstream out;
  Logger::ToStream(&out, LogLevel::kInfo, LogFormat::kText)->Info(message, fields);
  const std::vector<std::string> lines = Lines(out.str());
  EXPECT_EQ(lines.size(), 1);
  return WithoutTime(lines.at(0));
}

json WriteJson(std::string_view message, std::initializer_list<LogField> fields = {}) {
  std::ostringstream out;
  Logger::ToStream(&out, LogLevel::kInfo, LogFormat::kJson)->Info(message, fields);
  const std::vector<std::string> lines = Lines(out.str());
  EXPECT_EQ(lines.size(), 1);
  return json::parse(lines.at(0));
}

// Undoes \xNN, which is the only escape of a field.
std::string Unescaped(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      plain += text[i];
      continue;
    }
    EXPECT_EQ(text.substr(i, 2), "\\x");
    plain += static_cast<char>(std::stoi(std::string(text.substr(i + 2, 2)), nullptr, 16));
    i += 3;
  }
  return plain;
}

// Reads " key=value key=\"value with spaces\"" as somebody's log shipper would.
std::map<std::string, std::string> ReadFields(std::string_view text) {
  std::map<std::string, std::string> fields;
  while (!text.empty()) {
    EXPECT_EQ(text.front(), ' ');
    text.remove_prefix(1);
    const size_t equals = text.find('=');
    const std::string key(text.substr(0, equals));
    text.remove_prefix(equals + 1);
    const bool quoted = text.starts_with('"');
    if (quoted) text.remove_prefix(1);
    const size_t end = std::min(text.find(quoted ? '"' : ' '), text.size());
    EXPECT_TRUE(fields.emplace(key, Unescaped(text.substr(0, end))).second) << "forged: " << key;
    text.remove_prefix(std::min(end + (quoted ? 1 : 0), text.size()));
  }
  return fields;
}

const std::vector<std::string>& HostileTexts() {
  static const auto* const texts = new std::vector<std::string>{
      "",
      " ",
      "=",
      "a b",
      "two\nlines",
      "x\r\n2026-11-24T05:00:00.123Z error all is lost",
      "\x1b[31mred\x1b[0m",
      "\x1b]0;title\x07",
      "quote\" admin=yes",
      "\",\"level\":\"error",
      "back\\slash",
      "\\x0a",
      "\\n",
      "\\",
      std::string("zero\0byte", 9),
      "\xff\xfe",
      "cut utf-8 \xe2\x82",
      "overlong \xc0\xaf",
      "surrogate \xed\xa0\x80",
      "c1 \xc2\x9b"
      "31m",
      "\x7f\b\t\v",
      "grüße 世界 🎉",
      "{} {0} %s %n %v",
      "<script>",
  };
  return *texts;
}

TEST(LogTest, WritesTimeLevelMessageAndFieldsAsText) {
  std::ostringstream out;
  const std::unique_ptr<Logger> log = Logger::ToStream(&out, LogLevel::kInfo, LogFormat::kText);
  const absl::Time before = absl::Now();
  log->Write(LogLevel::kWarn, "slow consumer disconnected",
             {{"client", "dash 7"},
              {"reason", std::string("pending_age")},
              {"pending_bytes", uint64_t{5} << 40},
              {"age", absl::Milliseconds(1500)},
              {"share", 0.25},
              {"first", true},
              {"difference", -3}});
  const absl::Time after = absl::Now();
  ASSERT_THAT(out.str(),
              MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z .*\n"));
  EXPECT_EQ(
      WithoutTime(out.str()),
      "warn  slow consumer disconnected client=\"dash 7\" reason=pending_age pending_bytes=5497558138880 "
      "age=1.5s share=0.25 first=true difference=-3\n");
  absl::Time written;
  std::string error;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, out.str().substr(0, out.str().find(' ')), &written, &error))
      << error;
  EXPECT_GE(written, before - absl::Milliseconds(1));
  EXPECT_LE(written, after);
}

TEST(LogTest, WritesTheSameAsJson) {
  std::ostringstream out;
  Logger::ToStream(&out, LogLevel::kInfo, LogFormat::kJson)
      ->Write(LogLevel::kWarn, "slow consumer disconnected",
              {{"client", "dash 7"},
               {"pending_bytes", uint64_t{5} << 40},
               {"age", absl::Milliseconds(1500)},
               {"share", 0.25},
               {"first", true},
               {"difference", -3}});
  json line = json::parse(out.str());
  EXPECT_THAT(line["time"].get<std::string>(),
              MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z"));
  line.erase("time");
  EXPECT_EQ(line, json({{"level", "warn"},
                        {"message", "slow consumer disconnected"},
                        {"client", "dash 7"},
                        {"pending_bytes", uint64_t{5} << 40},
                        {"age", 1.5},
                        {"share", 0.25},
                        {"first", true},
                        {"difference", -3}}));
}

TEST(LogTest, AHostileTextForgesNeitherALineNorAFieldOfText) {
  for (const std::string& text : HostileTexts()) {
    SCOPED_TRACE(::testing::PrintToString(text));
    const std::string line = WriteText("event", {{"first", 1}, {"text", text}, {"last", 2}});
    for (const char c : line) EXPECT_FALSE(static_cast<unsigned char>(c) < ' ' || c == '\x7f');
    EXPECT_EQ(ReadFields(line.substr(std::string_view("info  event").size())),
              (std::map<std::string, std::string>{{"first", "1"}, {"text", text}, {"last", "2"}}));
  }
}

TEST(LogTest, AHostileTextForgesNeitherALineNorAFieldOfJson) {
  for (const std::string& text : HostileTexts()) {
    SCOPED_TRACE(::testing::PrintToString(text));
    const json line = WriteJson("event", {{"first", 1}, {"text", text}, {"last", 2}});
    EXPECT_EQ(line.size(), 6);
    EXPECT_EQ(line["level"], "info");
    EXPECT_EQ(line["message"], "event");
    EXPECT_EQ(Unescaped(line["text"].get<std::string>()), text);
    EXPECT_EQ(line["last"], 2);
  }
}

TEST(LogTest, RandomBytesComeBackAsTheyWere) {
  const uint32_t seed = 7584;
  RecordProperty("seed", static_cast<int>(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 2000; ++round) {
    SCOPED_TRACE(fmt::format("seed {} round {}", seed, round));
    std::string text(random() % 100, '\0');
    for (char& c : text) c = static_cast<char>(random());
    EXPECT_EQ(Unescaped(WriteJson("event", {{"text", text}})["text"].get<std::string>()), text);
    EXPECT_EQ(ReadFields(WriteText("event", {{"text", text}}).substr(11)).at("text"), text);
  }
}

TEST(LogTest, WhatGotIntoAMessageForgesNothingEither) {
  for (const std::string& text : HostileTexts()) {
    SCOPED_TRACE(::testing::PrintToString(text));
    const std::string line = WriteText("bad: " + text);
    for (const char c : line) EXPECT_FALSE(static_cast<unsigned char>(c) < ' ' || c == '\x7f');
    EXPECT_TRUE(WriteJson("bad: " + text).contains("message"));
  }
  EXPECT_EQ(WriteText("bad address \"x\""), "info  bad address \"x\"");
  EXPECT_EQ(WriteJson("bad address \"x\"")["message"], "bad address \"x\"");
}

TEST(LogTest, LongTextsAreCut) {
  const std::string line = WriteText("event", {{"text", std::string(100'000, 'x')}, {"last", 1}});
  EXPECT_EQ(line, "info  event text=" + std::string(512, 'x') + "... last=1");
  EXPECT_LT(WriteText(std::string(100'000, '\n')).size(), 10'000);
  // Four bytes for each of them.
  EXPECT_LT(WriteText("event", {{"text", std::string(100'000, '\xff')}}).size(), 2100);
}

TEST(LogTest, NumbersAreWhatJsonAllows) {
  const json line = WriteJson("event", {{"max", std::numeric_limits<uint64_t>::max()},
                                        {"min", std::numeric_limits<int64_t>::min()},
                                        {"character", 'a'},
                                        {"no", false},
                                        {"small", 1e-9},
                                        {"large", 1e300},
                                        {"nan", std::numeric_limits<double>::quiet_NaN()},
                                        {"infinite", -std::numeric_limits<double>::infinity()},
                                        {"never", absl::InfiniteDuration()},
                                        {"always", -absl::InfiniteDuration()},
                                        {"zero", absl::ZeroDuration()},
                                        {"ns", absl::Nanoseconds(1)},
                                        {"negative", absl::Milliseconds(-1)}});
  EXPECT_EQ(line["max"], std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(line["min"], std::numeric_limits<int64_t>::min());
  EXPECT_EQ(line["character"], 97);
  EXPECT_EQ(line["no"], false);
  EXPECT_EQ(line["small"], 1e-9);
  EXPECT_EQ(line["large"], 1e300);
  for (const char* key : {"nan", "infinite", "never", "always"}) EXPECT_TRUE(line[key].is_null()) << key;
  EXPECT_EQ(line["zero"], 0);
  EXPECT_EQ(line["ns"], 1e-9);
  EXPECT_EQ(line["negative"], -0.001);
  EXPECT_EQ(WriteText("event", {{"nan", std::numeric_limits<double>::quiet_NaN()},
                                {"never", absl::InfiniteDuration()}}),
            "info  event nan=nan never=inf");
}

TEST(LogTest, APointerIsNoBool) {
  EXPECT_FALSE((std::is_constructible_v<LogField, std::string_view, const Logger*>));
  EXPECT_TRUE((std::is_constructible_v<LogField, std::string_view, bool>));
}

TEST(LogTest, WritesOnlyWhatItsLevelAllows) {
  constexpr LogLevel kLevels[] = {LogLevel::kTrace, LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn,
                                  LogLevel::kError};
  const std::vector<std::string> all = {"trace t", "debug d", "info  i", "warn  w", "error e"};
  for (size_t least = 0; least < all.size(); ++least) {
    std::ostringstream out;
    const std::unique_ptr<Logger> log = Logger::ToStream(&out, kLevels[least], LogFormat::kText);
    for (size_t level = 0; level < all.size(); ++level)
      EXPECT_EQ(log->Enabled(kLevels[level]), level >= least);
    log->Trace("t");
    log->Debug("d");
    log->Info("i");
    log->Warn("w");
    log->Error("e");
    std::vector<std::string> written;
    for (const std::string& line : Lines(out.str())) written.push_back(WithoutTime(line));
    EXPECT_EQ(written, std::vector<std::string>(all.begin() + static_cast<ptrdiff_t>(least), all.end()));
  }
}

TEST(LogTest, ALineIsThereWhenWriteReturns) {
  ::testing::internal::CaptureStderr();
  Logger::ToStderr(LogLevel::kWarn, LogFormat::kText)->Error("one", {{"n", 1}});
  const std::unique_ptr<Logger> log = Logger::ToStderr(LogLevel::kWarn, LogFormat::kJson);
  log->Error("two");
  log->Info("too little");
  const std::vector<std::string> lines = Lines(::testing::internal::GetCapturedStderr());
  ASSERT_EQ(lines.size(), 2);
  EXPECT_EQ(WithoutTime(lines[0]), "error one n=1");
  EXPECT_EQ(json::parse(lines[1])["message"], "two");
}

TEST(LogTest, LinesOfManyThreadsStayWhole) {
  constexpr int kThreads = 4;
  constexpr int kLinesEach = 500;
  std::ostringstream out;
  const std::unique_ptr<Logger> log = Logger::ToStream(&out, LogLevel::kInfo, LogFormat::kJson);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kLinesEach; ++i) {
        log->Info("event",
                  {{"thread", thread}, {"i", i}, {"text", std::string(static_cast<size_t>(i) % 300, 'x')}});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<int> next(kThreads, 0);
  for (const std::string& text : Lines(out.str())) {
    const json line = json::parse(text);
    EXPECT_EQ(line["i"], next.at(line["thread"].get<size_t>())++);
    EXPECT_EQ(line["text"].get<std::string>().size(), line["i"].get<size_t>() % 300);
  }
  EXPECT_THAT(next, ElementsAre(kLinesEach, kLinesEach, kLinesEach, kLinesEach));
}

// ---- RateLimit ----

class RateLimitTest : public ::testing::Test {
 protected:
  // How many of `lines` lines at `now` get through.
  static int Admitted(RateLimit* limit, absl::Time now, int lines) {
    int admitted = 0;
    for (int i = 0; i < lines; ++i) admitted += limit->Admit(now).has_value() ? 1 : 0;
    return admitted;
  }

  const absl::Time start_ = absl::FromUnixSeconds(1000);
};

TEST_F(RateLimitTest, LetsTheFirstLinesThroughAtOnce) {
  RateLimit limit(/*lines_per_second=*/1, /*burst=*/5);
  EXPECT_EQ(Admitted(&limit, start_, 100), 5);
}

TEST_F(RateLimitTest, LetsSoManyThroughPerSecondAfterThat) {
  RateLimit limit(/*lines_per_second=*/2, /*burst=*/5);
  Admitted(&limit, start_, 100);
  EXPECT_EQ(Admitted(&limit, start_ + absl::Milliseconds(499), 100), 0);
  EXPECT_EQ(Admitted(&limit, start_ + absl::Milliseconds(500), 100), 1);
  EXPECT_EQ(Admitted(&limit, start_ + absl::Milliseconds(1500), 100), 2);
  // A long silence gives the burst back, and no more.
  EXPECT_EQ(Admitted(&limit, start_ + absl::Hours(1), 100), 5);
}

TEST_F(RateLimitTest, SaysHowManyWereKeptBack) {
  RateLimit limit(/*lines_per_second=*/1, /*burst=*/2);
  EXPECT_EQ(limit.Admit(start_), 0);
  EXPECT_EQ(limit.Admit(start_), 0);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(limit.Admit(start_), std::nullopt);
  EXPECT_EQ(limit.Admit(start_ + absl::Seconds(1)), 7);
  EXPECT_EQ(limit.Admit(start_ + absl::Seconds(2)), 0) << "they were said once";
}

TEST_F(RateLimitTest, ManySmallStepsAddUp) {
  RateLimit limit(/*lines_per_second=*/10, /*burst=*/1);
  int admitted = 0;
  for (int ms = 0; ms < 10'000; ++ms) admitted += Admitted(&limit, start_ + absl::Milliseconds(ms), 1);
  EXPECT_NEAR(admitted, 100, 1);
}

TEST_F(RateLimitTest, ABurstBelowOneStillLetsLinesThrough) {
  RateLimit limit(/*lines_per_second=*/1, /*burst=*/0);
  EXPECT_EQ(Admitted(&limit, start_, 10), 1);
  EXPECT_EQ(Admitted(&limit, start_ + absl::Seconds(1), 10), 1);
}

TEST_F(RateLimitTest, TimeThatStandsStillOrGoesBackGivesNothing) {
  RateLimit limit(/*lines_per_second=*/1000, /*burst=*/1);
  EXPECT_EQ(Admitted(&limit, start_, 10), 1);
  EXPECT_EQ(Admitted(&limit, start_, 10), 0);
  EXPECT_EQ(Admitted(&limit, start_ - absl::Hours(1), 10), 0);
}

}  // namespace
}  // namespace sluice
