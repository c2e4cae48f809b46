#include "broker/core/subscriber.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "protocol/frame.h"

namespace sluice {
namespace {

constexpr absl::Duration kCheckEveryMin = absl::Milliseconds(10);
constexpr absl::Duration kCheckEveryMax = absl::Seconds(1);

uint64_t Milliseconds(absl::Duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Milliseconds(duration)));
}

// A frame of the broker that stands in the subscription's own queue.
Slice InPlaceSlice(const google::protobuf::MessageLite& frame, MemoryAccount* account, absl::Time now) {
  std::string bytes;
  AppendFrame(frame, &bytes);
  Slice slice;
  slice.chunk = Chunk::Create(static_cast<uint32_t>(bytes.size()), account);
  std::memcpy(slice.chunk->data(), bytes.data(), bytes.size());
  slice.bytes = static_cast<uint32_t>(bytes.size());
  slice.kind = SliceKind::kInPlace;
  slice.enqueued_at = now;
  return slice;
}

}  // namespace

Subscription* Subscriber::Add(uint32_t id, const QueueLimits& limits, v1::OverflowPolicy policy) {
  std::unique_ptr<Subscription>& place = subscriptions_[id];
  if (place != nullptr) return nullptr;
  place = std::make_unique<Subscription>();
  place->id = id;
  place->subscriber = this;
  place->limits = limits;
  place->policy = policy;
  return place.get();
}

Subscription* Subscriber::Find(uint32_t id) const {
  const auto found = subscriptions_.find(id);
  return found == subscriptions_.end() ? nullptr : found->second.get();
}

void Subscriber::TellSubscribed(uint32_t id, uint64_t turn) {
  Subscription* subscription = Find(id);
  if (subscription == nullptr || subscription->turn != turn) return;
  if (subscription->told == Subscription::Told::kYes) return;
  subscription->told = Subscription::Told::kYes;
  v1::ServerFrame frame;
  v1::Subscribed* subscribed = frame.mutable_subscribed();
  subscribed->set_subscription(id);
  subscribed->set_overflow(subscription->policy);
  v1::SubscriptionLimits* limits = subscribed->mutable_limits();
  limits->set_pending_bytes_max(subscription->limits.pending_bytes_max);
  limits->set_pending_messages_max(subscription->limits.pending_messages_max);
  if (subscription->limits.pending_age_max != absl::InfiniteDuration()) {
    limits->set_pending_age_max_ms(Milliseconds(subscription->limits.pending_age_max));
  }
  QueueControl(frame);
  if (!subscription->queue.empty()) writer_.Activate(subscription);
}

Subscriber::Offered Subscriber::Offer(Subscription* subscription, std::span<const Slice> slices,
                                      absl::Time now) {
  Offered offered;
  if (subscription->ended != v1::REASON_UNSPECIFIED) return offered;
  for (const Slice& slice : slices) {
    const uint64_t room = subscription->offered_max - subscription->offered;
    if (room == 0) break;
    Slice taken = slice;
    if (taken.messages > room) {
      const FrameBoundary cut = BoundaryAfter(taken.view(), room);
      taken.bytes = cut.bytes;
      taken.messages = cut.frames;
    }
    subscription->offered += taken.messages;
    offered.matched += taken.messages;
    if (closed_) continue;
    offered.queued += taken.messages;
    offered.queued_bytes += taken.bytes;
    taken.enqueued_at = now;
    subscription->queue.Push(std::move(taken));
  }
  if (offered.queued == 0) return offered;
  pending_bytes_ += offered.queued_bytes;
  pending_messages_ += offered.queued;
  if (subscription->told == Subscription::Told::kYes) writer_.Activate(subscription);
  if (full_) Judge(subscription, now);
  return offered;
}

void Subscriber::End(Subscription* subscription, v1::Reason reason, MemoryAccount* account, absl::Time now) {
  subscription->ended = reason;
  if (closed_) return;
  TellSubscribed(subscription->id, subscription->turn);
  v1::ServerFrame frame;
  v1::Unsubscribed* unsubscribed = frame.mutable_unsubscribed();
  unsubscribed->set_subscription(subscription->id);
  unsubscribed->set_reason(reason);
  unsubscribed->set_offered(subscription->offered);
  subscription->queue.Push(InPlaceSlice(frame, account, now));
  writer_.Activate(subscription);
  ending_.push_back(subscription);
}

void Subscriber::QueueControl(const google::protobuf::MessageLite& frame) {
  writer_.QueueControl(frame);
  if (full_) JudgeControl();
}

FlushResult Subscriber::Flush(Transport* transport, WriteScratch* scratch, uint64_t bytes_max,
                              absl::Time now) {
  FlushResult result = writer_.Flush(transport, scratch, bytes_max);
  pending_bytes_ -= result.message_bytes_sent;
  pending_messages_ -= result.messages_sent;
  if (result.taken_bytes > 0) progress_at_ = now;
  if (!ending_.empty()) RemoveEnded();
  if (!lagging_.empty()) ClearLagging(now);
  if (stalled_) stall_.taken_bytes += result.taken_bytes;
  switch (result.outcome) {
    case FlushOutcome::kDrained:
      stalled_ = false;
      break;
    case FlushOutcome::kBlocked:
      full_ = true;
      NoteAcknowledged(transport, now);
      if (!stalled_) {
        stalled_ = true;
        stall_ = {now, result.taken_bytes, 0};
        progress_at_ = now;
      }
      JudgeAll(now);
      break;
    case FlushOutcome::kCapped:
    case FlushOutcome::kBroken:
      break;
  }
  return result;
}

