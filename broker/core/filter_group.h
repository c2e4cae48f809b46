// All subscriptions of a shard that have the same filter (and queue group): they get exactly the same
// messages, so a group is matched once and its bytes are assembled once. A plain record; FilterIndex owns it,
// FanOut fills and empties what belongs to a turn. Internal to the broker.
#ifndef SLUICE_BROKER_CORE_FILTER_GROUP_H_
#define SLUICE_BROKER_CORE_FILTER_GROUP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "broker/core/chunk.h"
#include "broker/core/subscription.h"

namespace sluice {

// What became of one publisher's messages between two acknowledgements.
struct PublishTally {
  uint64_t messages = 0;
  uint64_t matched = 0;
  uint64_t dropped = 0;
  uint64_t refused = 0;
};

// Messages of one publisher, adjacent in one chunk.
struct Run {
  ChunkRef chunk;
  uint32_t offset = 0;
  uint32_t bytes = 0;
  uint32_t messages = 0;
  // Null for messages that are dealt again.
  PublishTally* tally = nullptr;
};

enum class GroupKind : uint8_t {
  kShared,  // every member gets every message
  kDealt,   // a queue group: each message goes to one member
};

struct FilterGroup {
  std::string filter;
  std::string queue_group;
  std::vector<Subscription*> members;
  // Where the next fan-out (or deal) starts.
  uint32_t next_member = 0;

  // This turn's messages; not empty only while the group is on FanOut's list.
  std::vector<Run> runs;

  GroupKind kind() const { return queue_group.empty() ? GroupKind::kShared : GroupKind::kDealt; }
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_FILTER_GROUP_H_
