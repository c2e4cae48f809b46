#include "broker/config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "broker/settings.h"
#include "protocol/names.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using testing::TempDir;

CommandLine Parse(std::vector<std::string> arguments) {
  std::vector<const char*> argv = {"/usr/sbin/sluiced"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  return ParseCommandLine(static_cast<int>(argv.size()), argv.data());
}

// A file of the test's own, and how it is named in what is printed.
class ConfigFileTest : public ::testing::Test {
 protected:
  CommandLine ParseFile(std::string_view text, std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.begin(), {"--config", dir_.Write("sluiced.toml", text)});
    return Parse(std::move(arguments));
  }

  // What is said about the file, without "sluiced: " and the path of the directory in front.
  std::vector<std::string> Problems(std::string_view text, std::vector<std::string> arguments = {}) {
    const CommandLine command = ParseFile(text, std::move(arguments));
    EXPECT_EQ(command.next, NextStep::kFail);
    EXPECT_EQ(command.exit_code, kExitConfig) << command.text;
    return Lines(command.text);
  }

  std::vector<std::string> Lines(std::string_view text) {
    const std::string lead = "sluiced: ";
    std::vector<std::string> lines;
    while (!text.empty()) {
      std::string line(text.substr(0, text.find('\n')));
      text.remove_prefix(std::min(line.size() + 1, text.size()));
      EXPECT_THAT(line, StartsWith(lead));
      line.erase(0, lead.size());
      if (line.starts_with(dir_.path())) line.erase(0, dir_.path().size() + 1);
      lines.push_back(std::move(line));
    }
    return lines;
  }

  TempDir dir_;
};

std::string OneLine(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n';
    if (!space || !line.ends_with(' ')) line += space ? ' ' : c;
  }
  return line;
}

// Two configurations member by member, so that a new one is compared without a change here.
void ExpectSame(const Config& a, const Config& b) {
  for (const Setting& setting : Settings()) {
    std::visit([&](auto member) { EXPECT_TRUE(a.*member == b.*member) << setting.flag; }, setting.member);
  }
  EXPECT_TRUE(a.subscription_rules == b.subscription_rules);
}

// A value that is allowed and not the default, also together with the others.
std::string AnotherValue(const Setting& setting) {
  if (setting.flag == "pending-bytes-max") return "3MiB";
  if (setting.flag == "session-bytes-max") return "4000000001";
  if (setting.flag == "pending-age-soft") return "4s";
  switch (setting.kind) {
    case SettingKind::kAddress:
    case SettingKind::kAddressOrOff:
      return "[fe80::1%eth0]:65535";
    case SettingKind::kPath:
      return "/run/\"it's\" a\\path\n\x1b\x7f\tgrüße # = [x]";
    case SettingKind::kUrl:
      return "https://dashboards.example/d/sluice?a=\"b\"";
    case SettingKind::kCount:
    case SettingKind::kBytes:
      return std::to_string(setting.min == 1 ? 3 : setting.min + 1);
    case SettingKind::kDuration:
      return "1m23.456789s";
    case SettingKind::kLogLevel:
      return "trace";
    case SettingKind::kLogFormat:
      return "json";
    case SettingKind::kOnOverflow:
      return "observe";
    case SettingKind::kSysTopics:
      return "everyone";
  }
  return "";
}

std::vector<std::string> EveryFlagChanged() {
  std::vector<std::string> arguments;
  for (const Setting& setting : Settings()) {
    std::string value = AnotherValue(setting);
    if (setting.flag == "goodbye-timeout") value = "23.4s";
    arguments.insert(arguments.end(), {fmt::format("--{}", setting.flag), value});
  }
  return arguments;
}

// ---- The command line ----

TEST(ConfigTest, RunsWithDefaultsWhenNothingIsSaid) {
  const CommandLine command = Parse({});
  EXPECT_EQ(command.next, NextStep::kRun);
  EXPECT_EQ(command.exit_code, 0);
  EXPECT_THAT(command.text, IsEmpty());
  EXPECT_THAT(command.config.notes, IsEmpty());
  ExpectSame(command.config, Config());
  EXPECT_EQ(command.config.listen, "127.0.0.1:7584");
  EXPECT_EQ(command.config.http, "127.0.0.1:7585");
}

TEST(ConfigTest, EverySettingHasAFlag) {
  for (const Setting& setting : Settings()) {
    SCOPED_TRACE(setting.flag);
    const std::string value = setting.flag == "goodbye-timeout" ? "2s" : AnotherValue(setting);
    Config expected;
    ASSERT_TRUE(Assign(setting, value, &expected).ok());
    for (const CommandLine& command : {Parse({fmt::format("--{}", setting.flag), value}),
                                       Parse({fmt::format("--{}={}", setting.flag, value)})}) {
      ASSERT_EQ(command.next, NextStep::kRun) << command.text;
      EXPECT_EQ(Show(setting, command.config), Show(setting, expected));
      EXPECT_NE(Show(setting, command.config), Show(setting, Config()));
    }
  }
}

