#include "client/cli/json.h"

#include <fmt/format.h>

#include <cmath>

#include "protocol/topic.h"

namespace sluice::cli {
namespace {

// `text` with every byte that is not part of valid UTF-8 replaced.
std::string Repaired(std::string_view text) {
  std::string repaired;
  while (!text.empty()) {
    const uint8_t first = static_cast<uint8_t>(text[0]);
    const size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    const std::string_view character = text.substr(0, length);
    if (IsValidUtf8(character)) {
      repaired.append(character);
      text.remove_prefix(character.size());
    } else {
      repaired.append("\xef\xbf\xbd");
      text.remove_prefix(1);
    }
  }
  return repaired;
}

// What JSON wants escaped, and control characters that a terminal might obey (C1 are 0xc2 0x80 to 0xc2 0x9f).
bool NeedsEscape(std::string_view text, size_t at) {
  const uint8_t byte = static_cast<uint8_t>(text[at]);
  if (byte < ' ' || byte == '"' || byte == '\\' || byte == 0x7f) return true;
  return byte == 0xc2 && at + 1 < text.size() && static_cast<uint8_t>(text[at + 1]) < 0xa0;
}

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  while (!text.empty()) {
    size_t plain = 0;
    while (plain < text.size() && !NeedsEscape(text, plain)) ++plain;
    out->append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    switch (text[0]) {
      case '"':
        out->append("\\\"");
        break;
      case '\\':
        out->append("\\\\");
        break;
      case '\n':
        out->append("\\n");
        break;
      case '\r':
        out->append("\\r");
        break;
      case '\t':
        out->append("\\t");
        break;
      case '\xc2':
        text.remove_prefix(1);
        [[fallthrough]];
      default:
        fmt::format_to(std::back_inserter(*out), "\\u{:04x}", static_cast<uint8_t>(text[0]));
    }
    text.remove_prefix(1);
  }
  out->push_back('"');
}

JsonObject& JsonObject::Add(std::string_view key, std::string_view value) {
  std::string text;
  if (IsValidUtf8(value)) {
    AppendJsonString(value, &text);
  } else {
    AppendJsonString(Repaired(value), &text);
  }
  return AddRaw(key, text);
}

JsonObject& JsonObject::Add(std::string_view key, double value) {
  return AddRaw(key, std::isfinite(value) ? fmt::format("{:.6g}", value) : "null");
}

JsonObject& JsonObject::AddRaw(std::string_view key, std::string_view json) {
  fmt::format_to(std::back_inserter(members_), "{}\"{}\":{}", members_.empty() ? "" : ",", key, json);
  return *this;
}

void JsonObject::AppendTo(std::string* out) const {
  fmt::format_to(std::back_inserter(*out), "{{{}}}", members_);
}

std::string JsonObject::ToString() const {
  std::string text;
  AppendTo(&text);
  return text;
}

}  // namespace sluice::cli
