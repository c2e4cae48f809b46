// `sluice consumers`: the broker's consumers, the slowest first.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_CONSUMERS_H_
#define SLUICE_CLIENT_CLI_CONSUMERS_H_

#include <nlohmann/json.hpp>
#include <string>

#include "client/cli/flags.h"
#include "client/cli/table.h"

namespace sluice::cli {

Subcommand AddConsumers(CLI::App* parent);

// What GET /api/consumers answered, as lines for people.
Table ConsumerTable(const nlohmann::json& list);
// "3 of 1200 consumers"; with what is missing.
std::string ConsumerCount(const nlohmann::json& list);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_CONSUMERS_H_
