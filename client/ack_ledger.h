// Which acknowledgements are outstanding, and what they cover. Internal to the client.
//
// An AckRequest on the wire covers all publishes since the one before it. Two kinds of callers want to know:
//   * single: about one message. If others were published since the last AckRequest, a separator goes out in
//     front of that message, so that the answer is about it alone;
//   * batch: about everything that was published without a single of its own since the last batch. Its answer
//     is the sum of its own and of the separators before it.
//
//   published:   a  b  [sep] c [single]  d  [batch]
//   answers:        2        1           1           single gets 1, batch gets 2 + 1
//
// Publishes are named by their number in the client's order, from 1.
//
// Thread safety: none; guarded by its owner's mutex. Completions are handed out, so that the owner calls them
// without it.
#ifndef SLUICE_CLIENT_ACK_LEDGER_H_
#define SLUICE_CLIENT_ACK_LEDGER_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"

namespace sluice::client {

enum class AckKind { kSingle, kBatch, kSeparator };

struct AckCompletion {
  AckCallback done;
  absl::StatusOr<PublishReceipt> result;
};

class AckLedger {
 public:
  // An AckRequest of that kind follows publish `last`; returns its id. `done` is empty for separators.
  uint64_t Add(AckKind kind, uint64_t last, AckCallback done);

  // Whether an AckRequest right behind publish `last` would cover anything.
  bool AnythingSince(uint64_t last) const { return covered_ < last; }

  // The broker refused publish `number`. Whether a single will say so.
  enum class Told { kBySingle, kNotYet };
  Told OnRefusal(uint64_t number, const absl::Status& why);

  // The broker's answer to AckRequest `id`. An id that is not outstanding is ignored.
  std::vector<AckCompletion> OnAck(uint64_t id, const PublishReceipt& receipt);

  // The session ended when publishes up to `handed` had left for the system, `unknown` of them unconfirmed
  // and without a single of their own. Singles about what left fail; so do batches that covered some of it,
  // or that would have to say that publishes are unknown; if there is none, the next batch says it. What
  // stays is still in the outgoing buffer.
  std::vector<AckCompletion> EndSession(uint64_t handed, uint64_t unknown);

  // Whether AckRequest `id` is outstanding: its frame is to be kept in the outgoing buffer.
  bool Contains(uint64_t id) const;

  // Publish `number` was taken out of the outgoing buffer: its single fails so.
  std::vector<AckCompletion> OnDropped(uint64_t number, const absl::Status& why);

  // How many publishes with numbers in (after, last] have a single of their own outstanding.
  uint64_t SinglesBetween(uint64_t after, uint64_t last) const;

  // Fails everything.
  std::vector<AckCompletion> FailAll(const absl::Status& why);

 private:
  struct Pending {
    uint64_t id = 0;
    AckKind kind = AckKind::kSingle;
    uint64_t last = 0;
    AckCallback done;
    absl::Status refusal;
  };

  // Unavailable, with how many are unknown; after that they are told.
  absl::Status TellUnknown();

  std::deque<Pending> pending_;
  uint64_t last_id_ = 0;
  // The last publish that some AckRequest covers.
  uint64_t covered_ = 0;
  // What separators have reported for the batch to come.
  PublishReceipt sum_;
  // Publishes that a batch has still to call unknown.
  uint64_t unknown_ = 0;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_ACK_LEDGER_H_
