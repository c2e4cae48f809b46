#include "client/cli/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "client/cli/text.h"

namespace sluice::cli {
namespace {

constexpr std::string_view kEraseLine = "\r\x1b[K";

// To standard error in one call, so that lines of several threads and processes do not mix. If nobody reads
// it, there is nothing that could be done about it.
void WriteToStderr(std::string_view text) {
  static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
}

Colour ColourOfStdout() {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool plain = (no_colour != nullptr && *no_colour != '\0') || terminal == nullptr ||
                     std::string_view(terminal) == "dumb" || ::isatty(STDOUT_FILENO) != 1;
  return plain ? Colour::kNo : Colour::kYes;
}

}  // namespace

Console::Console(const Interrupt* interrupt)
    : interrupt_(*interrupt),
      output_(STDOUT_FILENO, interrupt->fd()),
      output_is_terminal_(::isatty(STDOUT_FILENO) == 1),
      notices_are_for_a_terminal_(::isatty(STDERR_FILENO) == 1),
      colour_(ColourOfStdout()) {}

Console::~Console() {
  client::MutexLock lock(&mutex_);
  EraseProgress();
}

void Console::Notice(std::string_view text) {
  std::string line = "sluice: ";
  AppendForTerminal(text, &line);
  line.push_back('\n');
  client::MutexLock lock(&mutex_);
  EraseProgress();
  WriteToStderr(line);
}

void Console::Progress(std::string_view text) {
  if (!notices_are_for_a_terminal_) return;
  client::MutexLock lock(&mutex_);
  if (text.empty()) return EraseProgress();
  WriteToStderr(fmt::format("{}{}", kEraseLine, text));
  progress_shown_ = true;
}

void Console::EraseProgress() {
  if (!progress_shown_) return;
  WriteToStderr(kEraseLine);
  progress_shown_ = false;
}

ExitCode Console::Fail(std::string_view text) {
  Notice(text);
  return ExitCode::kFailure;
}

ExitCode Console::Fail(const absl::Status& status) {
  Notice({status.message().data(), status.message().size()});
  return ExitCodeOf(status);
}

ExitCode Console::FailUnlessInterrupted(const absl::Status& status) {
  const std::optional<ExitCode> signal = interrupt_.exit_code();
  return signal.has_value() ? *signal : Fail(status);
}

ExitCode Console::Fail(const Output& output) {
  switch (output.result()) {
    case Output::Result::kReaderGone:
      return ExitCode::kReaderGone;
    case Output::Result::kInterrupted:
      return interrupt_.exit_code().value_or(ExitCode::kInterrupted);
    case Output::Result::kFailed:
    case Output::Result::kWritten:
      break;
  }
  return Fail(output.error());
}

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kDone;
    case absl::StatusCode::kInvalidArgument:
      return ExitCode::kUsage;
    case absl::StatusCode::kDeadlineExceeded:
      return ExitCode::kTimeout;
    default:
      return ExitCode::kFailure;
  }
}

}  // namespace sluice::cli
