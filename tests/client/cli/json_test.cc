#include "client/cli/json.h"

#include <gtest/gtest.h>

#include <limits>

namespace sluice::cli {
namespace {

std::string Json(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

TEST(JsonTest, EscapesWhatJsonWantsEscaped) {
  EXPECT_EQ(Json("plain €"), "\"plain €\"");
  EXPECT_EQ(Json("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(Json("\n\r\t"), "\"\\n\\r\\t\"");
  EXPECT_EQ(Json(std::string_view("\0\x1f\x7f", 3)), "\"\\u0000\\u001f\\u007f\"");
  EXPECT_EQ(Json("\xc2\x9b\xc2\xa0"), "\"\\u009b\xc2\xa0\"");
}

TEST(JsonTest, WritesAnObjectInTheOrderOfItsMembers) {
  JsonObject object;
  object.Add("text", "a\"b").Add("count", uint64_t{18446744073709551615u}).Add("below", -3).Add("yes", true);
  object.Add("ratio", 0.5).AddRaw("list", "[1]");
  EXPECT_EQ(object.ToString(),
            R"({"text":"a\"b","count":18446744073709551615,"below":-3,"yes":true,"ratio":0.5,"list":[1]})");
  EXPECT_EQ(JsonObject().ToString(), "{}");
}

TEST(JsonTest, IsAlwaysValidJson) {
  JsonObject object;
  object.Add("broken", "a\xff\xe2\x82z").Add("nan", std::numeric_limits<double>::quiet_NaN());
  object.Add("inf", std::numeric_limits<double>::infinity());
  EXPECT_EQ(object.ToString(),
            "{\"broken\":\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\",\"nan\":null,\"inf\":null}");
}

}  // namespace
}  // namespace sluice::cli
