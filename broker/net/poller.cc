#include "broker/net/poller.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <utility>

#include "broker/net/error_text.h"
#include "fmt/format.h"

namespace sluice::net {
namespace {

uint32_t EventsOf(Interest interest) {
  constexpr uint32_t kEdges = EPOLLIN | EPOLLRDHUP | EPOLLET;
  switch (interest) {
    case Interest::kRead:
      return kEdges;
    case Interest::kReadWrite:
      return kEdges | EPOLLOUT;
    case Interest::kReadLevel:
      return EPOLLIN;
    case Interest::kNothing:
      return 0;
  }
  return 0;
}

Event EventOf(const epoll_event& ready) {
  const uint32_t events = ready.events;
  return {.token = ready.data.u64,
          .readable = (events & EPOLLIN) != 0,
          .writable = (events & EPOLLOUT) != 0,
          .peer_closed = (events & EPOLLRDHUP) != 0,
          .failed = (events & (EPOLLERR | EPOLLHUP)) != 0};
}

const char* NameOf(int operation) {
  switch (operation) {
    case EPOLL_CTL_ADD:
      return "add";
    case EPOLL_CTL_MOD:
      return "modify";
    default:
      return "remove";
  }
}

// -1, epoll's word for no limit, for what is longer than it can count (24 days).
int TimeoutMs(absl::Duration max) {
  const int64_t ms = absl::ToInt64Milliseconds(absl::Ceil(max, absl::Milliseconds(1)));
  return ms > std::numeric_limits<int>::max() ? -1 : static_cast<int>(ms);
}

}  // namespace

Poller::Poller(FileDescriptor epoll, size_t events_per_wait)
    : epoll_(std::move(epoll)), ready_(events_per_wait), events_(events_per_wait) {}

absl::StatusOr<Poller> Poller::Create(size_t events_per_wait) {
  FileDescriptor epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return ErrorStatus(errno, "cannot create an epoll instance");
  return Poller(std::move(epoll), std::max<size_t>(events_per_wait, 1));
}

absl::Status Poller::Control(int operation, int fd, uint64_t token, Interest interest) {
  epoll_event event = {.events = EventsOf(interest), .data = {.u64 = token}};
  if (::epoll_ctl(epoll_.get(), operation, fd, &event) == 0) return absl::OkStatus();
  return ErrorStatus(errno, fmt::format("cannot {} descriptor {} in epoll", NameOf(operation), fd));
}

absl::Status Poller::Add(int fd, uint64_t token, Interest interest) {
  return Control(EPOLL_CTL_ADD, fd, token, interest);
}

absl::Status Poller::Modify(int fd, uint64_t token, Interest interest) {
  return Control(EPOLL_CTL_MOD, fd, token, interest);
}

absl::Status Poller::Remove(int fd) { return Control(EPOLL_CTL_DEL, fd, 0, Interest::kNothing); }

int Poller::WaitInKernel(absl::Duration max) {
  max = std::max(max, absl::ZeroDuration());
  const int events_max = static_cast<int>(ready_.size());
  if (timeouts_ == Timeouts::kNanoseconds) {
    const timespec timeout = absl::ToTimespec(max);
    const timespec* const limit = max == absl::InfiniteDuration() ? nullptr : &timeout;
    const int count = ::epoll_pwait2(epoll_.get(), ready_.data(), events_max, limit, nullptr);
    // EPERM is what the system call filters of older containers answer for what they do not know.
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
    timeouts_ = Timeouts::kMilliseconds;
  }
  return ::epoll_wait(epoll_.get(), ready_.data(), events_max, TimeoutMs(max));
}

std::span<const Event> Poller::Wait(absl::Duration max) {
  const int count = WaitInKernel(max);
  if (count < 0 && errno != EINTR) {
    // A descriptor that is not ours: going on would spin or serve the wrong peers.
    fmt::print(stderr, "sluice: epoll: {}\n", ErrorText(errno));
    std::abort();
  }
  const size_t events = count < 0 ? 0 : static_cast<size_t>(count);
  std::transform(ready_.begin(), ready_.begin() + static_cast<ptrdiff_t>(events), events_.begin(), EventOf);
  return {events_.data(), events};
}

}  // namespace sluice::net
