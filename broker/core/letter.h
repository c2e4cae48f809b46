// What shards write to each other: interest in filters, messages for them, and what became of those. Plain
// records; broker/mailbox.h carries them. Internal to the broker.
#ifndef SLUICE_BROKER_CORE_LETTER_H_
#define SLUICE_BROKER_CORE_LETTER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "broker/core/block_episode.h"
#include "broker/core/filter_group.h"
#include "broker/core/slice.h"

namespace sluice {

// "I have so many members of this filter (and queue group); my group is this one." 0 members: none any more.
struct InterestLetter {
  std::string filter;
  std::string queue_group;
  uint32_t members = 0;
  uint64_t group = 0;
};

// Messages for your group. What is for a queue group that has no member there any more comes back; any other
// group that is gone gets nothing.
struct DeliverLetter {
  // Whose messages they are, in their order.
  struct Part {
    std::shared_ptr<PublishTally> tally;
    uint32_t messages = 0;
  };

  uint64_t group = 0;
  // The sender's, when it is a queue group; 0: none.
  uint64_t return_to = 0;
  std::vector<Slice> slices;
  std::vector<Part> parts;
};

// "My members of your queue group have left, or have their last message": messages to be dealt again. It is
// written before the DoneLetter of their turn.
struct ReturnLetter {
  uint64_t group = 0;
  std::vector<Slice> slices;
  std::vector<DeliverLetter::Part> parts;
};

// What became of messages of yours. Only their own shard may touch the tally.
struct TallyLetter {
  std::shared_ptr<PublishTally> tally;
  uint64_t matched = 0;
  uint64_t dropped = 0;
  uint64_t blocked = 0;
  // What they have run into; null: nothing.
  std::shared_ptr<BlockedBy> blocked_by = nullptr;

  void AddToTally() const {
    tally->matched += matched;
    tally->dropped += dropped;
    tally->blocked += blocked;
    if (blocked_by != nullptr) tally->RunInto(*blocked_by);
  }
};

// "Everything of your turns up to this one is done", and so many bytes need your mailbox no more.
struct DoneLetter {
  uint64_t turn = 0;
  uint64_t bytes = 0;
};

// Behind everything that a shard wrote in one turn: to be answered by a DoneLetter.
struct TurnLetter {
  uint64_t turn = 0;
  uint64_t bytes = 0;
};

using Letter = std::variant<InterestLetter, DeliverLetter, ReturnLetter, TallyLetter, DoneLetter, TurnLetter>;

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_LETTER_H_