TEST(ConfigTest, HelpShowsEveryFlagWithItsDefaultItsRangeAndItsKey) {
  const CommandLine command = Parse({"--help"});
  EXPECT_EQ(command.next, NextStep::kPrintAndExit);
  EXPECT_EQ(command.exit_code, 0);
  const std::string help = OneLine(command.text);
  for (const Setting& setting : Settings()) {
    const std::string shown = Show(setting, Config());
    EXPECT_THAT(help,
                HasSubstr(fmt::format(" --{} {} {}. Allowed: {}. Default: {}. In the file: {} ", setting.flag,
                                      setting.ValueName(), setting.help, setting.Allowed(),
                                      shown.empty() ? "none" : shown, setting.Path())));
  }
  for (const char* flag : {"--help", "--version", "--config", "--check-config", "--print-config"}) {
    EXPECT_THAT(help, HasSubstr(flag));
  }
  EXPECT_THAT(help, HasSubstr("A flag beats the file, the file beats the default."));
  EXPECT_EQ(Parse({"-h"}).text, command.text);
}

TEST(ConfigTest, HelpFitsATerminal) {
  std::istringstream help(Parse({"--help"}).text);
  for (std::string line; std::getline(help, line);) EXPECT_LE(line.size(), 100) << line;
}

TEST(ConfigTest, VersionNamesTheProtocolToo) {
  const CommandLine command = Parse({"--version"});
  EXPECT_EQ(command.next, NextStep::kPrintAndExit);
  EXPECT_EQ(command.exit_code, 0);
  EXPECT_EQ(command.text,
            fmt::format("sluiced {} (protocol version {})\n", SLUICE_VERSION, kProtocolVersion));
}

struct UsageCase {
  std::vector<std::string> arguments;
  std::string said;
};

TEST(ConfigTest, RefusesWrongUsageWithTheFlagAndTheNextStep) {
  const std::vector<UsageCase> cases = {
      {{"--shard", "2"}, "unknown argument '--shard' (did you mean --shards?)"},
      {{"--shard=2"}, "unknown argument '--shard=2' (did you mean --shards?)"},
      {{"--write-timeuot", "2s"}, "(did you mean --write-timeout?)"},
      {{"--check"}, "unknown argument '--check'\n"},
      {{"-x"}, "unknown argument '-x'\n"},
      {{"--quite-another-thing"}, "unknown argument '--quite-another-thing'\n"},
      {{"sluiced.toml"}, "unknown argument 'sluiced.toml'\n"},
      {{"--", "x"}, "unknown argument 'x'\n"},
      {{""}, "unknown argument ''\n"},
      {{"--shards"}, "--shards: its value is missing\n"},
      // As with getopt, what follows is the value.
      {{"--shards", "--http"}, "--shards: '--http' is not a whole number; allowed: 1 to 64\n"},
      {{"--config"}, "--config: its value is missing\n"},
      {{"-c"}, "--config: its value is missing\n"},
      {{"--config", ""}, "--config: its value is empty\n"},
      {{"--shards", "1", "--shards", "2"}, "--shards: given more than once\n"},
      {{"--config", "a", "-c", "b"}, "--config: given more than once\n"},
      {{"--check-config=yes"}, "--check-config: takes no value\n"},
      {{"--shards", "0"}, "--shards: '0' is too small; allowed: 1 to 64\n"},
      {{"--shards", "65"}, "--shards: '65' is too large; allowed: 1 to 64\n"},
      {{"--shards", ""}, "--shards: '' is not a whole number; allowed: 1 to 64\n"},
      {{"--write-timeout=-1s"}, "--write-timeout: '-1s' is too small; allowed: 100ms to 1h, or 0 (never)\n"},
      {{"--http", "x"}, "--http: bad address \"x\""},
  };
  for (const UsageCase& usage : cases) {
    const CommandLine command = Parse(usage.arguments);
    EXPECT_EQ(command.next, NextStep::kFail);
    EXPECT_EQ(command.exit_code, 2) << command.text;
    EXPECT_THAT(command.text, HasSubstr("sluiced: "));
    EXPECT_THAT(command.text, HasSubstr(usage.said));
    EXPECT_THAT(command.text, HasSubstr("sluiced: --help lists all flags\n"));
  }
}

TEST(ConfigTest, ListsAllProblemsAtOnce) {
  const CommandLine command =
      Parse({"--shards", "0", "--max-message", "x", "--nonsense", "--config", "/does/not/exist"});
  EXPECT_EQ(command.exit_code, kExitUsage);
  EXPECT_THAT(command.text, AllOf(HasSubstr("--shards: "), HasSubstr("--max-message: "),
                                  HasSubstr("'--nonsense'"), HasSubstr("/does/not/exist: cannot be read")));
}

TEST(ConfigTest, HostileArgumentsArePrintedEscaped) {
  const std::string hostile = "\x1b[2J\nsluiced: ready\xff";
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{hostile},
                                             {"--" + hostile},
                                             {"--shards", hostile},
                                             {"--listen", hostile},
                                             {"--check-config=" + hostile},
                                             {"--config", hostile},
                                             {"--version=" + hostile, "--shards=x"}}) {
    const CommandLine command = Parse(arguments);
    for (const char c : command.text) {
      EXPECT_TRUE(c == '\n' || (c >= ' ' && c < '\x7f')) << "byte " << static_cast<int>(c);
    }
    EXPECT_THAT(command.text, Not(HasSubstr("\nsluiced: ready")));
  }
}

TEST(ConfigTest, TheEnvironmentIsNotLookedAt) {
  for (const Setting& setting : Settings()) {
    for (const char* prefix : {"", "SLUICE_", "SLUICED_"}) {
      std::string name = fmt::format("{}{}", prefix, setting.flag);
      for (char& c : name) c = c == '-' ? '_' : static_cast<char>(toupper(c));
      ::setenv(name.c_str(), AnotherValue(setting).c_str(), 1);
    }
  }
  ::setenv("SLUICED_CONFIG", "/does/not/exist", 1);
  const CommandLine command = Parse({});
  EXPECT_EQ(command.next, NextStep::kRun);
  ExpectSame(command.config, Config());
  EXPECT_EQ(Parse({"--print-config"}).text, ConfigToToml(Config()));
}

