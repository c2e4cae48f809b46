#include "client/cli/demo_broker.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "client/cli/event.h"
#include "client/clock.h"

namespace sluice::cli {
namespace {

constexpr char kProgram[] = "sluiced";

// Where the broker is: beside us, or wherever PATH finds it.
std::string FindProgram() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    const std::string beside = (self.parent_path() / kProgram).string();
    if (::access(beside.c_str(), X_OK) == 0) return beside;
  }
  return kProgram;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DemoBroker>> DemoBroker::Start(const Options& options, int interrupt_fd) {
  std::vector<std::string> arguments = {options.program.empty() ? FindProgram() : options.program,
                                        "--listen=" + options.listen, "--http=" + options.http,
                                        "--log-format=text"};
  arguments.insert(arguments.end(), options.flags.begin(), options.flags.end());
  absl::StatusOr<ChildProcess> child = ChildProcess::Start({.arguments = arguments, .errors = Pipe::kYes});
  if (!child.ok()) {
    if (!absl::IsNotFound(child.status())) return child.status();
    return absl::NotFoundError(
        fmt::format("there is no broker {} (--broker PATH says where it is)", arguments[0]));
  }
  std::unique_ptr<DemoBroker> broker(new DemoBroker(*std::move(child)));
  if (absl::Status status = broker->WaitUntilServing(options.timeout, interrupt_fd); !status.ok())
    return status;
  return broker;
}

absl::Status DemoBroker::WaitUntilServing(absl::Duration timeout, int interrupt_fd) {
  const absl::Time deadline = client::DeadlineIn(timeout);
  std::string last_line = "nothing";
  for (;;) {
    const Ready ready = WaitFor({log_fd(), interrupt_fd}, deadline);
    if (ready.none()) {
      return absl::DeadlineExceededError(
          fmt::format("the broker did not begin to serve within {}; the last that it said: {}",
                      absl::FormatDuration(timeout), last_line));
    }
    if (ready.has(1)) return absl::CancelledError("a signal came");
    for (const LogLine& line : ReadLog()) {
      last_line = line.text;
      if (line.message != "serving") continue;
      address_ = line.Field("listen");
      http_address_ = line.Field("http");
      return absl::OkStatus();
    }
    if (log_ended_) {
      return absl::UnavailableError(
          fmt::format("the broker {}; the last that it said: {}", child_.Wait().ToString(), last_line));
    }
  }
}

std::vector<LogLine> DemoBroker::ReadLog() {
  std::vector<LogLine> lines;
  std::array<char, 4096> buffer;
  while (!log_ended_) {
    const ssize_t got = ::read(log_fd(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got <= 0) {
      log_ended_ = true;
      break;
    }
    unfinished_line_.append(buffer.data(), static_cast<size_t>(got));
    size_t begin = 0;
    for (size_t end; (end = unfinished_line_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      lines.push_back(ParseLogLine(std::string_view(unfinished_line_).substr(begin, end - begin)));
    }
    unfinished_line_.erase(0, begin);
  }
  return lines;
}

ProcessEnd DemoBroker::Stop() {
  child_.Signal(SIGTERM);
  // What it says on its way down must be read, or it would wait for that.
  while (!log_ended_) {
    WaitFor({log_fd()});
    ReadLog();
  }
  return child_.Wait();
}

}  // namespace sluice::cli
