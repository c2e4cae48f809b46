// `sluice request`: publishes a message and prints the first reply.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_REQUEST_H_
#define SLUICE_CLIENT_CLI_REQUEST_H_

#include "client/cli/flags.h"

namespace sluice::cli {

Subcommand AddRequest(CLI::App* parent);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_REQUEST_H_
