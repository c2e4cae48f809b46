// `sluice top`: the broker's consumers in a terminal, redrawn while one looks.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_TOP_H_
#define SLUICE_CLIENT_CLI_TOP_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/time/time.h"
#include "client/cli/flags.h"

namespace sluice::cli {

Subcommand AddTop(CLI::App* parent);

// One line about the broker, from two answers of GET /api/broker and the time between them; the first one may be null.
std::string BrokerLine(const nlohmann::json& before, const nlohmann::json& now, absl::Duration between);

// The list without the consumers that hold `text` in none of client, address, filter and state.
nlohmann::json Filtered(nlohmann::json list, const std::string& text);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_TOP_H_
