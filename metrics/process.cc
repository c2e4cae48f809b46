#include "metrics/process.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

namespace sluice {
namespace {

uint64_t CountOpenFds() {
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return 0;
  uint64_t entries = 0;
  while (readdir(dir) != nullptr) ++entries;
  closedir(dir);
  return entries < 3 ? 0 : entries - 3;  // ".", ".." and the directory itself
}

// Seconds since the epoch at which the machine was started.
double BootTimeSeconds() {
  std::ifstream file("/proc/stat");
  std::string word;
  while (file >> word) {
    double seconds = 0;
    if (word == "btime" && file >> seconds) return seconds;
  }
  return 0;
}

}  // namespace

ProcessStats ReadProcessStats() {
  ProcessStats stats;
  stats.open_fds = CountOpenFds();
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) stats.max_fds = files.rlim_cur;

  std::ifstream file("/proc/self/stat");
  std::string line;
  if (!std::getline(file, line)) return stats;
  // The command's name, in parentheses, may itself hold spaces and parentheses. Fields are counted from 1 in
  // proc(5); what follows it begins with field 3.
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return stats;
  std::istringstream fields(line.substr(name_end + 1));
  std::string text;
  const double ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  for (int field = 3; field <= 24 && fields >> text; ++field) {
    if (field == 14 || field == 15) stats.cpu_seconds += std::stod(text) / ticks_per_second;
    if (field == 20) stats.threads = std::stoull(text);
    if (field == 22) stats.start_time_seconds = BootTimeSeconds() + std::stod(text) / ticks_per_second;
    if (field == 23) stats.virtual_memory_bytes = std::stoull(text);
    if (field == 24)
      stats.resident_memory_bytes = std::stoull(text) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  return stats;
}

}  // namespace sluice
