// `sluice ping`: measures the way to the broker and back.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_PING_H_
#define SLUICE_CLIENT_CLI_PING_H_

#include "client/cli/flags.h"

namespace sluice::cli {

Subcommand AddPing(CLI::App* parent);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_PING_H_
