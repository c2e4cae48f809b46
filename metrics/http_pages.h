// What an HttpServer serves. Internal to metrics.
//
// Thread safety: as said at each method; the functions from any thread.
#ifndef SLUICE_METRICS_HTTP_PAGES_H_
#define SLUICE_METRICS_HTTP_PAGES_H_

#include <optional>
#include <string>
#include <string_view>

namespace sluice {

struct HttpResponse {
  int status = 200;
  std::string body;
  const char* content_type = "text/plain; charset=utf-8";  // must outlive the server
};

class HttpPages {
 public:
  virtual ~HttpPages() = default;

  // Called on the thread that serves all connections, so it must not wait. nullopt: SlowPage() is the answer.
  virtual std::optional<HttpResponse> Page(std::string_view path) = 0;

  // Called on a thread of its own, never twice at a time. One call answers everybody who asked before it
  // began; who asks meanwhile gets the next.
  virtual HttpResponse SlowPage() = 0;
};

// The same, but what a page throws (out of memory, mostly) is an answer with status 500: the broker goes on.
std::optional<HttpResponse> AskPage(HttpPages* pages, std::string_view path);
HttpResponse AskSlowPage(HttpPages* pages);

// The head that goes before the body: status line and fields, with the empty line at their end.
std::string HeadOf(const HttpResponse& response);

}  // namespace sluice

#endif  // SLUICE_METRICS_HTTP_PAGES_H_
