#include "client/cli/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

using ::testing::ElementsAre;

TEST(TableTest, AlignsColumns) {
  Table table({{"NAME"}, {"BYTES", Table::Align::kRight}, {"END"}});
  table.Add({"a", "1", "x"});
  table.Add({"longer", "123456", ""});
  EXPECT_THAT(table.Lines(), ElementsAre("NAME     BYTES  END",  //
                                         "a            1  x",    //
                                         "longer  123456"));
  EXPECT_EQ(table.size(), 2u);
}

TEST(TableTest, CountsCharactersNotBytes) {
  Table table({{"NAME"}, {"X"}});
  table.Add({"grüße", "1"});
  table.Add({"abcde", "2"});
  EXPECT_THAT(table.Lines(), ElementsAre("NAME   X", "grüße  1", "abcde  2"));
}

TEST(TableTest, WhatComesFromOutsideCannotMoveTheCursor) {
  Table table({{"NAME"}});
  table.Add({"a\x1b[31m\nb"});
  EXPECT_THAT(table.Lines(), ElementsAre("NAME", "a\\x1b[31m\\nb"));
  EXPECT_EQ(table.ToString(), "NAME\na\\x1b[31m\\nb\n");
}

}  // namespace
}  // namespace sluice::cli
