// `sluice pub`: publishes an argument, a file, generated messages, or each line of standard input, and
// returns when the broker has them or has said which it has not.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_PUB_H_
#define SLUICE_CLIENT_CLI_PUB_H_

#include "client/cli/flags.h"

namespace sluice::cli {

Subcommand AddPub(CLI::App* parent);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_PUB_H_
