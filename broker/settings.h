// The table of everything that can be set, and how a value is read from text and written as text. Internal to
// broker/config: everybody else sees struct Config.
//
// Thread safety: pure functions and constants.
#ifndef SLUICE_BROKER_SETTINGS_H_
#define SLUICE_BROKER_SETTINGS_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "broker/config.h"

namespace sluice {

enum class SettingKind {
  kAddress,
  kAddressOrOff,
  kPath,
  kUrl,
  kCount,
  kBytes,
  kDuration,
  kLogLevel,
  kLogFormat,
  kOnOverflow,
  kSysTopics
};

struct Setting {
  using Member =
      std::variant<std::string Config::*, uint64_t Config::*, absl::Duration Config::*, LogLevel Config::*,
                   LogFormat Config::*, OnOverflow Config::*, SysTopics Config::*>;

  std::string_view flag;     // without dashes in front
  std::string_view section;  // of the file; empty: top level
  std::string_view key;
  SettingKind kind;
  Member member;
  std::string_view help;
  // Of counts, bytes and durations (in milliseconds); 0 is allowed besides when zero_means is not empty.
  uint64_t min = 0;
  uint64_t max = 0;
  std::string_view zero_means = {};
  // Said when a value below `min` is refused.
  std::string_view why_min = {};

  // "limits.pending_bytes_max"
  std::string Path() const;
  // What stands for the value in --help: "SIZE"
  std::string_view ValueName() const;
  // "64KiB to 16GiB, or 0 (no limit)"
  std::string Allowed() const;
};

// In the order of --help and of the file; the settings of a section stand together.
std::span<const Setting> Settings();

// By "limits.pending_bytes_max"; nullptr when there is none.
const Setting* FindSetting(std::string_view path);

// Whether a broker that runs can take another value of it; the others need a restart.
bool CanChangeAtRunTime(const Setting& setting);

// Reads `text` into its member. kInvalidArgument: what is wrong with it and what is allowed.
absl::Status Assign(const Setting& setting, std::string_view text, Config* config);

// The value as Assign reads it.
std::string Show(const Setting& setting, const Config& config);

// A bound of the table, as one would write the value.
std::string ShowBound(const Setting& setting, uint64_t bound);

// "8MiB", "500ms": the largest unit without a remainder.
std::string ShowBytes(uint64_t bytes);
std::string ShowDuration(absl::Duration duration);

}  // namespace sluice

#endif  // SLUICE_BROKER_SETTINGS_H_
