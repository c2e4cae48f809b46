// A program that we start, feed and wait for.
//
//   absl::StatusOr<ChildProcess> child = ChildProcess::Start({.arguments = {"/bin/sh", "-c", command},
//                                                             .input = Pipe::kYes, .output = Pipe::kYes});
//   Write to child->input(), read from child->output(), WaitFor({child->exited_fd()}), child->Wait();
//
// It gets the signals that we block or ignore as they were, a process group of its own (so Ctrl-C reaches
// only us), and SIGKILL when the thread that started it ends, so that it does not outlive us.
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_CLI_CHILD_PROCESS_H_
#define SLUICE_CLIENT_CLI_CHILD_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/descriptor.h"

namespace sluice::cli {

enum class Pipe { kYes, kNo };

struct ProcessEnd {
  // -1 if a signal ended it.
  int exit_code = -1;
  int signal = 0;

  bool in_order() const { return exit_code == 0; }
  // "exited with 1", "was killed by signal 9"
  std::string ToString() const;
};

class ChildProcess {
 public:
  struct Options {
    // The first is the program: a path, or a name that is looked for in PATH.
    std::vector<std::string> arguments;
    // Set beside what our own environment has.
    std::vector<std::pair<std::string, std::string>> environment = {};
    // Without a pipe: standard input is empty, the others are ours.
    Pipe input = Pipe::kNo;
    Pipe output = Pipe::kNo;
    // In place of a pipe: it writes to what this refers to.
    int output_to = -1;
    Pipe errors = Pipe::kNo;
    int errors_to = -1;
  };
  // NotFound, PermissionDenied, …: why it cannot be started.
  static absl::StatusOr<ChildProcess> Start(const Options& options);

  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;
  // Kills it if it still runs.
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  // Our ends of its pipes, non-blocking; nothing (-1) where none was asked for.
  Descriptor& input() { return input_; }
  Descriptor& output() { return output_; }
  Descriptor& errors() { return errors_; }
  // Readable once it has ended.
  int exited_fd() const { return pid_fd_.get(); }

  // To it and to all that it has started.
  void Signal(int signal) const;
  // Waits for its end. Once.
  ProcessEnd Wait();

 private:
  ChildProcess(pid_t pid, Descriptor pid_fd, Descriptor input, Descriptor output, Descriptor errors)
      : pid_(pid),
        pid_fd_(std::move(pid_fd)),
        input_(std::move(input)),
        output_(std::move(output)),
        errors_(std::move(errors)) {}

  // -1 once it was waited for.
  pid_t pid_;
  Descriptor pid_fd_;
  Descriptor input_;
  Descriptor output_;
  Descriptor errors_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_CHILD_PROCESS_H_
