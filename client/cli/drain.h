// `sluice drain`: lets the broker deliver what is queued and end.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_DRAIN_H_
#define SLUICE_CLIENT_CLI_DRAIN_H_

#include "client/cli/flags.h"

namespace sluice::cli {

Subcommand AddDrain(CLI::App* parent);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_DRAIN_H_
