#include "client/cli/event.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "client/clock.h"

namespace sluice::cli {

Event::Event() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!fd_) throw std::system_error(errno, std::generic_category(), "cannot create an eventfd");
}

void Event::Set() const {
  const uint64_t one = 1;
  // It fails only when the counter is full, and then it is readable anyway.
  static_cast<void>(!::write(fd_.get(), &one, sizeof one));
}

void Event::Clear() const {
  uint64_t ignored = 0;
  // It fails only when it was not set.
  static_cast<void>(!::read(fd_.get(), &ignored, sizeof ignored));
}

Ready WaitFor(std::initializer_list<int> fds, absl::Time deadline) {
  constexpr size_t kFdsMax = 8;
  std::array<pollfd, kFdsMax> polled;
  const size_t count = std::min(fds.size(), kFdsMax);
  for (size_t i = 0; i < count; ++i) polled[i] = {.fd = fds.begin()[i], .events = POLLIN, .revents = 0};
  for (;;) {
    timespec timeout = {};
    const bool forever = deadline == absl::InfiniteFuture();
    if (!forever)
      timeout = absl::ToTimespec(std::max(absl::ZeroDuration(), deadline - client::MonotonicNow()));
    const int ready = ::ppoll(polled.data(), count, forever ? nullptr : &timeout, nullptr);
    if (ready < 0 && errno == EINTR) continue;
    uint32_t bits = 0;
    for (size_t i = 0; i < count && ready > 0; ++i) bits |= polled[i].revents != 0 ? 1u << i : 0u;
    return Ready(bits);
  }
}

}  // namespace sluice::cli
