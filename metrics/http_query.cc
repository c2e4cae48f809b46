#include "metrics/http_query.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "protocol/names.h"
#include "protocol/topic.h"

namespace sluice {
namespace {

std::optional<std::string> Decode(std::string_view text) {
  std::string decoded;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      decoded.push_back(text[at] == '+' ? ' ' : text[at]);
      continue;
    }
    const std::string_view digits = text.substr(at + 1, 2);
    unsigned byte = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2) return std::nullopt;
    decoded.push_back(static_cast<char>(byte));
    at += 2;
  }
  if (!IsValidUtf8(decoded)) return std::nullopt;
  return decoded;
}

}  // namespace

absl::StatusOr<HttpQuery> HttpQuery::Parse(std::string_view query, std::span<const std::string_view> known) {
  HttpQuery parsed;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    const std::optional<std::string> key = Decode(pair.substr(0, equals));
    const std::optional<std::string> value =
        Decode(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1));
    if (!key.has_value() || !value.has_value()) {
      return absl::InvalidArgumentError(fmt::format("'{}' is not encoded as it should be", Printable(pair)));
    }
    if (std::find(known.begin(), known.end(), *key) == known.end()) {
      return absl::InvalidArgumentError(
          known.empty()
              ? fmt::format("'{}' is not known here; nothing is", Printable(*key))
              : fmt::format("'{}' is not known here; allowed: {}", Printable(*key), fmt::join(known, ", ")));
    }
    if (!parsed.values_.emplace(*key, *value).second) {
      return absl::InvalidArgumentError(fmt::format("'{}' is given twice", *key));
    }
  }
  return parsed;
}

std::optional<std::string_view> HttpQuery::Get(std::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

}  // namespace sluice
