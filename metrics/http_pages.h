// What an HttpServer serves. Internal to metrics.
//
// Thread safety: as said at each method; the functions from any thread.
#ifndef SLUICE_METRICS_HTTP_PAGES_H_
#define SLUICE_METRICS_HTTP_PAGES_H_

#include <optional>
#include <string>

#include "metrics/http_request.h"

namespace sluice {

struct HttpResponse {
  int status = 200;
  std::string body;
  const char* content_type = "text/plain; charset=utf-8";  // must outlive the server
  // More header fields, each with its end of line.
  std::string fields = {};
};
// Status 405; `allowed` as in "GET, HEAD".
HttpResponse MethodNotAllowed(const std::string& allowed);

// What was asked for, to be kept. HEAD is asked for as GET.
struct HttpTarget {
  std::string method;
  std::string path;
  std::string query;
  std::string authorization;

  friend bool operator==(const HttpTarget&, const HttpTarget&) = default;
};

class HttpPages {
 public:
  virtual ~HttpPages() = default;

  // Called on the thread that serves all connections, so it must not wait. nullopt: SlowPage() is the answer. HEAD is
  // asked for as GET.
  virtual std::optional<HttpResponse> Page(const HttpRequest& request) = 0;

  // Called on a thread of its own, never twice at a time. One call answers everybody who asked for the same with GET
  // before it began; who asks meanwhile gets the next.
  virtual HttpResponse SlowPage(const HttpTarget& target) = 0;
};

// The same, but what a page throws (out of memory, mostly) is an answer with status 500: the broker goes on.
std::optional<HttpResponse> AskPage(HttpPages* pages, const HttpRequest& request);
HttpResponse AskSlowPage(HttpPages* pages, const HttpTarget& target);

// The head that goes before the body: status line and fields, with the empty line at their end.
std::string HeadOf(const HttpResponse& response);

}  // namespace sluice

#endif  // SLUICE_METRICS_HTTP_PAGES_H_