// ---- The file ----

TEST_F(ConfigFileTest, EverySettingHasAKey) {
  for (const Setting& setting : Settings()) {
    SCOPED_TRACE(setting.Path());
    const std::string value = setting.flag == "goodbye-timeout" ? "2s" : AnotherValue(setting);
    Config expected;
    ASSERT_TRUE(Assign(setting, value, &expected).ok());
    const std::string section = setting.section.empty() ? "" : fmt::format("[{}]\n", setting.section);
    // Written by hand, not by ConfigToToml: counts are bare, the rest is quoted.
    const std::string written = setting.kind == SettingKind::kCount ? value
                                : setting.kind == SettingKind::kPath
                                    ? R"("/run/\"it's\" a\\path\n\u001b\u007f\tgrüße # = [x]")"
                                    : fmt::format("'{}'", value);
    const CommandLine command = ParseFile(fmt::format("{}{} = {}\n", section, setting.key, written));
    ASSERT_EQ(command.next, NextStep::kRun) << command.text;
    EXPECT_EQ(Show(setting, command.config), Show(setting, expected));
    EXPECT_NE(Show(setting, command.config), Show(setting, Config()));
  }
}

TEST_F(ConfigFileTest, AFlagBeatsTheFileAndTheFileBeatsTheDefault) {
  for (const Setting& setting : Settings()) {
    if (setting.kind != SettingKind::kCount) continue;
    SCOPED_TRACE(setting.flag);
    const std::string section = setting.section.empty() ? "" : fmt::format("[{}]\n", setting.section);
    const std::string file = fmt::format("{}{} = {}\n", section, setting.key, setting.min + 1);
    EXPECT_EQ(Show(setting, ParseFile(file).config), std::to_string(setting.min + 1));
    const std::string flag = fmt::format("--{}={}", setting.flag, setting.min + 2);
    EXPECT_EQ(Show(setting, ParseFile(file, {flag}).config), std::to_string(setting.min + 2));
    // Also when the flag says the default.
    const std::string back = fmt::format("--{}={}", setting.flag, Show(setting, Config()));
    EXPECT_EQ(Show(setting, ParseFile(file, {back}).config), Show(setting, Config()));
  }
}

TEST_F(ConfigFileTest, AnEmptyFileIsGood) {
  for (const char* text : {"", "\n", "# nothing yet\n", "[limits]\n", "\xef\xbb\xbf# written with a BOM\n"}) {
    const CommandLine command = ParseFile(text);
    EXPECT_EQ(command.next, NextStep::kRun) << command.text;
    ExpectSame(command.config, Config());
  }
  EXPECT_EQ(Parse({"--config", "/dev/null"}).next, NextStep::kRun);
}

TEST_F(ConfigFileTest, TakesTheFormsOfToml) {
  const CommandLine command = ParseFile(
      "shards = 0x10\r\n"
      "limits = { max_message = 2_097_152, pending_bytes_max = '16MiB' }\r\n"
      "timeouts.write_timeout = 0\r\n");
  ASSERT_EQ(command.next, NextStep::kRun) << command.text;
  EXPECT_EQ(command.config.shards, 16);
  EXPECT_EQ(command.config.payload_bytes_max, 2u << 20);
  EXPECT_EQ(command.config.pending_bytes_max, 16u << 20);
  EXPECT_EQ(command.config.write_timeout, absl::ZeroDuration());
}

TEST_F(ConfigFileTest, RefusesUnknownKeysAndSectionsWithTheNearestKnownOne) {
  EXPECT_THAT(Problems("shrads = 1\n"),
              ElementsAre("sluiced.toml:1: shrads: unknown key (did you mean shards?)"));
  EXPECT_THAT(
      Problems("\n\n[limits]\nmax_mesage = 1\n"),
      ElementsAre("sluiced.toml:4: limits.max_mesage: unknown key (did you mean limits.max_message?)"));
  EXPECT_THAT(Problems("max_message = 1\n"),
              ElementsAre("sluiced.toml:1: max_message: unknown key (did you mean limits.max_message?)"));
  EXPECT_THAT(Problems("[log]\nshards = 1\n"),
              ElementsAre("sluiced.toml:2: log.shards: unknown key (did you mean shards?)"));
  EXPECT_THAT(Problems("[limit]\nmax_message = 1\n"),
              ElementsAre("sluiced.toml:1: limit: unknown section (did you mean limits?); "
                          "allowed: log, limits, timeouts, tuning"));
  EXPECT_THAT(
      Problems("[cluster]\npeers = []\n"),
      ElementsAre("sluiced.toml:1: cluster: unknown section; allowed: log, limits, timeouts, tuning"));
  EXPECT_THAT(
      Problems("[limits.more]\n"),
      ElementsAre("sluiced.toml:1: limits.more: unknown section; allowed: log, limits, timeouts, tuning"));
  EXPECT_THAT(Problems("foo = 2026-01-01\n"), ElementsAre("sluiced.toml:1: foo: unknown key"));
  EXPECT_THAT(Problems("\"\" = 1\n"), ElementsAre("sluiced.toml:1: : unknown key"));
}

