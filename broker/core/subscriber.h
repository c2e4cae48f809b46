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
// A subscription that is out of credit is held back as if its socket were full, and judged alone: its policy
// acts on it, and instead of the session it is the subscription that is cut (TakeCut()). That says nothing
// about the socket: the write timeout does not run, and its neighbours go on.
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
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/time/time.h"
#include "broker/core/block_episode.h"
#include "broker/core/lag_cause.h"
#include "broker/core/left_out_books.h"
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
  // How long a subscription may block its publishers.
  absl::Duration block_timeout = absl::InfiniteDuration();
};

// What has been read from publishers, or is under way from other shards, still comes to a subscription that
// blocks them: so much above its limit in bytes, or as much as the limit if that is more. Then it is cut.
inline constexpr uint64_t kBlockOverrunBytes = uint64_t{4} << 20;

// The limit that a subscriber went over first.
struct OverLimit {
  v1::Reason reason = v1::REASON_UNSPECIFIED;
  // Bytes, messages or milliseconds.
  uint64_t limit = 0;
  uint64_t value = 0;
  // 0: the session as a whole.
  uint32_t subscription = 0;
  // How long it had been above a soft limit; 0: it was a hard one.
  absl::Duration above_soft_for;
};

// From the write that the socket did not take whole until everything is written.
struct StallEpisode {
  absl::Time since;
  uint64_t taken_bytes = 0;
  uint32_t resumes = 0;
};

// Whether the policy drops messages, so that the session need not be cut.
bool Drops(v1::OverflowPolicy policy);

class Subscriber {
 public:
  // `limits`, `account` and the pools outlive the subscriber. `token` is the caller's name for it. What no pool
  // is given for comes from the heap.
  Subscriber(uint64_t token, const SubscriberLimits* limits, MemoryAccount* account,
             BacklogPool* backlogs = nullptr, SharedLimitsPool* shared_limits = nullptr)
      : token_(token),
        limits_(limits),
        account_(account),
        backlogs_(backlogs),
        shared_limits_(shared_limits) {}
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  uint64_t token() const { return token_; }

  // Null when the id is in use. `conflate_header`: of the policy conflate, see Conflation. With kObserve its
  // policy does nothing, but for the session's limit.
  Subscription* Add(uint32_t id, const QueueLimits& limits, v1::OverflowPolicy policy,
                    std::string_view conflate_header = "", OnOverflow on_overflow = OnOverflow::kAct);
  // Before anything is offered to it: it gets a window of so many bytes.
  static void OpenWindow(Subscription* subscription, uint64_t bytes);
  // So many bytes are granted in all to one with a window.
  void Grant(Subscription* subscription, uint64_t bytes);
  // From now on nothing waits for credit.
  void LiftWindows();
  // Null when there is none.
  Subscription* Find(uint32_t id) const;
  size_t subscription_count() const { return subscriptions_.size(); }
  template <typename Visit>
  void ForEachSubscription(Visit visit) const {
    for (const auto& subscription : subscriptions_) visit(subscription.get());
  }

  // Sends Subscribed, unless that was done or it has gone: one of the same id that was asked for in another
  // turn is not meant. (An ending subscription is told by itself.)
  void TellSubscribed(uint32_t id, uint64_t turn);

  // Appends slices to the subscription's queue and counts their messages as offered: all of them, or as many
  // as its count allows, in which case it ends. A closed subscriber takes nothing, nor does a subscription
  // that drops the newest; its client is told by a Gap. None leaves before Subscribed.
  struct Offered {
    uint64_t matched = 0;  // messages
    uint64_t queued = 0;
    uint64_t queued_bytes = 0;
  };
  Offered Offer(Subscription* subscription, std::span<const Slice> slices, absl::Time now);

  // Ends the subscription behind what is queued for it, for which it needs no more credit: its Unsubscribed is
  // queued, and it is removed when that has left. It must be in no group any more, or leave it before the next
  // Flush.
  void End(Subscription* subscription, v1::Reason reason);
  // Ends one that was cut: what waits is dropped, and told before Unsubscribed. Returns what was dropped.
  Missing EndOver(Subscription* subscription, const OverLimit& over);

  // Removes those that have ended, whose last frame has left, and that are in no group. Flush does it too.
  void RemoveEnded();

  // A frame that goes before all queues.
  void QueueControl(const google::protobuf::MessageLite& frame);

