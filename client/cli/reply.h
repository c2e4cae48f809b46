// `sluice reply`: answers requests, with what they hold or with what a command prints.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_REPLY_H_
#define SLUICE_CLIENT_CLI_REPLY_H_

#include "client/cli/flags.h"

namespace sluice::cli {

// A reply with this header says why its command failed; `sluice request` then fails, too.
inline constexpr char kReplyErrorHeader[] = "sluice-error";

Subcommand AddReply(CLI::App* parent);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_REPLY_H_
