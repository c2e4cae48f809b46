#include "client/subscription_state.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "client/subscription_table.h"
#include "protocol/frame.h"
#include "protocol/publish.h"

namespace sluice::client {
namespace {

// What one turn of a subscription handles before others have theirs.
constexpr uint64_t kBatchBytes = 256 << 10;

}  // namespace

SubscriptionState::SubscriptionState(uint32_t id, std::string filter, SubscribeOptions options,
                                     MessageHandler handler, SubscriptionHost host)
    : id_(id),
      filter_(std::move(filter)),
      options_(std::move(options)),
      handler_(std::move(handler)),
      host_(std::move(host)),
      way_(!handler_                      ? Way::kPulled
           : options_.executor            ? Way::kDispatched
           : options_.run == Run::kInline ? Way::kInline
                                          : Way::kDispatched),
      window_(options_.window_bytes, options_.window_bytes_max),
      messages_max_(options_.messages_max) {}

SubscriptionState::~SubscriptionState() {
  // What was never handled weighs no more.
  host_.budget->Release(waiting_bytes_.load(std::memory_order_relaxed));
}

void SubscriptionState::OnSessionBegin() {
  books_ = SessionBooks();
  window_.EndSession();
  MutexLock lock(&mutex_);
  confirmed_ = Confirmed::kNotYet;
}

void SubscriptionState::OnSubscribed(SubscriptionTerms terms, uint64_t granted_bytes) {
  window_.Begin(granted_bytes, MonotonicNow());
  MutexLock lock(&mutex_);
  terms_ = std::move(terms);
  confirmed_ = Confirmed::kYes;
  changed_.SignalAll();
}

void SubscriptionState::OnMessages(const ChunkRef& chunk, std::string_view frames, uint64_t messages) {
  books_.received += messages;
  const uint64_t messages_max = messages_max_.load(std::memory_order_relaxed);
  if (messages_max != 0 && received() + messages > messages_max) {
    messages = messages_max - std::min(received(), messages_max);
    if (messages == 0) return;
    frames = frames.substr(0, BoundaryAfter(frames, messages).bytes);
  }
  received_.fetch_add(messages, std::memory_order_relaxed);
  window_.OnReceived(frames.size());
  if (way_ == Way::kInline) return RunInline(frames);
  Push push;
  {
    MutexLock lock(&mutex_);
    if (stopped()) return;
    // Before anybody can release it.
    host_.budget->Add(frames.size());
    waiting_messages_.fetch_add(messages, std::memory_order_relaxed);
    waiting_bytes_.fetch_add(frames.size(), std::memory_order_relaxed);
    queue_.PushMessages(chunk, frames, messages);
    push = AfterPush();
  }
  Announce(push);
}

void SubscriptionState::OnGap(const GapMark& gap) {
  books_.told_missing += gap.messages;
  told_missing_.fetch_add(gap.messages, std::memory_order_relaxed);
  if (way_ == Way::kInline) {
    if (!stopped()) host_.events->Call(ToEvent(gap));
    return;
  }
  Push push;
  {
    MutexLock lock(&mutex_);
    if (stopped()) return;
    queue_.PushGap(gap);
    push = AfterPush();
  }
  if (way_ == Way::kPulled) host_.events->Post(ToEvent(gap));
  Announce(push);
}

void SubscriptionState::OnEnd(SubscriptionEnd end, TellEnd tell) {
  end.received = books_.received;
  end.told_missing = books_.told_missing;
  Push push;
  {
    MutexLock lock(&mutex_);
    if (end_ != nullptr || stopped()) return;
    end_ = std::make_unique<SubscriptionEnd>(end);
    if (way_ == Way::kDispatched && tell == TellEnd::kUser) {
      queue_.PushEnd(end);
    } else {
      end_handled_ = true;
    }
    push = AfterPush();
    changed_.SignalAll();
    pushed_.SignalAll();
  }
  if (way_ != Way::kDispatched && tell == TellEnd::kUser && options_.on_end) {
    host_.dispatcher->Post([self = shared_from_this(), end] {
      if (!self->stopped()) self->options_.on_end(end);
    });
  }
  Announce(push);
}

SubscriptionState::Push SubscriptionState::AfterPush() {
  if (way_ == Way::kPulled) return pulling_ > 0 ? Push::kWakePuller : Push::kNobodyWaits;
  if (queue_.empty() || std::exchange(scheduled_, true)) return Push::kNobodyWaits;
  return Push::kSchedule;
}

void SubscriptionState::Announce(Push push) {
  switch (push) {
    case Push::kNobodyWaits:
      return;
    case Push::kWakePuller:
      return pushed_.Signal();
    case Push::kSchedule:
      if (!options_.executor) return host_.dispatcher->Add(shared_from_this());
      return options_.executor([self = shared_from_this()] {
        while (self->RunBatch() == More::kYes) {
        }
      });
  }
}

void SubscriptionState::RunInline(std::string_view frames) {
  {
    MutexLock lock(&mutex_);
    if (stopped()) return;
    running_ = true;
    runner_ = std::this_thread::get_id();
  }
  HandleFrames(frames);
  OnHandled(frames.size());
  MutexLock lock(&mutex_);
  running_ = false;
  changed_.SignalAll();
}

More SubscriptionState::RunBatch() {
  {
    MutexLock lock(&mutex_);
    running_ = true;
    runner_ = std::this_thread::get_id();
    if (batch_at_ == batch_.size()) {
      batch_.clear();
      batch_at_ = 0;
      queue_.TakeAll(&batch_);
    }
  }
  uint64_t handled_bytes = 0;
  while (batch_at_ < batch_.size() && handled_bytes < kBatchBytes) {
    const Piece piece = std::move(batch_[batch_at_++]);
    // Stopped: what is left costs nothing, go through all of it.
    if (!stopped()) handled_bytes += piece.frames.size();
    HandlePiece(piece);
  }
  MutexLock lock(&mutex_);
  running_ = false;
  scheduled_ = batch_at_ < batch_.size() || !queue_.empty();
  changed_.SignalAll();
  return scheduled_ ? More::kYes : More::kNo;
}

void SubscriptionState::HandlePiece(const Piece& piece) {
  if (piece.gap != nullptr) {
    if (!stopped()) host_.events->Call(ToEvent(*piece.gap));
  } else if (piece.end != nullptr) {
    if (!stopped() && options_.on_end) options_.on_end(*piece.end);
    MutexLock lock(&mutex_);
    end_handled_ = true;
    changed_.SignalAll();
  } else {
    HandleFrames(piece.frames);
    NoLongerWaiting(piece.messages, piece.frames.size());
    OnHandled(piece.frames.size());
  }
}

void SubscriptionState::HandleFrames(std::string_view frames) {
  uint64_t handled = 0;
  while (!frames.empty() && !stopped()) {
    const FramePrefix prefix = ReadFramePrefix(frames);
    if (ReadMessage(frames.substr(prefix.prefix_bytes, prefix.body_bytes), &view_)) {
      handler_(view_);
    } else {
      host_.events->Post(ErrorEvent{.status = absl::DataLossError("the broker sent a malformed message"),
                                    .subscription = id_});
    }
    frames.remove_prefix(prefix.frame_bytes());
    ++handled;
  }
  handled_.fetch_add(handled, std::memory_order_relaxed);
}

void SubscriptionState::NoLongerWaiting(uint64_t messages, uint64_t bytes) {
  waiting_messages_.fetch_sub(messages, std::memory_order_relaxed);
  waiting_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  host_.budget->Release(bytes);
}

void SubscriptionState::OnHandled(uint64_t bytes) {
  if (window_.OnHandled(bytes) == ReceiveWindow::Grant::kDue) host_.table->Grant(this);
}

GapEvent SubscriptionState::ToEvent(const GapMark& gap) const {
  return {.subscription = id_,
          .filter = filter_,
          .messages = gap.messages,
          .bytes = gap.bytes,
          .cause = gap.cause};
}

absl::StatusOr<ReceivedMessage> SubscriptionState::Next(absl::Duration timeout) {
  if (way_ != Way::kPulled) return absl::FailedPreconditionError("this subscription has a handler");
  const absl::Time deadline = timeout > absl::ZeroDuration() ? DeadlineIn(timeout) : absl::InfinitePast();
  ChunkRef chunk;
  std::string_view body;
  uint64_t missed = 0;
  {
    MutexLock lock(&mutex_);
    for (;;) {
      while (!queue_.empty() && queue_.front().gap != nullptr) {
        missed_before_next_ += queue_.front().gap->messages;
        queue_.PopFront();
      }
      if (!queue_.empty()) break;
      if (stopped()) {
        if (stopped_by_ == EndedBy::kClose) return absl::CancelledError("the client is closed");
        return absl::OutOfRangeError("unsubscribed");
      }
      if (end_ != nullptr) {
        if (!end_->status.ok()) return end_->status;
        return absl::OutOfRangeError("the subscription has ended");
      }
      if (deadline == absl::InfinitePast() || host_.on_io_thread() || MonotonicNow() >= deadline) {
        return absl::DeadlineExceededError("no message came in time");
      }
      ++pulling_;
      pushed_.WaitUntil(&mutex_, deadline);
      --pulling_;
    }
    const Piece& piece = queue_.front();
    const FramePrefix prefix = ReadFramePrefix(piece.frames);
    chunk = piece.chunk;
    body = piece.frames.substr(prefix.prefix_bytes, prefix.body_bytes);
    missed = std::exchange(missed_before_next_, 0);
    queue_.TakeMessage(prefix.frame_bytes());
    if (end_ != nullptr && queue_.messages() == 0) changed_.SignalAll();
  }
  const uint64_t frame_bytes = FramePrefixBytes(static_cast<uint32_t>(body.size())) + body.size();
  NoLongerWaiting(1, frame_bytes);
  OnHandled(frame_bytes);
  handled_.fetch_add(1, std::memory_order_relaxed);
  MessageView view;
  if (!ReadMessage(body, &view)) return absl::DataLossError("the broker sent a malformed message");
  return ReceivedMessage(chunk.release(), std::move(view), missed);
}

void SubscriptionState::Stop(EndedBy by, WaitForCall wait) {
  MutexLock lock(&mutex_);
  if (!stopped()) stopped_by_ = by;
  stopped_.store(true, std::memory_order_relaxed);
  NoLongerWaiting(queue_.messages(), queue_.bytes());
  queue_.Clear();
  changed_.SignalAll();
  pushed_.SignalAll();
  if (wait == WaitForCall::kNo) return;
  while (running_ && runner_ != std::this_thread::get_id()) changed_.Wait(&mutex_);
}

bool SubscriptionState::RunsHere() const {
  MutexLock lock(&mutex_);
  return running_ && runner_ == std::this_thread::get_id();
}

absl::Status SubscriptionState::WaitConfirmed(absl::Time deadline) {
  MutexLock lock(&mutex_);
  for (;;) {
    if (confirmed_ == Confirmed::kYes) return absl::OkStatus();
    if (end_ != nullptr) {
      return end_->status.ok() ? absl::OkStatus() : end_->status;
    }
    if (stopped()) return absl::CancelledError("the client is closed");
    if (MonotonicNow() >= deadline) {
      return absl::DeadlineExceededError(
          fmt::format("the broker has not confirmed the subscription \"{}\" in time", filter_));
    }
    changed_.WaitUntil(&mutex_, deadline);
  }
}

bool SubscriptionState::DrainedLocked() const {
  return end_ != nullptr && (way_ == Way::kPulled ? queue_.messages() == 0 : end_handled_);
}

bool SubscriptionState::WouldWaitForItself() const {
  if (running_ && runner_ == std::this_thread::get_id()) return true;
  return way_ == Way::kDispatched && !options_.executor && host_.dispatcher->OnThread();
}

absl::StatusOr<SubscriptionEnd> SubscriptionState::WaitEnd(absl::Time deadline) {
  MutexLock lock(&mutex_);
  while (!DrainedLocked()) {
    if (stopped()) return SubscriptionEnd{.reason = Reason::kUnsubscribed, .status = absl::OkStatus()};
    if (host_.on_io_thread() || WouldWaitForItself()) {
      return absl::FailedPreconditionError(
          "a handler cannot wait for the end of what it has to handle itself");
    }
    if (MonotonicNow() >= deadline) {
      return absl::DeadlineExceededError(
          fmt::format("the subscription \"{}\" has not ended in time", filter_));
    }
    changed_.WaitUntil(&mutex_, deadline);
  }
  return *end_;
}

SubscriptionStats SubscriptionState::stats() const {
  return {.received = received(),
          .handled = handled_.load(std::memory_order_relaxed),
          .waiting_messages = waiting_messages_.load(std::memory_order_relaxed),
          .waiting_bytes = waiting_bytes_.load(std::memory_order_relaxed),
          .told_missing = told_missing_.load(std::memory_order_relaxed),
          .lost = lost_.load(std::memory_order_relaxed),
          .window_bytes = window_.bytes()};
}

SubscriptionTerms SubscriptionState::terms() const {
  MutexLock lock(&mutex_);
  return terms_;
}

bool SubscriptionState::confirmed() const {
  MutexLock lock(&mutex_);
  return confirmed_ == Confirmed::kYes;
}

}  // namespace sluice::client
