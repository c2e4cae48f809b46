#include "client/cli/payload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/line_numbers.h"
#include "tests/support/temp_dir.h"

namespace sluice::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(PayloadTest, ReadsAFileByteForByte) {
  const testing::TempDir dir;
  std::string bytes;
  for (int i = 0; i < 200'000; ++i) bytes.push_back(static_cast<char>(i * 7));
  EXPECT_EQ(*ReadPayloadFile(dir.Write("payload", bytes), bytes.size()), bytes);
  EXPECT_EQ(*ReadPayloadFile(dir.Write("empty", ""), 10), "");
}

TEST(PayloadTest, RefusesALargerFileThanTheBrokerTakes) {
  const testing::TempDir dir;
  const absl::Status status = ReadPayloadFile(dir.Write("payload", "12345"), 4).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("larger than the broker's largest payload, 4 bytes"));
}

TEST(PayloadTest, SaysWhyAFileCannotBeRead) {
  EXPECT_THAT(std::string(ReadPayloadFile("/nowhere/at/all", 4).status().message()),
              HasSubstr("/nowhere/at/all: No such file"));
  EXPECT_THAT(std::string(ReadPayloadFile("/", 4).status().message()), HasSubstr("directory"));
}

TEST(PayloadTest, GeneratesWhatWasAskedFor) {
  EXPECT_EQ(GeneratedPayload(1, 0), "");
  EXPECT_EQ(GeneratedPayload(123, 2), "12");
  for (const uint64_t size : {1, 10, 1000}) EXPECT_EQ(GeneratedPayload(7, size).size(), size);
  EXPECT_THAT(GeneratedPayload(42, 100), StartsWith("42 "));
}

TEST(LineNumbersTest, CountsTheLinesThatWereNotPublished) {
  LineNumbers numbers;
  EXPECT_EQ(numbers.LineOf(5), 5u);
  numbers.Skip(1);
  numbers.Skip(4);
  numbers.Skip(5);
  EXPECT_EQ(numbers.LineOf(1), 2u);
  EXPECT_EQ(numbers.LineOf(2), 3u);
  EXPECT_EQ(numbers.LineOf(3), 6u);
  EXPECT_EQ(numbers.LineOf(4), 7u);
}

}  // namespace
}  // namespace sluice::cli