  // Writes until everything is written, the socket is full, or message bytes of `bytes_max` were taken; not
  // less than what was offered to it since the last time while its socket was not full. So the backlog of one
  // that is never found full, and hence never judged, does not grow.
  FlushResult Flush(Transport* transport, WriteScratch* scratch, uint64_t bytes_max, absl::Time now);
  bool wants_flush() const { return !full_ && !writer_.empty(); }
  // Also when it is over a limit, or there is something in LagReport.
  bool wants_attention() const { return wants_flush() || (behind_ != nullptr && behind_->has_news()); }
  // The socket may take bytes again.
  void BecameWritable();

  // Whether the socket took less than it was offered and has not become writable since.
  bool blocked() const { return full_; }
  // Whether what is offered to the subscription waits: its socket is full, or it is out of credit.
  bool HoldsBack(const Subscription& subscription) const { return full_ || subscription.out_of_credit(); }
  // The same, and until its socket has taken everything: what it is offered may wait for long.
  bool IsBehind(const Subscription& subscription) const { return stalled_ || subscription.out_of_credit(); }
  // Whether the subscription will drop what is offered to it now.
  bool Sheds(Subscription* subscription, absl::Time now) const {
    return subscription->shedding == Subscription::Shedding::kYes && StillSheds(subscription, now);
  }
  // The stall that is going on, or the one that the last Flush ended.
  const StallEpisode& stall() const { return behind().stall; }
  bool stalled() const { return stalled_; }

  // Looks at what time alone can change, age and stuck time. To be called when NextCheck() is due. The first
  // time in a stall it also frees the chunks that it was blocked in, where little of them waits.
  void Check(Transport* transport, absl::Time now);
  absl::Time NextCheck() const {
    return full_ || !writer_.starved().empty() ? behind().next_check : absl::InfiniteFuture();
  }

  // Episodes of lagging that began and ended since the last call. The client is told by SlowConsumer frames.
  struct LagReport {
    uint32_t raised = 0;
    uint32_t cleared = 0;
    // Of those that were cleared: whose subscription was not cut.
    uint32_t recovered = 0;
    // Warnings that said a cause: of an episode that begins, or once more when the cause is found or changes.
    uint32_t causes_told = 0;
    // Limits that are observed: how many were passed, once per episode, and messages that came above them.
    uint32_t observed = 0;
    uint64_t observed_messages = 0;
  };
  LagReport TakeLagReport() {
    return behind_ == nullptr ? LagReport() : std::exchange(behind_->lag_report, {});
  }
  // Which those were.
  std::vector<OverLimit> TakeObserved() {
    return behind_ == nullptr ? std::vector<OverLimit>() : std::exchange(behind_->observed, {});
  }

  // What SlowConsumer frames have told since the last call, and, as cleared without a limit, episodes that
  // ended with their subscription or the session.
  struct LagNotice {
    v1::SlowConsumer told;
    std::string filter;
    absl::Time lagging_since;
    // Of the subscription.
    v1::Reason ended = v1::REASON_UNSPECIFIED;
    v1::OverflowPolicy policy = v1::OVERFLOW_POLICY_DISCONNECT;
    LagExtent extent;
  };
  std::vector<LagNotice> TakeLagNotices();
  // Of those that lag: visit(subscription, since).
  template <typename Visit>
  void ForEachLagging(Visit visit) const {
    for (const Episode& episode : behind().lagging) visit(episode.subscription, episode.since);
  }
  // Of the episode of a subscription that lags.
  LagExtent lag_extent(const Subscription& subscription) const;
  // When the oldest episode that goes on began; InfiniteFuture(): nothing lags.
  absl::Time lagging_since() const;
  // The same of one subscription.
  absl::Time lagging_since(const Subscription& subscription) const;

  // Why it lags, as it was told last.
  struct LagTold {
    LagFinding finding;
    absl::Duration time_to_limit = absl::InfiniteDuration();
  };
  LagTold lag_told() const { return behind().lag == nullptr ? LagTold() : behind().lag->told; }
  // The last word about it, by one more look at its connection. Unspecified while nothing is stalled, and
  // where the connection cannot tell.
  LagFinding ConcludeLag(Transport* transport, absl::Time now) const;
  // The policy block: what its publishers wait for; null: the subscription does not block them.
  const BlockRef& FindBlock(Subscription* subscription) const { return behind().blocks.Find(subscription); }
  // Episodes that began and ended since the last call.
  std::vector<BlockNews> TakeBlockNews() {
    return behind_ == nullptr ? std::vector<BlockNews>() : behind_->blocks.TakeNews();
  }
  // Nothing will come any more, since it is in no group now: publishers need not wait.
  void StopBlocking() {
    if (behind_ != nullptr) behind_->blocks.EndAll();
  }

