// The secret that operators show when they change something over HTTP. In a file of its own, since flags are seen by
// everybody on the machine and the configuration by everybody who helps with it.
//
//   absl::StatusOr<std::string> token = ReadHttpToken("/etc/sluice/http-token");
//
// Thread safety: pure but for the file.
#ifndef SLUICE_BROKER_HTTP_TOKEN_H_
#define SLUICE_BROKER_HTTP_TOKEN_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace sluice {

inline constexpr size_t kHttpTokenBytesMin = 16;
inline constexpr size_t kHttpTokenBytesMax = 256;

// The first line of the file; empty for an empty `path`. kInvalidArgument: the file cannot be read, or its first line
// is no token: visible ASCII characters, so many that nobody guesses them.
absl::StatusOr<std::string> ReadHttpToken(const std::string& path);

}  // namespace sluice

#endif  // SLUICE_BROKER_HTTP_TOKEN_H_
