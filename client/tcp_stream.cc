#include "client/tcp_stream.h"

// The kernel's header: the C library's tcp_info ends before tcpi_bytes_acked.
#include <fmt/core.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <system_error>

namespace sluice::client {
namespace {

// The kernel's IOV_MAX.
constexpr size_t kPiecesMax = 1024;

IoResult Failure(int error) {
  if (error == EAGAIN || error == EWOULDBLOCK) return {.status = IoStatus::kWouldBlock};
  return {.status = IoStatus::kError, .error = error};
}

}  // namespace

std::string SystemErrorText(int error) { return std::generic_category().message(error); }

absl::StatusOr<std::vector<TcpAddress>> Resolve(const Server& server) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(server.host.c_str(), std::to_string(server.port).c_str(), &hints, &found);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, &::freeaddrinfo);
  if (error != 0) {
    return absl::UnavailableError(
        fmt::format("{}: cannot find the host: {}", server.ToString(),
                    error == EAI_SYSTEM ? SystemErrorText(errno) : ::gai_strerror(error)));
  }
  std::vector<TcpAddress> addresses;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    TcpAddress address;
    if (at->ai_addrlen > sizeof address.storage) continue;
    std::memcpy(&address.storage, at->ai_addr, at->ai_addrlen);
    address.bytes = at->ai_addrlen;
    addresses.push_back(address);
  }
  if (addresses.empty()) return absl::UnavailableError(server.ToString() + ": the host has no address");
  return addresses;
}

IoResult TcpStream::StartConnect(const TcpAddress& address) {
  Close();
  fd_ = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd_ < 0) return Failure(errno);
  // We gather ourselves. Without it things only get slower, so that a refusal is no reason to stop.
  const int on = 1;
  static_cast<void>(::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address.storage), address.bytes) == 0) {
    return FinishConnect();
  }
  if (errno == EINPROGRESS || errno == EINTR) return {.status = IoStatus::kWouldBlock};
  return Failure(errno);
}

IoResult TcpStream::FinishConnect() {
  int error = 0;
  socklen_t bytes = sizeof error;
  if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0) error = errno;
  if (error != 0) return {.status = IoStatus::kError, .error = error};
  if (ConnectedToItself()) return {.status = IoStatus::kError, .error = ECONNREFUSED};
  return {.status = IoStatus::kOk};
}

bool TcpStream::ConnectedToItself() const {
  // A port that nobody listens at may be drawn for our own end, and then TCP connects the socket to itself:
  // the server could not take its port any more, and we would talk to ourselves.
  TcpAddress own;
  TcpAddress peer;
  own.bytes = peer.bytes = sizeof own.storage;
  return ::getsockname(fd_, reinterpret_cast<sockaddr*>(&own.storage), &own.bytes) == 0 &&
         ::getpeername(fd_, reinterpret_cast<sockaddr*>(&peer.storage), &peer.bytes) == 0 &&
         own.bytes == peer.bytes && std::memcmp(&own.storage, &peer.storage, own.bytes) == 0;
}

IoResult TcpStream::Read(std::span<char> room) {
  for (;;) {
    const ssize_t got = ::recv(fd_, room.data(), room.size(), 0);
    if (got > 0) return {.status = IoStatus::kOk, .bytes = static_cast<size_t>(got)};
    if (got == 0) return {.status = IoStatus::kEof};
    if (errno != EINTR) return Failure(errno);
  }
}

IoResult TcpStream::Write(std::span<const iovec> pieces) {
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = std::min(pieces.size(), kPiecesMax);
  for (;;) {
    const ssize_t sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (sent >= 0) return {.status = IoStatus::kOk, .bytes = static_cast<size_t>(sent)};
    if (errno != EINTR) return Failure(errno);
  }
}

void TcpStream::ShutdownWrite() {
  // If it fails the connection is gone, which the next Read() says.
  static_cast<void>(::shutdown(fd_, SHUT_WR));
}

void TcpStream::Close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

std::optional<uint64_t> TcpStream::BytesAcked() const {
  tcp_info info = {};
  socklen_t bytes = sizeof info;
  if (::getsockopt(fd_, IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0) return std::nullopt;
  if (bytes < offsetof(tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked) return std::nullopt;
  return info.tcpi_bytes_acked;
}

}  // namespace sluice::client
