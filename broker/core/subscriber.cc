#include "broker/core/subscriber.h"

#include <algorithm>
#include <utility>

#include "broker/core/filter_group.h"
#include "protocol/frame.h"
#include "protocol/names.h"

namespace sluice {
namespace {

constexpr absl::Duration kCheckEveryMin = absl::Milliseconds(10);
constexpr absl::Duration kCheckEveryMax = absl::Seconds(1);

v1::ServerFrame SlowConsumerFrame(const Subscription& subscription, const Nearness& nearest,
                                  v1::SlowConsumer::State state) {
  v1::ServerFrame frame;
  v1::SlowConsumer* slow = frame.mutable_slow_consumer();
  slow->set_subscription(subscription.id);
  slow->set_state(state);
  slow->set_limit(nearest.limit);
  slow->set_limit_value(nearest.limit_value);
  slow->set_value(nearest.value);
  if (nearest.kind == LimitKind::kSoft)
    slow->set_soft_time_ms(ToWireMilliseconds(subscription.limits->soft_time));
  return frame;
}

// The most that may wait in each of the queues, for `bytes` to be freed of them all together; 0 when that is
// not possible.
uint64_t LevelThatFrees(uint64_t bytes, const std::vector<Subscription*>& subscriptions) {
  std::vector<uint64_t> waiting;
  for (const Subscription* subscription : subscriptions) {
    waiting.push_back(subscription->queue().state().waiting_bytes);
  }
  std::sort(waiting.rbegin(), waiting.rend());
  uint64_t above = 0;
  for (size_t fullest = 0; fullest < waiting.size(); ++fullest) {
    above += waiting[fullest];
    const uint64_t next = fullest + 1 < waiting.size() ? waiting[fullest + 1] : 0;
    const uint64_t count = fullest + 1;
    if (above - count * next >= bytes) return (above - bytes) / count;
  }
  return 0;
}

}  // namespace

const Subscriber::Behind Subscriber::kNeverBehind{};

bool Drops(v1::OverflowPolicy policy) {
  return policy == v1::OVERFLOW_POLICY_DROP_OLDEST || policy == v1::OVERFLOW_POLICY_DROP_NEWEST;
}

Subscription* Subscriber::Add(uint32_t id, const QueueLimits& limits, v1::OverflowPolicy policy,
                              std::string_view conflate_header, OnOverflow on_overflow) {
  if (Find(id) != nullptr) return nullptr;
  auto subscription = std::make_unique<Subscription>();
  subscription->id = id;
  subscription->subscriber = this;
  subscription->limits = shared_limits_ == nullptr ? SharedLimits(limits) : shared_limits_->Get(limits);
  subscription->policy = policy;
  subscription->on_overflow = on_overflow;
  if (policy == v1::OVERFLOW_POLICY_CONFLATE && on_overflow == OnOverflow::kAct) {
    subscription->NeedExtras().conflation = std::make_unique<Conflation>(conflate_header, account_);
  }
  return subscriptions_.insert(std::move(subscription)).first->get();
}

void Subscriber::OpenWindow(Subscription* subscription, uint64_t bytes) {
  subscription->NeedExtras().credit = Credit(bytes);
}

void Subscriber::Grant(Subscription* subscription, uint64_t bytes) {
  subscription->credit()->Grant(bytes);
  if (subscription->starved != Subscription::Starved::kNo) writer_.Activate(subscription);
}

void Subscriber::LiftWindows() {
  for (const auto& subscription : subscriptions_) {
    if (Credit* const credit = subscription->credit(); credit != nullptr) credit->Lift();
  }
  ForEachStarved([this](Subscription* subscription) { writer_.Activate(subscription); });
}

Subscription* Subscriber::Find(uint32_t id) const {
  const auto found = subscriptions_.find(id);
  return found == subscriptions_.end() ? nullptr : found->get();
}

void Subscriber::TellSubscribed(uint32_t id, uint64_t turn) {
  Subscription* subscription = Find(id);
  if (subscription == nullptr || subscription->turn != static_cast<uint32_t>(turn)) return;
  if (subscription->told == Subscription::Told::kYes) return;
  subscription->told = Subscription::Told::kYes;
  v1::ServerFrame frame;
  v1::Subscribed* subscribed = frame.mutable_subscribed();
  subscribed->set_subscription(id);
  subscribed->set_overflow(subscription->policy);
  subscribed->set_observed(subscription->on_overflow == OnOverflow::kObserve);
  if (subscription->conflation() != nullptr) {
    subscribed->set_conflate_header(subscription->conflation()->key_header());
  }
  ToWire(*subscription->limits, subscribed->mutable_limits());
  if (subscription->credit() != nullptr) {
    subscribed->set_window_bytes(subscription->credit()->granted_bytes());
  }
  QueueControl(frame);
  if (!subscription->queue().empty()) writer_.Activate(subscription);
}

// Counts what is offered, as far as the subscription's count allows, and hands it to `take`.
template <typename Take>
Subscriber::Offered Subscriber::CountOffered(Subscription* subscription, std::span<const Slice> slices,
                                             Take take) {
  Offered offered;
  const auto count = [&](const Slice& slice) {
    subscription->offered += slice.messages;
    offered.matched += slice.messages;
    if (closed_) return;
    offered.queued += slice.messages;
    offered.queued_bytes += slice.bytes;
    take(slice);
  };
  for (const Slice& slice : slices) {
    const uint64_t room = subscription->offered_max - subscription->offered;
    if (slice.messages <= room) {
      count(slice);
      continue;
    }
    if (room == 0) break;
    Slice cut = slice;
    const FrameBoundary boundary = BoundaryAfter(slice.view(), room);
    cut.bytes = boundary.bytes;
    cut.messages = boundary.frames;
    count(cut);
  }
  return offered;
}

Subscriber::Offered Subscriber::Offer(Subscription* subscription, std::span<const Slice> slices,
                                      absl::Time now) {
  if (subscription->ended != v1::REASON_UNSPECIFIED) return {};
  if (Sheds(subscription, now)) {
    return Shed(subscription, slices);
  }
  if (subscription->backlog == nullptr && backlogs_ != nullptr) subscription->backlog = backlogs_->Take();
  Offered offered;
  if (subscription->conflation() != nullptr && Conflates(subscription)) {
    Missing replaced;
    offered = CountOffered(subscription, slices, [&](const Slice& slice) {
      replaced += subscription->conflation()->Offer(slice, now, &subscription->mutable_queue());
    });
    BookConflated(*subscription, replaced);
  } else {
    offered = CountOffered(subscription, slices,
                           [&](const Slice& slice) { subscription->mutable_queue().Push(slice, now); });
  }
  if (offered.queued == 0) {
    subscription->ReleaseBacklog();
    return offered;
  }
  pending_bytes_ += offered.queued_bytes;
  pending_messages_ += offered.queued;
  if (HoldsBack(*subscription)) {
    OfferedToHeld(subscription, offered.queued, now);
  } else {
    if (subscription->told == Subscription::Told::kYes) writer_.Activate(subscription);
    unjudged_bytes_ += offered.queued_bytes;
  }
  return offered;
}

void Subscriber::OfferedToHeld(Subscription* subscription, uint64_t messages, absl::Time now) {
  const bool first = writer_.starved().empty();
  if (subscription->told == Subscription::Told::kYes) writer_.Activate(subscription);
  if (first && !writer_.starved().empty()) BeginChecks(now);
  if (subscription->observed == Subscription::Observed::kOver)
    behind_->lag_report.observed_messages += messages;
  Judge(subscription, now);
}

// Drops what is offered, and tells.
Subscriber::Offered Subscriber::Shed(Subscription* subscription, std::span<const Slice> slices) {
  Missing shed;
  Offered offered = CountOffered(subscription, slices, [&](const Slice& slice) {
    shed += {.messages = slice.messages, .bytes = slice.bytes};
  });
  offered.queued = offered.queued_bytes = 0;
  if (shed.messages == 0) return offered;
  CountGone(shed.bytes);
  left_out_.AddDropped(subscription->id, shed.messages);
  TellMissingBehind(subscription, shed);
  if (subscription->told == Subscription::Told::kYes) writer_.Activate(subscription);
  return offered;
}

void Subscriber::End(Subscription* subscription, v1::Reason reason) {
  EndWith(subscription, {reason, 0, 0, subscription->id, {}});
}

void Subscriber::EndWith(Subscription* subscription, const OverLimit& over) {
  subscription->ended = over.reason;
  if (behind_ != nullptr) behind_->blocks.End(subscription);
  if (closed_) return;
  if (Credit* const credit = subscription->credit(); credit != nullptr) credit->Lift();
  TellSubscribed(subscription->id, subscription->turn);
  v1::ServerFrame frame;
  v1::Unsubscribed* unsubscribed = frame.mutable_unsubscribed();
  unsubscribed->set_subscription(subscription->id);
  unsubscribed->set_reason(over.reason);
  unsubscribed->set_offered(subscription->offered);
  unsubscribed->set_limit(over.limit);
  unsubscribed->set_value(over.value);
  unsubscribed->set_above_soft_ms(ToWireMilliseconds(over.above_soft_for));
  subscription->mutable_queue().Push(InPlaceSlice(frame, account_));
  writer_.Activate(subscription);
  if (ending_ == nullptr) ending_ = std::make_unique<std::vector<Subscription*>>();
  ending_->push_back(subscription);
}

Missing Subscriber::EndOver(Subscription* subscription, const OverLimit& over) {
  SendQueue::Drop drop = subscription->mutable_queue().DropOldest({.bytes_max = 0, .messages_max = 0});
  TookOut(drop.dropped);
  drop.told += drop.dropped;
  left_out_.AddDropped(subscription->id, drop.dropped.messages);
  if (subscription->conflation() != nullptr) drop.told += subscription->conflation()->TakeUntold();
  TellMissingBehind(subscription, drop.told);
  EndWith(subscription, over);
  return drop.dropped;
}

std::vector<OverLimit> Subscriber::TakeCut() {
  if (behind_ == nullptr) return {};
  std::vector<OverLimit> cut = std::exchange(behind_->cut, {});
  std::erase_if(cut, [this](const OverLimit& over) {
    const Subscription* subscription = Find(over.subscription);
    return closed_ || subscription == nullptr || subscription->ended != v1::REASON_UNSPECIFIED;
  });
  return cut;
}

void Subscriber::QueueControl(const google::protobuf::MessageLite& frame) {
  writer_.QueueControl(frame);
  if (full_) JudgeControl();
}

FlushResult Subscriber::Flush(Transport* transport, WriteScratch* scratch, uint64_t bytes_max,
                              absl::Time now) {
  if (behind_ != nullptr) TellConflated();
  FlushResult result =
      writer_.Flush(transport, scratch, std::max(bytes_max, std::exchange(unjudged_bytes_, 0)));
  pending_bytes_ -= result.message_bytes_sent;
  pending_messages_ -= result.messages_sent;
  if (result.taken_bytes > 0) progress_at_ = now;
  if (behind_ != nullptr) EndConflations();
  if (ending_ != nullptr) RemoveEnded();
  if (behind_ != nullptr) NoteCaughtUp(result, now);
  if (result.outcome == FlushOutcome::kBlocked) {
    full_ = true;
    StallEpisode& stall = NeedBehind().stall;
    NoteAcknowledged(transport, now);
    if (!stalled_) {
      stalled_ = true;
      copied_out_ = CopiedOut::kNo;
      stall = {now, result.taken_bytes, 0};
      progress_at_ = now;
    }
    JudgeAll(now);
  }
  if (result.starved > 0) JudgeNewlyStarved(result.starved, now);
  return result;
}

// What a flush has changed for one that is or was behind.
void Subscriber::NoteCaughtUp(const FlushResult& result, absl::Time now) {
  if (!behind_->lagging.empty()) ClearLagging(now);
  if (stalled_) {
    behind_->stall.taken_bytes += result.taken_bytes;
    CountGone(result.message_bytes_sent);
  }
  if (!behind_->blocks.empty()) EndBlocks(now);
  if (result.outcome == FlushOutcome::kDrained && std::exchange(stalled_, false) && behind_->lag != nullptr)
    behind_->lag->watch.Stop();
}

void Subscriber::JudgeNewlyStarved(size_t count, absl::Time now) {
  // A flush takes nobody from the list but those who have ended, and they are not on it.
  const std::span<Subscription* const> newest = writer_.starved().last(count);
  const std::vector<Subscription*> starved(newest.begin(), newest.end());
  if (count == writer_.starved().size()) BeginChecks(now);
  for (Subscription* subscription : starved) Judge(subscription, now);
}

// The first one waits for credit: there is something to check from now on.
void Subscriber::BeginChecks(absl::Time now) {
  if (!full_) NeedBehind().next_check = now + kCheckEveryMax;
}

void Subscriber::RemoveEnded() {
  const auto left = [this](Subscription* subscription) {
    if (!subscription->queue().empty() || subscription->group != nullptr) return false;
    writer_.Forget(subscription);
    if (behind_ != nullptr) std::erase(behind_->conflating, subscription);
    if (subscription->lagging == Subscription::Lagging::kYes) {
      const auto episode = std::find_if(behind_->lagging.begin(), behind_->lagging.end(),
                                        [&](const Episode& one) { return one.subscription == subscription; });
      NoteEnded(*episode);
      behind_->lagging.erase(episode);
    }
    left_out_.Forget(subscription->id);
    subscriptions_.erase(subscriptions_.find(subscription->id));
    return true;
  };
  if (ending_ == nullptr) return;
  ending_->erase(std::remove_if(ending_->begin(), ending_->end(), left), ending_->end());
  if (ending_->empty()) ending_ = nullptr;
}

void Subscriber::BecameWritable() {
  if (!full_) return;
  full_ = false;
  ++behind_->stall.resumes;
}

void Subscriber::NoteAcknowledged(Transport* transport, absl::Time now) {
  std::optional<TransportSample> sample;
  if (behind_->lag != nullptr && behind_->lag->watch.due(now)) {
    sample = transport->Sample();
    if (!sample.has_value()) behind_->lag->watch.Stop();
  }
  const uint64_t acked_bytes = sample ? sample->acked_bytes : transport->BytesAcked().value_or(0);
  if (acked_bytes > behind_->acked_bytes) progress_at_ = now;
  behind_->acked_bytes = acked_bytes;
  if (sample.has_value()) LookAtLag(*sample, now);
}

void Subscriber::WatchLag() { NeedLag().watch.Start(); }

void Subscriber::LookAtLag(const TransportSample& sample, absl::Time now) {
  const LagWatch::Outcome outcome =
      behind_->lag->watch.Observe({now, sample, pending_bytes_, behind_->lag->gone_bytes});
  if (outcome == LagWatch::Outcome::kSame || closed_) return;
  for (const Episode& episode : behind_->lagging) {
    const Subscription& subscription = *episode.subscription;
    if (subscription.out_of_credit()) continue;  // that was told
    TellRaised(episode, NearestLimit(subscription.queue().state(), *subscription.limits, now));
  }
}

LagFinding Subscriber::ConcludeLag(Transport* transport, absl::Time now) const {
  if (!stalled_) return {};
  const std::optional<TransportSample> sample = transport->Sample();
  if (!sample.has_value()) return {};
  if (behind_->lag == nullptr) return LagWatch().Conclude({now, *sample, pending_bytes_, 0});
  return behind_->lag->watch.Conclude({now, *sample, pending_bytes_, behind_->lag->gone_bytes});
}

void Subscriber::Judge(Subscription* subscription, absl::Time now) {
  (void)NeedBehind();
  if (behind_->over.has_value() || closed_ || IsCut(*subscription)) return;
  const OverLimit over = FindOver(subscription, now);
  if (over.reason != v1::REASON_UNSPECIFIED && subscription->on_overflow == OnOverflow::kObserve) {
    Observe(subscription, over);
  } else if (over.reason != v1::REASON_UNSPECIFIED && Relieve(subscription, over, now) == Relief::kNothing) {
    Cut(*subscription, over);
    return;
  }
  // What is cut in this turn still counts until it has ended.
  if (behind_->cut.empty() && OverSessionBytes() && RelieveSession(now) == Relief::kNothing) {
    const Subscription* fullest = FullestOutOfCredit();
    const OverLimit over_session = {v1::REASON_SESSION_BYTES,
                                    limits_->session_bytes_max,
                                    pending_bytes_,
                                    fullest == nullptr ? 0 : fullest->id,
                                    {}};
    if (fullest == nullptr) {
      behind_->over = over_session;
    } else {
      Cut(*fullest, over_session);
    }
    return;
  }
  const QueueState state = subscription->queue().state();
  if (subscription->shedding == Subscription::Shedding::kNo &&
      subscription->observed == Subscription::Observed::kWithin) {
    const absl::Time too_old = state.oldest + subscription->limits->pending_age_max;
    // One that blocks has done so when it was too old.
    if (subscription->policy != v1::OVERFLOW_POLICY_BLOCK || too_old >= now)
      behind_->next_check = std::min(behind_->next_check, std::max(too_old, now + kCheckEveryMin));
  }
  if (subscription->told == Subscription::Told::kNo) return;  // nothing stands before Subscribed
  const Nearness nearest = NearestLimit(state, *subscription->limits, now);
  if (subscription->lagging == Subscription::Lagging::kYes) return NoteLagExtent(subscription, nearest);
  if (nearest.share < kHighWatermark) return;
  subscription->lagging = Subscription::Lagging::kYes;
  const LeftOut before = left_out_.Of(subscription->id);
  subscription->NeedExtras().lag = {.dropped = before.dropped, .conflated = before.conflated};
  NoteLagExtent(subscription, nearest);
  const FilterGroup* group = subscription->group;
  behind_->lagging.push_back({subscription, now, group == nullptr ? "" : std::string(group->filter())});
  ++behind_->lag_report.raised;
  (void)NeedLag();
  if (full_) {
    WatchLag();
    behind_->next_check = std::min(behind_->next_check, now + kCheckEveryMin);
  }
  TellRaised(behind_->lagging.back(), nearest);
}

void Subscriber::TellRaised(const Episode& episode, const Nearness& nearest) {
  const Subscription& subscription = *episode.subscription;
  v1::ServerFrame frame = SlowConsumerFrame(subscription, nearest, v1::SlowConsumer::STATE_RAISED);
  LagFinding found = behind_->lag->watch.finding();
  if (subscription.out_of_credit()) found = {.cause = v1::LAG_CAUSE_APPLICATION};  // it does not ask for more
  if (found.cause != v1::LAG_CAUSE_UNSPECIFIED) {
    ++behind_->lag_report.causes_told;
    const absl::Duration time_to_limit =
        TimeToLimit(found, nearest, subscription.queue().state(), pending_bytes_);
    behind_->lag->told = {found, time_to_limit};
    v1::SlowConsumer* slow = frame.mutable_slow_consumer();
    slow->set_cause(found.cause);
    slow->set_drain_bytes_per_second(found.drain_bytes_per_second);
    slow->set_feed_bytes_per_second(found.feed_bytes_per_second);
    if (time_to_limit < absl::InfiniteDuration()) {
      slow->set_time_to_limit_ms(std::max<uint64_t>(1, ToWireMilliseconds(time_to_limit)));
    }
  }
  QueueControl(frame);
  AddLagNotice(frame.slow_consumer(), episode);
}

void Subscriber::AddLagNotice(v1::SlowConsumer told, const Episode& episode) {
  const Subscription& subscription = *episode.subscription;
  behind_->lag->notices.push_back({std::move(told), episode.filter, episode.since, subscription.ended,
                                   subscription.policy, lag_extent(subscription)});
}

void Subscriber::NoteLagExtent(Subscription* subscription, const Nearness& nearest) {
  LagExtent& lag = subscription->extras->lag;
  lag.pending_bytes_peak = std::max(lag.pending_bytes_peak, subscription->queue().pending_bytes());
  lag.pending_messages_peak = std::max(lag.pending_messages_peak, subscription->queue().pending_messages());
  if (nearest.share < lag.limit_share_peak) return;
  lag.limit_share_peak = nearest.share;
  lag.nearest_limit = nearest.limit;
}

LagExtent Subscriber::lag_extent(const Subscription& subscription) const {
  if (subscription.extras == nullptr) return {};
  LagExtent extent = subscription.extras->lag;
  const LeftOut now = left_out_.Of(subscription.id);
  extent.dropped = now.dropped - std::min(now.dropped, extent.dropped);
  extent.conflated = now.conflated - std::min(now.conflated, extent.conflated);
  return extent;
}

// The client is not told.
void Subscriber::NoteEnded(const Episode& episode) {
  ++behind_->lag_report.cleared;
  if (!IsSlowConsumer(episode.subscription->ended)) ++behind_->lag_report.recovered;
  v1::SlowConsumer told;
  told.set_subscription(episode.subscription->id);
  told.set_state(v1::SlowConsumer::STATE_CLEARED);
  AddLagNotice(std::move(told), episode);
}

std::vector<Subscriber::LagNotice> Subscriber::TakeLagNotices() {
  if (behind().lag == nullptr) return {};
  return std::exchange(behind_->lag->notices, {});
}

absl::Time Subscriber::lagging_since() const {
  absl::Time since = absl::InfiniteFuture();
  for (const Episode& episode : behind().lagging) since = std::min(since, episode.since);
  return since;
}

absl::Time Subscriber::lagging_since(const Subscription& subscription) const {
  for (const Episode& episode : behind().lagging) {
    if (episode.subscription == &subscription) return episode.since;
  }
  return absl::InfiniteFuture();
}

// Alone when it is for want of credit, otherwise with its session.
void Subscriber::Cut(const Subscription& subscription, const OverLimit& over) {
  if (!subscription.out_of_credit()) {
    NeedBehind().over = over;
  } else if (!IsCut(subscription)) {
    NeedBehind().cut.push_back(over);
  }
}

bool Subscriber::IsCut(const Subscription& subscription) const {
  const std::vector<OverLimit>& all = behind().cut;
  return std::any_of(all.begin(), all.end(),
                     [&](const OverLimit& cut) { return cut.subscription == subscription.id; });
}

// Of those that are held back; null when more waits for another reason.
const Subscription* Subscriber::FullestOutOfCredit() const {
  const Subscription* fullest = nullptr;
  for (const auto& subscription : subscriptions_) {
    if (!HoldsBack(*subscription) || IsCut(*subscription)) continue;
    if (fullest == nullptr ||
        subscription->queue().state().waiting_bytes > fullest->queue().state().waiting_bytes)
      fullest = subscription.get();
  }
  return fullest != nullptr && fullest->out_of_credit() ? fullest : nullptr;
}

// Once per episode, which ends with the lag.
void Subscriber::Observe(Subscription* subscription, const OverLimit& over) {
  if (subscription->told == Subscription::Told::kNo) return;
  if (subscription->observed == Subscription::Observed::kOver) return;
  subscription->observed = Subscription::Observed::kOver;
  ++behind_->lag_report.observed;
  behind_->observed.push_back(over);
}

// The limit that it is over: a hard one, or a soft one for its time.
OverLimit Subscriber::FindOver(Subscription* subscription, absl::Time now) {
  const QueueLimits& limits = *subscription->limits;
  const QueueState state = subscription->queue().state();
  const Verdict hard = sluice::Judge(state, limits, now);
  if (!hard.healthy()) return {hard.over, hard.limit, hard.value, subscription->id, {}};
  // Before Subscribed it is not told that it lags.
  if (limits.soft_time == absl::InfiniteDuration() || subscription->told == Subscription::Told::kNo)
    return {};
  if (subscription->backlog == nullptr) return {};
  const Verdict soft = JudgeSoft(state, limits, now);
  absl::Time& since = subscription->backlog->above_soft_since;
  if (soft.healthy()) {
    since = absl::InfiniteFuture();
    behind_->next_check =
        std::min(behind_->next_check, std::max(state.oldest + limits.pending_age_soft, now + kCheckEveryMin));
    return {};
  }
  since = std::min(since, now);
  if (now - since < limits.soft_time) {
    behind_->next_check = std::min(behind_->next_check, since + limits.soft_time);
    return {};
  }
  return {soft.over, soft.limit, soft.value, subscription->id,
          now - std::exchange(since, absl::InfiniteFuture())};
}

Subscriber::Relief Subscriber::Relieve(Subscription* subscription, const OverLimit& over, absl::Time now) {
  const LimitKind kind = over.above_soft_for > absl::ZeroDuration() ? LimitKind::kSoft : LimitKind::kHard;
  switch (subscription->policy) {
    case v1::OVERFLOW_POLICY_DROP_OLDEST:
      (void)Drop(subscription, ShareOf(*subscription->limits, kind, kLowWatermark, now), now);
      return Relief::kDropped;
    case v1::OVERFLOW_POLICY_DROP_NEWEST:
      (void)Drop(subscription, ShareOf(*subscription->limits, kind, 1, now), now);
      return Relief::kDropped;
    case v1::OVERFLOW_POLICY_BLOCK:
      return BlockPublishers(subscription, over, now);
    default:
      return Relief::kNothing;
  }
}

// Whoever published to it, or does so before it has room, waits. What cannot be kept from coming is bounded.
Subscriber::Relief Subscriber::BlockPublishers(Subscription* subscription, const OverLimit& over,
                                               absl::Time now) {
  const uint64_t bytes_max = subscription->limits->pending_bytes_max;
  const uint64_t waiting_bytes = subscription->queue().state().waiting_bytes;
  if (bytes_max != 0 && waiting_bytes > bytes_max + std::max(bytes_max, kBlockOverrunBytes))
    return Relief::kNothing;
  // To one that has ended nobody publishes.
  if (subscription->ended != v1::REASON_UNSPECIFIED || subscription->group == nullptr) return Relief::kBlocks;
  behind_->blocks.Begin(subscription, {over.reason, over.limit, over.value}, now);
  behind_->next_check = std::min(behind_->next_check, now + limits_->block_timeout);
  return Relief::kBlocks;
}

void Subscriber::EndBlocks(absl::Time now) {
  behind_->blocks.EndIf([&](Subscription* subscription) {
    return NearestLimit(subscription->queue().state(), *subscription->limits, now).share < kLowWatermark;
  });
}

// Publishers wait so long and no longer.
void Subscriber::JudgeBlocks(absl::Time now) {
  const auto oldest = behind_->blocks.Oldest();
  if (!oldest.has_value() || behind_->over.has_value()) return;
  const auto& [subscription, since] = *oldest;
  behind_->next_check = std::min(behind_->next_check, since + limits_->block_timeout);
  if (now < since + limits_->block_timeout) return;
  Cut(*subscription, {v1::REASON_BLOCK_TIMEOUT,
                      ToWireMilliseconds(limits_->block_timeout),
                      ToWireMilliseconds(now - since),
                      subscription->id,
                      {}});
}

// The policy of the fullest queue acts. Queues that drop are cut down to one level, so that the session comes
// to its low watermark (from there to the bound is a long way, which pays for the walk through them all), but
// not below a queue that does not drop: that one would be the fullest then.
Subscriber::Relief Subscriber::RelieveSession(absl::Time now) {
  std::vector<Subscription*> droppers;
  uint64_t level = 0;
  for (const auto& subscription : subscriptions_) {
    if (!HoldsBack(*subscription)) continue;
    if (Drops(subscription->policy)) {
      droppers.push_back(subscription.get());
    } else {
      level = std::max(level, subscription->queue().state().waiting_bytes);
    }
  }
  const double low = kLowWatermark * static_cast<double>(limits_->session_bytes_max);
  level = std::max(level, LevelThatFrees(HeldBytes() - static_cast<uint64_t>(low), droppers));
  for (Subscription* subscription : droppers) {
    if (subscription->queue().state().waiting_bytes > level)
      (void)Drop(subscription, {.bytes_max = level}, now);
  }
  return OverSessionBytes() ? Relief::kNothing : Relief::kDropped;
}

bool Subscriber::OverSessionBytes() const {
  if (limits_->session_bytes_max == 0) return false;
  const uint64_t bytes_max = limits_->session_bytes_max + writer_.frame_in_flight_bytes();
  return pending_bytes_ > bytes_max && HeldBytes() > bytes_max;
}

// Of what waits, what would not leave with the next flush.
uint64_t Subscriber::HeldBytes() const {
  if (full_) return pending_bytes_;
  uint64_t bytes = 0;
  for (const Subscription* subscription : writer_.starved()) bytes += subscription->queue().pending_bytes();
  return bytes;
}

Missing Subscriber::DropHalf(Subscription* subscription, absl::Time now) {
  return Drop(subscription, {.bytes_max = subscription->queue().state().waiting_bytes / 2}, now);
}

void Subscriber::CutForMemory(const Subscription& subscription) {
  if (over().has_value() || closed_) return;
  Cut(subscription, {v1::REASON_MEMORY_BUDGET,
                     static_cast<uint64_t>(account_->budget_bytes()),
                     static_cast<uint64_t>(account_->bytes()),
                     subscription.id,
                     {}});
}

// Drops, from the end that the policy says, until what waits is within `keep`, and tells. Returns what went:
// nothing where the policy is another.
Missing Subscriber::Drop(Subscription* subscription, const QueueBound& keep, absl::Time now) {
  SendQueue::Drop drop;
  if (subscription->policy == v1::OVERFLOW_POLICY_DROP_OLDEST) {
    drop = subscription->mutable_queue().DropOldest(keep);
    drop.told += drop.dropped;
    TellMissingInFront(subscription, drop.told, v1::GAP_CAUSE_DROPPED);
  } else if (subscription->policy == v1::OVERFLOW_POLICY_DROP_NEWEST) {
    subscription->shedding = Subscription::Shedding::kYes;
    drop = subscription->mutable_queue().DropNewest(keep);
    drop.told += drop.dropped;
    TellMissingBehind(subscription, drop.told);
  }
  TookOut(drop.dropped);
  NeedBehind().losses.dropped += drop.dropped;
  left_out_.AddDropped(subscription->id, drop.dropped.messages);
  NoteBelowSoft(subscription, now);
  // With no message left the Gap needs no credit.
  if (subscription->starved != Subscription::Starved::kNo) writer_.Activate(subscription);
  return drop.dropped;
}

// Of what waited, not sent.
void Subscriber::TookOut(const Missing& gone) {
  pending_bytes_ -= gone.bytes;
  pending_messages_ -= gone.messages;
  CountGone(gone.bytes);
}

void Subscriber::CountGone(uint64_t bytes) {
  if (behind_ != nullptr && behind_->lag != nullptr) behind_->lag->gone_bytes += bytes;
}

Subscriber::Lag& Subscriber::NeedLag() {
  std::unique_ptr<Lag>& lag = NeedBehind().lag;
  if (lag == nullptr) lag = std::make_unique<Lag>();
  return *lag;
}

// One Gap before all that waits, with what a Gap there tells already.
void Subscriber::TellMissingInFront(Subscription* subscription, Missing missing, v1::GapCause cause) {
  if (missing.messages == 0) return;
  const Missing told_already = subscription->mutable_queue().TakeGapInFront();
  if (told_already.messages == 0) CountGap(*subscription);
  missing += told_already;
  const uint64_t offered = subscription->offered - subscription->queue().state().waiting_messages;
  subscription->mutable_queue().PutGapInFront(GapSlice(subscription->id, missing, cause, offered, account_));
}

void Subscriber::CountGap(const Subscription& subscription) {
  left_out_.AddGap(subscription.id);
  ++NeedBehind().losses.gaps;
}

// The same behind all that waits.
void Subscriber::TellMissingBehind(Subscription* subscription, Missing missing) {
  if (missing.messages == 0) return;
  const Missing told_already = subscription->mutable_queue().TakeGapBehind();
  if (told_already.messages == 0) CountGap(*subscription);
  missing += told_already;
  subscription->mutable_queue().PutGapBehind(
      GapSlice(subscription->id, missing, v1::GAP_CAUSE_DROPPED, subscription->offered, account_));
}

// Whether what arrives for it is conflated: while it is behind.
bool Subscriber::Conflates(Subscription* subscription) {
  if (subscription->conflation()->active()) return true;
  if (!HoldsBack(*subscription) || closed_) return false;
  NeedBehind().conflating.push_back(subscription);
  BookConflated(*subscription, subscription->conflation()->Begin(&subscription->mutable_queue()));
  return true;
}

void Subscriber::BookConflated(const Subscription& subscription, const Missing& replaced) {
  TookOut(replaced);
  behind_->losses.conflated += replaced;
  left_out_.AddConflated(subscription.id, replaced.messages);
}

// Says before the next message how many there were that will not come.
void Subscriber::TellConflated() {
  for (Subscription* subscription : behind_->conflating) {
    if (subscription->out_of_credit()) continue;
    TellMissingInFront(subscription, subscription->conflation()->TakeUntold(), v1::GAP_CAUSE_CONFLATED);
  }
}

void Subscriber::EndConflations() {
  std::erase_if(behind_->conflating, [](Subscription* subscription) {
    if (!subscription->queue().empty()) return false;
    subscription->conflation()->End();
    return true;
  });
}

// Whether what arrives for it goes on to be dropped.
bool Subscriber::StillSheds(Subscription* subscription, absl::Time now) const {
  if (NearestLimit(subscription->queue().state(), *subscription->limits, now).share >= kLowWatermark)
    return true;
  subscription->shedding = Subscription::Shedding::kNo;
  return false;
}

void Subscriber::ClearLagging(absl::Time now) {
  std::erase_if(behind_->lagging, [&](const Episode& episode) {
    Subscription* subscription = episode.subscription;
    NoteBelowSoft(subscription, now);
    const Nearness nearest = NearestLimit(subscription->queue().state(), *subscription->limits, now);
    if (nearest.share >= kLowWatermark) return false;
    subscription->lagging = Subscription::Lagging::kNo;
    subscription->observed = Subscription::Observed::kWithin;
    ++behind_->lag_report.cleared;
    ++behind_->lag_report.recovered;
    const v1::ServerFrame frame = SlowConsumerFrame(*subscription, nearest, v1::SlowConsumer::STATE_CLEARED);
    QueueControl(frame);
    AddLagNotice(frame.slow_consumer(), episode);
    return true;
  });
}

// Its queue has become shorter.
void Subscriber::NoteBelowSoft(Subscription* subscription, absl::Time now) {
  if (subscription->backlog == nullptr || subscription->backlog->above_soft_since == absl::InfiniteFuture())
    return;
  if (!JudgeSoft(subscription->queue().state(), *subscription->limits, now).healthy()) return;
  subscription->backlog->above_soft_since = absl::InfiniteFuture();
}

void Subscriber::JudgeControl() {
  if (behind_->over.has_value() || closed_ || limits_->control_bytes_max == 0) return;
  if (writer_.control_bytes() <= limits_->control_bytes_max) return;
  behind_->over = {v1::REASON_CONTROL_BYTES, limits_->control_bytes_max, writer_.control_bytes(), 0, {}};
}

void Subscriber::JudgeAll(absl::Time now) {
  if (closed_) return;
  (void)NeedBehind();
  behind_->next_check = now + kCheckEveryMax;
  if (full_ && limits_->write_timeout > absl::ZeroDuration()) {
    const absl::Duration every = std::clamp(limits_->write_timeout / 4, kCheckEveryMin, kCheckEveryMax);
    behind_->next_check = std::min(now + every, progress_at_ + limits_->write_timeout);
  }
  if (full_ && !behind_->lagging.empty() &&
      behind_->lag->watch.finding().cause == v1::LAG_CAUSE_UNSPECIFIED) {
    behind_->next_check = std::min(behind_->next_check, behind_->lag->watch.due_at());
  }
  if (full_) {
    // With nothing behind it its subscription is not active, but the frame in flight grows old as well.
    if (Subscription* in_flight = writer_.in_flight(); in_flight != nullptr) Judge(in_flight, now);
    ForEachActive([&](Subscription* subscription) { Judge(subscription, now); });
    JudgeControl();
  }
  ForEachStarved([&](Subscription* subscription) { Judge(subscription, now); });
  JudgeBlocks(now);
  behind_->next_check = std::max(behind_->next_check, now + kCheckEveryMin);
}

void Subscriber::Check(Transport* transport, absl::Time now) {
  if (closed_ || NextCheck() == absl::InfiniteFuture()) return;
  if (full_) {
    WatchLag();
    NoteAcknowledged(transport, now);
  }
  CopyOutOfChunks();
  JudgeAll(now);
  if (!full_) return;
  const absl::Duration still = now - progress_at_;
  if (!behind_->over.has_value() && limits_->write_timeout > absl::ZeroDuration() &&
      still >= limits_->write_timeout) {
    behind_->over = {v1::REASON_WRITE_TIMEOUT,
                     ToWireMilliseconds(limits_->write_timeout),
                     ToWireMilliseconds(still),
                     0,
                     {}};
  }
}

// Not when it is blocked: then those that are blocked by the same messages have not all got them, and most
// stalls are over before the first check.
void Subscriber::CopyOutOfChunks() {
  if (full_ && std::exchange(copied_out_, CopiedOut::kYes) == CopiedOut::kNo) {
    writer_.CopyOutRest(account_);
    ForEachActive([&](Subscription* subscription) { subscription->mutable_queue().CopyOut(account_); });
  }
  for (Subscription* subscription : writer_.starved()) {
    if (subscription->starved == Subscription::Starved::kCopiedOut) continue;
    subscription->starved = Subscription::Starved::kCopiedOut;
    subscription->mutable_queue().CopyOut(account_);
  }
}

Missing Subscriber::Close(ControlFrames control_frames) {
  closed_ = true;
  if (behind_ != nullptr) {
    for (const Episode& episode : std::exchange(behind_->lagging, {})) {
      episode.subscription->lagging = Subscription::Lagging::kNo;
      NoteEnded(episode);
    }
    behind_->blocks.EndAll();
    behind_->conflating.clear();
  }
  Missing dropped;
  for (const auto& subscription : subscriptions_) {
    if (subscription->backlog == nullptr) continue;
    dropped += subscription->backlog->queue.DropWaiting();
    writer_.Forget(subscription.get());
    subscription->backlog = nullptr;
  }
  pending_bytes_ -= dropped.bytes;
  pending_messages_ -= dropped.messages;
  if (control_frames == ControlFrames::kDrop) writer_.DropControl();
  return dropped;
}

}  // namespace sluice
