#include "metrics/http_request.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {
namespace {

HttpParse Parse(std::string_view bytes) {
  HttpRequest request;
  return ParseHttpRequest(bytes, &request);
}

std::string PathOf(std::string_view target) {
  HttpRequest request;
  const std::string bytes = "GET " + std::string(target) + " HTTP/1.1\r\n\r\n";
  return ParseHttpRequest(bytes, &request) == HttpParse::kOk ? std::string(request.path) : "refused";
}

TEST(HttpRequestTest, ReadsMethodAndPath) {
  HttpRequest request;
  ASSERT_EQ(ParseHttpRequest("GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", &request),
            HttpParse::kOk);
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.path, "/metrics");
  ASSERT_EQ(ParseHttpRequest("DELETE / HTTP/1.0\r\n\r\n", &request), HttpParse::kOk);
  EXPECT_EQ(request.method, "DELETE");
  EXPECT_EQ(request.path, "/");
}

TEST(HttpRequestTest, IsIncompleteAtEveryByteBeforeTheLast) {
  const std::string whole = "\r\nGET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n";
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_EQ(Parse(whole.substr(0, bytes)), HttpParse::kIncomplete) << bytes;
  }
  EXPECT_EQ(Parse(whole), HttpParse::kOk);
  EXPECT_EQ(Parse(whole + "and what follows"), HttpParse::kOk);
}

TEST(HttpRequestTest, LinesMayEndWithANewlineAlone) {
  EXPECT_EQ(Parse("GET / HTTP/1.1\n\n"), HttpParse::kOk);
  EXPECT_EQ(Parse("GET / HTTP/1.1\nHost: a\n\r\n"), HttpParse::kOk);
  EXPECT_EQ(Parse("GET / HTTP/1.1\r\nHost: a\r\n\n"), HttpParse::kOk);
}

TEST(HttpRequestTest, ThePathEndsWhereTheQueryBegins) {
  EXPECT_EQ(PathOf("/metrics"), "/metrics");
  EXPECT_EQ(PathOf("/metrics?collect[]=a&b=c"), "/metrics");
  EXPECT_EQ(PathOf("/metrics#x"), "/metrics");
  EXPECT_EQ(PathOf("/?"), "/");
  EXPECT_EQ(PathOf("*"), "*");
}

TEST(HttpRequestTest, TheQueryIsWhatStandsBehindThePath) {
  const auto query = [](const std::string& target) {
    HttpRequest request;
    const std::string bytes = "GET " + target + " HTTP/1.1\r\n\r\n";
    return ParseHttpRequest(bytes, &request) == HttpParse::kOk ? std::string(request.query) : "refused";
  };
  EXPECT_EQ(query("/a"), "");
  EXPECT_EQ(query("/a?"), "");
  EXPECT_EQ(query("/a?b=c&d=e?f"), "b=c&d=e?f");
  EXPECT_EQ(query("/a?b#c?d"), "b");
  EXPECT_EQ(query("/a#b?c"), "");
  EXPECT_EQ(query("http://host/a?b"), "b");
}

TEST(HttpRequestTest, FindsAuthorizationHoweverItIsWritten) {
  const auto authorization = [](const std::string& fields) {
    HttpRequest request;
    const std::string bytes = "GET / HTTP/1.1\r\n" + fields + "\r\n";
    return ParseHttpRequest(bytes, &request) == HttpParse::kOk ? std::string(request.authorization)
                                                               : "refused";
  };
  EXPECT_EQ(authorization(""), "");
  EXPECT_EQ(authorization("Authorization: Bearer x\r\n"), "Bearer x");
  EXPECT_EQ(authorization("Host: a\r\nAUTHORIZATION:Bearer x \t\r\nAccept: b\r\n"), "Bearer x");
  EXPECT_EQ(authorization("authorization:\r\n"), "");
  EXPECT_EQ(authorization("Authorization\r\n"), "");
  EXPECT_EQ(authorization("X-Authorization: Bearer x\r\n"), "");
  EXPECT_EQ(authorization("Authorization: a\r\nAuthorization: b\r\n"), "b");
}

