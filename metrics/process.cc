#include "metrics/process.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <sstream>
#include <string>

namespace sluice {
namespace {

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

ProcessReader::ProcessReader()
    : boot_time_seconds_(BootTimeSeconds()),
      stat_(::open("/proc/self/stat", O_RDONLY | O_CLOEXEC)),
      fds_(::opendir("/proc/self/fd")) {}

uint64_t ProcessReader::CountOpenFds() {
  if (fds_ == nullptr) return 0;
  uint64_t entries = 0;
  ::rewinddir(fds_.get());
  while (::readdir(fds_.get()) != nullptr) ++entries;
  return entries < 2 ? 0 : entries - 2;  // "." and ".."
}

ProcessStats ProcessReader::Read() {
  ProcessStats stats;
  stats.open_fds = CountOpenFds();
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) stats.max_fds = files.rlim_cur;

  std::array<char, 4096> buffer{};
  const ssize_t bytes = ::pread(stat_.get(), buffer.data(), buffer.size(), 0);
  if (bytes <= 0) return stats;
  const std::string line(buffer.data(), static_cast<size_t>(bytes));
  // The command's name, in parentheses, may itself hold spaces and parentheses. Fields are counted from 1 in
  // proc(5); what follows it begins with field 3.
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return stats;
  std::istringstream fields(line.substr(name_end + 1));
  std::string text;
  const double ticks_per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  for (int field = 3; field <= 24 && fields >> text; ++field) {
    if (field == 14 || field == 15) stats.cpu_seconds += std::stod(text) / ticks_per_second;
    if (field == 20) stats.threads = std::stoull(text);
    if (field == 22) stats.start_time_seconds = boot_time_seconds_ + std::stod(text) / ticks_per_second;
    if (field == 23) stats.virtual_memory_bytes = std::stoull(text);
    if (field == 24)
      stats.resident_memory_bytes = std::stoull(text) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  }
  return stats;
}

}  // namespace sluice
