// `sluice demo`: shows what Sluice does, with a broker of its own.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_DEMO_H_
#define SLUICE_CLIENT_CLI_DEMO_H_

#include "client/cli/flags.h"

namespace sluice::cli {

Subcommand AddDemo(CLI::App* parent);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_DEMO_H_
