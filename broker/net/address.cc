#include "broker/net/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "broker/net/error_text.h"
#include "fmt/format.h"

namespace sluice::net {
namespace {

constexpr std::string_view kAllowedForm =
    "expected HOST:PORT or [IPV6]:PORT with a port from 0 to 65535, for example 127.0.0.1:7584";

absl::Status Refuse(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      fmt::format("bad address \"{}\": {}; {}", absl::Utf8SafeCEscape(std::string(text)), why, kAllowedForm));
}

std::optional<uint16_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc() || parsed != end) return std::nullopt;
  return port;
}

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
}

// "fe80::1%eth0" too: an address that is only good on one link names it.
bool IsIpv6(std::string_view host) {
  const size_t percent = host.find('%');
  const std::string address(host.substr(0, percent));
  const std::string_view link = percent == std::string_view::npos ? "any" : host.substr(percent + 1);
  in6_addr ignored;
  // A NUL would end the address early for inet_pton().
  return address.find('\0') == std::string::npos && inet_pton(AF_INET6, address.c_str(), &ignored) == 1 &&
         !link.empty() && std::all_of(link.begin(), link.end(), IsNameCharacter);
}

}  // namespace

absl::StatusOr<HostPort> HostPort::Parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  const size_t bracket = text.rfind(']');
  if (colon == std::string_view::npos || (bracket != std::string_view::npos && colon < bracket)) {
    return Refuse(text, IsIpv6(text) ? "an IPv6 address needs brackets" : "the port is missing");
  }
  std::string_view host = text.substr(0, colon);
  const std::optional<uint16_t> port = ParsePort(text.substr(colon + 1));
  if (host.empty()) return Refuse(text, "the host is missing (0.0.0.0 or [::] for every interface)");
  if (host.front() == '[') {
    if (host.back() != ']') return Refuse(text, "the closing bracket is missing");
    host = host.substr(1, host.size() - 2);
    if (!IsIpv6(host)) return Refuse(text, "what is in brackets is not an IPv6 address");
  } else if (IsIpv6(host) || IsIpv6(text)) {
    return Refuse(text, "an IPv6 address needs brackets");
  } else if (!std::all_of(host.begin(), host.end(), IsNameCharacter)) {
    return Refuse(text, "the host is neither a name nor an address");
  }
  if (!port.has_value()) return Refuse(text, "the port is not a number from 0 to 65535");
  return HostPort{std::string(host), *port};
}

std::string HostPort::ToString() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

SocketAddress::SocketAddress(const sockaddr* address, socklen_t bytes)
    : bytes_(std::min<socklen_t>(bytes, sizeof storage_)) {
  std::memcpy(&storage_, address, bytes_);
}

bool SocketAddress::IsLoopback() const {
  constexpr uint8_t kLoopbackNetwork = 127;
  if (family() == AF_INET) {
    const auto* ipv4 = reinterpret_cast<const sockaddr_in*>(&storage_);
    return ntohl(ipv4->sin_addr.s_addr) >> 24 == kLoopbackNetwork;
  }
  if (family() != AF_INET6) return false;
  const in6_addr& ipv6 = reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&ipv6)) return ipv6.s6_addr[12] == kLoopbackNetwork;
  return IN6_IS_ADDR_LOOPBACK(&ipv6);
}

std::string SocketAddress::ToString() const {
  std::array<char, INET6_ADDRSTRLEN> text;
  switch (family()) {
    case AF_INET: {
      const auto* ipv4 = reinterpret_cast<const sockaddr_in*>(&storage_);
      inet_ntop(AF_INET, &ipv4->sin_addr, text.data(), text.size());
      return fmt::format("{}:{}", text.data(), port());
    }
    case AF_INET6: {
      const auto* ipv6 = reinterpret_cast<const sockaddr_in6*>(&storage_);
      if (IN6_IS_ADDR_V4MAPPED(&ipv6->sin6_addr)) {
        constexpr size_t kMappedPrefixBytes = 12;
        inet_ntop(AF_INET, &ipv6->sin6_addr.s6_addr[kMappedPrefixBytes], text.data(), text.size());
        return fmt::format("{}:{}", text.data(), port());
      }
      inet_ntop(AF_INET6, &ipv6->sin6_addr, text.data(), text.size());
      if (ipv6->sin6_scope_id == 0) return fmt::format("[{}]:{}", text.data(), port());
      // The number stands for an interface that is gone.
      std::array<char, IF_NAMESIZE> link;
      if (if_indextoname(ipv6->sin6_scope_id, link.data()) == nullptr) {
        return fmt::format("[{}%{}]:{}", text.data(), ipv6->sin6_scope_id, port());
      }
      return fmt::format("[{}%{}]:{}", text.data(), link.data(), port());
    }
    case AF_UNSPEC:
      return "unknown";
    default:
      return "local";
  }
}

uint16_t SocketAddress::port() const {
  switch (family()) {
    case AF_INET:
      return ntohs(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
    case AF_INET6:
      return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_port);
    default:
      return 0;
  }
}

absl::StatusOr<std::vector<SocketAddress>> Resolve(const HostPort& where) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int result = getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints, &found);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  if (result == EAI_SYSTEM) return ErrorStatus(errno, fmt::format("cannot resolve {}", where.host));
  if (result == EAI_MEMORY) return ErrorStatus(ENOMEM, fmt::format("cannot resolve {}", where.host));
  if (result != 0) {
    return absl::NotFoundError(fmt::format("cannot resolve {}: {}", where.host, gai_strerror(result)));
  }
  std::vector<SocketAddress> addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    addresses.emplace_back(entry->ai_addr, entry->ai_addrlen);
  }
  return addresses;
}

}  // namespace sluice::net