TEST(HttpRequestTest, WhatAProxyIsAskedNamesAHostToo) {
  EXPECT_EQ(PathOf("http://127.0.0.1:7585/metrics?x"), "/metrics");
  EXPECT_EQ(PathOf("http://broker.example"), "/");
  EXPECT_EQ(PathOf("https://a/b/c"), "/b/c");
}

TEST(HttpRequestTest, RefusesWhatIsNoRequestLine) {
  for (const char* line : {"GET",
                           "GET /",
                           "GET  HTTP/1.1",
                           "GET / HTTP/1.1 x",
                           "GET /a b HTTP/1.1",
                           "get / HTTP/1.1",
                           "G\x01T / HTTP/1.1",
                           "GET metrics HTTP/1.1",
                           "GET ftp://a/b HTTP/1.1",
                           "GET ?x HTTP/1.1",
                           "GET / HTTP",
                           "GET / HTTP/1",
                           "GET / HTTP/11",
                           "GET / http/1.1",
                           "GET / HTTP/1.1x",
                           "GET / HTTP/x.1",
                           "GET / HTTP/1.x",
                           "GET /\xff HTTP/1.1",
                           "GET /\x7f HTTP/1.1",
                           "x y z",
                           "SSH-2.0-OpenSSH_9.2"}) {
    EXPECT_EQ(Parse(std::string(line) + "\r\n\r\n"), HttpParse::kBadRequest) << line;
  }
  EXPECT_EQ(Parse(std::string_view("GET /\0 HTTP/1.1\r\n\r\n", 20)), HttpParse::kBadRequest);
}

TEST(HttpRequestTest, RefusesOtherProtocolsAtTheirFirstByte) {
  EXPECT_EQ(Parse("\x16"), HttpParse::kBadRequest) << "TLS";
  EXPECT_EQ(Parse("{"), HttpParse::kBadRequest);
  EXPECT_EQ(Parse("\x0a\x16"), HttpParse::kBadRequest);
}

TEST(HttpRequestTest, SaysWhichVersionsItSpeaks) {
  EXPECT_EQ(Parse("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), HttpParse::kVersionNotSupported);
  EXPECT_EQ(Parse("GET / HTTP/0.9\r\n\r\n"), HttpParse::kVersionNotSupported);
  EXPECT_EQ(Parse("GET / HTTP/1.9\r\n\r\n"), HttpParse::kOk);
}

TEST(HttpRequestTest, AHeadWithoutEndIsTooLarge) {
  const std::vector<std::string> endless = {
      "GET /" + std::string(kHttpHeadBytesMax, 'x'),
      "GET / HTTP/1.1\r\nX: " + std::string(kHttpHeadBytesMax, 'x'),
      "GET / HTTP/1.1\r\n" + std::string(kHttpHeadBytesMax, 'x'),
      std::string(kHttpHeadBytesMax, '\n'),
      std::string(kHttpHeadBytesMax, 'A'),
  };
  for (const std::string& bytes : endless) {
    EXPECT_EQ(Parse(bytes.substr(0, kHttpHeadBytesMax - 1)), HttpParse::kIncomplete);
    EXPECT_EQ(Parse(bytes), HttpParse::kHeadTooLarge);
  }
}

TEST(HttpRequestTest, RandomChangesNeverReachBeyondTheBytes) {
  const uint32_t seed = 431;
  RecordProperty("seed", static_cast<int>(seed));
  std::mt19937 random(seed);
  const std::string good = "GET http://a:1/metrics?x HTTP/1.1\r\nHost: a\r\n\r\n";
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good;
    for (int change = 0; change < 3; ++change) {
      const size_t at = random() % bytes.size();
      if (random() % 2 == 0) {
        bytes[at] = static_cast<char>(random());
      } else {
        bytes.erase(at, 1 + random() % 3);
      }
      if (bytes.empty()) break;
    }
    // On the heap and exactly as large, so that AddressSanitizer sees a step beyond.
    const std::vector<char> exact(bytes.begin(), bytes.end());
    HttpRequest request;
    if (ParseHttpRequest({exact.data(), exact.size()}, &request) != HttpParse::kOk) continue;
    ASSERT_FALSE(request.path.empty()) << "seed " << seed << " round " << round;
    ASSERT_TRUE(request.path.front() == '/' || request.path == "*");
  }
}

}  // namespace
}  // namespace sluice
