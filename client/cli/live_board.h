// What `sluice demo` shows while it runs: lines that scroll, and below them, on a terminal, a table that is drawn
// again in its place.
//
//   LiveBoard board(&console);
//   board.Show({"12:00:01 screen …"}, {"CONSUMER …", "screen …"});
//   board.Show({"12:00:02 screen …"}, {});               // the table goes; what comes next begins in its place
//
// Without a terminal there are the lines only.
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_CLI_LIVE_BOARD_H_
#define SLUICE_CLIENT_CLI_LIVE_BOARD_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "client/cli/console.h"

namespace sluice::cli {

struct TerminalSize {
  size_t rows = 24;
  size_t columns = 80;
};

// The bytes that replace a table of `drawn` lines by `news` and below it `table`, and how many lines that then has:
// not more than the terminal, nor wider, since what scrolls or wraps cannot be replaced.
struct BoardText {
  std::string bytes;
  size_t drawn = 0;
};
BoardText DrawBoard(size_t drawn, const std::vector<std::string>& news, const std::vector<std::string>& table,
                    TerminalSize size);

class LiveBoard {
 public:
  // `console` outlives it.
  explicit LiveBoard(Console* console) : console_(*console) {}

  bool has_table() const { return console_.output_is_terminal(); }
  // Console::output() says whether anybody reads it.
  void Show(const std::vector<std::string>& news, const std::vector<std::string>& table);

 private:
  Console& console_;
  size_t drawn_ = 0;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_LIVE_BOARD_H_
