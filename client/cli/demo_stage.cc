#include "client/cli/demo_stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "client/cli/event.h"
#include "client/cli/flags.h"
#include "client/cli/text.h"
#include "client/cli/values.h"
#include "client/clock.h"

namespace sluice::cli {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

}  // namespace

absl::Status DemoStage::Start(DemoBroker::Options options) {
  options.program = program_;
  absl::StatusOr<std::unique_ptr<DemoBroker>> broker = DemoBroker::Start(options, console_.interrupt().fd());
  if (!broker.ok()) return broker.status();
  broker_ = *std::move(broker);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Client>> DemoStage::ConnectClient(const std::string& name,
                                                                 ClientOptions options) const {
  return Connect({.server = address(), .name = name, .connect_timeout = kPatience}, std::move(options),
                 console_);
}

absl::Status DemoStage::WaitUntil(const std::function<bool()>& condition, std::string_view what, int fd,
                                  int other_fd) {
  const absl::Time deadline = client::DeadlineIn(kPatience);
  for (;;) {
    if (absl::Status status = ReadLog(); !status.ok()) return status;
    if (condition()) return absl::OkStatus();
    const Ready ready =
        WaitFor({console_.interrupt().fd(), broker_->log_fd(), console_.output().hangup_fd(), fd, other_fd},
                deadline);
    if (ready.has(0)) return absl::CancelledError("a signal came");
    if (ready.none()) {
      return absl::DeadlineExceededError(fmt::format("waited {} for {}", ShowDuration(kPatience), what));
    }
  }
}

absl::Status DemoStage::Read(RawReceiver* receiver, uint64_t bytes_max, const std::function<bool()>& enough,
                             std::string_view what, int other_fd) {
  const uint64_t until =
      bytes_max > UINT64_MAX - receiver->bytes_read() ? UINT64_MAX : receiver->bytes_read() + bytes_max;
  absl::Status read_status;
  const auto done = [&] {
    read_status = receiver->Read(until - receiver->bytes_read()).status();
    return !read_status.ok() || receiver->bytes_read() >= until || receiver->ended() || enough();
  };
  absl::Status status = WaitUntil(done, what, receiver->fd(), other_fd);
  return status.ok() ? read_status : status;
}

absl::Status DemoStage::Pause(absl::Duration pause) {
  const absl::Time end = client::DeadlineIn(pause);
  for (;;) {
    const Ready ready =
        WaitFor({console_.interrupt().fd(), broker_->log_fd(), console_.output().hangup_fd()}, end);
    if (ready.none()) return absl::OkStatus();
    if (ready.has(0)) return absl::CancelledError("a signal came");
    if (absl::Status status = ReadLog(); !status.ok()) return status;
  }
}

absl::Status DemoStage::ReadLog() {
  for (LogLine& line : broker_->ReadLog()) on_line_(std::move(line));
  if (broker_->ended()) return absl::UnavailableError("the broker has ended by itself");
  if (console_.output().CheckReader() != Output::Result::kWritten) return absl::AbortedError("no output");
  return absl::OkStatus();
}

void DemoStage::Print(std::string_view text) {
  std::string line;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    AppendForTerminal(text.substr(begin, end - begin), &line);
    line.push_back('\n');
    begin = end + 1;
  }
  // ReadLog() finds out when nobody reads it.
  static_cast<void>(console_.output().Write(line));
}

void DemoStage::Result(bool holds, std::string_view text) {
  if (!holds) all_hold_ = false;
  Print(fmt::format("  {} {}", holds ? "ok    " : "FAILED", text));
}

void DemoStage::StopBroker() {
  const ProcessEnd end = broker_->Stop();
  Result(end.in_order(), fmt::format("told to stop, the broker {}", end.ToString()));
}

ExitCode DemoStage::End(const absl::Status& status) {
  if (console_.output().result() != Output::Result::kWritten) return console_.Fail(console_.output());
  if (absl::IsCancelled(status)) return console_.interrupt().exit_code().value_or(ExitCode::kFailure);
  if (!status.ok()) return console_.Fail(status);
  Print(all_hold_ ? "\nAll of it held." : "\nNot all of it held.");
  return all_hold_ ? ExitCode::kDone : ExitCode::kFailure;
}

}  // namespace sluice::cli
