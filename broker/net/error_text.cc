#include "broker/net/error_text.h"

#include <cctype>
#include <cerrno>
#include <system_error>

#include "fmt/format.h"

namespace sluice::net {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case EADDRINUSE:
      return absl::StatusCode::kAlreadyExists;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return absl::StatusCode::kNotFound;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::ErrnoToStatusCode(error);
  }
}

}  // namespace

std::string ErrorText(int error) {
  std::string text = std::generic_category().message(error);
  // "RPC ..." and "I/O ..." keep their capitals.
  if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  }
  return text;
}

absl::Status ErrorStatus(int error, std::string_view what) {
  return {CodeOf(error), fmt::format("{}: {}", what, ErrorText(error))};
}

}  // namespace sluice::net
