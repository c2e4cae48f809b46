#include "client/cli/http.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <memory>

#include "client/cli/text.h"

namespace sluice::cli {
namespace {

// Longer than any answer that we ask for.
constexpr size_t kAnswerBytesMax = size_t{64} << 20;

struct FreeCurl {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  void operator()(char* text) const { curl_free(text); }
};

size_t TakeAnswer(char* bytes, size_t size, size_t count, void* answer) {
  std::string* const text = static_cast<std::string*>(answer);
  if (text->size() + size * count > kAnswerBytesMax) return 0;
  text->append(bytes, size * count);
  return size * count;
}

// Not 0: curl gives up.
int GiveUp(void* console, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const Console*>(console)->interrupt().exit_code().has_value() ? 1 : 0;
}

}  // namespace

absl::StatusOr<HttpAnswer> AskHttp(const HttpRequest& request, const Console& console) {
  const std::unique_ptr<CURL, FreeCurl> curl(curl_easy_init());
  if (curl == nullptr) return absl::ResourceExhaustedError("no memory for an HTTP request");
  std::string server = request.server;
  while (server.ends_with('/')) server.pop_back();
  if (!server.starts_with("http://") && !server.starts_with("https://")) server.insert(0, "http://");
  std::string url = server + request.path;
  for (const auto& [key, value] : request.query) {
    const std::unique_ptr<char, FreeCurl> escaped(
        curl_easy_escape(curl.get(), value.data(), static_cast<int>(value.size())));
    url += fmt::format("{}{}={}", url.find('?') == std::string::npos ? '?' : '&', key,
                       escaped == nullptr ? "" : escaped.get());
  }
  std::unique_ptr<curl_slist, FreeCurl> fields;
  if (!request.token.empty()) {
    fields.reset(curl_slist_append(nullptr, fmt::format("Authorization: Bearer {}", request.token).c_str()));
  }
  HttpAnswer answer;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_CUSTOMREQUEST, request.method);
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, fields.get());
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS,
                   static_cast<long>(absl::ToInt64Milliseconds(request.timeout)));
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, TakeAnswer);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, GiveUp);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &console);
  // Signals are the console's.
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  switch (const CURLcode code = curl_easy_perform(curl.get()); code) {
    case CURLE_OK:
      break;
    case CURLE_ABORTED_BY_CALLBACK:
      return absl::CancelledError("interrupted");
    case CURLE_OPERATION_TIMEDOUT:
      return absl::DeadlineExceededError(
          fmt::format("{} does not answer within {}", server, RoundedDuration(request.timeout)));
    case CURLE_URL_MALFORMAT:
      return absl::InvalidArgumentError(
          fmt::format("'{}' is no address; one is http://HOST:PORT", request.server));
    default:
      return absl::UnavailableError(fmt::format("cannot ask {}: {}", server, curl_easy_strerror(code)));
  }
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  return answer;
}

}  // namespace sluice::cli