TEST_F(ConfigFileTest, ADotInQuotesIsPartOfTheKey) {
  EXPECT_THAT(Problems("\"log.level\" = \"debug\"\n"),
              ElementsAre(StartsWith("sluiced.toml:1: log.level: unknown key")));
}

TEST_F(ConfigFileTest, SaysThatASectionIsNoValue) {
  const std::string said = "sluiced.toml:1: limits: is a section, to be written as [limits] above its keys";
  for (const char* text : {"limits = 5\n", "[[limits]]\n", "limits = []\n", "limits = \"x\"\n"}) {
    EXPECT_THAT(Problems(text), ElementsAre(said)) << text;
  }
}

TEST_F(ConfigFileTest, RefusesValuesOfTheWrongTypeWithWhatIsWanted) {
  for (const char* value : {"\"2\"", "2.0", "true", "[1]", "{a = 1}", "2026-01-01", "07:00:00", "nan"}) {
    EXPECT_THAT(Problems(fmt::format("shards = {}\n", value)),
                ElementsAre("sluiced.toml:1: shards: wants a whole number; allowed: 1 to 64"))
        << value;
  }
  for (const char* value : {"2.5", "true", "[]", "{}"}) {
    EXPECT_THAT(
        Problems(fmt::format("[limits]\nmax_message = {}\n", value)),
        ElementsAre("sluiced.toml:2: limits.max_message: wants a whole number or a size in quotes, like "
                    "\"8MiB\"; allowed: 1KiB to 64MiB"))
        << value;
  }
  for (const char* value : {"10", "10.5", "false", "[]"}) {
    EXPECT_THAT(
        Problems(fmt::format("[timeouts]\nwrite_timeout = {}\n", value)),
        ElementsAre("sluiced.toml:2: timeouts.write_timeout: wants a duration in quotes, like \"10s\"; "
                    "allowed: 100ms to 1h, or 0 (never)"))
        << value;
  }
  for (const char* value : {"7584", "true", "[\"127.0.0.1:1\"]"}) {
    EXPECT_THAT(Problems(fmt::format("listen = {}\n", value)),
                ElementsAre("sluiced.toml:1: listen: wants a text in quotes; allowed: HOST:PORT"))
        << value;
  }
  EXPECT_THAT(Problems("ports_file = 0\n"),
              ElementsAre("sluiced.toml:1: ports_file: wants a text in quotes; allowed: a path"));
  EXPECT_THAT(
      Problems("[log]\nlevel = 1\n"),
      ElementsAre(
          "sluiced.toml:2: log.level: wants a text in quotes; allowed: trace, debug, info, warn, error"));
}

TEST_F(ConfigFileTest, RefusesValuesOutOfRangeWithKeyValueAndRange) {
  EXPECT_THAT(Problems("shards = 99\n"),
              ElementsAre("sluiced.toml:1: shards: '99' is too large; allowed: 1 to 64"));
  EXPECT_THAT(Problems("shards = -1\n"),
              ElementsAre("sluiced.toml:1: shards: '-1' is too small; allowed: 1 to 64"));
  EXPECT_THAT(Problems("[limits]\nmax_message = -9223372036854775808\n"),
              ElementsAre("sluiced.toml:2: limits.max_message: '-9223372036854775808' is too small; "
                          "allowed: 1KiB to 64MiB"));
  EXPECT_THAT(
      Problems("[limits]\nmax_message = \"65MiB\"\n"),
      ElementsAre("sluiced.toml:2: limits.max_message: '65MiB' is too large; allowed: 1KiB to 64MiB"));
  EXPECT_THAT(Problems("[timeouts]\nretry_after = \"1ms\"\n"),
              ElementsAre("sluiced.toml:2: timeouts.retry_after: '1ms' is too small; "
                          "allowed: 10ms to 10m, or 0 (come back at once)"));
}

TEST_F(ConfigFileTest, ListsProblemsInTheOrderOfTheFileAndNotWithoutEnd) {
  EXPECT_THAT(Problems("shards = 99\nlisten = 5\n[log]\nlevel = \"x\"\nformat = \"y\"\n[limit]\n"),
              ElementsAre(StartsWith("sluiced.toml:1: "), StartsWith("sluiced.toml:2: "),
                          StartsWith("sluiced.toml:4: "), StartsWith("sluiced.toml:5: "),
                          StartsWith("sluiced.toml:6: ")));
  std::string many;
  for (int i = 0; i < 1000; ++i) many += fmt::format("k{} = 1\n", i);
  const std::vector<std::string> problems = Problems(many);
  EXPECT_EQ(problems.size(), 21);
  EXPECT_EQ(problems.front(), "sluiced.toml:1: k0: unknown key");
  EXPECT_EQ(problems.back(), "and 980 more");
}

TEST_F(ConfigFileTest, SaysTheLineOfBrokenToml) {
  EXPECT_THAT(Problems("shards = 1\n\nlisten = \n"), ElementsAre(StartsWith("sluiced.toml:3: ")));
  EXPECT_THAT(Problems("shards = 1\nshards = 2\n"),
              ElementsAre(AllOf(StartsWith("sluiced.toml:2: "), HasSubstr("'shards'"))));
  EXPECT_THAT(Problems("[limits\n"), ElementsAre(StartsWith("sluiced.toml:1: ")));
  EXPECT_THAT(Problems("shards = 99999999999999999999\n"),
              ElementsAre(AllOf(StartsWith("sluiced.toml:1: "), HasSubstr("99999999999999999999"))));
}

