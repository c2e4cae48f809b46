// Reads settings from a TOML file. Internal to broker/config.
//
//   Config config;
//   Origins origins;
//   for (const std::string& problem : ReadConfigFile("sluiced.toml", &config, &origins)) ...
//
// Thread safety: pure functions and values.
#ifndef SLUICE_BROKER_CONFIG_FILE_H_
#define SLUICE_BROKER_CONFIG_FILE_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "broker/config.h"

namespace sluice {

// Where the value of a setting was given.
struct Origin {
  std::string text;  // "sluiced.toml:12: limits.max_message"
  enum class Kind { kFile, kFlag } kind = Kind::kFile;
};
// By the setting's path, or RulePath(n).key; absent: it has its default.
using Origins = std::map<std::string, Origin>;

// "subscription_rules[1]" for the first.
std::string RulePath(size_t index);

// Sets what the file says and remembers where it said so. Returns what is wrong with it, in the order of the
// file, each with file, line, key and what is allowed: "sluiced.toml:3: shards: '99' is too large; ...".
// Whatever the file holds, each problem is one printable line. A value that was refused leaves its member as
// it was.
std::vector<std::string> ReadConfigFile(const std::string& path, Config* config, Origins* origins);

}  // namespace sluice

#endif  // SLUICE_BROKER_CONFIG_FILE_H_
