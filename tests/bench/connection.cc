#include "tests/bench/connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace sluice::bench {

Connection::Connection(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd_ < 0 || ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    if (fd_ >= 0) ::close(fd_);
    throw std::runtime_error(fmt::format("cannot connect to port {}: {}", port, std::strerror(error)));
  }
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval timeout = {.tv_sec = 60, .tv_usec = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
}

Connection::~Connection() { ::close(fd_); }

void Connection::Send(const Request& request) {
  for (size_t sent = 0; sent < request.bytes.size();) {
    const ssize_t wrote = ::send(fd_, request.bytes.data() + sent, request.bytes.size() - sent, MSG_NOSIGNAL);
    if (wrote <= 0) throw std::runtime_error(fmt::format("cannot send: {}", std::strerror(errno)));
    sent += static_cast<size_t>(wrote);
  }
  answers_wanted_ += request.answers;
}

void Connection::AwaitAnswers(const Adapter& adapter) {
  Parsed parsed;
  while (parsed.answers < answers_wanted_) {
    std::array<char, 16384> room;
    const ssize_t got = ::recv(fd_, room.data(), room.size(), 0);
    if (got < 0) throw std::runtime_error(fmt::format("no answer: {}", std::strerror(errno)));
    if (got == 0) throw std::runtime_error("the broker closed a connection: " + unparsed_);
    unparsed_.append(room.data(), static_cast<size_t>(got));
    size_t consumed = adapter.Parse(unparsed_, &parsed);
    if (parsed.errors > 0) throw std::runtime_error("the broker refused a request: " + unparsed_);
    // The rest of an answer's frame.
    while (consumed > unparsed_.size()) {
      const ssize_t more = ::recv(fd_, room.data(), std::min(room.size(), consumed - unparsed_.size()), 0);
      if (more <= 0) throw std::runtime_error("an answer ended early");
      unparsed_.append(room.data(), static_cast<size_t>(more));
    }
    unparsed_.erase(0, consumed);
  }
  answers_wanted_ = 0;
}

void Connection::StopBlocking() const { ::fcntl(fd_, F_SETFL, O_NONBLOCK); }

}  // namespace sluice::bench
