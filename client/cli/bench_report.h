// What `sluice bench` found, and how that is told.
//
// Thread safety: plain data and pure functions.
#ifndef SLUICE_CLIENT_CLI_BENCH_REPORT_H_
#define SLUICE_CLIENT_CLI_BENCH_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/histogram.h"

namespace sluice::cli {

enum class Loop { kClosed, kOpen };

struct BenchReport {
  // What was asked for.
  uint64_t publishers = 0;
  uint64_t subscribers = 0;
  uint64_t payload_bytes = 0;
  uint64_t topics = 0;
  Loop loop = Loop::kClosed;
  uint64_t window_bytes = 0;
  // For each message of the slow subscription beside each subscriber; nothing: there was none.
  std::optional<absl::Duration> slow_handler;

  // From the first publish to the last confirmation by the broker, and to the last message received.
  absl::Duration publishing;
  absl::Duration delivering;
  uint64_t published = 0;
  uint64_t confirmed = 0;

  // Over all subscribers.
  uint64_t delivered = 0;
  uint64_t lost = 0;
  uint64_t repeated = 0;
  uint64_t reordered = 0;
  // On our topics, and none of ours.
  uint64_t foreign = 0;
  Histogram latency_ns;

  // Of the slow ones: what they handled, how old it was then, and what they were told that they missed.
  uint64_t slow_handled = 0;
  uint64_t slow_missed = 0;
  Histogram staleness_ns;

  // What went wrong besides: connections that ended, publishes that failed.
  std::vector<std::string> problems;

  // Whether everything that was published was confirmed and arrived everywhere, once and in order.
  bool sound() const;
};

// Some lines for people, or one JSON object on one line; times in seconds.
std::string ToText(const BenchReport& report);
std::string ToJson(const BenchReport& report);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_BENCH_REPORT_H_
