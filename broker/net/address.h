// Where to listen, and who is connected: "HOST:PORT" as a person writes it, and the kernel's form of it.
// Internal to the broker.
//
//   absl::StatusOr<HostPort> where = HostPort::Parse("127.0.0.1:7584");
//   if (!where.ok()) return where.status();
//   absl::StatusOr<std::vector<SocketAddress>> addresses = Resolve(*where);
//
// Thread safety: values; Resolve() may be called from any thread and blocks while a name is looked up.
#ifndef SLUICE_BROKER_NET_ADDRESS_H_
#define SLUICE_BROKER_NET_ADDRESS_H_

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice::net {

struct HostPort {
  // A name, an IPv4 address, or an IPv6 address without its brackets.
  std::string host;
  // 0: one that is free, chosen by the kernel.
  uint16_t port = 0;

  // "HOST:PORT" or "[IPV6]:PORT". InvalidArgument quotes the value and says what is allowed. An empty host is
  // refused, since it does not say whether one interface is meant or all: those are 0.0.0.0 and [::].
  static absl::StatusOr<HostPort> Parse(std::string_view text);

  // The form that Parse() reads.
  std::string ToString() const;

  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// An address in the kernel's form. Empty until something was filled in.
class SocketAddress {
 public:
  SocketAddress() = default;
  SocketAddress(const sockaddr* address, socklen_t bytes);

  // "127.0.0.1:4711" or "[::1]:4711". A peer that came over IPv4 to a socket of IPv6 is shown as IPv4.
  // "unknown" when it is empty, "local" for a socket without an address of the network.
  std::string ToString() const;

  // Of 127.0.0.0/8 or ::1, also one of IPv4 in an IPv6 socket.
  bool IsLoopback() const;

  // AF_UNSPEC when empty.
  int family() const { return storage_.ss_family; }
  // 0 when there is none.
  uint16_t port() const;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t bytes() const { return bytes_; }

 private:
  sockaddr_storage storage_ = {};
  socklen_t bytes_ = 0;
};

// The addresses to listen on for `where`, in the order in which to try them; at least one. NotFound when the
// host has no address.
absl::StatusOr<std::vector<SocketAddress>> Resolve(const HostPort& where);

}  // namespace sluice::net

#endif  // SLUICE_BROKER_NET_ADDRESS_H_
