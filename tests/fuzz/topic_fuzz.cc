// Topics and filters against the plainest implementation that one can write down. The input is a filter and a
// topic with a newline between them (or one text for both).
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/names.h"
#include "protocol/topic.h"
#include "tests/fuzz/fuzz_check.h"
#include "tests/support/visible_text.h"

namespace sluice {
namespace {

using Tokens = std::vector<std::string>;

Tokens Split(std::string_view text) {
  Tokens tokens(1);
  for (char c : text) {
    if (c == '.') {
      tokens.emplace_back();
    } else {
      tokens.back() += c;
    }
  }
  return tokens;
}

// Decodes code point by code point and asks whether each could have been written shorter, is a surrogate, or
// is too large.
bool ReferenceUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const uint8_t lead = static_cast<uint8_t>(text[at++]);
    if (lead < 0x80) continue;
    const int more = lead >> 5 == 6 ? 1 : lead >> 4 == 14 ? 2 : lead >> 3 == 30 ? 3 : -1;
    if (more < 0) return false;
    uint32_t code = lead & (0x3f >> more);
    for (int i = 0; i < more; ++i, ++at) {
      if (at == text.size() || (static_cast<uint8_t>(text[at]) & 0xc0) != 0x80) return false;
      code = code << 6 | (static_cast<uint8_t>(text[at]) & 0x3f);
    }
    const uint32_t least = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
  }
  return true;
}

enum class Kind { kTopic, kFilter };

bool ReferenceValid(std::string_view text, Kind kind) {
  if (text.size() > 255 || !ReferenceUtf8(text)) return false;
  const Tokens tokens = Split(text);
  if (tokens.size() > 32) return false;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::string& token = tokens[i];
    if (token.empty()) return false;
    for (char c : token) {
      if ((c >= 0 && c <= 32) || c == 127) return false;
    }
    if (kind == Kind::kFilter && (token == "*" || (token == ">" && i + 1 == tokens.size()))) continue;
    if (token.find('*') != std::string::npos || token.find('>') != std::string::npos) return false;
  }
  return true;
}

bool ReferenceMatches(const Tokens& filter, size_t f, const Tokens& topic, size_t t) {
  if (f == filter.size() || t == topic.size()) return f == filter.size() && t == topic.size();
  if (f == 0 && topic[0][0] == '$' && (filter[0] == "*" || filter[0] == ">")) return false;
  if (filter[f] == ">") return true;
  if (filter[f] != "*" && filter[f] != topic[t]) return false;
  return ReferenceMatches(filter, f + 1, topic, t + 1);
}

void CheckValidation(std::string_view text) {
  FUZZ_CHECK(IsValidUtf8(text) == ReferenceUtf8(text));
  FUZZ_CHECK(IsValidTopic(text) == ReferenceValid(text, Kind::kTopic));
  FUZZ_CHECK(ValidateTopic(text).ok() == ReferenceValid(text, Kind::kTopic));
  FUZZ_CHECK(ValidateFilter(text).ok() == ReferenceValid(text, Kind::kFilter));
  FUZZ_CHECK(IsVisibleText(std::string(ValidateTopic(text).message())));
  FUZZ_CHECK(IsVisibleText(std::string(ValidateFilter(text).message())));
  FUZZ_CHECK(IsPrintableForm(Printable(text)));
  FUZZ_CHECK(IsPrintableForm(Printable(text, text.size() / 2)));
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t newline = input.find('\n');
  const std::string_view filter = input.substr(0, newline);
  const std::string_view topic = newline == std::string_view::npos ? filter : input.substr(newline + 1);
  CheckValidation(filter);
  CheckValidation(topic);
  if (!ValidateFilter(filter).ok() || !IsValidTopic(topic)) return 0;
  const Tokens tokens = Split(filter);
  FUZZ_CHECK(FilterMatches(filter, topic) == ReferenceMatches(tokens, 0, Split(topic), 0));
  FUZZ_CHECK(HasWildcard(filter) == !IsValidTopic(filter));
  return 0;
}
