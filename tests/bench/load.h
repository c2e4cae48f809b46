// The load generator: carries out a Workload against one broker, in one thread, and says what it measured.
//
//   LoadResult result = RunLoad(workload);
//
// A broker that cannot be reached or refuses something throws std::runtime_error. Messages that are lost,
// repeated or out of order, and healthy subscribers that are cut, are counted in the result.
#ifndef SLUICE_TESTS_BENCH_LOAD_H_
#define SLUICE_TESTS_BENCH_LOAD_H_

#include <cstdint>
#include <vector>

#include "client/cli/histogram.h"
#include "tests/bench/clients.h"
#include "tests/bench/workload.h"
#include "tests/support/process_use.h"

namespace sluice::bench {

struct TimelinePoint {
  double seconds = 0;
  uint64_t deliveries = 0;
  uint64_t rss_bytes = 0;
  uint64_t stuck_cut = 0;
};

struct LoadResult {
  StepResult idle_connections = {};
  StepResult connections = {};
  StepResult subscriptions = {};

  // Of the measured time; deliveries are those to the healthy subscribers.
  double seconds = 0;
  uint64_t messages = 0;
  uint64_t deliveries = 0;
  double broker_cpu_seconds = 0;
  testing::CpuUse broker_cpu = {};
  double generator_cpu_seconds = 0;
  uint64_t rss_bytes_before = 0;
  testing::MemoryUse memory = {};
  // From the stamp to the read, in nanoseconds: in open loop of every message, in closed loop of the first in
  // each read.
  cli::Histogram latency = {};

  // Of the whole run.
  uint64_t messages_sent = 0;
  uint64_t lost = 0;
  uint64_t repeated = 0;
  uint64_t reordered = 0;
  uint64_t foreign = 0;
  uint64_t errors = 0;
  uint64_t healthy_cut = 0;
  // How often nothing came for kStallMax in closed loop, and the generator gave up what was under way.
  uint64_t stalls = 0;
  uint64_t churned = 0;

  uint64_t stuck_cut = 0;
  // From the first publish; negative: none was cut.
  double first_cut_seconds = -1;
  double last_cut_seconds = -1;
  std::vector<TimelinePoint> timeline = {};
};

LoadResult RunLoad(const Workload& workload);

}  // namespace sluice::bench

#endif  // SLUICE_TESTS_BENCH_LOAD_H_