void Subscriber::RemoveEnded() {
  const auto left = [this](Subscription* subscription) {
    if (!subscription->queue.empty() || subscription->group != nullptr) return false;
    writer_.Forget(subscription);
    if (subscription->lagging == Subscription::Lagging::kYes) {
      std::erase(lagging_, subscription);
      ++lag_report_.cleared;
    }
    subscriptions_.erase(subscription->id);
    return true;
  };
  ending_.erase(std::remove_if(ending_.begin(), ending_.end(), left), ending_.end());
}

void Subscriber::BecameWritable() {
  if (!full_) return;
  full_ = false;
  ++stall_.resumes;
}

void Subscriber::NoteAcknowledged(Transport* transport, absl::Time now) {
  const uint64_t acked_bytes = transport->BytesAcked().value_or(0);
  if (acked_bytes > acked_bytes_) progress_at_ = now;
  acked_bytes_ = acked_bytes;
}

void Subscriber::Judge(Subscription* subscription, absl::Time now) {
  if (over_.has_value() || closed_) return;
  const QueueState state = subscription->queue.state();
  if (const Verdict verdict = sluice::Judge(state, subscription->limits, now); !verdict.healthy()) {
    over_ = {verdict.over, verdict.limit, verdict.value, subscription->id};
    return;
  }
  if (limits_->session_bytes_max != 0 &&
      pending_bytes_ > limits_->session_bytes_max + writer_.frame_in_flight_bytes()) {
    over_ = {v1::REASON_SESSION_BYTES, limits_->session_bytes_max, pending_bytes_, 0};
    return;
  }
  next_check_ = std::min(next_check_, state.oldest + subscription->limits.pending_age_max);
  if (subscription->lagging == Subscription::Lagging::kYes) return;
  const Nearness nearest = NearestLimit(state, subscription->limits, now);
  if (nearest.share < kHighWatermark) return;
  subscription->lagging = Subscription::Lagging::kYes;
  lagging_.push_back(subscription);
  ++lag_report_.raised;
  Tell(*subscription, nearest, v1::SlowConsumer::STATE_RAISED);
}

void Subscriber::ClearLagging(absl::Time now) {
  std::erase_if(lagging_, [&](Subscription* subscription) {
    const Nearness nearest = NearestLimit(subscription->queue.state(), subscription->limits, now);
    if (nearest.share >= kLowWatermark) return false;
    subscription->lagging = Subscription::Lagging::kNo;
    ++lag_report_.cleared;
    Tell(*subscription, nearest, v1::SlowConsumer::STATE_CLEARED);
    return true;
  });
}

void Subscriber::Tell(const Subscription& subscription, const Nearness& nearest,
                      v1::SlowConsumer::State state) {
  v1::ServerFrame frame;
  v1::SlowConsumer* slow = frame.mutable_slow_consumer();
  slow->set_subscription(subscription.id);
  slow->set_state(state);
  slow->set_limit(nearest.limit);
  slow->set_limit_value(nearest.limit_value);
  slow->set_value(nearest.value);
  QueueControl(frame);
}

void Subscriber::JudgeControl() {
  if (over_.has_value() || closed_ || limits_->control_bytes_max == 0) return;
  if (writer_.control_bytes() <= limits_->control_bytes_max) return;
  over_ = {v1::REASON_CONTROL_BYTES, limits_->control_bytes_max, writer_.control_bytes(), 0};
}

void Subscriber::JudgeAll(absl::Time now) {
  if (closed_) return;
  next_check_ = now + kCheckEveryMax;
  if (limits_->write_timeout > absl::ZeroDuration()) {
    const absl::Duration every = std::clamp(limits_->write_timeout / 4, kCheckEveryMin, kCheckEveryMax);
    next_check_ = std::min(now + every, progress_at_ + limits_->write_timeout);
  }
  // With nothing behind it its subscription is not active, but the frame in flight grows old as well.
  if (Subscription* in_flight = writer_.in_flight(); in_flight != nullptr) Judge(in_flight, now);
  if (Subscription* first = writer_.active(); first != nullptr) {
    Subscription* subscription = first;
    do {
      Judge(subscription, now);
      subscription = subscription->next_active;
    } while (subscription != first);
  }
  JudgeControl();
  next_check_ = std::max(next_check_, now + kCheckEveryMin);
}

void Subscriber::Check(Transport* transport, absl::Time now) {
  if (!full_ || closed_) return;
  NoteAcknowledged(transport, now);
  JudgeAll(now);
  const absl::Duration still = now - progress_at_;
  if (!over_.has_value() && limits_->write_timeout > absl::ZeroDuration() &&
      still >= limits_->write_timeout) {
    over_ = {v1::REASON_WRITE_TIMEOUT, Milliseconds(limits_->write_timeout), Milliseconds(still), 0};
  }
}

SendQueue::Dropped Subscriber::Close(ControlFrames control_frames) {
  closed_ = true;
  for (Subscription* subscription : std::exchange(lagging_, {})) {
    subscription->lagging = Subscription::Lagging::kNo;
    ++lag_report_.cleared;
  }
  SendQueue::Dropped dropped;
  for (const auto& [id, subscription] : subscriptions_) {
    const SendQueue::Dropped one = subscription->queue.DropWaiting();
    dropped.bytes += one.bytes;
    dropped.messages += one.messages;
    writer_.Forget(subscription.get());
    subscription->queue = SendQueue();
  }
  pending_bytes_ -= dropped.bytes;
  pending_messages_ -= dropped.messages;
  if (control_frames == ControlFrames::kDrop) writer_.DropControl();
  return dropped;
}

}  // namespace sluice
