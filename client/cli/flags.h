// Flags whose values have a range, a unit and a good error, and the flags that all subcommands share.
//
//   AddCount(app, "-n,--count", &count, {1, 1'000'000}, "messages to receive");
//
// The range stands in --help and in the error. A default that is set before shows in --help.
//
// Thread safety: none; used while the command line is built and parsed.
#ifndef SLUICE_CLIENT_CLI_FLAGS_H_
#define SLUICE_CLIENT_CLI_FLAGS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/console.h"
#include "client/cli/values.h"
#include "client/client.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace sluice::cli {

// A subcommand of `sluice`: `run` is called when the command line asked for `app`.
struct Subcommand {
  CLI::App* app = nullptr;
  std::function<ExitCode(Console&)> run;
};

CLI::Option* AddCount(CLI::App* app, const std::string& names, uint64_t* value, Range<uint64_t> range,
                      const std::string& help);
CLI::Option* AddCount(CLI::App* app, const std::string& names, std::optional<uint64_t>* value,
                      Range<uint64_t> range, const std::string& help);
CLI::Option* AddSize(CLI::App* app, const std::string& names, uint64_t* value, Range<uint64_t> range,
                     const std::string& help);
CLI::Option* AddSize(CLI::App* app, const std::string& names, std::optional<uint64_t>* value,
                     Range<uint64_t> range, const std::string& help);
CLI::Option* AddDuration(CLI::App* app, const std::string& names, absl::Duration* value,
                         Range<absl::Duration> range, const std::string& help);
CLI::Option* AddDuration(CLI::App* app, const std::string& names, std::optional<absl::Duration>* value,
                         Range<absl::Duration> range, const std::string& help);
CLI::Option* AddRate(CLI::App* app, const std::string& names, std::optional<double>* value,
                     Range<double> range, const std::string& help);

// Usage: the flag may be given several times.
using Headers = std::vector<std::pair<std::string, std::string>>;
CLI::Option* AddHeaders(CLI::App* app, Headers* headers);
// Views into `headers`.
std::vector<HeaderView> ViewOf(const Headers& headers);

// A topic, or a filter, that the protocol allows; the error says which rule it breaks.
CLI::Option* AddTopic(CLI::App* app, std::string* topic, const std::string& help);
CLI::Option* AddFilters(CLI::App* app, std::vector<std::string>* filters, const std::string& help);

// The shared flags: --server (or SLUICE_URL), --name, --connect-timeout.
struct ConnectionFlags {
  std::string server = "sluice://127.0.0.1:7584";
  std::string name = "sluice";
  absl::Duration connect_timeout = absl::Seconds(5);
};
void AddConnectionFlags(CLI::App* app, ConnectionFlags* flags);
// `examples`: lines for the end of --help; the exit codes are added.
void SetFooter(CLI::App* app, const std::string& examples);

// Refuses the command line, from within a final callback of CLI11: ends parsing with this text and
// ExitCode::kUsage.
[[noreturn]] void Refuse(const std::string& text);

// Connects as the flags say; `options` has the rest. A signal while it tries ends the process with its code.
absl::StatusOr<std::unique_ptr<Client>> Connect(const ConnectionFlags& flags, ClientOptions options,
                                                const Console& console);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_FLAGS_H_
