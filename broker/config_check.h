// Settings that depend on each other. Internal to broker/config.
//
//   for (const ConfigProblem& problem : CheckTogether(origins, &config)) ...
//
// Thread safety: a pure function.
#ifndef SLUICE_BROKER_CONFIG_CHECK_H_
#define SLUICE_BROKER_CONFIG_CHECK_H_

#include <string>
#include <vector>

#include "broker/config.h"
#include "broker/config_file.h"

namespace sluice {

struct ConfigProblem {
  Origin::Kind kind = Origin::Kind::kFile;
  std::string text;
};

// Returns what does not fit together, each with where it was said, the value and what is allowed. A default
// that does not fit what was said is raised, with a note.
std::vector<ConfigProblem> CheckTogether(const Origins& origins, Config* config);

}  // namespace sluice

#endif  // SLUICE_BROKER_CONFIG_CHECK_H_
