// What an errno says, for people and for callers. Internal to the broker.
//
//   log->warn("{}: {}", name, ErrorText(result.error));
//
// Thread safety: pure functions.
#ifndef SLUICE_BROKER_NET_ERROR_TEXT_H_
#define SLUICE_BROKER_NET_ERROR_TEXT_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace sluice::net {

// "connection reset by peer": the C library's text, made to stand in the middle of a sentence.
std::string ErrorText(int error);

// "<what>: <ErrorText(error)>" with the code that fits: AlreadyExists for an address in use,
// PermissionDenied, NotFound for an address that this machine does not have, ResourceExhausted for
// descriptors and memory, and what absl says for the others.
absl::Status ErrorStatus(int error, std::string_view what);

}  // namespace sluice::net

#endif  // SLUICE_BROKER_NET_ERROR_TEXT_H_
