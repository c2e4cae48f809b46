#include "tests/support/cli_process.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>

#include "client/clock.h"

namespace sluice::testing {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(3);

std::string UrlOf(const BrokerProcess& broker) { return fmt::format("sluice://127.0.0.1:{}", broker.port()); }

}  // namespace

CliProcess::CliProcess(const BrokerProcess& broker, std::vector<std::string> arguments, int output_to)
    : CliProcess(UrlOf(broker), std::move(arguments), output_to) {}

CliProcess::CliProcess(const std::string& url, std::vector<std::string> arguments, int output_to)
    : command_(fmt::format("sluice {}", fmt::join(arguments, " "))) {
  // A test that runs in the background of a script was started with SIGINT ignored, which a child would
  // inherit.
  for (const int signal : {SIGINT, SIGHUP}) ::signal(signal, SIG_DFL);
  // A command may end before it has taken all that it is sent.
  ::signal(SIGPIPE, SIG_IGN);
  arguments.insert(arguments.begin(), SLUICE_PATH);
  absl::StatusOr<cli::ChildProcess> child =
      cli::ChildProcess::Start({.arguments = std::move(arguments),
                                .environment = {{"SLUICE_URL", url}, {"TERM", "xterm"}, {"NO_COLOR", ""}},
                                .input = cli::Pipe::kYes,
                                .output = output_to < 0 ? cli::Pipe::kYes : cli::Pipe::kNo,
                                .output_to = output_to,
                                .errors = cli::Pipe::kYes});
  if (!child.ok()) throw std::runtime_error(std::string(child.status().message()));
  child_.emplace(*std::move(child));
}

void CliProcess::Send(std::string_view bytes) {
  unsent_ = bytes;
  PumpUntil([this] { return unsent_.empty(); }, "took what it was sent");
}

void CliProcess::EndInput() { child_->input().Close(); }

void CliProcess::WaitForOutput(std::string_view text) {
  PumpUntil([&] { return output_.find(text) != std::string::npos; }, fmt::format("printed \"{}\"", text));
}

void CliProcess::WaitForErrors(std::string_view text) {
  PumpUntil([&] { return errors_.find(text) != std::string::npos; }, fmt::format("said \"{}\"", text));
}

void CliProcess::WaitForOutputBytes(size_t bytes) {
  PumpUntil([&] { return output_.size() >= bytes; }, fmt::format("printed {} bytes", bytes));
}

void CliProcess::CloseOutput() { child_->output().Close(); }

cli::ProcessEnd CliProcess::Wait() {
  EndInput();
  return WaitWithOpenInput();
}

cli::ProcessEnd CliProcess::WaitWithOpenInput() {
  const auto has_ended = [this] {
    pollfd polled = {child_->exited_fd(), POLLIN, 0};
    return ::poll(&polled, 1, 0) == 1;
  };
  PumpUntil(has_ended, "ended");
  Collect(&child_->output(), &output_);
  Collect(&child_->errors(), &errors_);
  return child_->Wait();
}

void CliProcess::PumpUntil(const std::function<bool()>& done, const std::string& what) {
  const absl::Time deadline = client::DeadlineIn(kPatience);
  while (!done()) {
    std::array<pollfd, 4> polled = {{{child_->output().get(), POLLIN, 0},
                                     {child_->errors().get(), POLLIN, 0},
                                     {child_->exited_fd(), POLLIN, 0},
                                     {unsent_.empty() ? -1 : child_->input().get(), POLLOUT, 0}}};
    const absl::Duration left = deadline - client::MonotonicNow();
    const int ready = ::poll(polled.data(), polled.size(),
                             static_cast<int>(std::max<int64_t>(0, absl::ToInt64Milliseconds(left))));
    const bool ended = ready > 0 && polled[2].revents != 0;
    Collect(&child_->output(), &output_);
    Collect(&child_->errors(), &errors_);
    if (ready > 0 && polled[3].revents != 0) {
      const ssize_t written = ::write(child_->input().get(), unsent_.data(), unsent_.size());
      // Whoever does not want the rest does not get it.
      unsent_.remove_prefix(written >= 0     ? static_cast<size_t>(written)
                            : errno == EPIPE ? unsent_.size()
                                             : 0);
    }
    if (done()) return;
    if (ended || left <= absl::ZeroDuration()) {
      throw std::runtime_error(fmt::format("{}: {} before it {}\n---- output ----\n{}\n---- errors ----\n{}",
                                           command_, ended ? "ended" : "three minutes went by", what,
                                           output_.substr(0, 4000), errors_));
    }
  }
}

void CliProcess::Collect(cli::Descriptor* from, std::string* to) {
  std::array<char, 64 << 10> buffer;
  while (*from) {
    const ssize_t got = ::read(from->get(), buffer.data(), buffer.size());
    if (got > 0) {
      to->append(buffer.data(), static_cast<size_t>(got));
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
      from->Close();
    } else if (errno == EAGAIN) {
      return;
    }
  }
}

CliResult RunCli(const BrokerProcess& broker, const std::vector<std::string>& arguments) {
  return RunCli(UrlOf(broker), arguments);
}

CliResult RunCli(const std::string& url, const std::vector<std::string>& arguments) {
  CliProcess process(url, arguments);
  const cli::ProcessEnd end = process.Wait();
  return {end.exit_code, process.output(), process.errors()};
}

}  // namespace sluice::testing
