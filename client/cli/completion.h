// `sluice completion`: prints a script that completes the command line in a shell.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_COMPLETION_H_
#define SLUICE_CLIENT_CLI_COMPLETION_H_

#include "client/cli/flags.h"

namespace sluice::cli {

Subcommand AddCompletion(CLI::App* parent);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_COMPLETION_H_
