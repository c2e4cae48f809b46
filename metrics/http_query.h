// The query of an HTTP request, decoded (application/x-www-form-urlencoded, as the URL standard has it).
//
//   absl::StatusOr<HttpQuery> query = HttpQuery::Parse("sort=age&topic=a%3E", {"sort", "limit", "topic"});
//   if (!query.ok()) ...                       // says which key is not known, or what is badly encoded
//   query->Get("topic")                        // "a>"; nullopt: not given
//
// Internal to metrics. Thread safety: a plain value.
#ifndef SLUICE_METRICS_HTTP_QUERY_H_
#define SLUICE_METRICS_HTTP_QUERY_H_

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sluice {

class HttpQuery {
 public:
  // kInvalidArgument: a key that is not in `known`, or twice there, a % without two digits, or no UTF-8.
  static absl::StatusOr<HttpQuery> Parse(std::string_view query, std::span<const std::string_view> known);

  std::optional<std::string_view> Get(std::string_view key) const;

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace sluice

#endif  // SLUICE_METRICS_HTTP_QUERY_H_
