#include "client/cli/command_runner.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "client/clock.h"

namespace sluice::cli {
namespace {

constexpr size_t kReadBytes = 64 << 10;

// Writes what the pipe takes; closes it when all is written, or when the command does not want the rest.
void Feed(std::string_view* rest, Descriptor* input) {
  while (!rest->empty()) {
    const ssize_t written = ::write(input->get(), rest->data(), rest->size());
    if (written >= 0) {
      rest->remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      break;
    }
  }
  input->Close();
}

// Reads what is there; closes the pipe at its end.
void Collect(Descriptor* output, uint64_t bytes_max, std::string* text) {
  while (*output && text->size() <= bytes_max) {
    const size_t before = text->size();
    text->resize(before + kReadBytes);
    const ssize_t got = ::read(output->get(), text->data() + before, kReadBytes);
    text->resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && errno == EAGAIN) return;
    if (got == 0 || (got < 0 && errno != EINTR)) output->Close();
  }
}

}  // namespace

CommandResult CommandRunner::Run(const MessageView& message) const {
  absl::StatusOr<ChildProcess> child =
      ChildProcess::Start({.arguments = {"/bin/sh", "-c", options_.command},
                           .environment = {{"SLUICE_TOPIC", std::string(message.topic)}},
                           .input = Pipe::kYes,
                           .output = Pipe::kYes});
  if (!child.ok()) return {.output = "", .error = std::string(child.status().message())};
  CommandResult result;
  std::string_view rest = message.payload;
  Feed(&rest, &child->input());
  const absl::Time deadline = client::DeadlineIn(options_.timeout);
  for (;;) {
    std::array<pollfd, 4> polled = {{{interrupt_fd_, POLLIN, 0},
                                     {child->exited_fd(), POLLIN, 0},
                                     {child->output().get(), POLLIN, 0},
                                     {child->input().get(), POLLOUT, 0}}};
    const timespec timeout =
        absl::ToTimespec(std::max(absl::ZeroDuration(), deadline - client::MonotonicNow()));
    const int ready = ::ppoll(polled.data(), polled.size(), &timeout, nullptr);
    if (ready < 0) continue;
    if (polled[3].revents != 0) Feed(&rest, &child->input());
    Collect(&child->output(), options_.output_bytes_max, &result.output);
    if (result.output.size() > options_.output_bytes_max) {
      result.error = fmt::format("printed more than {} bytes", options_.output_bytes_max);
    } else if (polled[0].revents != 0) {
      result.error = "interrupted";
    } else if (ready == 0) {
      result.error = fmt::format("did not end within {}", absl::FormatDuration(options_.timeout));
    } else if (polled[1].revents != 0) {
      // What it wrote before it ended has been collected; what it left running in the background is not
      // waited for.
      const ProcessEnd end = child->Wait();
      if (!end.in_order()) result.error = end.ToString();
      return result;
    } else {
      continue;
    }
    result.output.resize(std::min<size_t>(result.output.size(), options_.output_bytes_max));
    child->Signal(SIGKILL);
    child->Wait();
    return result;
  }
}

}  // namespace sluice::cli
