// `sluice sub`: prints what is published to topics that match the filters, as it arrives.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_SUB_H_
#define SLUICE_CLIENT_CLI_SUB_H_

#include "client/cli/flags.h"

namespace sluice::cli {

Subcommand AddSub(CLI::App* parent);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_SUB_H_
