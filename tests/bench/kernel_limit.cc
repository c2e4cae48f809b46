// What the kernel alone costs: a relay without topics, parsing or queues. Whatever a publisher's connection
// sends is read in large pieces and written to every subscriber, one send each. Nothing is read while a piece
// is not with all of them, so a subscriber that does not read stops it: it is a measure, not a broker.
//
//   kernel_limit PORT [BUFFER_BYTES]
#include "tests/bench/kernel_limit.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace sluice::bench {
namespace {

struct Peer {
  explicit Peer(int socket) : fd(socket) {}
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { ::close(fd); }

  const int fd;
  uint32_t role = 0;
  uint32_t unit_bytes = 1;
  // Of a publisher: read, and not forwarded yet.
  std::vector<char> rest = {};
  // Of a subscriber: how much of the piece under way it has got.
  size_t sent = 0;
};

class Relay {
 public:
  Relay(int listener, size_t buffer_bytes)
      : listener_(listener), poller_(::epoll_create1(EPOLL_CLOEXEC)), buffer_(buffer_bytes) {
    Watch(EPOLL_CTL_ADD, listener_, EPOLLIN, nullptr);
  }

  [[noreturn]] void Run() {
    std::array<epoll_event, 256> events;
    for (;;) {
      const int count = ::epoll_wait(poller_, events.data(), events.size(), -1);
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<size_t>(i)];
        auto* const peer = static_cast<Peer*>(event.data.ptr);
        if (peer == nullptr) {
          Accept();
        } else if (peer->role == 0) {
          Greet(peer);
        } else if (peer->role == kLimitPublisher) {
          Forward(peer);
        } else {
          DropIfClosed(peer);
        }
      }
    }
  }

 private:
  void Watch(int operation, int fd, uint32_t interest, Peer* peer) const {
    epoll_event event = {.events = interest, .data = {.ptr = peer}};
    ::epoll_ctl(poller_, operation, fd, &event);
  }

  void Accept() {
    for (;;) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      peers_.push_back(std::make_unique<Peer>(fd));
      Watch(EPOLL_CTL_ADD, fd, EPOLLIN, peers_.back().get());
    }
  }

  void Greet(Peer* peer) {
    std::array<uint32_t, 2> hello = {};
    const ssize_t got = ::recv(peer->fd, hello.data(), sizeof hello, MSG_PEEK);
    if (got <= 0) return Drop(peer);
    if (got < static_cast<ssize_t>(sizeof hello)) return;
    if (::recv(peer->fd, hello.data(), sizeof hello, 0) < 0) return Drop(peer);
    peer->role = hello[0];
    peer->unit_bytes = std::max(1U, hello[1]);
    (peer->role == kLimitPublisher ? publishers_ : subscribers_).push_back(peer);
    if (::send(peer->fd, &kLimitAnswer, sizeof kLimitAnswer, MSG_NOSIGNAL) < 0) Drop(peer);
  }

  void Forward(Peer* publisher) {
    const size_t unit = publishers_.size() == 1 ? 1 : publisher->unit_bytes;
    const size_t kept = publisher->rest.size();
    if (buffer_.size() < 2 * unit) buffer_.resize(2 * unit);
    std::copy(publisher->rest.begin(), publisher->rest.end(), buffer_.begin());
    publisher->rest.clear();
    const ssize_t got = ::recv(publisher->fd, buffer_.data() + kept, buffer_.size() - kept, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return Drop(publisher);
    const size_t size = kept + static_cast<size_t>(std::max<ssize_t>(0, got));
    const size_t whole = size - size % unit;
    publisher->rest.assign(buffer_.begin() + static_cast<ptrdiff_t>(whole),
                           buffer_.begin() + static_cast<ptrdiff_t>(size));
    if (whole > 0) SendToAll(whole);
  }

  void SendToAll(size_t size) {
    waiting_.clear();
    for (Peer* subscriber : subscribers_) {
      subscriber->sent = 0;
      if (Send(subscriber, size) == Sent::kPart) waiting_.push_back(subscriber);
    }
    for (Peer* subscriber : waiting_) {
      pollfd writable = {.fd = subscriber->fd, .events = POLLOUT, .revents = 0};
      do {
        ::poll(&writable, 1, -1);
      } while (Send(subscriber, size) == Sent::kPart);
    }
  }

  enum class Sent { kPart, kAll, kNever };

  // A broken connection is dropped when its end is read.
  Sent Send(Peer* subscriber, size_t size) const {
    const ssize_t sent =
        ::send(subscriber->fd, buffer_.data() + subscriber->sent, size - subscriber->sent, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return Sent::kNever;
    subscriber->sent += static_cast<size_t>(std::max<ssize_t>(0, sent));
    return subscriber->sent == size ? Sent::kAll : Sent::kPart;
  }

  void DropIfClosed(Peer* subscriber) {
    char byte;
    const ssize_t got = ::recv(subscriber->fd, &byte, 1, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) Drop(subscriber);
  }

  // Level-triggered events come one per connection and turn, so none of this turn still names it.
  void Drop(Peer* peer) {
    std::erase(publishers_, peer);
    std::erase(subscribers_, peer);
    std::erase_if(peers_, [&](const std::unique_ptr<Peer>& held) { return held.get() == peer; });
  }

  const int listener_;
  const int poller_;
  std::vector<char> buffer_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<Peer*> publishers_;
  std::vector<Peer*> subscribers_;
  std::vector<Peer*> waiting_;
};

int Main(int argc, char** argv) {
  const int port = argc > 1 ? std::atoi(argv[1]) : 0;
  const int buffer_bytes = argc > 2 ? std::atoi(argv[2]) : 256 << 10;
  if (port <= 0 || port > 65535 || buffer_bytes <= 0) {
    fmt::print(stderr, "usage: kernel_limit PORT [BUFFER_BYTES]\n");
    return 2;
  }
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, SOMAXCONN) != 0) {
    fmt::print(stderr, "kernel_limit: cannot listen on port {}: {}\n", port, std::strerror(errno));
    return 1;
  }
  Relay(listener, static_cast<size_t>(buffer_bytes)).Run();
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) { return sluice::bench::Main(argc, argv); }
