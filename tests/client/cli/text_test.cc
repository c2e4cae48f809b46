#include "client/cli/text.h"

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

std::string ForTerminal(std::string_view text) {
  std::string out;
  AppendForTerminal(text, &out);
  return out;
}

TEST(TextTest, RoundsToThreeDigits) {
  EXPECT_EQ(RoundedCount(0), "0");
  EXPECT_EQ(RoundedCount(999), "999");
  EXPECT_EQ(RoundedCount(999.6), "1k");
  EXPECT_EQ(RoundedCount(1234), "1.23k");
  EXPECT_EQ(RoundedCount(999'600), "1M");
  EXPECT_EQ(RoundedCount(45'678'901), "45.7M");
  EXPECT_EQ(RoundedCount(5e15), "5000T");
  EXPECT_EQ(RoundedBytes(1000), "0.977 KiB");
  EXPECT_EQ(RoundedBytes(1 << 20), "1 MiB");
  EXPECT_EQ(RoundedDuration(absl::Nanoseconds(950)), "950 ns");
  EXPECT_EQ(RoundedDuration(absl::Microseconds(12)), "12 µs");
  EXPECT_EQ(RoundedDuration(absl::Microseconds(4560)), "4.56 ms");
  EXPECT_EQ(RoundedDuration(absl::Seconds(90)), "90 s");
}

TEST(TextTest, CountsInWords) {
  EXPECT_EQ(Counted(0, "message"), "0 messages");
  EXPECT_EQ(Counted(1, "message"), "1 message");
  EXPECT_EQ(Counted(2, "message"), "2 messages");
}

TEST(TextTest, WrapsBetweenWords) {
  EXPECT_EQ(Wrapped("one two three", 7), "one two\nthree");
  EXPECT_EQ(Wrapped("one two three", 6), "one\ntwo\nthree");
  EXPECT_EQ(Wrapped("one two three", 100), "one two three");
  EXPECT_EQ(Wrapped("longerthanaline a", 4), "longerthanaline\na");
  EXPECT_EQ(Wrapped("", 4), "");
}

TEST(TextTest, LeavesTextAlone) {
  EXPECT_EQ(ForTerminal("price 187.2 \t € größe 日本 \\ \"quoted\""),
            "price 187.2 \t € größe 日本 \\ \"quoted\"");
  EXPECT_EQ(ForTerminal(""), "");
}

TEST(TextTest, NothingThatATerminalObeysGetsThrough) {
  EXPECT_EQ(ForTerminal("a\x1b[2Jb"), "a\\x1b[2Jb");
  EXPECT_EQ(ForTerminal("two\nlines\r\n"), "two\\nlines\\r\\n");
  EXPECT_EQ(ForTerminal(std::string_view("\0\x07\x7f", 3)), "\\x00\\x07\\x7f");
  // CSI as one C1 control, in UTF-8 and as a bare byte.
  EXPECT_EQ(ForTerminal("\xc2\x9b"
                        "2J"),
            "\\xc2\\x9b2J");
  EXPECT_EQ(ForTerminal("\x9b"
                        "2J"),
            "\\x9b2J");
  // The first character behind the C1 controls is text.
  EXPECT_EQ(ForTerminal("\xc2\xa0"), "\xc2\xa0");
}

TEST(TextTest, ColumnsAreCharactersAndNoneIsCutInTwo) {
  EXPECT_EQ(FirstColumns("größe", 3), "grö");
  EXPECT_EQ(FirstColumns("größe", 2), "gr");
  EXPECT_EQ(FirstColumns("größe", 0), "");
  EXPECT_EQ(FirstColumns("größe", 5), "größe");
  EXPECT_EQ(FirstColumns("größe", 80), "größe");
}

TEST(TextTest, WhatIsNotUtf8IsShownAsBytes) {
  EXPECT_EQ(ForTerminal("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(ForTerminal("cut \xe2\x82"), "cut \\xe2\\x82");
  EXPECT_EQ(ForTerminal("\xc0\xaf"), "\\xc0\\xaf");
  EXPECT_EQ(ForTerminal("\xed\xa0\x80"), "\\xed\\xa0\\x80");
}

}  // namespace
}  // namespace sluice::cli
