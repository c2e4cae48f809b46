// All subscriptions of a shard that have the same filter (and queue group): they get exactly the same
// messages, so a group is matched once and its bytes are assembled once. A plain record; FilterIndex owns it,
// FanOut fills and empties what belongs to a turn. Internal to the broker.
//
// There may be a million of them, each with one member: what few of them need, or need during a turn only, is
// elsewhere.
#ifndef SLUICE_BROKER_CORE_FILTER_GROUP_H_
#define SLUICE_BROKER_CORE_FILTER_GROUP_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/core/block_episode.h"
#include "broker/core/chunk.h"
#include "broker/core/member_list.h"
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
  // Of those queued: for subscriptions that block their publishers.
  uint64_t blocked = 0;
  // Shared by all tallies of a publisher; null: nothing was run into.
  std::shared_ptr<BlockedBy> blocked_by;

  void RunInto(const BlockRef& block, uint64_t messages_blocked) {
    blocked += messages_blocked;
    NeedBlockedBy().Add(block);
  }
  void RunInto(const BlockedBy& blocks) { NeedBlockedBy().Add(blocks); }

 private:
  BlockedBy& NeedBlockedBy() {
    if (blocked_by == nullptr) blocked_by = std::make_shared<BlockedBy>();
    return *blocked_by;
  }
};

// Messages of one publisher, adjacent in one chunk. FanOut holds the reference, once for all runs of a turn:
// counting it up and down for every message that lies alone cost more than copying the message.
struct Run {
  const ChunkRef* chunk = nullptr;
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

// A group's messages of one turn, published here and arrived from other shards.
struct TurnRuns {
  std::vector<Run> runs;
  std::vector<Run> arrived;
};

struct FilterGroup {
  // `filter` has at most kTopicBytesMax bytes. `queue_group`: empty for a shared group.
  static std::unique_ptr<FilterGroup> Create(std::string_view filter, std::string_view queue_group);
  // One for the empty filter.
  FilterGroup() = default;
  ~FilterGroup();
  FilterGroup(const FilterGroup&) = delete;
  FilterGroup& operator=(const FilterGroup&) = delete;
  static void operator delete(void* memory) { ::operator delete(memory); }

  // What queue groups have, and groups that other shards know of: few do.
  struct Details {
    std::string queue_group;
    // In its shard's index; not used again for another group. 0: nobody has asked for it.
    uint64_t id = 0;
    std::vector<RemoteGroup> remotes;
  };

  MemberList members;
  // Not null only while the group is on FanOut's list.
  std::unique_ptr<TurnRuns> turn;
  std::unique_ptr<Details> details;
  // Another group of the same filter; FilterIndex's.
  std::unique_ptr<FilterGroup> next;
  // Where the next fan-out (or deal) starts.
  uint32_t next_member = 0;
  // What the other shards were told of our members, and whether that has changed since.
  uint32_t announced_members = 0;
  enum class Announcement : uint8_t { kUpToDate, kDue } announcement = Announcement::kUpToDate;

  std::string_view filter() const { return {reinterpret_cast<const char*>(this + 1), filter_bytes_}; }
  std::string_view queue_group() const {
    return details == nullptr ? std::string_view() : details->queue_group;
  }
  GroupKind kind() const { return kind_; }
  uint64_t id() const { return details == nullptr ? 0 : details->id; }
  std::span<const RemoteGroup> remotes() const {
    return details == nullptr ? std::span<const RemoteGroup>() : details->remotes;
  }
  Details& NeedDetails() {
    if (details == nullptr) details = std::make_unique<Details>();
    return *details;
  }
  bool wanted() const { return !members.empty() || !remotes().empty(); }
  bool has_messages() const { return turn != nullptr; }
  // Of a shared group it only matters whether there are any.
  uint32_t members_to_announce() const {
    const uint32_t count = static_cast<uint32_t>(members.size());
    return kind() == GroupKind::kDealt || count == 0 ? count : 1;
  }

 private:
  GroupKind kind_ = GroupKind::kShared;
  // The filter stands behind the group, in the same piece of memory.
  uint8_t filter_bytes_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_FILTER_GROUP_H_
