// How shards write to each other (broker/core/letter.h says what). Internal to the broker.
//
//   outbox.Write(2, DeliverLetter{...});     // as the turn goes on
//   outbox.Send(turn, mailbox_of);           // once per turn: one lock for each shard that was written to
//   for (Mail& mail : mailbox.Take()) ...    // the other shard's turn
//   outbox.Done(from, done_letter);          // the answer: room again, and a turn that is done there
//
// Letters of one shard arrive in the order written. A mailbox is bounded in bytes, not by refusing letters,
// which would break that order, but by its senders: each counts what it has under way to each shard, and
// reads no publisher while that is too much (Outbox::full). It can overrun the bound by what one turn reads.
#ifndef SLUICE_BROKER_MAILBOX_H_
#define SLUICE_BROKER_MAILBOX_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "broker/core/letter.h"
#include "protocol/mutex.h"

namespace sluice {

// What one shard may have under way to one other.
inline constexpr uint64_t kMailboxBytesMax = uint64_t{4} << 20;

struct Mail {
  uint32_t from = 0;
  std::vector<Letter> letters;
};

// What others wrote to one shard. Thread safety: any thread.
class Mailbox {
 public:
  void Put(Mail mail);
  std::vector<Mail> Take();
  bool empty() const;

 private:
  mutable Mutex mutex_;
  std::vector<Mail> mail_ ABSL_GUARDED_BY(mutex_);
};

// What one shard writes. Thread safety: owned by that shard.
class Outbox {
 public:
  Outbox(uint32_t shard, size_t shards) : shard_(shard), peers_(shards) {}

  void Write(uint32_t to, Letter letter);

  // Hands out what was written, with the number of the turn behind it where an answer is wanted. `deliver`
  // takes the mail to a shard.
  template <typename Deliver>
  void Send(uint64_t turn, Deliver deliver) {
    if (written_ == 0) return;
    written_ = 0;
    for (uint32_t to = 0; to < peers_.size(); ++to) {
      if (peers_[to].letters.empty()) continue;
      deliver(to, Close(turn, &peers_[to]));
    }
  }

  // A shard has done everything of a turn.
  void Done(uint32_t from, const DoneLetter& done);

  // A shard returned messages of the oldest turn under way to it, and they go out once more in this one: that
  // turn is not done before this one is.
  void Returned(uint32_t from, uint64_t turn);

  // The last turn of which everything is done everywhere; `turn`, the present one, when nothing is
  // outstanding.
  uint64_t TurnDone(uint64_t turn);

  bool has_letters() const { return written_ > 0; }
  // Some shard has more under way to it than it may.
  bool full() const { return full_peers_ > 0; }
  uint64_t bytes_under_way() const { return bytes_under_way_; }

 private:
  struct Peer {
    std::vector<Letter> letters;
    // Of the letters not sent yet: whether the shard must say when they are done, and their bytes.
    enum class Answer : uint8_t { kNotWanted, kWanted } answer = Answer::kNotWanted;
    uint64_t letters_bytes = 0;
    std::deque<uint64_t> turns_under_way;
    uint64_t bytes_under_way = 0;
  };

  Mail Close(uint64_t turn, Peer* peer);
  void AddUnderWay(Peer* peer, int64_t bytes);

  // Turns of which something went out again later: the first of them, and the last in which it did.
  struct Reopened {
    uint64_t first;
    uint64_t last;
  };

  // Whether every shard has answered for everything up to `turn`.
  bool Answered(uint64_t turn) const;

  const uint32_t shard_;
  std::vector<Peer> peers_;
  std::vector<Reopened> reopened_;
  uint64_t written_ = 0;
  uint64_t bytes_under_way_ = 0;
  size_t full_peers_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_MAILBOX_H_
