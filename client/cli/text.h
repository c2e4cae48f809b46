// Text for people: rounded numbers, and bytes from outside made fit for a terminal.
//
// Thread safety: pure functions.
#ifndef SLUICE_CLIENT_CLI_TEXT_H_
#define SLUICE_CLIENT_CLI_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace sluice::cli {

// Three significant digits: "999", "1.23k", "45.6M".
std::string RoundedCount(double count);
// "999 B", "1.23 KiB", "45.6 MiB".
std::string RoundedBytes(double bytes);
// "950 ns", "12.3 µs", "4.56 ms", "1.2 s".
std::string RoundedDuration(absl::Duration duration);
// "1 message", "2 messages".
std::string Counted(uint64_t count, std::string_view singular);

// `text` with newlines in place of spaces, so that no line is longer than `columns` unless one word is.
std::string Wrapped(std::string_view text, size_t columns);

// The first `columns` characters of UTF-8, each taken to be one column wide.
std::string_view FirstColumns(std::string_view text, size_t columns);

// Appends `text` so that it cannot move the cursor, ring, or change a terminal's state, and stays on its
// line: control characters (C1, too) and bytes that are not UTF-8 become \n, \r, \xNN. Tabs stay.
void AppendForTerminal(std::string_view text, std::string* out);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_TEXT_H_
