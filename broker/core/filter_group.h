// All subscriptions of a shard that have the same filter (and queue group): they get exactly the same
// messages, so a group is matched once and its bytes are assembled once. A plain record; FilterIndex owns it,
// FanOut fills and empties what belongs to a turn. Internal to the broker.
#ifndef SLUICE_BROKER_CORE_FILTER_GROUP_H_
#define SLUICE_BROKER_CORE_FILTER_GROUP_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "broker/core/chunk.h"
#include "broker/core/subscription.h"

namespace sluice {

// What became of one publisher's messages between two acknowledgements. Shared, since messages that went to
// other shards are still counted when their publisher may be gone; only its own shard touches the numbers.
struct PublishTally : std::enable_shared_from_this<PublishTally> {
  PublishTally() = default;

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

// Another shard that has members of the same filter.
struct RemoteGroup {
  uint32_t shard = 0;
  uint32_t members = 0;
  // The group's id there.
  uint64_t id = 0;
};

struct FilterGroup {
  // In its shard's index; not used again for another group.
  uint64_t id = 0;
  std::string filter;
  std::string queue_group;
  std::vector<Subscription*> members;
  std::vector<RemoteGroup> remotes;
  // Where the next fan-out (or deal) starts.
  uint32_t next_member = 0;

  // What the other shards were told of our members, and whether that has changed since.
  uint32_t announced_members = 0;
  enum class Announcement : uint8_t { kUpToDate, kDue } announcement = Announcement::kUpToDate;

  // This turn's messages, published here and arrived from other shards; not empty only while the group is on
  // FanOut's list.
  std::vector<Run> runs;
  std::vector<Run> arrived;

  GroupKind kind() const { return queue_group.empty() ? GroupKind::kShared : GroupKind::kDealt; }
  bool wanted() const { return !members.empty() || !remotes.empty(); }
  bool has_messages() const { return !runs.empty() || !arrived.empty(); }
  // Of a shared group it only matters whether there are any.
  uint32_t members_to_announce() const {
    const uint32_t count = static_cast<uint32_t>(members.size());
    return kind() == GroupKind::kDealt || count == 0 ? count : 1;
  }
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_FILTER_GROUP_H_
