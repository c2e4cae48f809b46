// Checks the numbers of many streams as one subscriber gets them: four bytes per stream as long as nothing is
// wrong, and what client/cli/sequence_check.h needs for those where something is.
//
//   StreamChecks checks(/*streams=*/40);
//   checks.OnReceived(7, 0);
//   checks.Lost(7, /*sent=*/1);      // 0
//
// Thread safety: none; one owner.
#ifndef SLUICE_TESTS_BENCH_STREAM_CHECKS_H_
#define SLUICE_TESTS_BENCH_STREAM_CHECKS_H_

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "client/cli/sequence_check.h"

namespace sluice::bench {

class StreamChecks {
 public:
  explicit StreamChecks(size_t streams) : next_(streams) {}

  void OnReceived(size_t stream, uint32_t sequence) {
    if (stream < next_.size() && next_[stream] == sequence) {
      ++next_[stream];
    } else {
      OnUnexpected(stream, sequence);
    }
  }

  // How many of the first `sent` messages of a stream have not come.
  uint64_t Lost(size_t stream, uint32_t sent) const;
  uint64_t repeated() const;
  uint64_t reordered() const;
  // Messages of streams that this subscriber has not.
  uint64_t foreign() const { return foreign_; }

 private:
  // Since the first message that was not the next one: all below `first` came in order, and the check counts
  // from there.
  struct Broken {
    uint32_t first = 0;
    sluice::cli::SequenceCheck check = {};
    uint64_t repeated = 0;
  };
  // Stands in next_ for a stream that is among the broken ones; no stream gets that far.
  static constexpr uint32_t kBroken = UINT32_MAX;

  void OnUnexpected(size_t stream, uint32_t sequence);

  // What comes next, in the streams where nothing was wrong yet.
  std::vector<uint32_t> next_;
  std::unordered_map<size_t, Broken> broken_;
  uint64_t foreign_ = 0;
};

}  // namespace sluice::bench

#endif  // SLUICE_TESTS_BENCH_STREAM_CHECKS_H_