  // What overflow policies took out of the queues since the last call, other than what Offer() said.
  struct Losses {
    Missing dropped;
    Missing conflated;  // a newer one takes their place
    uint64_t gaps = 0;  // in which the client is told of them
  };
  Losses TakeLosses() { return behind_ == nullptr ? Losses() : std::exchange(behind_->losses, {}); }
  // The same since it began, with what Offer() said, and per subscription.
  const LeftOutBooks& left_out() const { return left_out_; }

  // Of those with something to send: visit(subscription).
  template <typename Visit>
  void ForEachActive(Visit visit) const {
    Subscription* subscription = writer_.active();
    for (const Subscription* first = subscription; subscription != nullptr;) {
      visit(subscription);
      Subscription* const next = subscription->backlog->next_active;
      subscription = next == first ? nullptr : next;
    }
  }

  // Of those whose messages wait for credit.
  template <typename Visit>
  void ForEachStarved(Visit visit) const {
    // A visit may take it from the list.
    const std::span<Subscription* const> now = writer_.starved();
    const std::vector<Subscription*> starved(now.begin(), now.end());
    for (Subscription* subscription : starved) visit(subscription);
  }

  // Of those of which anything waits: visit(subscription).
  template <typename Visit>
  void ForEachPending(Visit visit) const {
    ForEachActive(visit);
    ForEachStarved(visit);
    Subscription* const last = writer_.in_flight();
    if (last != nullptr && !last->active() && last->starved == Subscription::Starved::kNo) visit(last);
  }
  bool IsPending(const Subscription& subscription) const {
    return subscription.active() || subscription.starved != Subscription::Starved::kNo ||
           writer_.in_flight() == &subscription;
  }

  // For one that runs out of memory: drops half of what waits, as the subscription's policy says, and tells.
  // Returns what was dropped: nothing where the policy is another, and then there is only CutForMemory.
  Missing DropHalf(Subscription* subscription, absl::Time now);
  void CutForMemory(const Subscription& subscription);

  // Set once, by whatever judged it first.
  const std::optional<OverLimit>& over() const { return behind().over; }

  // Subscriptions that were found over a limit for want of credit since the last call, and have not ended: to
  // be taken out of their groups and ended by EndOver().
  std::vector<OverLimit> TakeCut();

  // For closing: takes no offers from now on, and forgets what waits, but for the rest of the frame that is
  // half on the wire. Returns what was dropped. The subscriptions stay, for their numbers.
  enum class ControlFrames { kKeep, kDrop };
  Missing Close(ControlFrames control_frames);

  uint64_t pending_bytes() const { return pending_bytes_; }
  uint64_t pending_messages() const { return pending_messages_; }
  const SessionWriter& writer() const { return writer_; }

  // FanOut's: how many groups of this turn are still to offer to it, and whether it stands on the list of
  // those to flush at the end.
  uint32_t offers_to_come = 0;
  enum class Listed : uint8_t { kNo, kYes } listed = Listed::kNo;

 private:
  // Of lagging.
  struct Episode {
    Subscription* subscription;
    absl::Time since;
    std::string filter;
  };
  struct Lag {
    LagWatch watch;
    // Message bytes that left the queues while it was stalled, sent or not.
    uint64_t gone_bytes = 0;
    LagTold told;
    std::vector<LagNotice> notices;
  };
  // What only one needs that has been behind, or over a limit.
  struct Behind {
    StallEpisode stall;
    uint64_t acked_bytes = 0;
    absl::Time next_check;
    std::optional<OverLimit> over;
    std::vector<Episode> lagging;
    std::vector<Subscription*> conflating;
    BlockEpisodes blocks;
    // Null until something lags, or a stall lasts until a Check().
    std::unique_ptr<Lag> lag;

    LagReport lag_report;
    Losses losses;
    std::vector<OverLimit> observed;
    std::vector<OverLimit> cut;

    bool has_news() const {
      return over.has_value() || lag_report.raised > 0 || lag_report.cleared > 0 ||
             lag_report.causes_told > 0 || lag_report.observed > 0 || lag_report.observed_messages > 0 ||
             losses.dropped.messages > 0 || losses.conflated.messages > 0 || losses.gaps > 0 ||
             blocks.has_news() || !cut.empty();
    }
  };
  static const Behind kNeverBehind;

