// Which line of the input a publish was, when some lines were not published.
//
//   numbers.Skip(2);  numbers.LineOf(1) == 1;  numbers.LineOf(2) == 3;
//
// Thread safety: any thread.
#ifndef SLUICE_CLIENT_CLI_LINE_NUMBERS_H_
#define SLUICE_CLIENT_CLI_LINE_NUMBERS_H_

#include <cstdint>
#include <vector>

#include "client/mutex.h"

namespace sluice::cli {

class LineNumbers {
 public:
  // `line`, higher than all before, is not published.
  void Skip(uint64_t line) {
    client::MutexLock lock(&mutex_);
    skipped_.push_back(line);
  }

  // Of the n-th publish, from 1.
  uint64_t LineOf(uint64_t publish) const {
    client::MutexLock lock(&mutex_);
    uint64_t line = publish;
    for (const uint64_t skipped : skipped_) {
      if (skipped > line) break;
      ++line;
    }
    return line;
  }

 private:
  mutable client::Mutex mutex_;
  std::vector<uint64_t> skipped_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_LINE_NUMBERS_H_
