// A session as the receiver of messages: its subscriptions with their queues, the writer that drains them,
// the limits they are held to, and whether its socket is full. Internal to the broker.
//
//   Subscription* ticks = subscriber.Add(1, limits, policy);
//   subscriber.Offer(ticks, slices, now);
//   if (subscriber.wants_flush()) subscriber.Flush(&transport, &scratch, kFlushBytesMax, now);
//   if (subscriber.over()) ...   // which limit, by how much: the session is to be cut
//
// Judging: only a subscriber whose socket is full can be over a limit. An offer to one that is not is never
// judged before the flush of the same turn, so that nobody is cut because messages came faster than we wrote.
//
// Stuck (the write timeout) means that the socket is full and for so long neither the kernel took a byte nor
// the peer acknowledged one. "Taken" alone will not do: the kernel reports a socket writable only when a
// third of its buffer is free, so a reader of a steady 20 KB/s looks idle for 10 s and more.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_SUBSCRIBER_H_
#define SLUICE_BROKER_CORE_SUBSCRIBER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "broker/core/session_writer.h"
#include "broker/core/slice.h"
#include "broker/core/subscription.h"
#include "broker/core/verdict.h"

namespace sluice {

// 0 means no limit; the write timeout 0: never.
struct SubscriberLimits {
  uint64_t session_bytes_max = 0;
  uint64_t control_bytes_max = 0;
  absl::Duration write_timeout;
};

// The limit that a subscriber went over first.
struct OverLimit {
  v1::Reason reason = v1::REASON_UNSPECIFIED;
  // Bytes, messages or milliseconds.
  uint64_t limit = 0;
  uint64_t value = 0;
  // 0: the session as a whole.
  uint32_t subscription = 0;
};

// From the write that the socket did not take whole until everything is written.
struct StallEpisode {
  absl::Time since;
  uint64_t taken_bytes = 0;
  uint32_t resumes = 0;
};

class Subscriber {
 public:
  // `limits` outlive the subscriber. `token` is the caller's name for it.
  Subscriber(uint64_t token, const SubscriberLimits* limits) : token_(token), limits_(limits) {}
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  uint64_t token() const { return token_; }

  // Null when the id is in use.
  Subscription* Add(uint32_t id, const QueueLimits& limits, v1::OverflowPolicy policy);
  // Null when there is none.
  Subscription* Find(uint32_t id) const;
  size_t subscription_count() const { return subscriptions_.size(); }
  template <typename Visit>
  void ForEachSubscription(Visit visit) const {
    for (const auto& [id, subscription] : subscriptions_) visit(subscription.get());
  }

  // Sends Subscribed, unless that was done or it has gone: one of the same id that was asked for in another
  // turn is not meant. (An ending subscription is told by itself.)
  void TellSubscribed(uint32_t id, uint64_t turn);

  // Appends slices to the subscription's queue and counts their messages as offered: all of them, or as many
  // as its count allows, in which case it ends. A closed subscriber takes nothing. None leaves before
  // Subscribed.
  struct Offered {
    uint64_t matched = 0;  // messages
    uint64_t queued = 0;
    uint64_t queued_bytes = 0;
  };
  Offered Offer(Subscription* subscription, std::span<const Slice> slices, absl::Time now);

  // Ends the subscription behind what is queued for it: its Unsubscribed is queued, and it is removed when
  // that has left. It must be in no group any more, or leave it before the next Flush.
  void End(Subscription* subscription, v1::Reason reason, MemoryAccount* account, absl::Time now);

  // Removes those that have ended, whose last frame has left, and that are in no group. Flush does it too.
  void RemoveEnded();

  // A frame that goes before all queues.
  void QueueControl(const google::protobuf::MessageLite& frame);

  // Writes until everything is written, the socket is full, or `bytes_max` were taken.
  FlushResult Flush(Transport* transport, WriteScratch* scratch, uint64_t bytes_max, absl::Time now);
  bool wants_flush() const { return !full_ && !writer_.empty(); }
  // Also when it is over a limit, or there is something in LagReport.
  bool wants_attention() const {
    return wants_flush() || over_.has_value() || lag_report_.raised > 0 || lag_report_.cleared > 0;
  }
  // The socket may take bytes again.
  void BecameWritable();

  // Whether the socket took less than it was offered and has not become writable since.
  bool blocked() const { return full_; }
  // The stall that is going on, or the one that the last Flush ended.
  const StallEpisode& stall() const { return stall_; }
  bool stalled() const { return stalled_; }

  // Looks at what time alone can change, age and stuck time. To be called when NextCheck() is due.
  void Check(Transport* transport, absl::Time now);
  absl::Time NextCheck() const { return full_ ? next_check_ : absl::InfiniteFuture(); }

  // Episodes of lagging that began and ended since the last call. The client is told by SlowConsumer frames.
  struct LagReport {
    uint32_t raised = 0;
    uint32_t cleared = 0;
  };
  LagReport TakeLagReport() { return std::exchange(lag_report_, LagReport()); }

  // Set once, by whatever judged it first.
  const std::optional<OverLimit>& over() const { return over_; }

  // For closing: takes no offers from now on, and forgets what waits, but for the rest of the frame that is
  // half on the wire. Returns what was dropped. The subscriptions stay, for their numbers.
  enum class ControlFrames { kKeep, kDrop };
  SendQueue::Dropped Close(ControlFrames control_frames);

  uint64_t pending_bytes() const { return pending_bytes_; }
  uint64_t pending_messages() const { return pending_messages_; }
  const SessionWriter& writer() const { return writer_; }

  // FanOut's: how many groups of this turn are still to offer to it, and whether it stands on the list of
  // those to flush at the end.
  uint32_t offers_to_come = 0;
  enum class Listed : uint8_t { kNo, kYes } listed = Listed::kNo;

 private:
  void Judge(Subscription* subscription, absl::Time now);
  void ClearLagging(absl::Time now);
  void Tell(const Subscription& subscription, const Nearness& nearest, v1::SlowConsumer::State state);
  void NoteAcknowledged(Transport* transport, absl::Time now);
  void JudgeControl();
  void JudgeAll(absl::Time now);

  const uint64_t token_;
  const SubscriberLimits* const limits_;
  absl::flat_hash_map<uint32_t, std::unique_ptr<Subscription>> subscriptions_;
  std::vector<Subscription*> ending_;
  std::vector<Subscription*> lagging_;
  LagReport lag_report_;
  SessionWriter writer_;

  uint64_t pending_bytes_ = 0;
  uint64_t pending_messages_ = 0;

  bool closed_ = false;
  bool full_ = false;
  bool stalled_ = false;
  StallEpisode stall_;
  absl::Time progress_at_;
  uint64_t acked_bytes_ = 0;
  absl::Time next_check_;
  std::optional<OverLimit> over_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_SUBSCRIBER_H_
