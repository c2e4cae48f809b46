// Addresses of servers as people write them. Internal to the client.
//
//   ParseServers("sluice://a.example:7584,b.example")   →   {a.example, 7584}, {b.example, 7584}
//
// Thread safety: pure functions.
#ifndef SLUICE_CLIENT_URL_H_
#define SLUICE_CLIENT_URL_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice::client {

inline constexpr uint16_t kDefaultPort = 7584;

struct Server {
  // A name, an IPv4 address, or an IPv6 address without its brackets.
  std::string host;
  uint16_t port = kDefaultPort;

  // "host:port", with brackets where they are needed.
  std::string ToString() const;
  friend bool operator==(const Server&, const Server&) = default;
};

// "sluice://host:port", "host:port", "host", "[::1]:port" or "[::1]"; one, or several joined by commas.
// InvalidArgument with the text and what is wrong with it.
absl::StatusOr<std::vector<Server>> ParseServers(std::string_view text);

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_URL_H_
