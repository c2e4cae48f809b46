#include "protocol/topic.h"

#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

#include "protocol/names.h"

namespace sluice {
namespace {

enum class Wildcards { kForbidden, kAllowed };

bool IsForbiddenByte(char c) { return static_cast<uint8_t>(c) <= ' ' || c == 0x7f; }

// The same byte eight times.
constexpr uint64_t Eight(uint8_t byte) { return byte * uint64_t{0x0101010101010101}; }
constexpr uint64_t kTopBits = Eight(0x80);

uint64_t LoadEight(const char* from) {
  uint64_t eight;
  std::memcpy(&eight, from, sizeof(eight));
  return std::endian::native == std::endian::little ? eight : __builtin_bswap64(eight);
}

// The eight bytes at `at`, the first of them in the lowest place; behind the end stands a letter.
uint64_t EightAt(std::string_view text, size_t at) {
  const size_t left = text.size() - at;
  if (left >= 8) return LoadEight(text.data() + at);
  uint64_t eight = 0;
  if (text.size() >= 8) {
    eight = LoadEight(text.data() + text.size() - 8) >> (8 * (8 - left));
  } else {
    for (size_t i = text.size(); i > at; --i) eight = eight << 8 | static_cast<uint8_t>(text[i - 1]);
  }
  return eight | Eight('a') << (8 * left);
}

// The top bit of each byte is set where the byte is another than `c`. All bytes are below 0x80.
constexpr uint64_t DiffersFrom(char c, uint64_t low) {
  return (low ^ Eight(static_cast<uint8_t>(c))) + Eight(0x7f);
}

absl::Status Invalid(std::string_view what, std::string_view value, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("{} \"{}\" {}", what, Printable(value, 300), why));
}

absl::Status Validate(std::string_view what, std::string_view text, size_t bytes_max, Wildcards wildcards) {
  if (text.empty()) return Invalid(what, text, "is empty");
  if (text.size() > bytes_max) {
    return Invalid(what, text, fmt::format("has {} bytes; at most {} are allowed", text.size(), bytes_max));
  }
  if (!IsValidUtf8(text)) return Invalid(what, text, "is not valid UTF-8");
  size_t tokens = 0;
  bool tail = false;
  for (std::string_view rest = text; rest.data() != nullptr;) {
    const std::string_view token = NextToken(&rest);
    ++tokens;
    if (token.empty()) return Invalid(what, text, fmt::format("has an empty token (number {})", tokens));
    if (tail) return Invalid(what, text, "has a token behind '>'; '>' must be the last");
    for (char c : token) {
      if (IsForbiddenByte(c)) {
        return Invalid(what, text, fmt::format("has a space or control character in token {}", tokens));
      }
    }
    const bool wildcard = token == kAnyToken || token == kAnyTail;
    if (!wildcard && token.find_first_of("*>") == std::string_view::npos) continue;
    if (wildcards == Wildcards::kForbidden) {
      return Invalid(what, text, fmt::format("has a wildcard in token {}; only filters may", tokens));
    }
    if (!wildcard) {
      return Invalid(what, text, fmt::format("has a wildcard within token {}; it must stand alone", tokens));
    }
    tail = token == kAnyTail;
  }
  if (tokens > kTopicTokensMax) {
    return Invalid(what, text, fmt::format("has {} tokens; at most {} are allowed", tokens, kTopicTokensMax));
  }
  return absl::OkStatus();
}

}  // namespace

bool IsValidUtf8(std::string_view text) {
  const auto* at = reinterpret_cast<const uint8_t*>(text.data());
  const uint8_t* end = at + text.size();
  while (at < end) {
    if (end - at >= 8) {
      uint64_t eight;
      std::memcpy(&eight, at, sizeof(eight));
      if ((eight & 0x8080808080808080) == 0) {
        at += 8;
        continue;
      }
    }
    const uint8_t lead = *at;
    if (lead < 0x80) {
      ++at;
      continue;
    }
    // RFC 3629, section 4: the second byte's range depends on the first.
    int more;
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
      more = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      more = 2;
      if (lead == 0xe0) low = 0xa0;
      if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      more = 3;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;
    } else {
      return false;
    }
    if (end - at <= more || at[1] < low || at[1] > high) return false;
    for (int i = 2; i <= more; ++i) {
      if ((at[i] & 0xc0) != 0x80) return false;
    }
    at += more + 1;
  }
  return true;
}

std::string_view NextToken(std::string_view* rest) {
  const size_t dot = rest->find('.');
  const std::string_view token = rest->substr(0, dot);
  *rest = dot == std::string_view::npos ? std::string_view() : rest->substr(dot + 1);
  return token;
}

// Eight bytes at a time, since every publish comes by here. A byte below 0x80 plus a number reaches its top
// bit or not, without a carry into its neighbour, so that one addition compares all eight.
bool IsValidTopic(std::string_view topic) {
  if (topic.empty() || topic.size() > kTopicBytesMax || topic.back() == '.') return false;
  uint64_t bad = 0;
  uint64_t not_ascii = 0;
  uint64_t dots_per_place = 0;
  uint64_t dot_before = 0x80;  // a dot in first place has an empty token in front of it, as one behind a dot
  for (size_t at = 0; at < topic.size(); at += 8) {
    const uint64_t eight = EightAt(topic, at);
    const uint64_t low = eight & ~kTopBits;
    const uint64_t ascii = ~eight & kTopBits;
    const uint64_t above_space = low + Eight(0x80 - '!');
    const uint64_t del = low + Eight(1);
    const uint64_t dots = ~DiffersFrom('.', low) & ascii;
    bad |= ~(above_space & ~del & DiffersFrom('*', low) & DiffersFrom('>', low)) & ascii;
    bad |= dots & (dots << 8 | dot_before);
    not_ascii |= eight;
    dots_per_place += dots >> 7;
    dot_before = dots >> 56;
  }
  const uint64_t tokens = 1 + (dots_per_place * Eight(1) >> 56);
  if (bad != 0 || tokens > kTopicTokensMax) return false;
  return (not_ascii & kTopBits) == 0 || IsValidUtf8(topic);
}

absl::Status ValidateTopic(std::string_view topic, size_t bytes_max) {
  return Validate("topic", topic, bytes_max, Wildcards::kForbidden);
}

absl::Status ValidateFilter(std::string_view filter, size_t bytes_max) {
  return Validate("filter", filter, bytes_max, Wildcards::kAllowed);
}

bool HasWildcard(std::string_view filter) { return filter.find_first_of("*>") != std::string_view::npos; }

bool FilterMatches(std::string_view filter, std::string_view topic) {
  if (IsReserved(topic) && !IsReserved(filter)) return false;
  while (filter.data() != nullptr && topic.data() != nullptr) {
    const std::string_view wanted = NextToken(&filter);
    if (wanted == kAnyTail) return true;
    const std::string_view token = NextToken(&topic);
    if (wanted != kAnyToken && wanted != token) return false;
  }
  return filter.data() == nullptr && topic.data() == nullptr;
}

bool FilterCovers(std::string_view wide, std::string_view narrow) {
  if (IsReserved(narrow) && !IsReserved(wide)) return false;
  while (wide.data() != nullptr && narrow.data() != nullptr) {
    const std::string_view wanted = NextToken(&wide);
    if (wanted == kAnyTail) return true;
    const std::string_view token = NextToken(&narrow);
    if (token == kAnyTail || (wanted != kAnyToken && wanted != token)) return false;
  }
  return wide.data() == nullptr && narrow.data() == nullptr;
}

}  // namespace sluice
