#include "client/cli/payload.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "client/cli/descriptor.h"

namespace sluice::cli {
namespace {

constexpr size_t kReadBytes = 64 << 10;

absl::Status CannotRead(const std::string& path, int error_number) {
  return absl::NotFoundError(fmt::format("cannot read {}: {}", path == "-" ? "standard input" : path,
                                         std::generic_category().message(error_number)));
}

}  // namespace

absl::StatusOr<std::string> ReadPayloadFile(const std::string& path, uint64_t bytes_max) {
  Descriptor opened;
  if (path != "-") {
    opened = Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened) return CannotRead(path, errno);
  }
  std::string payload;
  for (;;) {
    const size_t before = payload.size();
    payload.resize(before + kReadBytes);
    const ssize_t got =
        ::read(path == "-" ? STDIN_FILENO : opened.get(), payload.data() + before, kReadBytes);
    payload.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) return payload;
    if (got < 0 && errno != EINTR) return CannotRead(path, errno);
    if (payload.size() > bytes_max) {
      return absl::InvalidArgumentError(
          fmt::format("{} is larger than the broker's largest payload, {} bytes", path, bytes_max));
    }
  }
}

std::string GeneratedPayload(uint64_t number, uint64_t bytes) {
  constexpr std::string_view kFilling = "abcdefghijklmnopqrstuvwxyz";
  std::string payload = fmt::format("{} ", number);
  payload.reserve(bytes);
  while (payload.size() < bytes) payload.append(kFilling);
  payload.resize(bytes);
  return payload;
}

}  // namespace sluice::cli
