// Whether a text may go to a log, a terminal or a metric's label.
#ifndef SLUICE_TESTS_SUPPORT_VISIBLE_TEXT_H_
#define SLUICE_TESTS_SUPPORT_VISIBLE_TEXT_H_

#include <cctype>
#include <cstdint>
#include <string_view>

#include "protocol/topic.h"

namespace sluice {

// Valid UTF-8 without control characters (U+0000 to U+001F, U+007F to U+009F).
inline bool IsVisibleText(std::string_view text) {
  if (!IsValidUtf8(text)) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    if (byte < ' ' || byte == 0x7f) return false;
    if (byte == 0xc2 && static_cast<uint8_t>(text[i + 1]) < 0xa0) return false;
  }
  return true;
}

// Visible, and fit to stand between quotes: no quote, and a backslash only before two hex digits.
inline bool IsPrintableForm(std::string_view text) {
  if (!IsVisibleText(text)) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') return false;
    if (text[i] != '\\') continue;
    if (i + 3 >= text.size() || text[i + 1] != 'x') return false;
    for (size_t digit : {i + 2, i + 3}) {
      if (!std::isxdigit(static_cast<unsigned char>(text[digit]))) return false;
    }
  }
  return true;
}

}  // namespace sluice

#endif  // SLUICE_TESTS_SUPPORT_VISIBLE_TEXT_H_
