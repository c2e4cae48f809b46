#include "broker/mailbox.h"

#include <algorithm>
#include <utility>

namespace sluice {

void Mailbox::Put(Mail mail) {
  const MutexLock lock(&mutex_);
  mail_.push_back(std::move(mail));
}

std::vector<Mail> Mailbox::Take() {
  const MutexLock lock(&mutex_);
  return std::exchange(mail_, {});
}

bool Mailbox::empty() const {
  const MutexLock lock(&mutex_);
  return mail_.empty();
}

void Outbox::Write(uint32_t to, Letter letter) {
  Peer& peer = peers_[to];
  if (const auto* deliver = std::get_if<DeliverLetter>(&letter)) {
    peer.answer = Peer::Answer::kWanted;
    for (const Slice& slice : deliver->slices) peer.letters_bytes += slice.bytes;
  } else if (std::holds_alternative<InterestLetter>(letter)) {
    peer.answer = Peer::Answer::kWanted;
  }
  peer.letters.push_back(std::move(letter));
  ++written_;
}

Mail Outbox::Close(uint64_t turn, Peer* peer) {
  if (peer->answer == Peer::Answer::kWanted) {
    peer->answer = Peer::Answer::kNotWanted;
    peer->turns_under_way.push_back(turn);
    const uint64_t bytes = std::exchange(peer->letters_bytes, 0);
    AddUnderWay(peer, static_cast<int64_t>(bytes));
    peer->letters.emplace_back(TurnLetter{turn, bytes});
  }
  return {shard_, std::exchange(peer->letters, {})};
}

void Outbox::AddUnderWay(Peer* peer, int64_t bytes) {
  const bool full_before = peer->bytes_under_way > kMailboxBytesMax;
  peer->bytes_under_way += static_cast<uint64_t>(bytes);
  bytes_under_way_ += static_cast<uint64_t>(bytes);
  const bool full_now = peer->bytes_under_way > kMailboxBytesMax;
  if (full_now && !full_before) ++full_peers_;
  if (full_before && !full_now) --full_peers_;
}

void Outbox::Done(uint32_t from, const DoneLetter& done) {
  Peer& peer = peers_[from];
  AddUnderWay(&peer, -static_cast<int64_t>(done.bytes));
  if (!peer.turns_under_way.empty() && peer.turns_under_way.front() == done.turn) {
    peer.turns_under_way.pop_front();
  }
}

void Outbox::Returned(uint32_t from, uint64_t turn) {
  const std::deque<uint64_t>& under_way = peers_[from].turns_under_way;
  if (under_way.empty()) return;
  uint64_t first = under_way.front();
  for (const Reopened& earlier : reopened_) {  // what is returned may have been so before
    if (earlier.last >= under_way.front()) first = std::min(first, earlier.first);
  }
  if (!reopened_.empty() && reopened_.back().first == first && reopened_.back().last == turn) return;
  reopened_.push_back({first, turn});
}

bool Outbox::Answered(uint64_t turn) const {
  return std::all_of(peers_.begin(), peers_.end(), [turn](const Peer& peer) {
    return peer.turns_under_way.empty() || peer.turns_under_way.front() > turn;
  });
}

uint64_t Outbox::TurnDone(uint64_t turn) {
  std::erase_if(reopened_, [this](const Reopened& reopened) { return Answered(reopened.last); });
  uint64_t done = turn;
  for (const Reopened& reopened : reopened_) done = std::min(done, reopened.first - 1);
  for (const Peer& peer : peers_) {
    if (!peer.turns_under_way.empty()) done = std::min(done, peer.turns_under_way.front() - 1);
  }
  return done;
}

}  // namespace sluice
