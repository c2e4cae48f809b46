#include "broker/net/listener_socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include "broker/net/error_text.h"
#include "fmt/format.h"

namespace sluice::net {
namespace {

AcceptStatus StatusOf(int error) {
  switch (error) {
    case EAGAIN:
      return AcceptStatus::kWouldBlock;
    // What accept(2) says of Linux: errors of the network that wait on the new connection are reported here.
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case ETIMEDOUT:
    case EPERM:
      return AcceptStatus::kAborted;
    case EMFILE:
    case ENFILE:
      return AcceptStatus::kOutOfDescriptors;
    case ENOBUFS:
    case ENOMEM:
      return AcceptStatus::kOutOfMemory;
    default:
      return AcceptStatus::kError;
  }
}

// An address that is configured nowhere on this machine; a name may have another one that is.
bool IsNotOfThisMachine(int error) { return error == EADDRNOTAVAIL || error == EAFNOSUPPORT; }

struct Listening {
  int error = 0;  // 0: `fd` listens on `bound`
  FileDescriptor fd;
  SocketAddress bound;
};

Listening ListenAt(const SocketAddress& address, int backlog) {
  FileDescriptor fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd) return {errno, {}, {}};
  const int on = 1;
  const int off = 0;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return {errno, {}, {}};
  // [::] means every interface, whatever the machine's default for IPv4 on such a socket is.
  if (address.family() == AF_INET6 &&
      ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) {
    return {errno, {}, {}};
  }
  if (::bind(fd.get(), address.get(), address.bytes()) != 0) return {errno, {}, {}};
  if (::listen(fd.get(), backlog) != 0) return {errno, {}, {}};
  // The port that the kernel chose for 0.
  sockaddr_storage bound = {};
  socklen_t bytes = sizeof bound;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &bytes) != 0) return {errno, {}, {}};
  return {0, std::move(fd), {reinterpret_cast<sockaddr*>(&bound), bytes}};
}

}  // namespace

absl::StatusOr<ListenerSocket> ListenerSocket::Listen(const HostPort& where, int backlog) {
  const std::string what = fmt::format("cannot listen on {}", where.ToString());
  const absl::StatusOr<std::vector<SocketAddress>> addresses = Resolve(where);
  if (!addresses.ok()) {
    return absl::Status(addresses.status().code(),
                        fmt::format("{}: {}", what, std::string(addresses.status().message())));
  }
  int error = EADDRNOTAVAIL;
  for (const SocketAddress& address : *addresses) {
    Listening listening = ListenAt(address, backlog);
    if (listening.error == 0) return ListenerSocket(std::move(listening.fd), listening.bound);
    error = listening.error;
    if (!IsNotOfThisMachine(error)) break;
  }
  return ErrorStatus(error, what);
}

AcceptResult ListenerSocket::Accept() {
  sockaddr_storage peer = {};
  socklen_t bytes = sizeof peer;
  int fd = -1;
  do {
    bytes = sizeof peer;
    fd = ::accept4(fd_.get(), reinterpret_cast<sockaddr*>(&peer), &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) {
    const AcceptStatus status = StatusOf(errno);
    return {status, {}, {}, status == AcceptStatus::kWouldBlock ? 0 : errno};
  }
  return {
      AcceptStatus::kAccepted, Socket(FileDescriptor(fd)), {reinterpret_cast<sockaddr*>(&peer), bytes}, 0};
}

SpareState SpareDescriptor::Refill() {
  if (!fd_) fd_.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return state();
}

}  // namespace sluice::net
