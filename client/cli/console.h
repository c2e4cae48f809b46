// What a command talks to: standard output, notices and a progress line on standard error, and the signals.
//
//   console.Notice("disconnected: the broker goes down");    // "sluice: disconnected: …" on its own line
//   console.Progress("1.2M messages/s");                     // on a terminal only, always the same line
//   return console.Fail("cannot read standard input");       // a notice, and ExitCode::kFailure
//
// Thread safety: Notice(), Progress() and Fail() from any thread; the rest by the main thread.
#ifndef SLUICE_CLIENT_CLI_CONSOLE_H_
#define SLUICE_CLIENT_CLI_CONSOLE_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"
#include "client/cli/message_format.h"
#include "client/cli/output.h"
#include "client/mutex.h"

namespace sluice::cli {

class Console {
 public:
  // `interrupt` outlives the console.
  explicit Console(const Interrupt* interrupt);
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;
  ~Console();

  const Interrupt& interrupt() const { return interrupt_; }
  Output& output() { return output_; }

  // Whether a person watches: standard output, or standard error, is a terminal.
  bool output_is_terminal() const { return output_is_terminal_; }
  bool notices_are_for_a_terminal() const { return notices_are_for_a_terminal_; }
  // For standard output: on a terminal, unless NO_COLOR is set.
  Colour colour() const { return colour_; }

  // What `text` holds from outside is made fit for a terminal.
  void Notice(std::string_view text);
  // Replaces the progress line; "" removes it. Nothing happens unless standard error is a terminal.
  void Progress(std::string_view text);

  ExitCode Fail(std::string_view text);
  // kTimeout for DeadlineExceeded, kUsage for InvalidArgument, otherwise kFailure.
  ExitCode Fail(const absl::Status& status);
  // The same, but quiet, and with the signal's code, when a signal is why it failed.
  ExitCode FailUnlessInterrupted(const absl::Status& status);
  // Fail() with what went wrong with the output; quiet when its reader has gone or a signal came.
  ExitCode Fail(const Output& output);

 private:
  void EraseProgress() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Interrupt& interrupt_;
  Output output_;
  const bool output_is_terminal_;
  const bool notices_are_for_a_terminal_;
  const Colour colour_;

  client::Mutex mutex_;
  bool progress_shown_ ABSL_GUARDED_BY(mutex_) = false;
};

// What ExitCode a failed call of the client library means.
ExitCode ExitCodeOf(const absl::Status& status);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_CONSOLE_H_
