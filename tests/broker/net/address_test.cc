#include "broker/net/address.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::net {
namespace {

using ::testing::HasSubstr;

std::string Text(const absl::Status& status) { return std::string(status.message()); }

TEST(HostPortTest, ReadsNamesAndAddresses) {
  const struct {
    std::string_view text;
    HostPort expected;
  } cases[] = {
      {"127.0.0.1:7584", {"127.0.0.1", 7584}},
      {"0.0.0.0:0", {"0.0.0.0", 0}},
      {"localhost:65535", {"localhost", 65535}},
      {"broker-1.some_zone.example:1", {"broker-1.some_zone.example", 1}},
      {"[::]:7584", {"::", 7584}},
      {"[::1]:0", {"::1", 0}},
      {"[2001:db8::17]:80", {"2001:db8::17", 80}},
      {"[::ffff:192.0.2.1]:80", {"::ffff:192.0.2.1", 80}},
      {"[fe80::1%eth0]:80", {"fe80::1%eth0", 80}},
  };
  for (const auto& [text, expected] : cases) {
    SCOPED_TRACE(text);
    const absl::StatusOr<HostPort> parsed = HostPort::Parse(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, expected);
    EXPECT_EQ(parsed->ToString(), text);
  }
}

TEST(HostPortTest, RefusesTheRestAndSaysWhy) {
  const struct {
    std::string_view text;
    std::string_view why;
  } cases[] = {
      {"", "the port is missing"},
      {"localhost", "the port is missing"},
      {"7584", "the port is missing"},
      {"[::1]", "the port is missing"},
      {":7584", "the host is missing (0.0.0.0 or [::] for every interface)"},
      {"localhost:", "the port is not a number from 0 to 65535"},
      {"localhost:65536", "the port is not a number from 0 to 65535"},
      {"localhost:99999999999999999999", "the port is not a number from 0 to 65535"},
      {"localhost:-1", "the port is not a number from 0 to 65535"},
      {"localhost:+1", "the port is not a number from 0 to 65535"},
      {"localhost: 1", "the port is not a number from 0 to 65535"},
      {"localhost:1 ", "the port is not a number from 0 to 65535"},
      {"localhost:0x50", "the port is not a number from 0 to 65535"},
      {"localhost:http", "the port is not a number from 0 to 65535"},
      {"[::1]:", "the port is not a number from 0 to 65535"},
      {"::1", "an IPv6 address needs brackets"},
      {"::1:7584", "an IPv6 address needs brackets"},
      {"2001:db8::17:80", "an IPv6 address needs brackets"},
      {"fe80::1%eth0", "an IPv6 address needs brackets"},
      {"[::1:80", "the closing bracket is missing"},
      {"[:80", "the closing bracket is missing"},
      {"[]:80", "what is in brackets is not an IPv6 address"},
      {"[localhost]:80", "what is in brackets is not an IPv6 address"},
      {"[127.0.0.1]:80", "what is in brackets is not an IPv6 address"},
      {"[[::1]]:80", "what is in brackets is not an IPv6 address"},
      {"[fe80::1%]:80", "what is in brackets is not an IPv6 address"},
      {"[fe80::1%e th]:80", "what is in brackets is not an IPv6 address"},
      {std::string_view("[::1\0]:80", 9), "what is in brackets is not an IPv6 address"},
      {"]:80", "the host is neither a name nor an address"},
      {"::1]:80", "the host is neither a name nor an address"},
      {"a:b:80", "the host is neither a name nor an address"},
      {" localhost:80", "the host is neither a name nor an address"},
      {"local host:80", "the host is neither a name nor an address"},
      {"sluice://localhost:80", "the host is neither a name nor an address"},
      {"localhost/x:80", "the host is neither a name nor an address"},
      {std::string_view("local\0host:80", 13), "the host is neither a name nor an address"},
  };
  for (const auto& [text, why] : cases) {
    SCOPED_TRACE(text);
    const absl::StatusOr<HostPort> parsed = HostPort::Parse(text);
    ASSERT_FALSE(parsed.ok()) << parsed->ToString();
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Text(parsed.status()), HasSubstr(why));
  }
}

TEST(HostPortTest, QuotesTheValueAndNamesTheAllowedForm) {
  EXPECT_EQ(
      Text(HostPort::Parse("localhost").status()),
      "bad address \"localhost\": the port is missing; expected HOST:PORT or [IPV6]:PORT with a port from "
      "0 to 65535, for example 127.0.0.1:7584");
}

TEST(HostPortTest, EscapesWhatATerminalShouldNotSee) {
  EXPECT_THAT(Text(HostPort::Parse("a\x1b[31m\n\"b:1").status()), HasSubstr("\"a\\033[31m\\n\\\"b:1\""));
}

TEST(HostPortTest, ReadsBackWhateverItAccepts) {
  constexpr std::string_view kAlphabet = "[]:::..%0129afxZ-_ ";
  size_t accepted = 0;
  std::mt19937 random(1);
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    const size_t bytes = random() % 12;
    while (text.size() < bytes) text += kAlphabet[random() % kAlphabet.size()];
    const absl::StatusOr<HostPort> parsed = HostPort::Parse(text);
    if (!parsed.ok()) continue;
    ++accepted;
    const absl::StatusOr<HostPort> again = HostPort::Parse(parsed->ToString());
    ASSERT_TRUE(again.ok()) << text;
    ASSERT_EQ(*again, *parsed) << text;
  }
  EXPECT_GT(accepted, 1000u);
}

