#include "client/wakeup.h"

#include <fmt/core.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace sluice::client {

Wakeup::~Wakeup() {
  if (fd_ >= 0) ::close(fd_);
}

absl::Status Wakeup::Open() {
  fd_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd_ >= 0) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      fmt::format("cannot create an eventfd: {}", std::generic_category().message(errno)));
}

void Wakeup::Notify() const {
  const uint64_t one = 1;
  // It can only fail when the counter is full, and then fd() is readable anyway.
  static_cast<void>(::write(fd_, &one, sizeof one));
}

void Wakeup::Drain() const {
  uint64_t ignored = 0;
  // It can only fail when nobody has notified.
  static_cast<void>(::read(fd_, &ignored, sizeof ignored));
}

}  // namespace sluice::client