TEST_F(ConfigFileTest, RefusesFilesThatCannotBeRead) {
  EXPECT_EQ(Parse({"--config", "/does/not/exist"}).exit_code, kExitConfig);
  EXPECT_EQ(Parse({"--config", "/does/not/exist"}).text,
            "sluiced: /does/not/exist: cannot be read: no such file or directory\n");
  EXPECT_EQ(Parse({"--config", dir_.path()}).text,
            fmt::format("sluiced: {}: cannot be read: is a directory\n", dir_.path()));
  // Opens, and fails at the first read.
  EXPECT_THAT(Parse({"--config", "/proc/self/mem"}).text, HasSubstr("/proc/self/mem: cannot be read: "));
}

TEST_F(ConfigFileTest, RefusesFilesThatAreNoConfiguration) {
  EXPECT_EQ(Parse({"--config", "/dev/zero"}).text, "sluiced: /dev/zero: is larger than 64KiB\n");
  EXPECT_THAT(Problems(std::string(1 << 20, '#')), ElementsAre("sluiced.toml: is larger than 64KiB"));
  EXPECT_EQ(ParseFile(std::string(64 << 10, '#')).next, NextStep::kRun);
  EXPECT_THAT(Problems(std::string("\x7f"
                                   "ELF\x02\x01\x01\0\0",
                                   9)),
              ElementsAre(StartsWith("sluiced.toml:1: ")));
  EXPECT_THAT(Problems("shards = 1 # \xff\xfe\n"), ElementsAre(StartsWith("sluiced.toml:1: ")));
}

TEST_F(ConfigFileTest, DeepNestingDoesNotExhaustTheStack) {
  const size_t bytes = (size_t{64} << 10) - 16;
  std::string dotted = "a";
  while (dotted.size() < bytes) dotted += ".a";
  std::string tables = "x = ";
  while (tables.size() < bytes) tables += "{a=";
  for (const std::string& text : {dotted + " = 1\n", "[" + dotted + "]\n", "[[" + dotted + "]]\n",
                                  "x = " + std::string(bytes, '['), tables}) {
    const std::vector<std::string> problems = Problems(text);
    ASSERT_EQ(problems.size(), 1);
    EXPECT_LT(problems.front().size(), 2000);
  }
  EXPECT_THAT(Problems("\n" + dotted + " = 1\n"), ElementsAre("sluiced.toml:2: more than 64 dots in a line"));
  // Lines of them are harmless in a comment.
  EXPECT_EQ(ParseFile("  # " + std::string(200, '.') + "\nshards = 2\n").config.shards, 2);
}

TEST_F(ConfigFileTest, HostileFilesArePrintedEscaped) {
  for (const std::string_view text : {
           std::string_view("\"x\\u001b\\nsluiced: ready\" = 1\n"),
           std::string_view("[\"log\\u001b\\nsluiced: ready\"]\n"),
           std::string_view("\"\\u001b\\nsluiced: ready\" = 1\n\"\\u001b\\nsluiced: ready\" = 2\n"),
           std::string_view("listen = \"\\u001b\\nsluiced: ready\"\n"),
           std::string_view("[log]\nlevel = \"\\u001b\\nsluiced: ready\\u009b\"\n"),
           std::string_view("a\x1b[2J = 1\n"),
       }) {
    const CommandLine command = ParseFile(text);
    EXPECT_EQ(command.next, NextStep::kFail);
    EXPECT_THAT(command.text, Not(HasSubstr("\nsluiced: ready")));
    for (const char c : command.text) {
      EXPECT_TRUE(c == '\n' || (c >= ' ' && c < '\x7f')) << "byte " << static_cast<int>(c) << " in " << text;
    }
  }
}

TEST_F(ConfigFileTest, AnyChangeToAGoodFileGetsAnAnswer) {
  const uint32_t seed = 20261124;
  RecordProperty("seed", static_cast<int>(seed));
  std::mt19937 random(seed);
  const std::string good = ConfigToToml(Config());
  for (int round = 0; round < 300; ++round) {
    std::string text = good;
    for (int change = 0; change < 3; ++change) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, random() % 20);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 50));
      }
    }
    const CommandLine command = ParseFile(text);
    SCOPED_TRACE(fmt::format("seed {} round {}", seed, round));
    if (command.next == NextStep::kRun) continue;
    EXPECT_EQ(command.exit_code, kExitConfig);
    EXPECT_THAT(command.text, HasSubstr("sluiced.toml:"));
  }
}

// ---- Settings that depend on each other ----

TEST_F(ConfigFileTest, DefaultsRiseWithTheLargestMessageAndThatIsSaid) {
  const CommandLine command = Parse({"--max-message", "64MiB"});
  ASSERT_EQ(command.next, NextStep::kRun) << command.text;
  EXPECT_GE(command.config.pending_bytes_max, 2 * command.config.frame_bytes_max());
  EXPECT_GE(command.config.session_bytes_max, command.config.pending_bytes_max);
  EXPECT_THAT(
      command.config.notes,
      ElementsAre("limits.pending_bytes_max raised to 129MiB, since it must hold two of the largest messages",
                  "limits.session_bytes_max raised to 129MiB, since one subscription may hold so much"));
}

