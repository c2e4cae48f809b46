#include "client/url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<Server> Parse(std::string_view text) {
  absl::StatusOr<std::vector<Server>> servers = ParseServers(text);
  EXPECT_TRUE(servers.ok()) << servers.status();
  return servers.ok() ? *servers : std::vector<Server>();
}

std::string Refusal(std::string_view text) {
  const absl::StatusOr<std::vector<Server>> servers = ParseServers(text);
  EXPECT_EQ(servers.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(servers.status().message());
}

TEST(UrlTest, ReadsEveryWayToNameAServer) {
  EXPECT_THAT(Parse("sluice://a.example:1"), ElementsAre(Server{"a.example", 1}));
  EXPECT_THAT(Parse("sluice://a.example:1/"), ElementsAre(Server{"a.example", 1}));
  EXPECT_THAT(Parse("sluice://a.example"), ElementsAre(Server{"a.example", 7584}));
  EXPECT_THAT(Parse("127.0.0.1:65535"), ElementsAre(Server{"127.0.0.1", 65535}));
  EXPECT_THAT(Parse("a"), ElementsAre(Server{"a", 7584}));
  EXPECT_THAT(Parse("[::1]:9"), ElementsAre(Server{"::1", 9}));
  EXPECT_THAT(Parse("sluice://[fe80::1]"), ElementsAre(Server{"fe80::1", 7584}));
  EXPECT_THAT(Parse("sluice://a:1,b,[::1]:2"),
              ElementsAre(Server{"a", 1}, Server{"b", 7584}, Server{"::1", 2}));
}

TEST(UrlTest, SaysWhatIsWrong) {
  EXPECT_THAT(Refusal(""), HasSubstr("there is no host"));
  EXPECT_THAT(Refusal("a,,b"), HasSubstr("there is no host"));
  EXPECT_THAT(Refusal("sluice://:1"), HasSubstr("there is no host"));
  EXPECT_THAT(Refusal("nats://a:1"), HasSubstr("the only scheme is sluice://"));
  EXPECT_THAT(Refusal("a:0"), HasSubstr("1 to 65535"));
  EXPECT_THAT(Refusal("a:65536"), HasSubstr("1 to 65535"));
  EXPECT_THAT(Refusal("a:"), HasSubstr("1 to 65535"));
  EXPECT_THAT(Refusal("a:1x"), HasSubstr("1 to 65535"));
  EXPECT_THAT(Refusal("::1"), HasSubstr("brackets"));
  EXPECT_THAT(Refusal("[::1"), HasSubstr("no ]"));
  EXPECT_THAT(Refusal("[::1]7"), HasSubstr("only :port"));
  EXPECT_THAT(Refusal("user@host"), HasSubstr("no '/', '@' or space"));
  EXPECT_THAT(Refusal("sluice://a/b"), HasSubstr("no '/', '@' or space"));
  EXPECT_THAT(Refusal("a\nb:"), HasSubstr("a\\x0ab"));
}

TEST(UrlTest, WritesWhatItReads) {
  for (const std::string_view text : {"a.example:1", "[::1]:7584"}) {
    EXPECT_EQ(Parse(text).front().ToString(), text);
  }
}

}  // namespace
}  // namespace sluice::client
