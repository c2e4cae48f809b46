#include "client/cli/values.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "protocol/names.h"

namespace sluice::cli {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr std::array<Unit, 3> kCountUnits = {{{"G", 1'000'000'000}, {"M", 1'000'000}, {"k", 1'000}}};
// Those that end in another's name come first.
constexpr std::array<Unit, 7> kSizeUnits = {{{"GiB", uint64_t{1} << 30},
                                             {"MiB", uint64_t{1} << 20},
                                             {"KiB", uint64_t{1} << 10},
                                             {"GB", 1'000'000'000},
                                             {"MB", 1'000'000},
                                             {"kB", 1'000},
                                             {"B", 1}}};

// A whole number and perhaps a unit; nothing if it is neither, or does not fit.
std::optional<uint64_t> ReadNumber(std::string_view text, std::span<const Unit> units) {
  uint64_t factor = 1;
  for (const Unit& unit : units) {
    if (!text.ends_with(unit.name)) continue;
    text.remove_suffix(unit.name.size());
    factor = unit.factor;
    break;
  }
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (number > UINT64_MAX / factor) return std::nullopt;
  return number * factor;
}

absl::Status Refuse(std::string_view text, std::string_view why, std::string_view allowed) {
  return absl::InvalidArgumentError(fmt::format("'{}' {}; allowed: {}", Printable(text), why, allowed));
}

template <typename Value>
absl::StatusOr<Value> InRange(std::string_view text, const std::optional<Value>& value, Range<Value> range,
                              std::string_view what, std::string_view allowed) {
  if (!value.has_value()) return Refuse(text, what, allowed);
  if (*value < range.min) return Refuse(text, "is too small", allowed);
  if (*value > range.max) return Refuse(text, "is too large", allowed);
  return *value;
}

std::string ShowRate(double rate) {
  const bool whole = rate >= 1 && rate == std::floor(rate);
  return whole ? ShowCount(static_cast<uint64_t>(rate)) : fmt::format("{:g}", rate);
}

std::string ShowInUnits(uint64_t number, std::span<const Unit> units) {
  for (const Unit& unit : units) {
    if (number != 0 && number % unit.factor == 0) return fmt::format("{}{}", number / unit.factor, unit.name);
  }
  return std::to_string(number);
}

}  // namespace

absl::StatusOr<uint64_t> ParseCount(std::string_view text, Range<uint64_t> range) {
  return InRange<uint64_t>(text, ReadNumber(text, kCountUnits), range,
                           "is not a whole number like 100 or 10k", ShowCountRange(range));
}

absl::StatusOr<uint64_t> ParseSize(std::string_view text, Range<uint64_t> range) {
  return InRange<uint64_t>(text, ReadNumber(text, kSizeUnits), range, "is not a size like 100 or 64KiB",
                           ShowSizeRange(range));
}

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text, Range<absl::Duration> range) {
  std::optional<absl::Duration> value;
  if (absl::Duration duration; absl::ParseDuration(std::string(text), &duration)) value = duration;
  return InRange(text, value, range, "is not a duration like 10s or 500ms", ShowDurationRange(range));
}

absl::StatusOr<double> ParseRate(std::string_view text, Range<double> range) {
  std::string_view digits = text;
  double factor = 1;
  for (const Unit& unit : kCountUnits) {
    if (!digits.ends_with(unit.name)) continue;
    digits.remove_suffix(unit.name.size());
    factor = static_cast<double>(unit.factor);
    break;
  }
  double number = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), number, std::chars_format::fixed);
  std::optional<double> value;
  if (!digits.empty() && error == std::errc() && end == digits.data() + digits.size())
    value = number * factor;
  // Not a number at all is neither too small nor too large.
  if (value.has_value() && *value != *value) value.reset();
  return InRange(text, value, range, "is not a rate per second like 0.5, 100 or 20k", ShowRateRange(range));
}

absl::StatusOr<std::pair<std::string, std::string>> ParseHeader(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return Refuse(text, "has no '='", "NAME=VALUE");
  if (equals == 0) return Refuse(text, "has no name", "NAME=VALUE");
  return std::pair(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
}

std::string ShowCountRange(Range<uint64_t> range) {
  return fmt::format("{} to {}", ShowCount(range.min), ShowCount(range.max));
}

std::string ShowSizeRange(Range<uint64_t> range) {
  return fmt::format("{} to {}", ShowSize(range.min), ShowSize(range.max));
}

std::string ShowDurationRange(Range<absl::Duration> range) {
  return fmt::format("{} to {}", ShowDuration(range.min), ShowDuration(range.max));
}

std::string ShowRateRange(Range<double> range) {
  return fmt::format("{} to {} per second", ShowRate(range.min), ShowRate(range.max));
}

std::string ShowSize(uint64_t bytes) {
  constexpr std::array<Unit, 4> kShown = {{kSizeUnits[0], kSizeUnits[1], kSizeUnits[2], kSizeUnits[6]}};
  return bytes == 0 ? "0" : ShowInUnits(bytes, kShown);
}

std::string ShowCount(uint64_t count) {
  return count < 10'000 ? std::to_string(count) : ShowInUnits(count, kCountUnits);
}

std::string ShowDuration(absl::Duration duration) {
  // absl writes whole minutes as "1m0s" and so on; the zeros say nothing.
  std::string text = absl::FormatDuration(duration);
  for (const std::string_view zeros : {"m0s", "h0m"}) {
    if (text.ends_with(zeros)) text.resize(text.size() - 2);
  }
  return text;
}

}  // namespace sluice::cli
