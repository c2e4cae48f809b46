#include "tests/support/socket_pair.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "broker/net/error_text.h"
#include "broker/net/file_descriptor.h"

namespace sluice::testing {
namespace {

constexpr int kPatienceMs = 120'000;

void Require(bool done, const std::string& what) {
  if (!done) throw std::runtime_error(what + ": " + net::ErrorText(errno));
}

void SetBuffer(const net::FileDescriptor& fd, int option, uint32_t bytes) {
  if (bytes == 0) return;
  const int value = static_cast<int>(bytes);
  Require(::setsockopt(fd.get(), SOL_SOCKET, option, &value, sizeof value) == 0, "setsockopt");
}

net::FileDescriptor NewSocket(uint32_t receive_buffer_bytes, uint32_t send_buffer_bytes) {
  net::FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
  Require(static_cast<bool>(fd), "socket");
  SetBuffer(fd, SO_RCVBUF, receive_buffer_bytes);
  SetBuffer(fd, SO_SNDBUF, send_buffer_bytes);
  return fd;
}

sockaddr_in LoopbackAt(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

net::Socket ConnectTo(uint16_t port, const SocketPairOptions& options, const char* host) {
  net::FileDescriptor fd = NewSocket(options.client_receive_buffer_bytes, options.client_send_buffer_bytes);
  sockaddr_in address = LoopbackAt(port);
  Require(::inet_pton(AF_INET, host, &address.sin_addr) == 1, host);
  Require(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "connect");
  Require(::fcntl(fd.get(), F_SETFL, O_NONBLOCK) == 0, "fcntl");
  return net::Socket(std::move(fd));
}

SocketPair ConnectedTcpPair(const SocketPairOptions& options) {
  // What is accepted inherits the buffers of the listener.
  const net::FileDescriptor listener =
      NewSocket(options.server_receive_buffer_bytes, options.server_send_buffer_bytes);
  sockaddr_in address = LoopbackAt(0);
  socklen_t bytes = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  Require(::bind(listener.get(), generic, bytes) == 0, "bind");
  Require(::listen(listener.get(), 1) == 0, "listen");
  Require(::getsockname(listener.get(), generic, &bytes) == 0, "getsockname");

  net::Socket client = ConnectTo(ntohs(address.sin_port), options);
  net::FileDescriptor server(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  Require(static_cast<bool>(server), "accept");
  return {net::Socket(std::move(server)), std::move(client)};
}

bool WaitUntilReady(const net::Socket& socket, Readiness readiness) {
  const int16_t events = readiness == Readiness::kReadable ? POLLIN : POLLOUT;
  pollfd ready = {.fd = socket.fd(), .events = events, .revents = 0};
  int count = 0;
  do {
    count = ::poll(&ready, 1, kPatienceMs);
  } while (count < 0 && errno == EINTR);
  return count == 1;
}

std::string ReadBytes(net::Socket& socket, size_t bytes) {
  std::string received;
  std::vector<char> room(std::min<size_t>(bytes, 256 * 1024));
  while (received.size() < bytes) {
    const iovec piece = {room.data(), std::min(room.size(), bytes - received.size())};
    const net::IoResult result = socket.Read({&piece, 1});
    if (result.status == net::IoStatus::kOk) {
      received.append(room.data(), result.bytes);
    } else if (result.status != net::IoStatus::kWouldBlock || !WaitUntilReady(socket, Readiness::kReadable)) {
      break;
    }
  }
  return received;
}

std::string ReadUntilEof(net::Socket& socket) {
  return ReadBytes(socket, std::numeric_limits<size_t>::max());
}

void WriteBytes(net::Socket& socket, std::string_view bytes) {
  const iovec piece = {const_cast<char*>(bytes.data()), bytes.size()};
  const net::IoResult result = socket.Write({&piece, 1});
  errno = result.error;
  Require(result.status == net::IoStatus::kOk && result.bytes == bytes.size(), "write");
}

size_t WriteUntilFull(net::Socket& socket) {
  std::vector<char> filler(64 * 1024, 'x');
  const iovec piece = {filler.data(), filler.size()};
  size_t taken = 0;
  for (;;) {
    const net::IoResult result = socket.Write({&piece, 1});
    if (result.status == net::IoStatus::kWouldBlock) return taken;
    errno = result.error;
    Require(result.status == net::IoStatus::kOk, "write");
    taken += result.bytes;
  }
}

}  // namespace sluice::testing
