#include "client/cli/line_splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace sluice::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Fits = LineSplitter::Line::Fits;

struct Collector {
  std::vector<std::string> lines;
  std::vector<uint64_t> too_long;
  uint64_t last_number = 0;

  void operator()(const LineSplitter::Line& line) {
    EXPECT_EQ(line.number, ++last_number);
    if (line.fits == Fits::kTooLong) {
      EXPECT_EQ(line.text, "");
      too_long.push_back(line.number);
    } else {
      EXPECT_EQ(line.text.size(), line.bytes);
      lines.emplace_back(line.text);
    }
  }
};

TEST(LineSplitterTest, EmptyLinesAreLines) {
  LineSplitter splitter(100);
  Collector seen;
  splitter.Append("\na\n\n\nb\n", seen);
  splitter.Finish(seen);
  EXPECT_THAT(seen.lines, ElementsAre("", "a", "", "", "b"));
}

TEST(LineSplitterTest, ALastLineNeedsNoNewline) {
  LineSplitter splitter(100);
  Collector seen;
  splitter.Append("a\nb", seen);
  EXPECT_THAT(seen.lines, ElementsAre("a"));
  EXPECT_TRUE(splitter.has_partial());
  splitter.Finish(seen);
  EXPECT_THAT(seen.lines, ElementsAre("a", "b"));
}

TEST(LineSplitterTest, NothingIsNoLine) {
  LineSplitter splitter(100);
  Collector seen;
  splitter.Append("", seen);
  splitter.Finish(seen);
  EXPECT_THAT(seen.lines, IsEmpty());
}

TEST(LineSplitterTest, EveryByteButTheNewlineStays) {
  std::string every;
  for (int byte = 0; byte < 256; ++byte) {
    if (byte != '\n') every.push_back(static_cast<char>(byte));
  }
  LineSplitter splitter(1000);
  Collector seen;
  splitter.Append(every + "\n" + "dos\r\n", seen);
  EXPECT_THAT(seen.lines, ElementsAre(every, "dos\r"));
}

TEST(LineSplitterTest, ALongLineIsToldByItsNumberAndTheOthersGoOn) {
  LineSplitter splitter(5);
  Collector seen;
  splitter.Append("12345\n123456\n", seen);
  // In pieces, the limit within the second.
  splitter.Append("1234", seen);
  splitter.Append("5678", seen);
  splitter.Append("9\nok\n", seen);
  splitter.Append("the last is too long", seen);
  splitter.Finish(seen);
  EXPECT_THAT(seen.lines, ElementsAre("12345", "ok"));
  EXPECT_THAT(seen.too_long, ElementsAre(2u, 3u, 5u));
}

TEST(LineSplitterTest, TellsHowLongALongLineIs) {
  LineSplitter splitter(5);
  uint64_t bytes = 0;
  const auto note = [&](const LineSplitter::Line& line) { bytes = line.bytes; };
  splitter.Append("123456", note);
  splitter.Append("789\n", note);
  EXPECT_EQ(bytes, 9u);
}

TEST(LineSplitterTest, HowTheBytesArriveMakesNoDifference) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  std::string input;
  for (int i = 0; i < 3000; ++i)
    input.push_back(random() % 7 == 0 ? '\n' : static_cast<char>(random() % 256));

  Collector whole;
  LineSplitter at_once(12);
  at_once.Append(input, whole);
  at_once.Finish(whole);
  for (int round = 0; round < 20; ++round) {
    Collector pieces;
    LineSplitter splitter(12);
    std::string_view rest = input;
    while (!rest.empty()) {
      const size_t size = std::min<size_t>(rest.size(), random() % 30);
      splitter.Append(rest.substr(0, size), pieces);
      rest.remove_prefix(size);
    }
    splitter.Finish(pieces);
    ASSERT_EQ(pieces.lines, whole.lines);
    ASSERT_EQ(pieces.too_long, whole.too_long);
  }
}

}  // namespace
}  // namespace sluice::cli
