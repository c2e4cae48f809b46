#include "client/cli/output.h"

#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

namespace sluice::cli {
namespace {

// A pipe that poll() calls writable takes so many bytes without blocking.
constexpr size_t kPieceBytes = PIPE_BUF;

}  // namespace

Output::Output(int fd, int interrupt_fd)
    : fd_(fd), interrupt_fd_(interrupt_fd), kind_([fd] {
        struct stat status = {};
        if (::fstat(fd, &status) != 0) return Kind::kFile;
        if (S_ISFIFO(status.st_mode)) return Kind::kPipe;
        return S_ISSOCK(status.st_mode) || ::isatty(fd) == 1 ? Kind::kOther : Kind::kFile;
      }()) {}

Output::Result Output::Write(std::string_view bytes) {
  while (result_ == Result::kWritten && !bytes.empty()) {
    size_t piece = bytes.size();
    if (kind_ != Kind::kFile) {
      std::array<pollfd, 2> polled = {{{fd_, POLLOUT, 0}, {interrupt_fd_, POLLIN, 0}}};
      if (::poll(polled.data(), polled.size(), -1) < 0) continue;
      // After a signal, what can be written at once still is.
      if (polled[0].revents == 0) return result_ = Result::kInterrupted;
      piece = std::min(piece, kPieceBytes);
    }
    const ssize_t written = ::write(fd_, bytes.data(), piece);
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR && errno != EAGAIN) {
      return Fail(errno);
    }
  }
  return result_;
}

Output::Result Output::CheckReader() {
  pollfd polled = {fd_, 0, 0};
  if (result_ == Result::kWritten && ::poll(&polled, 1, 0) == 1 &&
      (polled.revents & (POLLERR | POLLHUP)) != 0) {
    result_ = Result::kReaderGone;
  }
  return result_;
}

Output::Result Output::Fail(int error_number) {
  if (error_number == EPIPE) return result_ = Result::kReaderGone;
  error_ = fmt::format("cannot write to standard output: {}", std::generic_category().message(error_number));
  return result_ = Result::kFailed;
}

}  // namespace sluice::cli
