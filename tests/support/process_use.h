// What a process uses, seen from outside: CPU time of all its threads, memory, descriptors.
//
//   ProcessUse broker(pid);
//   int64_t before = broker.cpu_ns();
//
// A process that is gone, or that we may not look at, reads as zero.
//
// Thread safety: none needed; it has no state that changes.
#ifndef SLUICE_TESTS_SUPPORT_PROCESS_USE_H_
#define SLUICE_TESTS_SUPPORT_PROCESS_USE_H_

#include <sys/types.h>

#include <cstdint>

namespace sluice::testing {

struct MemoryUse {
  // Resident, and the most that was ever resident (VmRSS, VmHWM).
  uint64_t rss_bytes = 0;
  uint64_t rss_bytes_peak = 0;
};

struct CpuUse {
  // From /proc/PID/stat, in clock ticks of 10 ms.
  double user_seconds = 0;
  double system_seconds = 0;
};

class ProcessUse {
 public:
  explicit ProcessUse(pid_t pid) : pid_(pid) {}

  // User and system time of all threads, those that ended included. The same sum as in /proc/PID/stat, but
  // exact, where that is in ticks of 10 ms.
  int64_t cpu_ns() const;
  CpuUse cpu() const;
  MemoryUse memory() const;
  // Open descriptors: connections that it closed are missing at once, also those whose other end does not see
  // that because it does not read.
  uint64_t descriptors() const;

 private:
  const pid_t pid_;
};

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_PROCESS_USE_H_
