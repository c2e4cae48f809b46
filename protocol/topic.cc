#include "protocol/topic.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "protocol/names.h"

namespace sluice {
namespace {

enum class Wildcards { kForbidden, kAllowed };

bool IsForbiddenByte(char c) { return static_cast<uint8_t>(c) <= ' ' || c == 0x7f; }

absl::Status Invalid(std::string_view what, std::string_view value, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("{} \"{}\" {}", what, Printable(value, 300), why));
}

absl::Status Validate(std::string_view what, std::string_view text, Wildcards wildcards) {
  if (text.empty()) return Invalid(what, text, "is empty");
  if (text.size() > kTopicBytesMax) {
    return Invalid(what, text,
                   fmt::format("has {} bytes; at most {} are allowed", text.size(), kTopicBytesMax));
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

bool IsValidTopic(std::string_view topic) {
  if (topic.empty() || topic.size() > kTopicBytesMax) return false;
  size_t tokens = 1;
  bool ascii = true;
  char previous = '.';
  for (char c : topic) {
    if (c == '.') {
      if (previous == '.') return false;
      ++tokens;
    } else if (IsForbiddenByte(c) || c == '*' || c == '>') {
      return false;
    }
    ascii &= static_cast<uint8_t>(c) < 0x80;
    previous = c;
  }
  return previous != '.' && tokens <= kTopicTokensMax && (ascii || IsValidUtf8(topic));
}

absl::Status ValidateTopic(std::string_view topic) { return Validate("topic", topic, Wildcards::kForbidden); }

absl::Status ValidateFilter(std::string_view filter) {
  return Validate("filter", filter, Wildcards::kAllowed);
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

}  // namespace sluice
