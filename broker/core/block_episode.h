// The overflow policy block: while a subscription is over its limit, the publishers whose messages it gets are
// not read. Internal to the broker.
//
//   BlockEpisodes blocks;                                       // the subscriber's side
//   blocks.Begin(&subscription, {...}, now);                    // over the limit
//   tally->RunInto(blocks.Find(&subscription), messages);       // a message for it: its publisher has hit it
//   blocks.End(&subscription);                                  // room again, unsubscribed, cut
//
//   BlockedBy blocked_by;                                       // the publisher's side, on any shard
//   blocked_by.Add(block);
//   if (blocked_by.Waits(&own_subscriber)) ...                  // do not read it now
//
// A publisher looks whether what it has hit is over, nobody tells it; so neither side needs to know whether
// the other still exists. An episode ends with its BlockEpisodes at the latest.
//
// Thread safety: a Block may be looked at from any shard. BlockEpisodes and BlockedBy are each owned by one.
#ifndef SLUICE_BROKER_CORE_BLOCK_EPISODE_H_
#define SLUICE_BROKER_CORE_BLOCK_EPISODE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "protocol/sluice.pb.h"

namespace sluice {

class Subscriber;
struct Subscription;

// What publishers and the subscription share of one episode.
class Block {
 public:
  explicit Block(const Subscriber* subscriber) : subscriber_(subscriber) {}

  bool over() const { return over_.load(std::memory_order_acquire); }
  void SetOver() { over_.store(true, std::memory_order_release); }

  // To be compared only, and only while it is not over.
  const Subscriber* subscriber() const { return subscriber_; }

  // How many publishers were paused for it.
  uint32_t publishers_paused() const { return publishers_paused_.load(std::memory_order_relaxed); }
  void CountPaused() { publishers_paused_.fetch_add(1, std::memory_order_relaxed); }

 private:
  const Subscriber* const subscriber_;
  std::atomic<bool> over_{false};
  std::atomic<uint32_t> publishers_paused_{0};
};
using BlockRef = std::shared_ptr<Block>;

// What a publisher has run into.
class BlockedBy {
 public:
  void Add(const BlockRef& block) { blocks_.insert(block); }
  void Add(const BlockedBy& other) { blocks_.insert(other.blocks_.begin(), other.blocks_.end()); }
  bool empty() const { return blocks_.empty(); }

  // Whether one of them goes on. Those of `own`, the publisher's own subscriptions, do not count: it would wait
  // for itself.
  bool Waits(const Subscriber* own);
  // It is paused for all of them.
  void CountPaused() const {
    for (const BlockRef& block : blocks_) block->CountPaused();
  }

 private:
  absl::flat_hash_set<BlockRef> blocks_;
};

// The limit that an episode began with.
struct BlockCause {
  v1::Reason limit = v1::REASON_UNSPECIFIED;
  // Bytes, messages or milliseconds.
  uint64_t limit_value = 0;
  uint64_t value = 0;
};

// An episode that has begun or ended, for the log and the metrics.
struct BlockNews {
  enum class Kind { kBegan, kEnded } kind = Kind::kBegan;
  uint32_t subscription = 0;
  // Of one that began.
  BlockCause cause = {};
  // Of one that ended.
  absl::Time began_at = {};
  uint32_t publishers_paused = 0;
};

// The episodes of one subscriber's subscriptions that go on.
class BlockEpisodes {
 public:
  BlockEpisodes() = default;
  BlockEpisodes(const BlockEpisodes&) = delete;
  BlockEpisodes& operator=(const BlockEpisodes&) = delete;
  ~BlockEpisodes();

  // These keep Subscription::blocking. Nothing when it has one already, or has none.
  void Begin(Subscription* subscription, const BlockCause& cause, absl::Time now);
  void End(Subscription* subscription);
  void EndAll() {
    EndIf([](Subscription*) { return true; });
  }
  template <typename Ends>
  void EndIf(Ends ends) {
    absl::erase_if(episodes_, [&](const auto& entry) {
      if (!ends(entry.first)) return false;
      Conclude(entry.first, entry.second);
      return true;
    });
  }

  // Null: none.
  const BlockRef& Find(Subscription* subscription) const;
  bool empty() const { return episodes_.empty(); }
  // The one that has lasted longest, and since when; nothing: none.
  std::optional<std::pair<Subscription*, absl::Time>> Oldest() const;

  bool has_news() const { return !news_.empty(); }
  // Since the last call.
  std::vector<BlockNews> TakeNews() { return std::exchange(news_, {}); }

 private:
  struct Episode {
    BlockRef block;
    absl::Time since;
  };

  void Conclude(Subscription* subscription, const Episode& episode);

  absl::flat_hash_map<Subscription*, Episode> episodes_;
  std::vector<BlockNews> news_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_BLOCK_EPISODE_H_
