#include "client/cli/kick.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "client/cli/admin.h"

namespace sluice::cli {
namespace {

struct KickFlags {
  AdminFlags admin;
  std::string id;
};

ExitCode Run(const KickFlags& flags, Console& console) {
  return Report(AdminClient(flags.admin, console).Delete("/api/consumers/" + flags.id), console);
}

}  // namespace

Subcommand AddKick(CLI::App* parent) {
  const auto flags = std::make_shared<KickFlags>();
  CLI::App* app = parent->add_subcommand("kick", "Disconnect a client, which is told so");
  app->add_option("id", flags->id, "of the consumer or its session, as `sluice consumers` shows it")
      ->required()
      ->check([](const std::string& id) {
        const bool known = !id.empty() && id.find_first_not_of("0123456789-.") == std::string::npos;
        return known ? std::string() : "'" + id + "' is no id; one looks like 0-4294967297.1";
      })
      ->type_name("ID");
  AddAdminFlags(app, AdminActs::kChanges, &flags->admin);
  SetFooter(app, "  sluice kick 0-4294967297.1 --token-file /etc/sluice/http-token\n");
  return {app, [flags](Console& console) { return Run(*flags, console); }};
}

}  // namespace sluice::cli
