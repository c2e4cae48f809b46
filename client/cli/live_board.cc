#include "client/cli/live_board.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "client/cli/text.h"

namespace sluice::cli {
namespace {

constexpr std::string_view kEraseBelow = "\x1b[J";

TerminalSize SizeOfTerminal() {
  winsize size = {};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return {};
  return {.rows = size.ws_row, .columns = size.ws_col};
}

}  // namespace

BoardText DrawBoard(size_t drawn, const std::vector<std::string>& news, const std::vector<std::string>& table,
                    TerminalSize size) {
  BoardText text;
  if (drawn > 0) text.bytes = fmt::format("\x1b[{}A\r{}", drawn, kEraseBelow);
  for (const std::string& line : news) {
    AppendForTerminal(line, &text.bytes);
    text.bytes.push_back('\n');
  }
  text.drawn = std::min(table.size(), size.rows - 1);
  for (size_t i = 0; i < text.drawn; ++i) {
    std::string line;
    AppendForTerminal(table[i], &line);
    text.bytes.append(FirstColumns(line, size.columns));
    text.bytes.push_back('\n');
  }
  return text;
}

void LiveBoard::Show(const std::vector<std::string>& news, const std::vector<std::string>& table) {
  BoardText text =
      DrawBoard(drawn_, news, has_table() ? table : std::vector<std::string>(), SizeOfTerminal());
  drawn_ = text.drawn;
  static_cast<void>(console_.output().Write(text.bytes));
}

}  // namespace sluice::cli
