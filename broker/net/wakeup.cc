#include "broker/net/wakeup.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "broker/net/error_text.h"

namespace sluice::net {

absl::StatusOr<Wakeup> Wakeup::Create() {
  FileDescriptor fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd) return ErrorStatus(errno, "cannot create an eventfd");
  return Wakeup(std::move(fd));
}

void Wakeup::Notify() const {
  // A signal handler must leave errno as the interrupted code knows it.
  const int error = errno;
  const uint64_t one = 1;
  // It can only fail when the counter is full, and then fd() is readable anyway.
  static_cast<void>(::write(fd_.get(), &one, sizeof one));
  errno = error;
}

void Wakeup::Drain() {
  uint64_t ignored = 0;
  // It can only fail when nobody has called Notify().
  static_cast<void>(::read(fd_.get(), &ignored, sizeof ignored));
}

}  // namespace sluice::net
