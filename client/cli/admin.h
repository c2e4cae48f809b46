// The broker's HTTP side, as operators ask it: the requests below /api/, and the flags that say where it is.
//
//   AddAdminFlags(app, &flags);                                          // --http, --token-file
//   absl::StatusOr<nlohmann::json> list = AdminClient(flags, console).Get("/api/consumers", {{"sort", "age"}});
//   if (!list.ok()) return console.Fail(list.status());                  // says what the broker said
//
// Thread safety: none; used by one thread.
#ifndef SLUICE_CLIENT_CLI_ADMIN_H_
#define SLUICE_CLIENT_CLI_ADMIN_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/console.h"
#include "client/cli/http.h"

namespace CLI {
class App;
}  // namespace CLI

namespace sluice::cli {

struct AdminFlags {
  std::string url = "http://127.0.0.1:7585";
  // Of the file whose first line is the token; empty: none is shown.
  std::string token_file;
  absl::Duration timeout = absl::Seconds(5);
};

// --http (or SLUICE_HTTP) and --timeout; for those that change something also --token-file (or SLUICE_TOKEN_FILE).
enum class AdminActs { kAsks, kChanges };
void AddAdminFlags(CLI::App* app, AdminActs acts, AdminFlags* flags);

class AdminClient {
 public:
  // Both outlive it.
  AdminClient(const AdminFlags& flags, const Console& console) : flags_(flags), console_(console) {}

  // The answer, parsed. Unavailable: nobody answers there. DeadlineExceeded: not in time. InvalidArgument: the broker
  // says that the request makes no sense. NotFound, PermissionDenied: what it says. Cancelled: a signal came.
  using Query = HttpQuery;
  absl::StatusOr<nlohmann::json> Get(const std::string& path, const Query& query = {});
  absl::StatusOr<nlohmann::json> Delete(const std::string& path);
  absl::StatusOr<nlohmann::json> Post(const std::string& path);

 private:
  absl::StatusOr<nlohmann::json> Ask(const char* method, const std::string& path, const Query& query);

  const AdminFlags& flags_;
  const Console& console_;
};

// For commands that change something: prints what the broker did, or fails with what it said.
ExitCode Report(const absl::StatusOr<nlohmann::json>& done, Console& console);

// A field of an answer, or what stands for it when it is not there or something else.
double NumberOf(const nlohmann::json& object, const char* field);
std::string TextOf(const nlohmann::json& object, const char* field);
bool IsTrue(const nlohmann::json& object, const char* field);
// Empty when there is no such list.
const nlohmann::json& ListOf(const nlohmann::json& object, const char* field);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_ADMIN_H_
