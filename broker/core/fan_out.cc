#include "broker/core/fan_out.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "protocol/frame.h"

namespace sluice {
namespace {

constexpr uint32_t kKeptChunkBytesMin = 4 << 10;
// A group that took more in a turn gives the room back.
constexpr size_t kRunsKept = 1024;
// For the groups of the next turn.
constexpr size_t kSpareTurnsMax = 8192;
constexpr size_t kPrefetchGroups = 4;

Slice SliceOf(const ChunkRef& chunk, uint32_t offset, uint32_t bytes, uint32_t messages) {
  Slice slice;
  slice.chunk = chunk;
  slice.offset = offset;
  slice.bytes = bytes;
  slice.messages = messages;
  return slice;
}

// Whether it keeps what it is offered while it is behind; one that conflates copies, one that drops the newest
// drops.
bool Keeps(Subscription* subscription, absl::Time now) {
  return subscription->conflation() == nullptr && !subscription->subscriber->Sheds(subscription, now);
}

// Walks through the slices by the messages of each part: visit(part, chunk, offset, boundary).
template <typename Visit>
void ForEachPart(const std::vector<Slice>& slices, const std::vector<DeliverLetter::Part>& parts,
                 Visit visit) {
  size_t slice_at = 0;
  Slice rest = slices.front();
  for (const DeliverLetter::Part& part : parts) {
    for (uint32_t left = part.messages; left > 0;) {
      if (rest.messages == 0) rest = slices[++slice_at];
      FrameBoundary taken = {rest.bytes, rest.messages};
      if (rest.messages > left) taken = BoundaryAfter(rest.view(), left);
      visit(part, rest.chunk, rest.offset, taken);
      rest.offset += taken.bytes;
      rest.bytes -= taken.bytes;
      rest.messages -= taken.frames;
      left -= taken.frames;
    }
  }
}

// Adds a piece behind the last slice when it lies there, otherwise as a slice of its own.
void Append(const ChunkRef& chunk, uint32_t offset, uint32_t bytes, uint32_t messages,
            std::vector<Slice>* slices) {
  if (!slices->empty()) {
    Slice& last = slices->back();
    if (last.chunk == chunk && last.offset + last.bytes == offset) {
      last.bytes += bytes;
      last.messages += messages;
      return;
    }
  }
  slices->push_back(SliceOf(chunk, offset, bytes, messages));
}

// Whether the run ends where the next one begins.
bool EndsAt(const Run& run, const Run& next) {
  return run.chunk == next.chunk && run.offset + run.bytes == next.offset;
}

// Adds a message behind the last run, and to it when it lies there. Inlined: once per message and group.
[[gnu::always_inline]] inline void AddRun(const ChunkRef* chunk, uint32_t offset, uint32_t bytes,
                                          PublishTally* tally, std::vector<Run>* runs) {
  if (!runs->empty()) {
    Run& last = runs->back();
    if (last.chunk == chunk && last.offset + last.bytes == offset && last.tally == tally) {
      last.bytes += bytes;
      ++last.messages;
      return;
    }
  }
  runs->push_back({chunk, offset, bytes, 1, tally});
}

}  // namespace

void FanOut::HoldAnother(const ChunkRef& chunk) { last_held_ = &held_.emplace_back(chunk); }

void FanOut::Take(std::span<FilterGroup* const> groups, const ChunkRef& chunk, uint32_t offset,
                  uint32_t bytes, PublishTally* tally) {
  const ChunkRef* const held = Hold(chunk);
  for (FilterGroup* group : groups) {
    AddRun(held, offset, bytes, tally, &RunsOf(group).runs);
  }
}

void FanOut::List(FilterGroup* group) {
  groups_.push_back(group);
  if (spare_turns_.empty()) {
    group->turn = std::make_unique<TurnRuns>();
  } else {
    group->turn = std::move(spare_turns_.back());
    spare_turns_.pop_back();
  }
}

void FanOut::TakeArrived(FilterGroup* group, uint32_t from_shard, const DeliverLetter& letter) {
  std::vector<Run>& runs = RunsOf(group).arrived;
  const DeliverLetter::Part* last = nullptr;
  ForEachPart(letter.slices, letter.parts,
              [&](const DeliverLetter::Part& part, const ChunkRef& chunk, uint32_t offset,
                  const FrameBoundary& taken) {
                if (&part != last) arrived_.push_back({from_shard, letter.return_to, part.tally, {}});
                last = &part;
                runs.push_back({Hold(chunk), offset, taken.bytes, taken.frames, &arrived_.back().here});
              });
}

void FanOut::TakeReturned(FilterGroup* group, ReturnLetter letter) {
  std::vector<Run>& runs = RunsOf(group).runs;
  ForEachPart(letter.slices, letter.parts,
              [&](const DeliverLetter::Part& part, const ChunkRef& chunk, uint32_t offset,
                  const FrameBoundary& taken) {
                runs.push_back({Hold(chunk), offset, taken.bytes, taken.frames, part.tally.get()});
              });
  for (DeliverLetter::Part& part : letter.parts) returned_.push_back(std::move(part.tally));
}

void FanOut::Settle(FilterGroup* group, absl::Time now) {
  if (!group->has_messages()) return;
  Prepare(group);
  for (size_t member = 0; member < group->members.size(); ++member) {
    OfferToMember(group, member, now);
    Subscriber* subscriber = group->members[member]->subscriber;
    if (subscriber->listed == Subscriber::Listed::kYes) continue;
    subscriber->listed = Subscriber::Listed::kYes;
    listed_.push_back(subscriber);
  }
  Finish(group);
  groups_.erase(std::find(groups_.begin(), groups_.end(), group));
}

uint64_t FanOut::DealAgain(FilterGroup* group, Subscription* from) {
  // One that has its last message stays a member until the turn takes it out.
  const bool taken =
      std::any_of(group->members.begin(), group->members.end(), [](const Subscription* member) {
        return member->offered < member->offered_max && member->ended == v1::REASON_UNSPECIFIED;
      });
  if (!taken && group->remotes().empty()) return 0;
  const Ring<Slice>& waiting = from->queue().slices();
  uint64_t messages = 0;
  for (size_t i = 0; i < waiting.size(); ++i) {
    const Slice& slice = waiting[i];
    if (slice.kind != SliceKind::kMessages) continue;
    RunsOf(group).runs.push_back({Hold(slice.chunk), slice.offset, slice.bytes, slice.messages, nullptr});
    messages += slice.messages;
  }
  return messages;
}

Subscriber* FanOut::Next(absl::Time now) {
  if (phase_ == Phase::kTaking) {
    for (size_t at = 0; at < groups_.size(); ++at) {
      if (at + kPrefetchGroups < groups_.size()) {
        const MemberList& members = groups_[at + kPrefetchGroups]->members;
        if (!members.empty()) __builtin_prefetch(members[0]);
      }
      for (Subscription* member : groups_[at]->members) ++member->subscriber->offers_to_come;
    }
    phase_ = Phase::kOffering;
    group_at_ = 0;
    if (!groups_.empty()) Prepare(groups_[0]);
  }
  for (; group_at_ < groups_.size();) {
    FilterGroup* group = groups_[group_at_];
    const size_t members = group->members.size();
    while (member_at_ < members) {
      const size_t member = (first_member_ + member_at_++) % members;
      OfferToMember(group, member, now);
      Subscriber* subscriber = group->members[member]->subscriber;
      if (--subscriber->offers_to_come == 0 && subscriber->wants_attention()) return subscriber;
    }
    Finish(group);
    ++group_at_;
    if (group_at_ < groups_.size()) Prepare(groups_[group_at_]);
  }
  groups_.clear();
  while (!listed_.empty()) {
    Subscriber* subscriber = listed_.back();
    listed_.pop_back();
    subscriber->listed = Subscriber::Listed::kNo;
    if (subscriber->wants_attention()) return subscriber;
  }
  phase_ = Phase::kTaking;
  held_.clear();
  last_held_ = nullptr;
  return nullptr;
}

// Of many groups that took something nothing is in the processor's cache any more, and each is a chain of
// pointers: they are brought in link by link while the groups before are offered.
void FanOut::Prefetch() const {
  const auto ahead = [this](size_t groups) {
    return group_at_ + groups < groups_.size() ? groups_[group_at_ + groups] : nullptr;
  };
  if (const FilterGroup* group = ahead(3 * kPrefetchGroups)) __builtin_prefetch(group);
  if (const FilterGroup* group = ahead(2 * kPrefetchGroups)) {
    __builtin_prefetch(group->turn.get());
    if (!group->members.empty()) __builtin_prefetch(group->members[0]);
  }
  if (const FilterGroup* group = ahead(kPrefetchGroups)) __builtin_prefetch(group->turn->runs.data());
}

void FanOut::Prepare(FilterGroup* group) {
  Prefetch();
  member_at_ = 0;
  slices_.clear();
  kept_slices_.clear();
  messages_ = 0;
  members_served_ = 0;
  for (const Run& run : group->turn->runs) messages_ += run.messages;
  for (const Run& run : group->turn->arrived) messages_ += run.messages;
  const size_t members = group->members.size();
  first_member_ = members == 0 ? 0 : group->next_member % static_cast<uint32_t>(members);
  if (group->kind() == GroupKind::kDealt) return Deal(group);
  group->next_member = first_member_ + 1;
  Assemble(group->turn->runs, &slices_);
  if (!group->remotes().empty() && !slices_.empty()) Forward(*group);
  // Assembled where they were published.
  for (const Run& run : group->turn->arrived)
    Append(*run.chunk, run.offset, run.bytes, run.messages, &slices_);
}

void FanOut::Forward(const FilterGroup& group) {
  for (const RemoteGroup& remote : group.remotes()) Write(group, remote, group.turn->runs, slices_);
}

void FanOut::Write(const FilterGroup& group, const RemoteGroup& remote, const std::vector<Run>& runs,
                   std::vector<Slice> slices) {
  DeliverLetter letter;
  letter.group = remote.id;
  letter.return_to = group.kind() == GroupKind::kDealt ? group.id() : 0;
  letter.slices = std::move(slices);
  const PublishTally* last = nullptr;
  for (const Run& run : runs) {
    if (letter.parts.empty() || run.tally != last) {
      letter.parts.push_back({run.tally == nullptr ? nullptr : run.tally->shared_from_this(), 0});
      last = run.tally;
    }
    letter.parts.back().messages += run.messages;
  }
  letters_.push_back({remote.shard, std::move(letter)});
}

void FanOut::Assemble(const std::vector<Run>& runs, std::vector<Slice>* slices) {
  for (size_t at = 0; at < runs.size();) {
    Run piece = runs[at++];
    for (; at < runs.size() && EndsAt(piece, runs[at]); ++at) {
      piece.bytes += runs[at].bytes;
      piece.messages += runs[at].messages;
    }
    const bool all = slices->empty() && at == runs.size();
    if (all || piece.bytes >= kAssembleBytesMax) {
      Append(*piece.chunk, piece.offset, piece.bytes, piece.messages, slices);
      continue;
    }
    const uint32_t offset = assembly_.Append({(*piece.chunk)->data() + piece.offset, piece.bytes});
    Append(assembly_.chunk(), offset, piece.bytes, piece.messages, slices);
  }
}

std::span<const Slice> FanOut::KeptSlices(const FilterGroup& group) {
  if (!kept_slices_.empty()) return kept_slices_;
  Kept& kept = kept_[&group];
  for (const Slice& slice : slices_) {
    if (slice.bytes >= slice.chunk->capacity() / 8) {
      kept_slices_.push_back(slice);
      continue;
    }
    if (kept.chunk && kept.chunk->unshared()) kept.used = 0;
    if (!kept.chunk || kept.chunk->capacity() - kept.used < slice.bytes) {
      const uint32_t next = kept.chunk ? 2 * kept.chunk->capacity() : kKeptChunkBytesMin;
      kept.chunk = Chunk::Create(std::max(slice.bytes, std::min(next, kKeptChunkBytesMax)), pool_->account());
      kept.used = 0;
    }
    std::memcpy(kept.chunk->data() + kept.used, slice.view().data(), slice.bytes);
    Append(kept.chunk, kept.used, slice.bytes, slice.messages, &kept_slices_);
    kept.used += slice.bytes;
  }
  return kept_slices_;
}

void FanOut::Deal(FilterGroup* group) {
  const size_t members = group->members.size();
  size_t remote_members = 0;
  for (const RemoteGroup& remote : group->remotes()) remote_members += remote.members;
  const size_t places = members + remote_members;
  if (dealt_.size() < places) dealt_.resize(places);
  for (size_t i = 0; i < places; ++i) {
    dealt_[i].runs.clear();
    dealt_[i].messages = dealt_[i].bytes = 0;
  }
  size_t next = group->next_member;
  // What another shard dealt to this one stays here, but for what is beyond the counts of all members.
  std::vector<Run> left;
  DealRuns(group, group->turn->arrived, members, &next, &left);
  Return(left);
  left.clear();
  DealRuns(group, group->turn->runs, places, &next, &left);
  for (const Run& run : left) {
    if (run.tally == nullptr) report_.dropped_messages += run.messages;  // it had matched before
  }
  group->next_member = static_cast<uint32_t>(next);

  size_t place = members;
  for (const RemoteGroup& remote : group->remotes()) {
    for (uint32_t i = 0; i < remote.members; ++i, ++place) {
      if (dealt_[place].runs.empty()) continue;
      std::vector<Slice> slices;
      Assemble(dealt_[place].runs, &slices);
      Write(*group, remote, dealt_[place].runs, std::move(slices));
    }
  }
}

void FanOut::DealRuns(FilterGroup* group, const std::vector<Run>& runs, size_t places, size_t* next,
                      std::vector<Run>* left) {
  for (const Run& run : runs) {
    for (uint32_t at = 0; at < run.bytes;) {
      const uint32_t offset = run.offset + at;
      const uint32_t frame = BoundaryAfter({(*run.chunk)->data() + offset, run.bytes - at}, 1).bytes;
      at += frame;
      const std::optional<size_t> place = PickPlace(*group, places, *next);
      std::vector<Run>* taken = left;
      if (place.has_value()) {
        *next = *place + 1;
        Dealt& dealt = dealt_[*place];
        ++dealt.messages;
        dealt.bytes += frame;
        taken = &dealt.runs;
      }
      AddRun(run.chunk, offset, frame, run.tally, taken);
    }
  }
}

// To where it was dealt to this shard: somebody elsewhere may take it.
void FanOut::Return(const std::vector<Run>& left) {
  auto arrived = arrived_.begin();
  const Arrived* last = nullptr;
  for (const Run& run : left) {
    while (&arrived->here != run.tally) ++arrived;  // both are in the order of arrival
    if (last == nullptr || last->shard != arrived->shard || last->return_to != arrived->return_to) {
      letters_.push_back({arrived->shard, ReturnLetter{arrived->return_to, {}, {}}});
    }
    auto& letter = std::get<ReturnLetter>(letters_.back().letter);
    Append(*run.chunk, run.offset, run.bytes, run.messages, &letter.slices);
    if (last != &*arrived) letter.parts.push_back({arrived->origin, 0});
    letter.parts.back().messages += run.messages;
    last = &*arrived;
  }
}

// The next one that is not held back, or, when all are, the one with the fewest bytes waiting; none when
// all have their last message. What is the case on another shard is decided there.
std::optional<size_t> FanOut::PickPlace(const FilterGroup& group, size_t places, size_t next) const {
  std::optional<size_t> least;
  uint64_t least_bytes = UINT64_MAX;
  for (size_t i = 0; i < places; ++i) {
    const size_t place = (next + i) % places;
    if (place >= group.members.size()) return place;
    const Subscription& subscription = *group.members[place];
    const Dealt& dealt = dealt_[place];
    if (subscription.offered + dealt.messages >= subscription.offered_max) continue;
    if (!subscription.subscriber->HoldsBack(subscription)) return place;
    const uint64_t bytes = subscription.queue().pending_bytes() + dealt.bytes;
    if (bytes < least_bytes) {
      least = place;
      least_bytes = bytes;
    }
  }
  return least;
}

void FanOut::OfferToMember(FilterGroup* group, size_t member, absl::Time now) {
  Subscription* subscription = group->members[member];
  Subscriber* subscriber = subscription->subscriber;
  const bool dealt = group->kind() == GroupKind::kDealt;
  if (dealt) {
    slices_.clear();
    kept_slices_.clear();
    if (dealt_[member].runs.empty()) return;
    Assemble(dealt_[member].runs, &slices_);
  }
  if (slices_.empty()) return;
  Subscriber::Offered offered = subscriber->Offer(
      subscription,
      subscriber->IsBehind(*subscription) && Keeps(subscription, now) ? KeptSlices(*group)
                                                                      : std::span<const Slice>(slices_),
      now);
  report_.queued_messages += offered.queued;
  report_.queued_bytes += offered.queued_bytes;
  report_.dropped_messages += offered.matched - offered.queued;
  const bool blocking = subscription->blocking == Subscription::Blocking::kYes;
  if (!dealt && !blocking && offered.queued == messages_) {
    ++members_served_;
  } else {
    const BlockRef block = blocking ? subscriber->FindBlock(subscription) : nullptr;
    if (dealt) {
      Book(dealt_[member].runs, block, &offered);
    } else {
      Book(group->turn->runs, block, &offered);
      Book(group->turn->arrived, block, &offered);
    }
  }
  if (subscription->offered == subscription->offered_max && subscription->ended == v1::REASON_UNSPECIFIED) {
    subscriber->End(subscription, v1::REASON_COUNT_REACHED);
    ended_.push_back(subscription);
  }
}

// The first messages that matched are those that were queued. `block`: what their publishers have run into;
// null: nothing.
void FanOut::Book(const std::vector<Run>& runs, const BlockRef& block, Subscriber::Offered* offered) {
  for (const Run& run : runs) {
    if (offered->matched == 0) return;
    const uint64_t matched = std::min<uint64_t>(run.messages, offered->matched);
    const uint64_t queued = std::min(matched, offered->queued);
    offered->matched -= matched;
    offered->queued -= queued;
    if (run.tally == nullptr) continue;
    run.tally->matched += matched;
    run.tally->dropped += matched - queued;
    if (block != nullptr && queued > 0) run.tally->RunInto(block, queued);
  }
}

void FanOut::Finish(FilterGroup* group) {
  for (std::vector<Run>* runs : {&group->turn->runs, &group->turn->arrived}) {
    if (members_served_ > 0) {
      for (const Run& run : *runs) {
        if (run.tally != nullptr) run.tally->matched += run.messages * members_served_;
      }
    }
    runs->clear();
    if (runs->capacity() > kRunsKept) runs->shrink_to_fit();
  }
  if (spare_turns_.size() < kSpareTurnsMax) {
    spare_turns_.push_back(std::move(group->turn));
  } else {
    group->turn = nullptr;
  }
  if (group->kind() == GroupKind::kDealt) {
    for (Dealt& dealt : dealt_) dealt.runs.clear();
  }
  slices_.clear();
  kept_slices_.clear();
}

std::vector<FanOut::Outgoing> FanOut::TakeLetters() {
  for (Arrived& arrived : arrived_) {
    if (arrived.origin == nullptr) continue;
    Outgoing& outgoing = letters_.emplace_back();
    outgoing.shard = arrived.shard;
    TallyLetter& letter = outgoing.letter.emplace<TallyLetter>();
    letter.tally = std::move(arrived.origin);
    letter.matched = arrived.here.matched;
    letter.dropped = arrived.here.dropped;
    letter.blocked = arrived.here.blocked;
    letter.blocked_by = std::move(arrived.here.blocked_by);
  }
  arrived_.clear();
  returned_.clear();
  return std::exchange(letters_, {});
}

std::vector<Subscription*> FanOut::TakeEnded() { return std::exchange(ended_, {}); }

void FanOut::Forget(Subscription* subscription) { std::erase(ended_, subscription); }

void FanOut::Forget(Subscriber* subscriber) {
  std::erase(listed_, subscriber);
  std::erase_if(ended_, [&](const Subscription* ended) { return ended->subscriber == subscriber; });
}

FanOut::Report FanOut::TakeReport() { return std::exchange(report_, Report()); }

void FanOut::ReleaseKept() {
  absl::erase_if(kept_,
                 [](const auto& entry) { return !entry.second.chunk || entry.second.chunk->unshared(); });
}

}  // namespace sluice
