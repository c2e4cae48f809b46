#include "client/cli/admin.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>

#include "client/cli/flags.h"
#include "client/cli/text.h"

namespace sluice::cli {
namespace {

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
  HttpRequest request = {
      .method = method, .server = flags_.url, .path = path, .query = query, .timeout = flags_.timeout};
  if (!flags_.token_file.empty()) {
    absl::StatusOr<std::string> token = ReadToken(flags_.token_file);
    if (!token.ok()) return token.status();
    request.token = *std::move(token);
  }
  const absl::StatusOr<HttpAnswer> answer = AskHttp(request, console_);
  if (absl::IsUnavailable(answer.status())) {
    return absl::UnavailableError(
        fmt::format("{} (is it sluiced's --http address?)", std::string(answer.status().message())));
  }
  if (!answer.ok()) return answer.status();
  nlohmann::json parsed = nlohmann::json::parse(answer->body, nullptr, /*allow_exceptions=*/false);
  if (absl::Status said = FromAnswer(answer->status, parsed, flags_.url); !said.ok()) return said;
  if (!parsed.is_object()) {
    return absl::UnavailableError(
        fmt::format("{} is no broker's HTTP side: its answer is no JSON", flags_.url));
  }
  return parsed;
}

ExitCode Report(const absl::StatusOr<nlohmann::json>& done, Console& console) {
  if (!done.ok()) return console.FailUnlessInterrupted(done.status());
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
