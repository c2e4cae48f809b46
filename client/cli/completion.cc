#include "client/cli/completion.h"

#include <CLI/CLI.hpp>

#include "client/cli/completion_script.h"

namespace sluice::cli {
namespace {

ExitCode Print(const std::string& script, Console& console) {
  if (console.output().Write(script) != Output::Result::kWritten) return console.Fail(console.output());
  return ExitCode::kDone;
}

}  // namespace

Subcommand AddCompletion(CLI::App* parent) {
  CLI::App* app =
      parent->add_subcommand("completion", "Print a script that completes this command in a shell");
  app->require_subcommand(1);
  CLI::App* bash = app->add_subcommand("bash", "For bash");
  app->add_subcommand("zsh", "For zsh");
  app->footer(
      "Examples:\n"
      "  source <(sluice completion bash)\n"
      "  sluice completion zsh > \"${fpath[1]}/_sluice\"\n");
  return {app, [parent, bash](Console& console) {
            return Print(bash->parsed() ? BashCompletion(*parent) : ZshCompletion(*parent), console);
          }};
}

}  // namespace sluice::cli