TEST_F(ConfigFileTest, DefaultsStayWhereTheyFit) {
  const CommandLine command = Parse({"--max-message", "3MiB"});
  EXPECT_THAT(command.config.notes, IsEmpty());
  EXPECT_EQ(command.config.pending_bytes_max, Config().pending_bytes_max);
  // A limit that is switched off needs no room.
  const CommandLine off = Parse({"--max-message=64MiB", "--pending-bytes-max=0", "--session-bytes-max=0"});
  EXPECT_THAT(off.config.notes, IsEmpty());
  EXPECT_EQ(off.config.pending_bytes_max, 0);
  EXPECT_EQ(off.config.session_bytes_max, 0);
}

TEST_F(ConfigFileTest, ALargerSubscriptionRaisesTheSessionsDefault) {
  const CommandLine command = Parse({"--pending-bytes-max", "64MiB"});
  EXPECT_EQ(command.config.session_bytes_max, 64u << 20);
  EXPECT_THAT(
      command.config.notes,
      ElementsAre("limits.session_bytes_max raised to 64MiB, since one subscription may hold so much"));
}

TEST_F(ConfigFileTest, RefusesALimitBelowTwoMessagesWhereItWasSaid) {
  const std::string why =
      "64KiB is less than twice the largest message; with max_message 1MiB and max_headers 16KiB allowed: ";
  EXPECT_THAT(Problems("[limits]\npending_bytes_max = \"64KiB\"\n"),
              ElementsAre(AllOf(StartsWith("sluiced.toml:2: limits.pending_bytes_max: " + why),
                                HasSubstr("to 16GiB, or 0 (no limit)"))));
  // The flag that made the file's value too small is not what is wrong.
  EXPECT_THAT(Problems("[limits]\npending_bytes_max = \"3MiB\"\n", {"--max-message=2MiB"}),
              ElementsAre(StartsWith("sluiced.toml:2: limits.pending_bytes_max: 3MiB is less than twice")));

  const CommandLine command = Parse({"--pending-bytes-max", "64KiB"});
  EXPECT_EQ(command.exit_code, kExitUsage);
  EXPECT_THAT(command.text, StartsWith("sluiced: --pending-bytes-max: " + why));
}

TEST_F(ConfigFileTest, TheSmallestAllowedLimitIsWhatTheMessageSays) {
  const uint64_t two_messages = 2 * Config().frame_bytes_max();
  const std::string below = std::to_string(two_messages - 1);
  EXPECT_THAT(Parse({"--pending-bytes-max", below}).text,
              HasSubstr(fmt::format("allowed: {} to", ShowBytes(two_messages))));
  EXPECT_EQ(Parse({"--pending-bytes-max", std::to_string(two_messages)}).next, NextStep::kRun);
}

TEST_F(ConfigFileTest, RefusesASessionThatHoldsLessThanOneSubscription) {
  EXPECT_THAT(
      Problems("[limits]\nsession_bytes_max = \"4MiB\"\n"),
      ElementsAre("sluiced.toml:2: limits.session_bytes_max: 4MiB is less than what one subscription may "
                  "hold; with pending_bytes_max 8MiB allowed: 8MiB to 64GiB, or 0 (no limit)"));
  EXPECT_EQ(Parse({"--session-bytes-max", "4MiB"}).exit_code, kExitUsage);
  EXPECT_EQ(Parse({"--session-bytes-max", "4MiB", "--pending-bytes-max", "4MiB"}).next, NextStep::kRun);
  // No limit per subscription: two messages must fit all the same.
  EXPECT_EQ(Parse({"--session-bytes-max", "1MiB", "--pending-bytes-max", "0"}).next, NextStep::kFail);
}

TEST_F(ConfigFileTest, RefusesASoftLimitAboveTheHardOne) {
  EXPECT_THAT(Problems("[limits]\npending_bytes_soft = \"9MiB\"\n"),
              ElementsAre("sluiced.toml:2: limits.pending_bytes_soft: 9MiB is above the hard limit; with "
                          "pending_bytes_max 8MiB allowed: 1KiB to 8MiB, or 0 (none)"));
  EXPECT_THAT(Problems("[limits]\npending_messages_max = 10\npending_messages_soft = 11\n"),
              ElementsAre("sluiced.toml:3: limits.pending_messages_soft: 11 is above the hard limit; with "
                          "pending_messages_max 10 allowed: 1 to 10, or 0 (none)"));
  EXPECT_THAT(Problems("[limits]\npending_age_soft = \"61s\"\n"),
              ElementsAre("sluiced.toml:2: limits.pending_age_soft: 61s is above the hard limit; with "
                          "pending_age_max 60s allowed: 100ms to 60s, or 0 (none)"));
  EXPECT_EQ(Parse({"--pending-messages-soft=131072", "--soft-time=100ms"}).next, NextStep::kRun);
  // There is no hard one.
  EXPECT_EQ(Parse({"--pending-age-soft=2h", "--pending-age-max=0"}).next, NextStep::kRun);
}

// ---- Rules for subscriptions ----

