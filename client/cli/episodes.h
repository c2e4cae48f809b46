// `sluice episodes`: the times that consumers lagged, the newest first.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_EPISODES_H_
#define SLUICE_CLIENT_CLI_EPISODES_H_

#include <nlohmann/json.hpp>

#include "client/cli/flags.h"
#include "client/cli/table.h"

namespace sluice::cli {

Subcommand AddEpisodes(CLI::App* parent);

// What GET /api/episodes answered, as lines for people.
Table EpisodeTable(const nlohmann::json& list);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_EPISODES_H_
