// What an operator can set: `struct Config`, filled from the defaults, then the file, then the command line
// (a flag beats the file, the file beats the default; the environment is not looked at).
//
//   CommandLine command = ParseCommandLine(argc, argv);
//   switch (command.next) {
//     case NextStep::kRun: Run(command.config);
//     case NextStep::kPrintAndExit: std::cout << command.text; return 0;      // --help, --check-config, ...
//     case NextStep::kFail: std::cerr << command.text; return command.exit_code;
//   }
//
// All settings stand in one table (settings.cc), from which flags, file keys, ranges, --help and
// --print-config are made: a setting is added by adding its member here and its line there.
//
// Thread safety: pure functions and plain values.
#ifndef SLUICE_BROKER_CONFIG_H_
#define SLUICE_BROKER_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "broker/core/on_overflow.h"
#include "broker/log.h"
#include "broker/subscription_rule.h"
#include "broker/sys_topics.h"

namespace sluice {

// More a client cannot be allowed: a Goodbye tells the numbers of each, at most 52 bytes, and stays below the
// mebibyte that a frame of the broker may have.
inline constexpr uint64_t kSubscriptionsPerSessionCeiling = 20'000;

inline constexpr size_t kClientNameBytesMax = 128;

struct Config {
  // [top level]
  std::string listen = "127.0.0.1:7584";
  std::string http = "127.0.0.1:7585";  // kOff: no HTTP
  std::string http_token_file;          // empty: nothing can be changed over HTTP
  std::string dashboard_url;            // empty: none
  uint64_t top_consumers = 10;          // 0: none
  std::string ports_file;               // empty: none
  uint64_t shards = 1;
  SysTopics sys_topics = SysTopics::kLoopback;

  // [log]
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;

  // [limits]
  uint64_t payload_bytes_max = uint64_t{1} << 20;
  uint64_t headers_bytes_max = uint64_t{16} << 10;
  uint64_t topic_bytes_max = 255;
  uint64_t connect_frame_bytes_max = uint64_t{16} << 10;
  uint64_t connections_max = 10'000;
  uint64_t subscriptions_per_session_max = 10'000;
  uint64_t pending_bytes_max = uint64_t{8} << 20;  // 0: no limit, like the next two
  uint64_t pending_messages_max = 131'072;
  absl::Duration pending_age_max = absl::Seconds(60);
  uint64_t pending_bytes_soft = 0;  // 0: none, like the next two
  uint64_t pending_messages_soft = 0;
  absl::Duration pending_age_soft = absl::ZeroDuration();
  absl::Duration soft_time = absl::Seconds(30);
  OnOverflow on_overflow = OnOverflow::kAct;
  uint64_t session_bytes_max = uint64_t{32} << 20;  // 0: no limit
  uint64_t control_bytes_max = uint64_t{256} << 10;
  uint64_t memory_budget_bytes = 0;  // 0: half of what the process may have

  // [timeouts]
  absl::Duration connect_timeout = absl::Seconds(5);
  absl::Duration frame_timeout = absl::Seconds(30);
  absl::Duration write_timeout = absl::Seconds(10);  // 0: never
  absl::Duration block_timeout = absl::Seconds(5);
  absl::Duration ping_interval = absl::Seconds(30);  // 0: no pings
  absl::Duration goodbye_timeout = absl::Seconds(1);
  absl::Duration drain_timeout = absl::Seconds(10);
  absl::Duration retry_after = absl::Seconds(1);
  absl::Duration reconnect_spread = absl::Seconds(2);  // 0: all at once

  // [tuning]
  uint64_t notsent_lowat_bytes = uint64_t{256} << 10;  // 0: the kernel's default, like the next one
  uint64_t send_buffer_bytes = 0;
  uint64_t chunk_bytes = uint64_t{256} << 10;
  uint64_t match_cache_topics = 65'536;

  // [[subscription_rules]], in the order of the file; flags have none.
  std::vector<SubscriptionRule> subscription_rules;

  // What was decided by itself and should be said in the log at start.
  std::vector<std::string> notes;

  static constexpr const char* kOff = "off";

  // The largest frame that a publisher may send: payload, headers, topics and their lengths.
  uint64_t frame_bytes_max() const;
};

enum class NextStep {
  kRun,
  kPrintAndExit,  // text to standard output, exit code 0
  kFail,          // text to standard error, exit_code
};

struct CommandLine {
  NextStep next = NextStep::kRun;
  Config config;
  std::string text;
  int exit_code = 0;
};

inline constexpr int kExitUsage = 2;    // a flag that does not exist, or whose value is not allowed
inline constexpr int kExitConfig = 78;  // a file that cannot be read, or says something that is not allowed

// Never exits, never throws, prints nothing. Reads the file that --config names. Lists all problems that it
// finds in flags and file, each with where it stands, what was said and what is allowed.
CommandLine ParseCommandLine(int argc, const char* const* argv);

// The rules alone, in the same form.
std::string RulesToToml(const Config& config);

// `config` as a TOML file with comments, which, read again, gives the same Config.
std::string ConfigToToml(const Config& config);

}  // namespace sluice

#endif  // SLUICE_BROKER_CONFIG_H_
