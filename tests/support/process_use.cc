#include "tests/support/process_use.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace sluice::testing {

int64_t ProcessUse::cpu_ns() const {
  clockid_t clock;
  timespec time = {};
  if (::clock_getcpuclockid(pid_, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return 0;
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

CpuUse ProcessUse::cpu() const {
  std::ifstream file(fmt::format("/proc/{}/stat", pid_));
  std::string line;
  std::getline(file, line);
  if (line.empty()) return {};
  // Behind the name, which may hold anything, comes field 3.
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  return {.user_seconds = user / ticks, .system_seconds = system / ticks};
}

MemoryUse ProcessUse::memory() const {
  std::ifstream file(fmt::format("/proc/{}/status", pid_));
  MemoryUse use;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    uint64_t kib = 0;
    words >> name >> kib;
    if (name == "VmRSS:") use.rss_bytes = kib << 10;
    if (name == "VmHWM:") use.rss_bytes_peak = kib << 10;
  }
  return use;
}

uint64_t ProcessUse::descriptors() const {
  const std::string folder = fmt::format("/proc/{}/fd", pid_);
  struct stat status = {};
  if (::stat(folder.c_str(), &status) != 0) return 0;
  if (status.st_size > 0) return static_cast<uint64_t>(status.st_size);
  // Before Linux 6.2 they must be counted.
  std::error_code error;
  uint64_t count = 0;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    ++count;
  }
  return count;
}

}  // namespace sluice::testing