  // To look at.
  const Behind& behind() const { return behind_ != nullptr ? *behind_ : kNeverBehind; }
  Behind& NeedBehind() {
    if (behind_ == nullptr) behind_ = std::make_unique<Behind>();
    return *behind_;
  }

  Lag& NeedLag();

  template <typename Take>
  Offered CountOffered(Subscription* subscription, std::span<const Slice> slices, Take take);
  Offered Shed(Subscription* subscription, std::span<const Slice> slices);
  void EndWith(Subscription* subscription, const OverLimit& over);
  void Judge(Subscription* subscription, absl::Time now);
  void Observe(Subscription* subscription, const OverLimit& over);
  OverLimit FindOver(Subscription* subscription, absl::Time now);
  // What the subscription's overflow policy does. kNothing: the session is to be cut.
  enum class Relief { kDropped, kBlocks, kNothing };
  void Cut(const Subscription& subscription, const OverLimit& over);
  const Subscription* FullestOutOfCredit() const;
  bool IsCut(const Subscription& subscription) const;
  void BeginChecks(absl::Time now);
  void JudgeNewlyStarved(size_t count, absl::Time now);
  void OfferedToHeld(Subscription* subscription, uint64_t messages, absl::Time now);
  Relief Relieve(Subscription* subscription, const OverLimit& over, absl::Time now);
  Relief BlockPublishers(Subscription* subscription, const OverLimit& over, absl::Time now);
  Relief RelieveSession(absl::Time now);
  bool OverSessionBytes() const;
  uint64_t HeldBytes() const;
  Missing Drop(Subscription* subscription, const QueueBound& keep, absl::Time now);
  void TookOut(const Missing& gone);
  void CountGone(uint64_t bytes);
  void TellMissingInFront(Subscription* subscription, Missing missing, v1::GapCause cause);
  void TellMissingBehind(Subscription* subscription, Missing missing);
  void CountGap(const Subscription& subscription);
  bool StillSheds(Subscription* subscription, absl::Time now) const;
  bool Conflates(Subscription* subscription);
  void BookConflated(const Subscription& subscription, const Missing& replaced);
  void TellConflated();
  void EndConflations();
  void NoteCaughtUp(const FlushResult& result, absl::Time now);
  void ClearLagging(absl::Time now);
  void EndBlocks(absl::Time now);
  void JudgeBlocks(absl::Time now);
  void NoteBelowSoft(Subscription* subscription, absl::Time now);
  void NoteAcknowledged(Transport* transport, absl::Time now);
  void WatchLag();
  void NoteLagExtent(Subscription* subscription, const Nearness& nearest);
  void AddLagNotice(v1::SlowConsumer told, const Episode& episode);
  void LookAtLag(const TransportSample& sample, absl::Time now);
  void CopyOutOfChunks();
  void TellRaised(const Episode& episode, const Nearness& nearest);
  void NoteEnded(const Episode& episode);
  void JudgeControl();
  void JudgeAll(absl::Time now);

  const uint64_t token_;
  const SubscriberLimits* const limits_;
  MemoryAccount* const account_;
  BacklogPool* const backlogs_;
  SharedLimitsPool* const shared_limits_;
  // By their ids.
  struct HashId {
    using is_transparent = void;
    size_t operator()(uint32_t id) const { return absl::Hash<uint32_t>()(id); }
    size_t operator()(const std::unique_ptr<Subscription>& one) const { return (*this)(one->id); }
  };
  struct SameId {
    using is_transparent = void;
    static uint32_t IdOf(uint32_t id) { return id; }
    static uint32_t IdOf(const std::unique_ptr<Subscription>& one) { return one->id; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return IdOf(a) == IdOf(b);
    }
  };
  absl::flat_hash_set<std::unique_ptr<Subscription>, HashId, SameId> subscriptions_;
  // Null until one ends.
  std::unique_ptr<std::vector<Subscription*>> ending_;
  LeftOutBooks left_out_;
  SessionWriter writer_;

  uint64_t pending_bytes_ = 0;
  uint64_t pending_messages_ = 0;
  // Offered since the last flush, and not judged.
  uint64_t unjudged_bytes_ = 0;

  bool closed_ = false;
  bool full_ = false;
  bool stalled_ = false;
  // What it was offered before this stall lies where it was read; FanOut keeps together what comes in it.
  enum class CopiedOut : uint8_t { kNo, kYes } copied_out_ = CopiedOut::kNo;
  absl::Time progress_at_;
  // Null: it never was.
  std::unique_ptr<Behind> behind_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_SUBSCRIBER_H_
