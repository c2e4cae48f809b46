// `sluice bench`: measures a broker with its own publishers and subscribers, and checks what arrives.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_BENCH_H_
#define SLUICE_CLIENT_CLI_BENCH_H_

#include "client/cli/flags.h"

namespace sluice::cli {

Subcommand AddBench(CLI::App* parent);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_BENCH_H_
