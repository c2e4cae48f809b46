// The head of an HTTP request, as far as a server needs it that answers and closes.
//
//   HttpRequest request;
//   switch (ParseHttpRequest(bytes, &request)) {
//     case HttpParse::kIncomplete: // read on
//     case HttpParse::kOk:         // request.path == "/metrics"
//     ...                          // answer with the status of that name, and close
//   }
//
// Internal to metrics. Thread safety: pure functions. Views point into `bytes`.
#ifndef SLUICE_METRICS_HTTP_REQUEST_H_
#define SLUICE_METRICS_HTTP_REQUEST_H_

#include <cstddef>
#include <string_view>

namespace sluice {

inline constexpr size_t kHttpHeadBytesMax = 8192;

enum class HttpParse {
  kIncomplete,
  kOk,
  kBadRequest,           // 400: not HTTP, or not a request
  kHeadTooLarge,         // 431: no end within kHttpHeadBytesMax
  kVersionNotSupported,  // 505: not HTTP/1.x
};

struct HttpRequest {
  std::string_view method;         // "GET"
  std::string_view path;           // without query and, where a proxy was asked, without the host
  std::string_view query;          // what stands behind the '?', as it came
  std::string_view authorization;  // the header field; the last one, if there are several
};

// Looks at the request line, for the empty line that ends the head, and at the one header field that is in
// HttpRequest. `request` is filled with kOk only.
HttpParse ParseHttpRequest(std::string_view bytes, HttpRequest* request);

}  // namespace sluice

#endif  // SLUICE_METRICS_HTTP_REQUEST_H_
