// Brings the messages of a turn to the subscriptions of their filter groups. Internal to the broker.
//
//   fan_out.Take(index.Match(topic), frame.chunk, frame.offset, frame.bytes, &tally);   // per publish
//   ...
//   while (Subscriber* subscriber = fan_out.Next(now)) Flush(subscriber);               // once per turn
//
// What a group took is assembled once: messages that lie side by side are one slice where they are; of others
// the small ones are copied, once for the whole group, side by side into an assembly chunk. So the cost per
// subscriber is per slice, not per message, and nothing is copied or encoded per subscriber.
//
// Members that are behind (their socket was full, and has not taken everything since, or they are out of credit)
// get the small pieces from a chunk that the group keeps for them, since a small slice would otherwise pin the
// whole chunk that it was read into. A hundred stuck members share one copy.
//
// The messages of a queue group are dealt instead: each to the next member, one that is held back so being
// passed over while another is not.
//
// Members on other shards get theirs by letter: what was assembled here is offered to them there.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_FAN_OUT_H_
#define SLUICE_BROKER_CORE_FAN_OUT_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "broker/core/chunk.h"
#include "broker/core/filter_group.h"
#include "broker/core/letter.h"
#include "broker/core/slice.h"
#include "broker/core/subscriber.h"

namespace sluice {

// Pieces of so many bytes and more are not copied to lie side by side.
inline constexpr uint32_t kAssembleBytesMax = 2 << 10;

class FanOut {
 public:
  // `pool` outlives it, and its chunks are those that messages are read into.
  explicit FanOut(ChunkPool* pool) : pool_(pool), assembly_(pool) {}

  // Notes a message (one whole frame) for every group. `tally` is counted up when it is offered, at the
  // latest in this turn's Next().
  void Take(std::span<FilterGroup* const> groups, const ChunkRef& chunk, uint32_t offset, uint32_t bytes,
            PublishTally* tally);

  // Notes what another shard sent for the group. Its parts are answered in the letters to that shard.
  void TakeArrived(FilterGroup* group, uint32_t from_shard, const DeliverLetter& letter);

  // Notes what another shard returned, which was dealt from here before.
  void TakeReturned(FilterGroup* group, ReturnLetter letter);

  // Offers at once what the group has taken: to be called before its membership changes, so that a
  // subscription gets exactly what was published while it was in force.
  void Settle(FilterGroup* group, absl::Time now);

  // Deals what waits for a former member of a queue group again, to the others, in the next Next(). Returns
  // the number of messages: none when nobody is left.
  uint64_t DealAgain(FilterGroup* group, Subscription* from);

  // Offers on, until a subscriber has got all that this turn has for it and can be flushed, while its bytes
  // are hot; then again for the next. Null: everything was offered, and the turn's subscribers were all
  // returned.
  Subscriber* Next(absl::Time now);

  // What was written to other shards since the last call: messages for them while Next() ran, and what became
  // of theirs.
  struct Outgoing {
    uint32_t shard = 0;
    Letter letter;
  };
  std::vector<Outgoing> TakeLetters();

  // How many groups took something since the last Next() that returned null.
  size_t groups_taking() const { return groups_.size(); }

  bool idle() const { return groups_.empty() && listed_.empty(); }

  // Subscriptions that reached their count; the caller takes them out of their group.
  std::vector<Subscription*> TakeEnded();

  // The subscription has left its group otherwise: TakeEnded() does not return it any more.
  void Forget(Subscription* subscription);
  // The subscriber is about to be destroyed; its subscriptions have left their groups.
  void Forget(Subscriber* subscriber);

  // What has been offered since the last call.
  struct Report {
    uint64_t queued_messages = 0;
    uint64_t queued_bytes = 0;
    uint64_t dropped_messages = 0;
  };
  Report TakeReport();

  // Frees the kept chunks that nobody waits in any more. To be called now and then.
  void ReleaseKept();

 private:
  struct Kept {
    ChunkRef chunk;
    uint32_t used = 0;
  };

  // What the group has taken in this turn; with the first of it, it comes on the list.
  TurnRuns& RunsOf(FilterGroup* group) {
    if (group->turn == nullptr) List(group);
    return *group->turn;
  }
  void List(FilterGroup* group);
  // The same place for the same chunk as the last time, so that runs of one chunk have equal pointers.
  const ChunkRef* Hold(const ChunkRef& chunk) {
    if (last_held_ == nullptr || !(*last_held_ == chunk)) HoldAnother(chunk);
    return last_held_;
  }
  void HoldAnother(const ChunkRef& chunk);
  void Assemble(const std::vector<Run>& runs, std::vector<Slice>* slices);
  std::span<const Slice> KeptSlices(const FilterGroup& group);
  void Forward(const FilterGroup& group);
  void Write(const FilterGroup& group, const RemoteGroup& remote, const std::vector<Run>& runs,
             std::vector<Slice> slices);
  void Deal(FilterGroup* group);
  void DealRuns(FilterGroup* group, const std::vector<Run>& runs, size_t places, size_t* next,
                std::vector<Run>* left);
  std::optional<size_t> PickPlace(const FilterGroup& group, size_t places, size_t next) const;
  void Return(const std::vector<Run>& left);
  void OfferToMember(FilterGroup* group, size_t member, absl::Time now);
  void Prefetch() const;
  static void Book(const std::vector<Run>& runs, const BlockRef& block, Subscriber::Offered* offered);
  void Prepare(FilterGroup* group);
  void Finish(FilterGroup* group);

  ChunkPool* const pool_;
  OpenChunk assembly_;

  // The chunks that this turn's runs point to.
  std::deque<ChunkRef> held_;
  const ChunkRef* last_held_ = nullptr;
  // Groups that took something this turn.
  std::vector<FilterGroup*> groups_;
  std::vector<std::unique_ptr<TurnRuns>> spare_turns_;
  std::vector<Subscriber*> listed_;
  std::vector<Subscription*> ended_;
  Report report_;

  std::vector<Outgoing> letters_;
  // Tallies of messages that arrived: runs of this turn point to them.
  struct Arrived {
    uint32_t shard;
    uint64_t return_to;
    std::shared_ptr<PublishTally> origin;  // null: nobody waits for the numbers
    PublishTally here;
  };
  std::deque<Arrived> arrived_;
  // Of messages that were returned: kept for the runs of this turn.
  std::vector<std::shared_ptr<PublishTally>> returned_;

  enum class Phase { kTaking, kOffering } phase_ = Phase::kTaking;
  size_t group_at_ = 0;
  size_t member_at_ = 0;
  uint32_t first_member_ = 0;

  // Of the group that is being offered.
  std::vector<Slice> slices_;
  std::vector<Slice> kept_slices_;
  uint64_t messages_ = 0;
  // Members that took every message: booked together, so that the cost per member does not grow with the
  // runs.
  uint64_t members_served_ = 0;
  // Of a queue group: what each member was dealt, and behind the members each member of another shard.
  struct Dealt {
    std::vector<Run> runs;
    uint64_t messages = 0;
    uint64_t bytes = 0;
  };
  std::vector<Dealt> dealt_;

  absl::flat_hash_map<const FilterGroup*, Kept> kept_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_FAN_OUT_H_
