#include "broker/memory_limit.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

#include "absl/strings/str_split.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

// Where sysconf does not know.
constexpr uint64_t kRamBytesAssumed = uint64_t{1} << 30;

uint64_t RamBytes() {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_bytes = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page_bytes <= 0) return kRamBytesAssumed;
  return static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes);
}

// The number in the file; none when there is no such file, or it says "max".
std::optional<uint64_t> ReadBytes(const fs::path& path) {
  std::ifstream file(path);
  std::string text;
  file >> text;
  uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || bytes == 0)
    return std::nullopt;
  return bytes;
}

// The least that the group at `path` below `mount` and those above it allow.
uint64_t LeastOf(const fs::path& mount, fs::path path, const char* file, uint64_t least) {
  for (;; path = path.parent_path()) {
    least = std::min(least, ReadBytes(mount / path.relative_path() / file).value_or(least));
    if (path == path.parent_path()) return least;
  }
}

}  // namespace

uint64_t MemoryLimitBytes(const std::string& root) {
  uint64_t least = RamBytes();
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    // "hierarchy:controllers:path"; version 2 is hierarchy 0 without controllers.
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    if (parts[0] == "0" && parts[1].empty()) {
      least = LeastOf(root + "/sys/fs/cgroup", fs::path(parts[2]), "memory.max", least);
    }
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    if (std::ranges::find(controllers, "memory") == controllers.end()) continue;
    least = LeastOf(root + "/sys/fs/cgroup/memory", fs::path(parts[2]), "memory.limit_in_bytes", least);
  }
  return least;
}

}  // namespace sluice
