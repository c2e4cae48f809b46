#include "client/cli/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "protocol/topic.h"

namespace sluice::cli {
namespace {

// `units` in steps of `factor`, the first without one.
std::string Rounded(double value, double factor, std::span<const std::string_view> units) {
  size_t unit = 0;
  // 999.5 and more would be shown as 1e+03.
  while (value >= 999.5 && unit + 1 < units.size()) {
    value /= factor;
    ++unit;
  }
  if (value >= 999.5) return fmt::format("{:.0f}{}", value, units[unit]);
  return fmt::format("{:.3g}{}", value, units[unit]);
}

bool IsPlain(uint8_t byte) { return (byte >= ' ' && byte < 0x7f) || byte == '\t'; }

// How long the character at the head of `text` is, or 0 if it is none that a terminal should see.
size_t ShownCharacterBytes(std::string_view text) {
  const uint8_t first = static_cast<uint8_t>(text[0]);
  if (first < 0xc2) return 0;
  const size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (text.size() < length || !IsValidUtf8(text.substr(0, length))) return 0;
  // C1 controls, which some terminals obey.
  if (first == 0xc2 && static_cast<uint8_t>(text[1]) < 0xa0) return 0;
  return length;
}

}  // namespace

std::string RoundedCount(double count) {
  constexpr std::array<std::string_view, 5> kUnits = {"", "k", "M", "G", "T"};
  return Rounded(count, 1000, kUnits);
}

std::string RoundedBytes(double bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {" B", " KiB", " MiB", " GiB", " TiB"};
  return Rounded(bytes, 1024, kUnits);
}

std::string RoundedDuration(absl::Duration duration) {
  constexpr std::array<std::string_view, 4> kUnits = {" ns", " µs", " ms", " s"};
  return Rounded(absl::ToDoubleNanoseconds(duration), 1000, kUnits);
}

std::string Counted(uint64_t count, std::string_view singular) {
  return fmt::format("{} {}{}", count, singular, count == 1 ? "" : "s");
}

std::string Wrapped(std::string_view text, size_t columns) {
  std::string wrapped;
  size_t column = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    const bool fits = column + word.size() + 1 <= columns;
    if (column > 0) wrapped.push_back(fits ? ' ' : '\n');
    column = column > 0 && fits ? column + 1 + word.size() : word.size();
    wrapped.append(word);
  }
  return wrapped;
}

std::string_view FirstColumns(std::string_view text, size_t columns) {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if ((text[at] & 0xc0) != 0x80 && columns-- == 0) break;
  }
  return text.substr(0, at);
}

void AppendForTerminal(std::string_view text, std::string* out) {
  while (!text.empty()) {
    size_t shown = 0;
    while (shown < text.size() && IsPlain(static_cast<uint8_t>(text[shown]))) ++shown;
    if (shown == 0) shown = ShownCharacterBytes(text);
    if (shown > 0) {
      out->append(text.substr(0, shown));
      text.remove_prefix(shown);
      continue;
    }
    switch (text[0]) {
      case '\n':
        out->append("\\n");
        break;
      case '\r':
        out->append("\\r");
        break;
      default:
        fmt::format_to(std::back_inserter(*out), "\\x{:02x}", static_cast<uint8_t>(text[0]));
    }
    text.remove_prefix(1);
  }
}

}  // namespace sluice::cli
