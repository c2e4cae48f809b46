// Runs a shell command that gets a message on its standard input, and returns what it prints.
//
//   CommandRunner runner(
//       {.command = "tr a-z A-Z", .timeout = absl::Seconds(30), .output_bytes_max = 1 << 20},
//       interrupt.fd());
//   CommandResult result = runner.Run(request);
//
// The command finds the topic in SLUICE_TOPIC; its standard error is ours.
//
// Thread safety: one thread at a time.
#ifndef SLUICE_CLIENT_CLI_COMMAND_RUNNER_H_
#define SLUICE_CLIENT_CLI_COMMAND_RUNNER_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "client/cli/child_process.h"
#include "protocol/message_view.h"

namespace sluice::cli {

struct CommandResult {
  // What it printed, also if it failed.
  std::string output;
  // Empty if it ended with exit code 0; otherwise why not, in a few words.
  std::string error;
};

class CommandRunner {
 public:
  struct Options {
    std::string command = {};
    // It is killed after so long, or when it prints more than so much.
    absl::Duration timeout = absl::Seconds(30);
    uint64_t output_bytes_max = 1 << 20;
  };
  // It is also killed when `interrupt_fd` becomes readable.
  CommandRunner(Options options, int interrupt_fd)
      : options_(std::move(options)), interrupt_fd_(interrupt_fd) {}

  CommandResult Run(const MessageView& message) const;

 private:
  const Options options_;
  const int interrupt_fd_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_COMMAND_RUNNER_H_
