#include "client/cli/admin.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <memory>

#include "client/cli/flags.h"
#include "client/cli/text.h"

namespace sluice::cli {
namespace {

// Longer than any list that the broker sends.
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

const nlohmann::json* FieldOf(const nlohmann::json& object, const char* field) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(field);
  return found == object.end() ? nullptr : &*found;
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  std::ifstream file(path);
  std::string token;
  if (!std::getline(file, token) || token.empty()) {
    return absl::InvalidArgumentError(fmt::format("cannot read a token from {}", path));
  }
  return token;
}

absl::Status FromAnswer(long status, const nlohmann::json& answer, const std::string& url) {
  if (status == 200) return absl::OkStatus();
  const std::string error = TextOf(answer, "error");
  if (error.empty()) {
    return absl::UnavailableError(
        fmt::format("{} is no broker's HTTP side: it answers with status {}", url, status));
  }
  switch (status) {
    case 400:
      return absl::InvalidArgumentError(error);
    case 401:
    case 403:
      return absl::PermissionDeniedError(error);
    case 404:
      return absl::NotFoundError(error);
    default:
      return absl::UnavailableError(error);
  }
}

}  // namespace

void AddAdminFlags(CLI::App* app, AdminActs acts, AdminFlags* flags) {
  app->add_option("--http", flags->url, "the broker's HTTP side (env SLUICE_HTTP)")
      ->envname("SLUICE_HTTP")
      ->type_name("URL")
      ->capture_default_str();
  AddDuration(app, "--timeout", &flags->timeout, {absl::Milliseconds(10), absl::Hours(1)},
              "how long an answer may take");
  if (acts == AdminActs::kAsks) return;
  app->add_option("--token-file", flags->token_file,
                  "file whose first line is the token that sluiced was given (env SLUICE_TOKEN_FILE)")
      ->envname("SLUICE_TOKEN_FILE")
      ->type_name("FILE");
}

absl::StatusOr<nlohmann::json> AdminClient::Get(const std::string& path, const Query& query) {
  return Ask("GET", path, query);
}

absl::StatusOr<nlohmann::json> AdminClient::Delete(const std::string& path) {
  return Ask("DELETE", path, {});
}

absl::StatusOr<nlohmann::json> AdminClient::Post(const std::string& path) { return Ask("POST", path, {}); }

absl::StatusOr<nlohmann::json> AdminClient::Ask(const char* method, const std::string& path,
                                                const Query& query) {
  const std::unique_ptr<CURL, FreeCurl> curl(curl_easy_init());
  if (curl == nullptr) return absl::ResourceExhaustedError("no memory for an HTTP request");
  std::string url = flags_.url;
  while (url.ends_with('/')) url.pop_back();
  if (!url.starts_with("http://") && !url.starts_with("https://")) url.insert(0, "http://");
  const std::string server = url;
  url += path;
  for (const auto& [key, value] : query) {
    const std::unique_ptr<char, FreeCurl> escaped(
        curl_easy_escape(curl.get(), value.data(), static_cast<int>(value.size())));
    url += fmt::format("{}{}={}", url.find('?') == std::string::npos ? '?' : '&', key,
                       escaped == nullptr ? "" : escaped.get());
  }
  std::unique_ptr<curl_slist, FreeCurl> fields;
  if (!flags_.token_file.empty()) {
    const absl::StatusOr<std::string> token = ReadToken(flags_.token_file);
    if (!token.ok()) return token.status();
    fields.reset(curl_slist_append(nullptr, fmt::format("Authorization: Bearer {}", *token).c_str()));
  }
  std::string answer;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_CUSTOMREQUEST, method);
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, fields.get());
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS,
                   static_cast<long>(absl::ToInt64Milliseconds(flags_.timeout)));
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, TakeAnswer);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, GiveUp);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &console_);
  // Signals are the console's.
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  switch (const CURLcode code = curl_easy_perform(curl.get()); code) {
    case CURLE_OK:
      break;
    case CURLE_ABORTED_BY_CALLBACK:
      return absl::CancelledError("interrupted");
    case CURLE_OPERATION_TIMEDOUT:
      return absl::DeadlineExceededError(
          fmt::format("{} does not answer within {}", server, RoundedDuration(flags_.timeout)));
    case CURLE_URL_MALFORMAT:
      return absl::InvalidArgumentError(
          fmt::format("'{}' is no address; one is http://HOST:PORT", flags_.url));
    default:
      return absl::UnavailableError(fmt::format("cannot ask {}: {} (is it sluiced's --http address?)", server,
                                                curl_easy_strerror(code)));
  }
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  nlohmann::json parsed = nlohmann::json::parse(answer, nullptr, /*allow_exceptions=*/false);
  if (absl::Status said = FromAnswer(status, parsed, server); !said.ok()) return said;
  if (!parsed.is_object()) {
    return absl::UnavailableError(fmt::format("{} is no broker's HTTP side: its answer is no JSON", server));
  }
  return parsed;
}

ExitCode Report(const absl::StatusOr<nlohmann::json>& done, Console& console) {
  if (!done.ok()) return console.interrupt().exit_code().value_or(console.Fail(done.status()));
  if (console.output().Write(TextOf(*done, "text") + "\n") != Output::Result::kWritten) {
    return console.Fail(console.output());
  }
  return ExitCode::kDone;
}

double NumberOf(const nlohmann::json& object, const char* field) {
  const nlohmann::json* const found = FieldOf(object, field);
  return found != nullptr && found->is_number() ? found->get<double>() : 0;
}

std::string TextOf(const nlohmann::json& object, const char* field) {
  const nlohmann::json* const found = FieldOf(object, field);
  return found != nullptr && found->is_string() ? found->get<std::string>() : "";
}

bool IsTrue(const nlohmann::json& object, const char* field) {
  const nlohmann::json* const found = FieldOf(object, field);
  return found != nullptr && found->is_boolean() && found->get<bool>();
}

const nlohmann::json& ListOf(const nlohmann::json& object, const char* field) {
  static const nlohmann::json kNone = nlohmann::json::array();
  const nlohmann::json* const found = FieldOf(object, field);
  return found != nullptr && found->is_array() ? *found : kNone;
}

}  // namespace sluice::cli
