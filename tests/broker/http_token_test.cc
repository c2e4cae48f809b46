#include "broker/http_token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

class HttpTokenTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::string> Read(const std::string& text) {
    return ReadHttpToken(directory_.Write("token", text));
  }

  testing::TempDir directory_;
};

TEST_F(HttpTokenTest, IsTheFirstLine) {
  EXPECT_EQ(*Read("0123456789abcdef"), "0123456789abcdef");
  EXPECT_EQ(*Read("0123456789abcdef\nand what follows\n"), "0123456789abcdef");
  EXPECT_EQ(Read(std::string(256, 'x') + "\n")->size(), 256u);
  EXPECT_EQ(*ReadHttpToken(""), "") << "no file: nothing is allowed";
}

TEST_F(HttpTokenTest, SaysWhatIsAllowed) {
  for (const std::string& bad : {std::string(), std::string("\n0123456789abcdef"), std::string("short"),
                                 std::string("0123456789 abcdef"), std::string("0123456789abcdef\r\n"),
                                 std::string(257, 'x'), std::string(100'000, 'x'), std::string(20, '\0')}) {
    const absl::Status status = Read(bad).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr("allowed: 16 to 256 visible ASCII characters"));
  }
}

TEST_F(HttpTokenTest, SaysWhichFileCannotBeRead) {
  const absl::Status status = ReadHttpToken(directory_.path() + "/nothing").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nothing: no such file or directory"));
  EXPECT_FALSE(ReadHttpToken(directory_.path()).ok()) << "a directory";
}

}  // namespace
}  // namespace sluice
