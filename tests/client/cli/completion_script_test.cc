#include "client/cli/completion_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "client/cli/child_process.h"
#include "client/cli/command_line.h"
#include "client/cli/command_runner.h"

namespace sluice::cli {
namespace {

using ::testing::HasSubstr;

// What bash offers behind `words`, the last of which is being typed.
std::string Completed(const std::string& words) {
  CommandLine line;
  const std::string script = BashCompletion(line.app()) + "COMP_WORDS=(" + words +
                             "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _sluice; " +
                             "printf '%s\\n' \"${COMPREPLY[@]}\"";
  const CommandRunner bash({.command = "exec bash -u"}, -1);
  const CommandResult result = bash.Run({.topic = "", .payload = script});
  EXPECT_EQ(result.error, "");
  return result.output;
}

TEST(CompletionScriptTest, BashOffersSubcommands) {
  EXPECT_EQ(Completed("sluice p"), "pub\nping\n");
  EXPECT_EQ(Completed("sluice demo s"), "slow-consumer\n");
  EXPECT_EQ(Completed("sluice demo p"), "policies\n");
  EXPECT_EQ(Completed("sluice demo --c"), "--check\n");
  EXPECT_EQ(Completed("sluice completion z"), "zsh\n");
}

TEST(CompletionScriptTest, BashOffersTheFlagsOfTheSubcommand) {
  EXPECT_EQ(Completed("sluice pub topic --li"), "--lines\n");
  EXPECT_EQ(Completed("sluice sub --ra"), "--raw\n");
  EXPECT_EQ(Completed("sluice demo slow-consumer --b"), "--broker\n");
  EXPECT_EQ(Completed("sluice --vers"), "--version\n");
}

TEST(CompletionScriptTest, BashOffersNothingWhereAValueIsTyped) {
  EXPECT_EQ(Completed("sluice pub --server ''"), "\n");
  EXPECT_EQ(Completed("sluice pub -n 1"), "\n");
}

TEST(CompletionScriptTest, BashOffersFilesWhereAPathIsTyped) {
  EXPECT_EQ(Completed("sluice pub --file /et"), "/etc\n");
}

TEST(CompletionScriptTest, AFlagWithoutAValueTakesNone) {
  EXPECT_EQ(Completed("sluice pub --lines --li"), "--lines\n");
}

TEST(CompletionScriptTest, ZshKnowsEverySubcommandAndFlag) {
  CommandLine line;
  const std::string script = ZshCompletion(line.app());
  EXPECT_THAT(script, ::testing::StartsWith("#compdef sluice\n"));
  EXPECT_THAT(script, HasSubstr("'pub:Publish a message, or each line of standard input'"));
  EXPECT_THAT(script, HasSubstr("_sluice_demo_slow-consumer() {"));
  EXPECT_THAT(
      script,
      HasSubstr(
          "'(-f --file)--file[publish what a file holds, as one message; - is standard input]:path:_files'"));
  // Quotes, brackets and colons of a help text are escaped.
  EXPECT_THAT(script, HasSubstr("the broker'\\''s largest payload"));
  EXPECT_THAT(script, HasSubstr("\\[1 to"));
  EXPECT_THAT(script, HasSubstr("'(-l --lines)--lines["));
  EXPECT_THAT(script, HasSubstr("the others go on]'"));
}

}  // namespace
}  // namespace sluice::cli