TEST_F(ConfigFileTest, ReadsRulesInTheirOrder) {
  const CommandLine command = ParseFile(R"(
[[subscription_rules]]
filter = "ticks.>"
client = "dash-*"
overflow = "conflate"
overflow_allowed = ["conflate", "drop_oldest"]
conflate_header = "symbol"
pending_bytes_max = "3MiB"
pending_messages_max = 100
pending_age_max = "5s"
pending_bytes_soft = "1MiB"
pending_messages_soft = 0
pending_age_soft = "1s"
soft_time = "10s"
pending_bytes_ceiling = 0
pending_messages_ceiling = 200
pending_age_ceiling = "0"

[[subscription_rules]]

[limits]
max_topic = 200
)");
  ASSERT_EQ(command.next, NextStep::kRun) << command.text;
  SubscriptionRule rule;
  rule.filter = "ticks.>";
  rule.client = "dash-*";
  rule.overflow = v1::OVERFLOW_POLICY_CONFLATE;
  rule.overflow_allowed = {v1::OVERFLOW_POLICY_CONFLATE, v1::OVERFLOW_POLICY_DROP_OLDEST};
  rule.conflate_header = "symbol";
  rule.pending_bytes_max = 3 << 20;
  rule.pending_messages_max = 100;
  rule.pending_age_max = absl::Seconds(5);
  rule.pending_bytes_soft = 1 << 20;
  rule.pending_messages_soft = 0;
  rule.pending_age_soft = absl::Seconds(1);
  rule.soft_time = absl::Seconds(10);
  rule.pending_bytes_ceiling = 0;
  rule.pending_messages_ceiling = 200;
  rule.pending_age_ceiling = absl::ZeroDuration();
  EXPECT_TRUE(command.config.subscription_rules == (std::vector{rule, SubscriptionRule()}));
  const CommandLine again = ParseFile(ConfigToToml(command.config));
  ASSERT_EQ(again.next, NextStep::kRun) << again.text;
  EXPECT_TRUE(again.config.subscription_rules == command.config.subscription_rules);
}

TEST_F(ConfigFileTest, TheRuleInThePrintedCommentsIsGood) {
  std::string text = ConfigToToml(Config());
  text.erase(0, text.find("# [[subscription_rules]]"));
  for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) text.erase(at, 2);
  const CommandLine command = ParseFile(text);
  ASSERT_EQ(command.next, NextStep::kRun) << command.text << text;
  EXPECT_EQ(command.config.subscription_rules.size(), 1u);
}

TEST_F(ConfigFileTest, RefusesRulesWithKeyValueAndWhatIsAllowed) {
  const auto problems = [&](std::string_view rule) {
    return Problems(fmt::format("[[subscription_rules]]\n[[subscription_rules]]\n{}\n", rule));
  };
  const std::string lead = "sluiced.toml:3: subscription_rules[2].";
  EXPECT_THAT(
      problems("fliter = \"a\""),
      ElementsAre(StartsWith(lead + "fliter: unknown key (did you mean filter?); allowed: filter, ")));
  EXPECT_THAT(problems("filter = \"a..b\""),
              ElementsAre(StartsWith(lead + "filter: filter \"a..b\" has an empty token")));
  EXPECT_THAT(problems("filter = 1"), ElementsAre(lead + "filter: wants a text in quotes"));
  EXPECT_THAT(problems("client = \"a\\nb\""),
              ElementsAre(StartsWith(lead + "client: 'a\\x0ab' is no name; allowed: 1 to 128")));
  EXPECT_THAT(problems("overflow = \"drop\""),
              ElementsAre(lead + "overflow: 'drop' is no policy; allowed: disconnect, drop_oldest, "
                                 "drop_newest, conflate, block"));
  EXPECT_THAT(problems("overflow_allowed = []"),
              ElementsAre(StartsWith(lead + "overflow_allowed: wants a list of policies")));
  EXPECT_THAT(problems("overflow_allowed = [\"conflate\", 3]"),
              ElementsAre(StartsWith(lead + "overflow_allowed: wants a policy in quotes")));
  EXPECT_THAT(problems("pending_messages_ceiling = 2000000000"),
              ElementsAre(lead + "pending_messages_ceiling: '2000000000' is too large; allowed: 1 to "
                                 "1000000000, or 0 (no limit)"));
  EXPECT_THAT(problems("pending_age_max = 5"),
              ElementsAre(StartsWith(lead + "pending_age_max: wants a duration in quotes")));
  EXPECT_THAT(problems("overflow = \"disconnect\"\noverflow_allowed = [\"conflate\"]"),
              ElementsAre("sluiced.toml:2: subscription_rules[2]: overflow disconnect is not in "
                          "overflow_allowed; allowed: conflate"));
  EXPECT_THAT(problems("conflate_header = \"k\"\noverflow_allowed = [\"disconnect\"]"),
              ElementsAre(HasSubstr("conflate_header is for the policy conflate")));
  EXPECT_THAT(Problems("[subscription_rules]\nfilter = \"a\"\n"),
              ElementsAre("sluiced.toml:1: subscription_rules: is a list of tables, each to be written as "
                          "[[subscription_rules]] above its keys"));
  std::string many;
  for (size_t i = 0; i <= kSubscriptionRulesMax; ++i) many += "[[subscription_rules]]\n";
  EXPECT_THAT(Problems(many), ElementsAre(HasSubstr("257 of them; at most 256 are allowed")));
}

