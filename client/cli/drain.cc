#include "client/cli/drain.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "client/cli/admin.h"

namespace sluice::cli {
namespace {

ExitCode Run(const AdminFlags& flags, Console& console) {
  AdminClient client(flags, console);
  const absl::StatusOr<nlohmann::json> done = client.Post("/api/drain");
  if (!done.ok()) return console.interrupt().exit_code().value_or(console.Fail(done.status()));
  if (console.output().Write(TextOf(*done, "text") + "\n") != Output::Result::kWritten) {
    return console.Fail(console.output());
  }
  return ExitCode::kDone;
}

}  // namespace

Subcommand AddDrain(CLI::App* parent) {
  const auto flags = std::make_shared<AdminFlags>();
  CLI::App* app = parent->add_subcommand("drain", "Let the broker deliver what is queued, and end");
  AddAdminFlags(app, AdminActs::kChanges, flags.get());
  SetFooter(app, "  sluice drain --token-file /etc/sluice/http-token\n");
  return {app, [flags](Console& console) { return Run(*flags, console); }};
}

}  // namespace sluice::cli
