#include "client/cli/live_board.h"

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

TEST(LiveBoardTest, TheTableStandsBelowTheNewsAndIsReplaced) {
  const BoardText first = DrawBoard(0, {"news"}, {"title", "row"}, {.rows = 24, .columns = 80});
  EXPECT_EQ(first.bytes, "news\ntitle\nrow\n");
  EXPECT_EQ(first.drawn, 2);
  const BoardText next = DrawBoard(first.drawn, {"more"}, {"title"}, {.rows = 24, .columns = 80});
  EXPECT_EQ(next.bytes, "\x1b[2A\r\x1b[Jmore\ntitle\n");
  EXPECT_EQ(next.drawn, 1);
  EXPECT_EQ(DrawBoard(1, {}, {}, {}).bytes, "\x1b[1A\r\x1b[J");
}

TEST(LiveBoardTest, FitsTheTerminal) {
  const BoardText small = DrawBoard(0, {}, {"12345", "1µ345", "12345"}, {.rows = 3, .columns = 4});
  EXPECT_EQ(small.bytes, "1234\n1µ34\n");
  EXPECT_EQ(small.drawn, 2);
  EXPECT_EQ(DrawBoard(0, {}, {"row"}, {.rows = 1, .columns = 4}).drawn, 0);
}

TEST(LiveBoardTest, WhatClientsSayCannotMoveTheCursor) {
  EXPECT_EQ(DrawBoard(0, {"a\x1b[2J"}, {"b\x1b[2J"}, {}).bytes.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace sluice::cli
