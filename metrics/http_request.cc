#include "metrics/http_request.h"

#include <algorithm>

namespace sluice {
namespace {

bool IsMethod(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

bool IsVisible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

// "HTTP/1.1"; `major` is what stands before the dot.
bool IsVersion(std::string_view text, char* major) {
  const auto digit = [&](size_t at) { return text[at] >= '0' && text[at] <= '9'; };
  if (text.size() != 8 || !text.starts_with("HTTP/") || !digit(5) || text[6] != '.' || !digit(7))
    return false;
  *major = text[5];
  return true;
}

// What a request line names: a path, and a query without the '?'. Without what is no business of them. An empty
// path: nothing that could be one.
struct Target {
  std::string_view path;
  std::string_view query;
};
Target ParseTarget(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    const size_t slash = target.find('/', scheme.size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
    break;
  }
  if (target != "*" && !target.starts_with('/')) return {};
  target = target.substr(0, target.find('#'));
  const size_t mark = target.find('?');
  return {target.substr(0, mark), mark == std::string_view::npos ? "" : target.substr(mark + 1)};
}

HttpParse ParseRequestLine(std::string_view line, HttpRequest* request) {
  const size_t method_end = line.find(' ');
  const size_t target_end = line.rfind(' ');
  if (method_end == std::string_view::npos || method_end == target_end) return HttpParse::kBadRequest;
  const std::string_view method = line.substr(0, method_end);
  const std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
  char major = 0;
  if (!IsMethod(method) || !IsVisible(target) || !IsVersion(line.substr(target_end + 1), &major)) {
    return HttpParse::kBadRequest;
  }
  if (major != '1') return HttpParse::kVersionNotSupported;
  const auto [path, query] = ParseTarget(target);
  if (path.empty()) return HttpParse::kBadRequest;
  *request = {.method = method, .path = path, .query = query, .authorization = {}};
  return HttpParse::kOk;
}

// A line may end with a newline alone (RFC 9112, 2.2).
std::string_view WithoutReturn(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// Names of header fields have no case (RFC 9110, 5.1). `lower` is in lower case.
bool EqualsIgnoringCase(std::string_view name, std::string_view lower) {
  return std::equal(name.begin(), name.end(), lower.begin(), lower.end(), [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
}

std::string_view WithoutSpace(std::string_view value) {
  while (value.starts_with(' ') || value.starts_with('\t')) value.remove_prefix(1);
  while (value.ends_with(' ') || value.ends_with('\t')) value.remove_suffix(1);
  return value;
}

}  // namespace

HttpParse ParseHttpRequest(std::string_view bytes, HttpRequest* request) {
  const HttpParse unended =
      bytes.size() >= kHttpHeadBytesMax ? HttpParse::kHeadTooLarge : HttpParse::kIncomplete;
  // Empty lines before the request line are passed over, as some old clients send them.
  const size_t first = bytes.find_first_not_of("\r\n");
  if (first == std::string_view::npos) return unended;
  bytes.remove_prefix(first);
  // Somebody who speaks TLS or another protocol need not wait for the end of his line.
  if (!IsMethod(bytes.substr(0, 1))) return HttpParse::kBadRequest;

  const size_t line_end = bytes.find('\n');
  if (line_end == std::string_view::npos) return unended;
  HttpRequest parsed;
  const HttpParse line = ParseRequestLine(WithoutReturn(bytes.substr(0, line_end)), &parsed);
  if (line != HttpParse::kOk) return line;

  for (size_t start = line_end + 1;;) {
    const size_t end = bytes.find('\n', start);
    if (end == std::string_view::npos) return unended;
    const std::string_view field = WithoutReturn(bytes.substr(start, end - start));
    if (field.empty()) break;
    const size_t colon = field.find(':');
    if (colon != std::string_view::npos && EqualsIgnoringCase(field.substr(0, colon), "authorization")) {
      parsed.authorization = WithoutSpace(field.substr(colon + 1));
    }
    start = end + 1;
  }
  *request = parsed;
  return HttpParse::kOk;
}

}  // namespace sluice
