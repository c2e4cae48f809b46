// What the kernel says about this process.
//
//   ProcessReader reader;                       // early, while there are descriptors
//   const ProcessStats stats = reader.Read();   // at each scrape
//
// Reading opens nothing: that the process has run out of descriptors is what one most wants to see then.
//
// Internal to metrics. Thread safety: one thread at a time.
#ifndef SLUICE_METRICS_PROCESS_H_
#define SLUICE_METRICS_PROCESS_H_

#include <dirent.h>

#include <cstdint>
#include <memory>

#include "broker/net/file_descriptor.h"

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

class ProcessReader {
 public:
  ProcessReader();

  // What cannot be read (no /proc) stays 0.
  ProcessStats Read();

 private:
  struct CloseDirectory {
    void operator()(DIR* directory) const { closedir(directory); }
  };

  uint64_t CountOpenFds();

  // Constant after construction
  double boot_time_seconds_ = 0;
  net::FileDescriptor stat_;
  std::unique_ptr<DIR, CloseDirectory> fds_;
};

}  // namespace sluice

#endif  // SLUICE_METRICS_PROCESS_H_
