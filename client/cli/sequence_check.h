// Finds what is lost, repeated or out of order in a numbered stream.
//
//   SequenceCheck check;
//   for (…) check.OnReceived(sequence);          // 0, 1, 2, …
//   check.Lost(/*sent=*/1000);
//
// A number that comes after a higher one was out of order if it had not come before, and repeated if it had.
// Memory grows with the number of gaps, not of messages.
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_CLI_SEQUENCE_CHECK_H_
#define SLUICE_CLIENT_CLI_SEQUENCE_CHECK_H_

#include <cstdint>
#include <map>

namespace sluice::cli {

class SequenceCheck {
 public:
  void OnReceived(uint64_t sequence) {
    if (sequence == next_) {
      ++next_;
    } else {
      OnUnexpected(sequence);
    }
  }

  // How many of the numbers below `sent` have not come.
  uint64_t Lost(uint64_t sent) const;
  uint64_t repeated() const { return repeated_; }
  uint64_t reordered() const { return reordered_; }

 private:
  void OnUnexpected(uint64_t sequence);

  // One above the highest that came.
  uint64_t next_ = 0;
  // What did not come below it: first number → one behind the last. They neither touch nor overlap.
  std::map<uint64_t, uint64_t> missing_;
  uint64_t repeated_ = 0;
  uint64_t reordered_ = 0;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_SEQUENCE_CHECK_H_
