#include "metrics/http_pages.h"

#include <fmt/format.h>

#include <exception>

namespace sluice {
namespace {

const char* ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Internal Server Error";
  }
}

template <typename Ask>
auto Guarded(Ask ask) -> decltype(ask()) {
  try {
    return ask();
  } catch (const std::exception& error) {
    return HttpResponse{500, fmt::format("{}\n", error.what())};
  }
}

}  // namespace

HttpResponse MethodNotAllowed(const std::string& allowed) {
  return {.status = 405,
          .body = fmt::format("only {}\n", allowed),
          .fields = fmt::format("Allow: {}\r\n", allowed)};
}

std::optional<HttpResponse> AskPage(HttpPages* pages, const HttpRequest& request) {
  return Guarded([&] { return pages->Page(request); });
}

HttpResponse AskSlowPage(HttpPages* pages, const HttpTarget& target) {
  return Guarded([&] { return pages->SlowPage(target); });
}

std::string HeadOf(const HttpResponse& response) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\n{}Content-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n"
      "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
      response.status, ReasonPhrase(response.status), response.fields, response.content_type,
      response.body.size());
}

}  // namespace sluice
