// One request to an HTTP server, and its answer, whatever its status.
//
//   absl::StatusOr<HttpAnswer> page = AskHttp({.server = "http://127.0.0.1:7585", .path = "/metrics"}, console);
//   if (page.ok() && page->status == 200) Parse(page->body);
//
// Thread safety: one thread per console.
#ifndef SLUICE_CLIENT_CLI_HTTP_H_
#define SLUICE_CLIENT_CLI_HTTP_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/console.h"

namespace sluice::cli {

using HttpQuery = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  const char* method = "GET";
  // "http://HOST:PORT"; the scheme may be left out.
  std::string server;
  std::string path;
  HttpQuery query = {};
  // For "Authorization: Bearer"; empty: none is shown.
  std::string token = {};
  absl::Duration timeout = absl::Seconds(5);
};

struct HttpAnswer {
  long status = 0;
  std::string body;
};

// Unavailable: nobody answers there. DeadlineExceeded: not in time. InvalidArgument: the server is no address.
// Cancelled: a signal came.
absl::StatusOr<HttpAnswer> AskHttp(const HttpRequest& request, const Console& console);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_HTTP_H_
