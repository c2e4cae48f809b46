// `sluice kick`: disconnects a client.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_KICK_H_
#define SLUICE_CLIENT_CLI_KICK_H_

#include "client/cli/flags.h"

namespace sluice::cli {

Subcommand AddKick(CLI::App* parent);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_KICK_H_
