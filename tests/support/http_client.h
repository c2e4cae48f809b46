// Asks an HTTP server on this machine, as a scraper or a health check would.
//
//   EXPECT_EQ(HttpGet(port, "/healthz").status, 200);
//
// What is not an answer by HTTP/1.1 throws std::runtime_error, also one that does not come within two minutes.
#ifndef SLUICE_TESTS_SUPPORT_HTTP_CLIENT_H_
#define SLUICE_TESTS_SUPPORT_HTTP_CLIENT_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace sluice::testing {

struct HttpReply {
  int status = 0;
  std::string reason;
  std::map<std::string, std::string> fields;  // names in lower case
  std::string body;
};

HttpReply HttpGet(uint16_t port, std::string_view path);

// Sends exactly `request` and reads until the server closes.
HttpReply HttpAsk(uint16_t port, std::string_view request);

// Takes an answer apart and checks its length against what it says (but for answers to HEAD).
enum class HttpBody { kExpected, kNone };
HttpReply ParseHttpReply(std::string_view text, HttpBody body = HttpBody::kExpected);

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_HTTP_CLIENT_H_
