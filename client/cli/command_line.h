// The command line of `sluice`: all its subcommands, and what parsing makes of it.
//
//   CommandLine line;
//   Parsed parsed = line.Parse(argc, argv);
//   if (parsed.run) return parsed.run(console);
//   Print(parsed.text);   return parsed.code;
//
// Thread safety: none.
#ifndef SLUICE_CLIENT_CLI_COMMAND_LINE_H_
#define SLUICE_CLIENT_CLI_COMMAND_LINE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/cli/exit_code.h"
#include "client/cli/flags.h"

namespace sluice::cli {

struct Parsed {
  // What was asked for; empty if there is only something to print. Valid as long as the CommandLine.
  std::function<ExitCode(Console&)> run;
  // For standard output if `code` is kDone (--help, --version), otherwise for standard error.
  std::string text;
  ExitCode code = ExitCode::kDone;
};

class CommandLine {
 public:
  CommandLine();
  ~CommandLine();

  // Once. Never exits, prints nothing.
  Parsed Parse(int argc, const char* const* argv);

  const CLI::App& app() const { return *app_; }

 private:
  const std::unique_ptr<CLI::App> app_;
  std::vector<Subcommand> subcommands_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_COMMAND_LINE_H_
