// How much memory this process may have: the machine's, or less where its cgroup says so. Internal to the
// broker.
//
//   const uint64_t bytes = MemoryLimitBytes();
//
// See cgroups(7): version 2 limits by memory.max, version 1 by memory.limit_in_bytes, and the limits of the
// groups above hold too. Inside a container the path that /proc/self/cgroup names may not be visible; the
// groups above it are.
//
// Thread safety: any thread.
#ifndef SLUICE_BROKER_MEMORY_LIMIT_H_
#define SLUICE_BROKER_MEMORY_LIMIT_H_

#include <cstdint>
#include <string>

namespace sluice {

// Never 0. `root` stands in front of /proc and /sys: for tests.
uint64_t MemoryLimitBytes(const std::string& root = "");

}  // namespace sluice

#endif  // SLUICE_BROKER_MEMORY_LIMIT_H_
