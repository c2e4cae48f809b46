#include "tests/support/notify_socket.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <stdexcept>

namespace sluice::testing {
namespace {

constexpr int kPatienceMs = 120'000;

bool HasMessage(int socket, int wait_max_ms) {
  pollfd ready = {.fd = socket, .events = POLLIN, .revents = 0};
  return ::poll(&ready, 1, wait_max_ms) > 0;
}

}  // namespace

NotifySocket::NotifySocket() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  const std::string path = directory_.path() + "/notify";
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw std::runtime_error("too long a path: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("cannot bind to " + path);
  }
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
}

NotifySocket::~NotifySocket() { ::unsetenv("NOTIFY_SOCKET"); }

std::string NotifySocket::Next() {
  if (!HasMessage(socket_.get(), kPatienceMs))
    throw std::runtime_error("the service manager is told nothing");
  std::array<char, 4096> room;
  const ssize_t bytes = ::recv(socket_.get(), room.data(), room.size(), 0);
  if (bytes < 0) throw std::runtime_error("cannot read what the service manager is told");
  return {room.data(), static_cast<size_t>(bytes)};
}

std::string NotifySocket::NextWith(std::string_view text) {
  std::string message;
  while ((message = Next()).find(text) == std::string::npos) {
  }
  return message;
}

bool NotifySocket::Empty() const { return !HasMessage(socket_.get(), 0); }

}  // namespace sluice::testing
