#include "client/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <vector>

namespace sluice::cli {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Parsed Parse(std::vector<const char*> words) {
  words.insert(words.begin(), "sluice");
  CommandLine line;
  return line.Parse(static_cast<int>(words.size()), words.data());
}

void ExpectRuns(const std::vector<const char*>& words) {
  const Parsed parsed = Parse(words);
  EXPECT_EQ(parsed.text, "");
  EXPECT_EQ(parsed.code, ExitCode::kDone);
  EXPECT_TRUE(parsed.run) << ::testing::PrintToString(words);
}

void ExpectUsageError(const std::vector<const char*>& words, const ::testing::Matcher<std::string>& text) {
  const Parsed parsed = Parse(words);
  EXPECT_EQ(parsed.code, ExitCode::kUsage) << ::testing::PrintToString(words);
  EXPECT_FALSE(parsed.run);
  EXPECT_THAT(parsed.text, text);
}

TEST(CommandLineTest, EverySubcommandRunsWithItsPlainArguments) {
  ExpectRuns({"pub", "a.b"});
  ExpectRuns({"pub", "a.b", "payload"});
  ExpectRuns({"pub", "a.b", "--lines", "--rate", "10", "--count", "5"});
  ExpectRuns({"pub", "a.b", "--size", "1KiB", "-n", "10", "-H", "a=b", "-H", "c=", "--reply-to", "x"});
  ExpectRuns({"sub", "a.*", "b.>", "--count", "3"});
  ExpectRuns({"sub", "a", "--queue", "workers", "--count", "3", "--json"});
  ExpectRuns({"request", "a", "payload"});
  ExpectRuns({"reply", "a", "--echo"});
  ExpectRuns({"reply", "a", "--command", "date"});
  ExpectRuns({"ping", "--count", "3", "--interval", "1ms"});
  ExpectRuns({"bench", "--publishers", "2", "--size", "16B", "--messages", "1M", "--window", "64KiB"});
  ExpectRuns({"demo", "slow-consumer", "--pause", "10ms"});
  ExpectRuns({"completion", "bash"});
  ExpectRuns({"completion", "zsh"});
}

TEST(CommandLineTest, WhatAPayloadLooksLikeDoesNotMatter) {
  for (const char* payload :
       {"", "[1,2]", "{\"a\":[1,2]}", "{}", "sub", "ping", "-5", "a=b", "two words", "%%", "'"}) {
    ExpectRuns({"pub", "a.b", payload});
  }
  ExpectRuns({"pub", "a.b", "--", "--lines"});
  ExpectRuns({"pub", "pub", "pub"});
}

TEST(CommandLineTest, ErrorsSayTheValueAndWhatIsAllowed) {
  ExpectUsageError({"pub", "a", "--count", "0"}, HasSubstr("--count: '0' is too small; allowed: 1 to"));
  ExpectUsageError({"pub", "a", "--size", "1GiB"},
                   HasSubstr("--size: '1GiB' is too large; allowed: 0 to 64MiB"));
  ExpectUsageError({"bench", "--size", "15"}, HasSubstr("--size: '15' is too small; allowed: 16B to 64MiB"));
  ExpectUsageError({"ping", "--timeout", "soon"}, HasSubstr("--timeout: 'soon' is not a duration"));
  ExpectUsageError({"pub", "a", "--rate", "0"}, HasSubstr("--rate: '0' is too small"));
  ExpectUsageError({"pub", "a", "-H", "novalue"},
                   HasSubstr("--header: 'novalue' has no '='; allowed: NAME=VALUE"));
  ExpectUsageError({"pub", "a..b"}, AllOf(HasSubstr("TOPIC"), HasSubstr("empty token")));
  ExpectUsageError({"pub", "a.*"}, HasSubstr("TOPIC"));
  ExpectUsageError({"sub", "a", "b.>.c"}, HasSubstr("FILTER"));
}

TEST(CommandLineTest, ErrorsNameTheCommandAndItsHelp) {
  ExpectUsageError({"sub"},
                   AllOf(StartsWith("sluice sub: FILTER is required"), EndsWith("See sluice sub --help.\n")));
  ExpectUsageError({"demo", "slow-consumer", "--pause", "x"},
                   StartsWith("sluice demo slow-consumer: --pause"));
  ExpectUsageError({}, StartsWith("sluice: "));
  ExpectUsageError({"nonsense"}, HasSubstr("nonsense"));
  ExpectUsageError({"demo", "nonsense"}, StartsWith("sluice demo: unknown: nonsense"));
}

TEST(CommandLineTest, AnUnknownFlagIsNamedBeforeAMissingArgument) {
  ExpectUsageError({"sub", "--foo"}, HasSubstr("--foo"));
  ExpectUsageError({"pub", "a", "b", "c"}, HasSubstr("c"));
}

TEST(CommandLineTest, NothingUnprintableIsSaidBack) {
  ExpectUsageError({"sub", "--\x1b[2J"}, Not(HasSubstr("\x1b")));
  ExpectUsageError({"pub", "a", "--count", "\x1b[2J"}, Not(HasSubstr("\x1b")));
}

TEST(CommandLineTest, ContradictionsAreRefused) {
  ExpectUsageError({"pub", "a", "payload", "--lines"},
                   HasSubstr("only one of PAYLOAD, --file, --lines and --size"));
  ExpectUsageError({"pub", "a", "--file", "x", "--size", "1"}, HasSubstr("only one of"));
  ExpectUsageError({"pub", "a", "--rate", "5"}, HasSubstr("--rate needs --count or --lines"));
  ExpectUsageError({"sub", "a", "--raw", "--json"}, HasSubstr("--raw"));
  ExpectUsageError({"sub", "a", "b", "--queue", "q", "--count", "3"}, HasSubstr("allows one FILTER"));
  ExpectUsageError({"reply", "a"}, HasSubstr("one of --echo and --command"));
  ExpectUsageError({"reply", "a", "--echo", "--command", "x"}, HasSubstr("--echo"));
  ExpectUsageError({"bench", "--open-loop", "--window", "1MiB"}, HasSubstr("--window"));
  ExpectUsageError({"request", "a", "b", "--file", "c"}, HasSubstr("--file"));
  ExpectUsageError({"demo", "--check", "policies"}, HasSubstr("--check goes with `sluice demo` alone"));
  ExpectUsageError({"demo", "--check", "--duration", "5s"}, HasSubstr("--check ends by itself"));
}

TEST(CommandLineTest, HelpNamesEveryFlagAndTheExitCodes) {
  CommandLine line;
  for (const CLI::App* command : line.app().get_subcommands({})) {
    const Parsed parsed = Parse({command->get_name().c_str(), "--help"});
    EXPECT_EQ(parsed.code, ExitCode::kDone);
    EXPECT_THAT(parsed.text, HasSubstr("Usage: sluice " + command->get_name()));
    for (const CLI::Option* option : command->get_options()) {
      EXPECT_THAT(parsed.text, HasSubstr(option->get_name())) << command->get_name();
      EXPECT_NE(option->get_description(), "");
    }
  }
  for (const char* command : {"pub", "sub", "request", "reply", "ping", "bench"}) {
    EXPECT_THAT(Parse({command, "--help"}).text, HasSubstr("Exit codes: 0"));
    EXPECT_THAT(Parse({command, "--help"}).text, HasSubstr("SLUICE_URL"));
  }
  EXPECT_THAT(Parse({"--help"}).text, HasSubstr("SLUICE_URL"));
  EXPECT_THAT(Parse({"demo", "slow-consumer", "--help"}).text, HasSubstr("--broker PATH"));
}

TEST(CommandLineTest, HelpFitsAPage) {
  CommandLine line;
  for (const CLI::App* command : line.app().get_subcommands({})) {
    const std::string help = Parse({command->get_name().c_str(), "--help"}).text;
    for (size_t begin = 0, end; (end = help.find('\n', begin)) != std::string::npos; begin = end + 1) {
      EXPECT_LE(end - begin, 110u) << help.substr(begin, end - begin);
    }
  }
}

TEST(CommandLineTest, ShortFlagsMeanTheSameEverywhere) {
  CommandLine line;
  std::map<std::string, std::string> meanings = {};
  for (const CLI::App* command : line.app().get_subcommands({})) {
    for (const CLI::Option* option : command->get_options()) {
      if (option->get_snames().empty() || option->get_lnames().empty()) continue;
      // bench counts messages with -n; the others call it --count, and -c, -w are bench's own.
      if (command->get_name() == "bench" && option->get_snames()[0] == "n") continue;
      if (option->get_snames()[0] == "c" || option->get_snames()[0] == "r") continue;
      const auto [known, added] = meanings.emplace(option->get_snames()[0], option->get_lnames()[0]);
      EXPECT_EQ(known->second, option->get_lnames()[0]) << command->get_name();
    }
  }
}

TEST(CommandLineTest, SaysItsVersion) {
  const Parsed parsed = Parse({"--version"});
  EXPECT_EQ(parsed.code, ExitCode::kDone);
  EXPECT_THAT(parsed.text, StartsWith("sluice "));
}

}  // namespace
}  // namespace sluice::cli