TEST_F(ConfigFileTest, RefusesLimitsOfARuleThatDoNotFitTogether) {
  const auto problems = [&](std::string_view rule) {
    return Problems(fmt::format("[[subscription_rules]]\n{}\n", rule));
  };
  const std::string lead = "sluiced.toml:2: subscription_rules[1].";
  EXPECT_THAT(
      problems("pending_bytes_max = \"64KiB\""),
      ElementsAre(StartsWith(lead + "pending_bytes_max: 64KiB is less than twice the largest message")));
  EXPECT_THAT(
      problems("pending_bytes_ceiling = \"64MiB\""),
      ElementsAre(AllOf(StartsWith(lead + "pending_bytes_ceiling: 64MiB is more than a session may hold"),
                        HasSubstr(" to 32MiB, or 0 (no limit)"))));
  EXPECT_THAT(
      problems("pending_bytes_max = \"9MiB\""),
      ElementsAre(lead + "pending_bytes_max: 9MiB is above limits.pending_bytes_max; allowed: at most "
                         "8MiB, or a higher pending_bytes_ceiling"));
  EXPECT_THAT(
      problems("pending_age_max = \"10s\"\npending_age_ceiling = \"9s\""),
      ElementsAre(lead + "pending_age_max: 10s is above pending_age_ceiling; allowed: at most 9s, or a "
                         "higher pending_age_ceiling"));
  EXPECT_THAT(
      problems("pending_messages_soft = 11\npending_messages_ceiling = 10"),
      ElementsAre(lead + "pending_messages_soft: 11 is above the hard limit; allowed: at most 10, or 0 "
                         "(none)"));
  EXPECT_THAT(problems("pending_messages_max = 0"),
              ElementsAre(HasSubstr("0 is above limits.pending_messages_max")));
  EXPECT_EQ(ParseFile("[[subscription_rules]]\npending_bytes_max = \"16MiB\"\npending_bytes_ceiling = "
                      "\"16MiB\"\npending_messages_max = 0\npending_messages_ceiling = 0\n",
                      {"--check-config"})
                .next,
            NextStep::kPrintAndExit);
}

// ---- --check-config and --print-config ----

TEST_F(ConfigFileTest, CheckConfigOnlyChecks) {
  CommandLine command = ParseFile("[limits]\nmax_message = \"8MiB\"\n", {"--check-config"});
  EXPECT_EQ(command.next, NextStep::kPrintAndExit);
  EXPECT_EQ(command.exit_code, 0);
  EXPECT_EQ(command.text,
            fmt::format(
                "{}/sluiced.toml is good\nnote: limits.pending_bytes_max raised to 17MiB, since it must hold "
                "two of the largest messages\n",
                dir_.path()));
  EXPECT_EQ(Parse({"--check-config"}).text, "the configuration is good\n");
  command = ParseFile("shards = 0\n", {"--check-config"});
  EXPECT_EQ(command.next, NextStep::kFail);
  EXPECT_EQ(command.exit_code, kExitConfig);
}

TEST_F(ConfigFileTest, WhatIsPrintedGivesTheSameConfigForEachSettingAlone) {
  for (const Setting& setting : Settings()) {
    SCOPED_TRACE(setting.flag);
    const std::string value = setting.flag == "goodbye-timeout" ? "2s" : AnotherValue(setting);
    const std::string flag = fmt::format("--{}={}", setting.flag, value);
    const CommandLine wanted = Parse({flag});
    ASSERT_EQ(wanted.next, NextStep::kRun) << wanted.text;
    const CommandLine printed = Parse({flag, "--print-config"});
    ASSERT_EQ(printed.next, NextStep::kPrintAndExit);
    const CommandLine read = ParseFile(printed.text);
    ASSERT_EQ(read.next, NextStep::kRun) << read.text;
    ExpectSame(read.config, wanted.config);
    EXPECT_THAT(read.config.notes, IsEmpty()) << "what was raised is said in the file now";
    EXPECT_EQ(ConfigToToml(read.config), printed.text);
  }
}

TEST_F(ConfigFileTest, WhatIsPrintedGivesTheSameConfigWithEverySettingChanged) {
  const CommandLine wanted = Parse(EveryFlagChanged());
  ASSERT_EQ(wanted.next, NextStep::kRun) << wanted.text;
  for (const Setting& setting : Settings()) {
    EXPECT_NE(Show(setting, wanted.config), Show(setting, Config())) << setting.flag;
  }
  const CommandLine read = ParseFile(ConfigToToml(wanted.config));
  ASSERT_EQ(read.next, NextStep::kRun) << read.text;
  ExpectSame(read.config, wanted.config);
}

TEST_F(ConfigFileTest, WhatIsPrintedSurvivesZerosAndPathsThatLookLikeNumbers) {
  std::vector<std::string> arguments = {"--ports-file=0", "--http=off"};
  for (const Setting& setting : Settings()) {
    if (!setting.zero_means.empty()) arguments.push_back(fmt::format("--{}=0", setting.flag));
  }
  const CommandLine wanted = Parse(arguments);
  ASSERT_EQ(wanted.next, NextStep::kRun) << wanted.text;
  const CommandLine read = ParseFile(ConfigToToml(wanted.config));
  ASSERT_EQ(read.next, NextStep::kRun) << read.text;
  ExpectSame(read.config, wanted.config);
}

TEST_F(ConfigFileTest, WhatIsPrintedExplainsEverySetting) {
  std::string comments;
  for (const char c : Parse({"--print-config"}).text) {
    if (c != '#') comments += c;
  }
  comments = OneLine(comments);
  for (const Setting& setting : Settings()) {
    const std::string shown = Show(setting, Config());
    // But for its first letter, which is a capital there.
    EXPECT_THAT(comments, HasSubstr(fmt::format(
                              "{}. Allowed: {}. Default: {}.{} {} = ", setting.help.substr(1),
                              setting.Allowed(), shown.empty() ? "none" : shown,
                              CanChangeAtRunTime(setting) ? "" : " A change needs a restart.", setting.key)));
  }
}

}  // namespace
}  // namespace sluice
