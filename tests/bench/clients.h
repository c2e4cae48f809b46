// Opens the connections of a workload and subscribes them, before anything is published.
//
//   Clients clients = OpenClients(workload, *adapter, broker);
//
// All connections have their answers and still block. Connections are opened, and filters asked for, in steps
// of some hundreds at a time, so that a broker is measured at making many and not at one round trip each.
//
// Thread safety: plain data.
#ifndef SLUICE_TESTS_BENCH_CLIENTS_H_
#define SLUICE_TESTS_BENCH_CLIENTS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "tests/bench/adapter.h"
#include "tests/bench/connection.h"
#include "tests/bench/workload.h"
#include "tests/support/process_use.h"

namespace sluice::bench {

using Connections = std::vector<std::unique_ptr<Connection>>;

// What it took to make so many connections or subscriptions.
struct StepResult {
  uint64_t count = 0;
  double seconds = 0;
  double broker_cpu_seconds = 0;
  uint64_t rss_bytes_before = 0;
  uint64_t rss_bytes_after = 0;
};

struct Clients {
  // Connected and subscribed to a topic of their own, one for all.
  Connections idle = {};
  Connections subscribers = {};
  // Subscribed to topic 0.
  Connections stuck = {};
  Connections publishers = {};
  // One, if the workload has churn.
  Connections churners = {};

  StepResult idle_connections = {};
  StepResult connections = {};
  StepResult subscriptions = {};
};

Clients OpenClients(const Workload& workload, const Adapter& adapter, const testing::ProcessUse& broker);

}  // namespace sluice::bench

#endif  // SLUICE_TESTS_BENCH_CLIENTS_H_
