#include "client/cli/drain.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "client/cli/admin.h"

namespace sluice::cli {
namespace {

ExitCode Run(const AdminFlags& flags, Console& console) {
  return Report(AdminClient(flags, console).Post("/api/drain"), console);
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
