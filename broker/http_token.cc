#include "broker/http_token.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

#include "broker/net/error_text.h"

namespace sluice {

absl::StatusOr<std::string> ReadHttpToken(const std::string& path) {
  if (path.empty()) return std::string();
  std::ifstream file(path);
  if (!file) {
    return absl::InvalidArgumentError(
        fmt::format("cannot read the token file {}: {}", path, net::ErrorText(errno)));
  }
  // Whatever is longer than a token need not be read.
  std::string token(kHttpTokenBytesMax + 2, '\0');
  file.read(token.data(), static_cast<std::streamsize>(token.size()));
  token.resize(static_cast<size_t>(file.gcount()));
  token.resize(std::min(token.find('\n'), token.size()));
  const bool visible = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (!visible || token.size() < kHttpTokenBytesMin || token.size() > kHttpTokenBytesMax) {
    return absl::InvalidArgumentError(fmt::format(
        "the first line of the token file {} is no token; allowed: {} to {} visible ASCII characters, "
        "without spaces",
        path, kHttpTokenBytesMin, kHttpTokenBytesMax));
  }
  return token;
}

}  // namespace sluice
