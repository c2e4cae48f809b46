#include "broker/core/fan_out.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "protocol/frame.h"

namespace sluice {
namespace {

constexpr uint32_t kKeptChunkBytesMin = 4 << 10;
constexpr uint32_t kKeptChunkBytesMax = 64 << 10;
// A group that took more in a turn gives the room back.
constexpr size_t kRunsKept = 1024;

Slice SliceOf(const ChunkRef& chunk, uint32_t offset, uint32_t bytes, uint32_t messages) {
  Slice slice;
  slice.chunk = chunk;
  slice.offset = offset;
  slice.bytes = bytes;
  slice.messages = messages;
  return slice;
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

}  // namespace

void FanOut::Take(std::span<FilterGroup* const> groups, const ChunkRef& chunk, uint32_t offset,
                  uint32_t bytes, PublishTally* tally) {
  for (FilterGroup* group : groups) {
    if (group->runs.empty()) {
      groups_.push_back(group);
    } else {
      Run& last = group->runs.back();
      if (last.chunk == chunk && last.offset + last.bytes == offset && last.tally == tally) {
        last.bytes += bytes;
        ++last.messages;
        continue;
      }
    }
    group->runs.push_back({chunk, offset, bytes, 1, tally});
  }
}

void FanOut::Settle(FilterGroup* group, absl::Time now) {
  if (group->runs.empty()) return;
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
  if (!taken) return 0;
  const Ring<Slice>& waiting = from->queue.slices();
  uint64_t messages = 0;
  for (size_t i = 0; i < waiting.size(); ++i) {
    const Slice& slice = waiting[i];
    if (slice.kind != SliceKind::kMessages) continue;
    if (group->runs.empty()) groups_.push_back(group);
    group->runs.push_back({slice.chunk, slice.offset, slice.bytes, slice.messages, nullptr});
    messages += slice.messages;
  }
  return messages;
}

Subscriber* FanOut::Next(absl::Time now) {
  if (phase_ == Phase::kTaking) {
    for (FilterGroup* group : groups_) {
      for (Subscription* member : group->members) ++member->subscriber->offers_to_come;
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
  return nullptr;
}

void FanOut::Prepare(FilterGroup* group) {
  member_at_ = 0;
  slices_.clear();
  kept_slices_.clear();
  messages_ = 0;
  members_served_ = 0;
  for (const Run& run : group->runs) messages_ += run.messages;
  const size_t members = group->members.size();
  first_member_ = members == 0 ? 0 : group->next_member % static_cast<uint32_t>(members);
  if (group->kind() == GroupKind::kDealt) {
    Deal(group);
  } else {
    Assemble(group->runs, &slices_);
    group->next_member = first_member_ + 1;
  }
}

void FanOut::Assemble(const std::vector<Run>& runs, std::vector<Slice>* slices) {
  for (const Run& run : runs) Append(run.chunk, run.offset, run.bytes, run.messages, slices);
  if (slices->size() <= 1) return;
  scattered_.swap(*slices);
  for (const Slice& piece : scattered_) {
    if (piece.bytes >= kAssembleBytesMax) {
      slices->push_back(piece);
      continue;
    }
    const uint32_t offset = assembly_.Append(piece.view());
    Append(assembly_.chunk(), offset, piece.bytes, piece.messages, slices);
  }
  scattered_.clear();
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
      const uint32_t next = kept.chunk ? 4 * kept.chunk->capacity() : kKeptChunkBytesMin;
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
  if (dealt_.size() < members) dealt_.resize(members);
  for (size_t i = 0; i < members; ++i) {
    dealt_[i].runs.clear();
    dealt_[i].messages = dealt_[i].bytes = 0;
  }
  if (members == 0) return;
  size_t next = first_member_;
  for (const Run& run : group->runs) {
    for (uint32_t at = 0; at < run.bytes;) {
      const uint32_t frame = BoundaryAfter({run.chunk->data() + run.offset + at, run.bytes - at}, 1).bytes;
      const size_t member = PickMember(*group, next);
      next = (member + 1) % members;
      std::vector<Run>& runs = dealt_[member].runs;
      ++dealt_[member].messages;
      dealt_[member].bytes += frame;
      const uint32_t offset = run.offset + at;
      if (!runs.empty() && runs.back().chunk == run.chunk &&
          runs.back().offset + runs.back().bytes == offset && runs.back().tally == run.tally) {
        runs.back().bytes += frame;
        ++runs.back().messages;
      } else {
        runs.push_back({run.chunk, offset, frame, 1, run.tally});
      }
      at += frame;
    }
  }
  group->next_member = static_cast<uint32_t>(next);
}

size_t FanOut::PickMember(const FilterGroup& group, size_t next) const {
  const size_t members = group.members.size();
  size_t least = next;
  uint64_t least_bytes = UINT64_MAX;
  for (size_t i = 0; i < members; ++i) {
    const size_t member = (next + i) % members;
    const Subscription& subscription = *group.members[member];
    const Dealt& dealt = dealt_[member];
    if (subscription.offered + dealt.messages >= subscription.offered_max) continue;
    if (!subscription.subscriber->blocked()) return member;
    const uint64_t bytes = subscription.queue.pending_bytes() + dealt.bytes;
    if (bytes < least_bytes) {
      least = member;
      least_bytes = bytes;
    }
  }
  return least;
}

void FanOut::OfferToMember(FilterGroup* group, size_t member, absl::Time now) {
  Subscription* subscription = group->members[member];
  Subscriber* subscriber = subscription->subscriber;
  const std::vector<Run>* runs = &group->runs;
  if (group->kind() == GroupKind::kDealt) {
    runs = &dealt_[member].runs;
    slices_.clear();
    kept_slices_.clear();
    if (runs->empty()) return;
    Assemble(*runs, &slices_);
  }
  const Subscriber::Offered offered = subscriber->Offer(
      subscription, subscriber->blocked() ? KeptSlices(*group) : std::span<const Slice>(slices_), now);
  report_.queued_messages += offered.queued;
  report_.queued_bytes += offered.queued_bytes;
  report_.dropped_messages += offered.matched - offered.queued;
  if (group->kind() == GroupKind::kShared && offered.queued == messages_) {
    ++members_served_;
  } else {
    Book(*runs, offered);
  }
  if (subscription->offered == subscription->offered_max && subscription->ended == v1::REASON_UNSPECIFIED) {
    subscriber->End(subscription, v1::REASON_COUNT_REACHED, pool_->account(), now);
    ended_.push_back(subscription);
  }
}

// The first messages that matched are those that were queued.
void FanOut::Book(const std::vector<Run>& runs, Subscriber::Offered offered) {
  for (const Run& run : runs) {
    if (offered.matched == 0) return;
    const uint64_t matched = std::min<uint64_t>(run.messages, offered.matched);
    const uint64_t queued = std::min(matched, offered.queued);
    offered.matched -= matched;
    offered.queued -= queued;
    if (run.tally == nullptr) continue;
    run.tally->matched += matched;
    run.tally->dropped += matched - queued;
  }
}

void FanOut::Finish(FilterGroup* group) {
  if (members_served_ > 0) {
    for (const Run& run : group->runs) {
      if (run.tally != nullptr) run.tally->matched += run.messages * members_served_;
    }
  }
  if (group->kind() == GroupKind::kDealt) {
    for (size_t member = 0; member < group->members.size(); ++member) dealt_[member].runs.clear();
  }
  group->runs.clear();
  if (group->runs.capacity() > kRunsKept) group->runs.shrink_to_fit();
  slices_.clear();
  kept_slices_.clear();
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