SocketAddress Ipv4(const char* address, uint16_t port) {
  sockaddr_in ipv4 = {};
  ipv4.sin_family = AF_INET;
  ipv4.sin_port = htons(port);
  EXPECT_EQ(inet_pton(AF_INET, address, &ipv4.sin_addr), 1);
  return {reinterpret_cast<const sockaddr*>(&ipv4), sizeof ipv4};
}

SocketAddress Ipv6(const char* address, uint16_t port, uint32_t link = 0) {
  sockaddr_in6 ipv6 = {};
  ipv6.sin6_family = AF_INET6;
  ipv6.sin6_port = htons(port);
  ipv6.sin6_scope_id = link;
  EXPECT_EQ(inet_pton(AF_INET6, address, &ipv6.sin6_addr), 1);
  return {reinterpret_cast<const sockaddr*>(&ipv6), sizeof ipv6};
}

TEST(SocketAddressTest, ShowsIpv4) {
  const SocketAddress address = Ipv4("192.0.2.17", 4711);
  EXPECT_EQ(address.ToString(), "192.0.2.17:4711");
  EXPECT_EQ(address.family(), AF_INET);
  EXPECT_EQ(address.port(), 4711);
  EXPECT_EQ(address.bytes(), sizeof(sockaddr_in));
}

TEST(SocketAddressTest, ShowsIpv6InBrackets) {
  const SocketAddress address = Ipv6("2001:db8::17", 4711);
  EXPECT_EQ(address.ToString(), "[2001:db8::17]:4711");
  EXPECT_EQ(address.family(), AF_INET6);
  EXPECT_EQ(address.port(), 4711);
}

TEST(SocketAddressTest, ShowsAPeerThatCameOverIpv4AsIpv4) {
  EXPECT_EQ(Ipv6("::ffff:192.0.2.17", 4711).ToString(), "192.0.2.17:4711");
}

TEST(SocketAddressTest, NamesTheLinkOfALinkLocalAddress) {
  const uint32_t loopback = if_nametoindex("lo");
  ASSERT_NE(loopback, 0u);
  EXPECT_EQ(Ipv6("fe80::1", 80, loopback).ToString(), "[fe80::1%lo]:80");
}

TEST(SocketAddressTest, ShowsTheNumberOfALinkThatIsGone) {
  EXPECT_EQ(Ipv6("fe80::1", 80, 1'999'999'999).ToString(), "[fe80::1%1999999999]:80");
}

TEST(SocketAddressTest, KnowsTheLoopbackInterface) {
  EXPECT_TRUE(Ipv4("127.0.0.1", 1).IsLoopback());
  EXPECT_TRUE(Ipv4("127.255.0.9", 1).IsLoopback());
  EXPECT_TRUE(Ipv6("::1", 1).IsLoopback());
  EXPECT_TRUE(Ipv6("::ffff:127.0.0.1", 1).IsLoopback());
  EXPECT_FALSE(Ipv4("128.0.0.1", 1).IsLoopback());
  EXPECT_FALSE(Ipv4("10.0.0.127", 1).IsLoopback());
  EXPECT_FALSE(Ipv6("::2", 1).IsLoopback());
  EXPECT_FALSE(Ipv6("::ffff:10.0.0.127", 1).IsLoopback());
  EXPECT_FALSE(SocketAddress().IsLoopback());
}

TEST(SocketAddressTest, SaysWhenThereIsNone) {
  EXPECT_EQ(SocketAddress().ToString(), "unknown");
  EXPECT_EQ(SocketAddress().family(), AF_UNSPEC);
  EXPECT_EQ(SocketAddress().port(), 0);
  sockaddr_un local = {};
  local.sun_family = AF_UNIX;
  EXPECT_EQ(SocketAddress(reinterpret_cast<const sockaddr*>(&local), sizeof local).ToString(), "local");
}

std::vector<std::string> Shown(const std::vector<SocketAddress>& addresses) {
  std::vector<std::string> shown;
  for (const SocketAddress& address : addresses) shown.push_back(address.ToString());
  return shown;
}

TEST(ResolveTest, TakesAddressesAsTheyAre) {
  const struct {
    HostPort where;
    std::string expected;
  } cases[] = {
      {{"127.0.0.1", 7584}, "127.0.0.1:7584"},
      {{"0.0.0.0", 0}, "0.0.0.0:0"},
      {{"::", 7584}, "[::]:7584"},
      {{"2001:db8::17", 1}, "[2001:db8::17]:1"},
      {{"fe80::1%lo", 1}, "[fe80::1%lo]:1"},
  };
  for (const auto& [where, expected] : cases) {
    SCOPED_TRACE(expected);
    const absl::StatusOr<std::vector<SocketAddress>> addresses = Resolve(where);
    ASSERT_TRUE(addresses.ok()) << addresses.status();
    EXPECT_EQ(Shown(*addresses), std::vector<std::string>{expected});
  }
}

TEST(ResolveTest, FindsThisMachineByName) {
  const absl::StatusOr<std::vector<SocketAddress>> addresses = Resolve({"localhost", 7584});
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  EXPECT_THAT(Shown(*addresses), ::testing::Each(::testing::AnyOf("127.0.0.1:7584", "[::1]:7584")));
  EXPECT_FALSE(addresses->empty());
}

TEST(ResolveTest, SaysWhichHostHasNoAddress) {
  // An empty label: no name server is asked.
  const absl::Status status = Resolve({"no..such..host", 7584}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Text(status), ::testing::StartsWith("cannot resolve no..such..host: "));
}

TEST(ResolveTest, DoesNotTakeALinkThatDoesNotExist) {
  EXPECT_EQ(Resolve({"fe80::1%nolink", 7584}).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace sluice::net
