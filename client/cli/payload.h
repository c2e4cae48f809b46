// The payload that a command line gives: an argument, or a file.
//
// Thread safety: pure functions.
#ifndef SLUICE_CLIENT_CLI_PAYLOAD_H_
#define SLUICE_CLIENT_CLI_PAYLOAD_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace sluice::cli {

// The whole of a file; "-" is standard input. InvalidArgument: larger than `bytes_max`. NotFound, …: why it
// cannot be read.
absl::StatusOr<std::string> ReadPayloadFile(const std::string& path, uint64_t bytes_max);

// `bytes` of printable text that begins with `number`, as far as that fits.
std::string GeneratedPayload(uint64_t number, uint64_t bytes);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_PAYLOAD_H_
