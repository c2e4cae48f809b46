// Scripts that complete a command line in a shell, made from the tree of commands itself, so that they cannot
// say anything else than --help.
//
// Thread safety: pure functions.
#ifndef SLUICE_CLIENT_CLI_COMPLETION_SCRIPT_H_
#define SLUICE_CLIENT_CLI_COMPLETION_SCRIPT_H_

#include <string>

namespace CLI {
class App;
}

namespace sluice::cli {

std::string BashCompletion(const CLI::App& root);
std::string ZshCompletion(const CLI::App& root);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_COMPLETION_SCRIPT_H_
