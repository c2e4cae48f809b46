#include "client/url.h"

#include <fmt/core.h>

#include <charconv>

#include "protocol/names.h"

namespace sluice::client {
namespace {

constexpr std::string_view kScheme = "sluice://";

absl::Status Refuse(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      fmt::format("not the address of a server: \"{}\": {}", Printable(text), why));
}

absl::StatusOr<Server> ParseServer(const std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with(kScheme)) {
    rest.remove_prefix(kScheme.size());
    if (rest.ends_with('/')) rest.remove_suffix(1);
  } else if (rest.find("://") != std::string_view::npos) {
    return Refuse(text, "the only scheme is sluice://");
  }
  Server server;
  if (rest.starts_with('[')) {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos) return Refuse(text, "there is no ] to the [");
    server.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    if (!rest.empty() && rest[0] != ':') return Refuse(text, "behind ] only :port may stand");
  } else {
    const size_t colon = rest.find(':');
    server.host = rest.substr(0, colon);
    rest.remove_prefix(std::min(server.host.size(), rest.size()));
    if (rest.rfind(':') != 0 && !rest.empty()) return Refuse(text, "an IPv6 address needs brackets: [::1]");
  }
  if (server.host.empty()) return Refuse(text, "there is no host");
  if (server.host.find_first_of("/@ \t") != std::string::npos) {
    return Refuse(text, "a host name has no '/', '@' or space");
  }
  if (rest.empty()) return server;
  rest.remove_prefix(1);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), server.port);
  if (error != std::errc() || end != rest.data() + rest.size() || server.port == 0) {
    return Refuse(text, "a port is a number from 1 to 65535");
  }
  return server;
}

}  // namespace

std::string Server::ToString() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

absl::StatusOr<std::vector<Server>> ParseServers(std::string_view text) {
  std::vector<Server> servers;
  for (;;) {
    const size_t comma = text.find(',');
    absl::StatusOr<Server> server = ParseServer(text.substr(0, comma));
    if (!server.ok()) return server.status();
    servers.push_back(*std::move(server));
    if (comma == std::string_view::npos) return servers;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace sluice::client
