// Numbers, sizes and durations as people write them on a command line.
//
//   absl::StatusOr<uint64_t> bytes = ParseSize("64KiB", {.min = 1, .max = 64 << 20});
//
// Every error says the value and what is allowed: "'0' is too small; allowed: 1B to 64MiB".
//
// Thread safety: pure functions.
#ifndef SLUICE_CLIENT_CLI_VALUES_H_
#define SLUICE_CLIENT_CLI_VALUES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace sluice::cli {

template <typename Value>
struct Range {
  Value min;
  Value max;
};

// "1000", "10k", "1M", "2G": factors of 1000.
absl::StatusOr<uint64_t> ParseCount(std::string_view text, Range<uint64_t> range);

// "100", "64KiB", "8MiB", "1GiB" (factors of 1024), "1kB", "1MB", "1GB" (of 1000).
absl::StatusOr<uint64_t> ParseSize(std::string_view text, Range<uint64_t> range);

// "500ms", "10s", "1m30s".
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text, Range<absl::Duration> range);

// So many per second: "0.5", "1000", "20k".
absl::StatusOr<double> ParseRate(std::string_view text, Range<double> range);

// "name=value"; the value may be empty and hold more '='.
absl::StatusOr<std::pair<std::string, std::string>> ParseHeader(std::string_view text);

// The ranges as the errors and --help have them.
std::string ShowCountRange(Range<uint64_t> range);
std::string ShowSizeRange(Range<uint64_t> range);
std::string ShowDurationRange(Range<absl::Duration> range);
std::string ShowRateRange(Range<double> range);

// Exact, in the largest unit without a remainder: "8MiB", "100B".
std::string ShowSize(uint64_t bytes);
std::string ShowCount(uint64_t count);
std::string ShowDuration(absl::Duration duration);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_VALUES_H_
