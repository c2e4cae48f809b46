// What the kernel says about this process.
//
// Internal to metrics. Thread safety: any thread.
#ifndef SLUICE_METRICS_PROCESS_H_
#define SLUICE_METRICS_PROCESS_H_

#include <cstdint>

namespace sluice {

struct ProcessStats {
  double cpu_seconds = 0;
  double start_time_seconds = 0;  // since the epoch
  uint64_t resident_memory_bytes = 0;
  uint64_t virtual_memory_bytes = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;
  uint64_t threads = 0;
};

// What cannot be read (no /proc) stays 0.
ProcessStats ReadProcessStats();

}  // namespace sluice

#endif  // SLUICE_METRICS_PROCESS_H_
