// Programs of the system that a test runs: promtool, prometheus. One that is not installed throws
// std::runtime_error: such a test fails, it does not pass by.
//
//   const CommandResult check = RunCommand({"promtool", "check", "metrics"}, page);
//   EXPECT_EQ(check.exit_code, 0) << check.output;
#ifndef SLUICE_TESTS_SUPPORT_COMMAND_H_
#define SLUICE_TESTS_SUPPORT_COMMAND_H_

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/support/temp_dir.h"

namespace sluice::testing {

// A program in the background, with its input from a text and its output (both kinds) in a file. Killed with
// the object, and with this process.
class Command {
 public:
  explicit Command(const std::vector<std::string>& arguments, std::string_view input = "");
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  ~Command();

  // Its exit code; 128 and the signal's number for one that was killed.
  int Wait();
  bool running();
  // What it said so far.
  std::string output() const;

 private:
  TempDir dir_;
  pid_t pid_ = -1;
  int exit_code_ = -1;  // -1: not known to have ended
};

struct CommandResult {
  int exit_code = -1;
  std::string output;
};

CommandResult RunCommand(const std::vector<std::string>& arguments, std::string_view input = "");

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_COMMAND_H_
