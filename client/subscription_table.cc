#include "client/subscription_table.h"

#include <utility>

#include "client/wire_words.h"
#include "protocol/frame.h"

namespace sluice::client {
namespace {

std::string Bytes(const v1::ClientFrame& frame) {
  std::string bytes;
  AppendFrame(frame, &bytes);
  return bytes;
}

}  // namespace

v1::ClientFrame SubscriptionTable::SubscribeFrame(const SubscriptionState& state) {
  const SubscribeOptions& options = state.options();
  v1::ClientFrame frame;
  v1::Subscribe& subscribe = *frame.mutable_subscribe();
  subscribe.set_subscription(state.id());
  subscribe.set_filter(state.filter());
  subscribe.set_queue_group(options.queue_group);
  subscribe.set_overflow(ToWire(options.overflow));
  subscribe.set_conflate_header(options.conflate_header);
  ToWire(options.limits, subscribe.mutable_limits());
  subscribe.set_window_bytes(state.window_bytes());
  return frame;
}

v1::ClientFrame SubscriptionTable::UnsubscribeFrame(uint32_t id, uint64_t after_messages) {
  v1::ClientFrame frame;
  frame.mutable_unsubscribe()->set_subscription(id);
  frame.mutable_unsubscribe()->set_after_messages(after_messages);
  return frame;
}

v1::ClientFrame SubscriptionTable::InboxFrame() const {
  v1::ClientFrame frame;
  frame.mutable_subscribe()->set_subscription(inbox_id_);
  frame.mutable_subscribe()->set_filter(inbox_topic_ + ".>");
  return frame;
}

void SubscriptionTable::Tell(const Entry& entry, std::string* frames) {
  AppendFrame(SubscribeFrame(*entry.state), frames);
  if (entry.messages_max > 0) {
    AppendFrame(UnsubscribeFrame(entry.state->id(), entry.messages_max - entry.received_before), frames);
  }
}

absl::StatusOr<std::shared_ptr<SubscriptionState>> SubscriptionTable::Add(const std::string& filter,
                                                                          SubscribeOptions options,
                                                                          MessageHandler handler,
                                                                          SubscriptionHost host) {
  MutexLock lock(&mutex_);
  if (closed_) return absl::CancelledError("the client is closed");
  const uint32_t id = ++last_id_;
  Entry entry{.state = nullptr, .messages_max = options.messages_max};
  entry.state = std::make_shared<SubscriptionState>(id, filter, std::move(options), std::move(handler),
                                                    std::move(host));
  if (session_ != 0) {
    std::string frames;
    Tell(entry, &frames);
    outbox_->AppendControl(frames);
  }
  return entries_.emplace(id, std::move(entry)).first->second.state;
}

void SubscriptionTable::AskToEnd(uint32_t id) { outbox_->AppendControl(Bytes(UnsubscribeFrame(id, 0))); }

void SubscriptionTable::Drain(SubscriptionState* state) {
  {
    MutexLock lock(&mutex_);
    const auto at = entries_.find(state->id());
    if (at == entries_.end() || at->second.wish == Wish::kEnd) return;
    if (session_ != 0) {
      at->second.wish = Wish::kEnd;
      return AskToEnd(state->id());
    }
    entries_.erase(at);
  }
  // Without the lock: it may run an executor of the user's.
  state->OnEnd({.reason = Reason::kUnsubscribed, .status = absl::OkStatus()});
}

void SubscriptionTable::Discard(SubscriptionState* state) {
  MutexLock lock(&mutex_);
  const auto at = entries_.find(state->id());
  if (at == entries_.end()) return;
  if (session_ == 0) {
    entries_.erase(at);
  } else if (std::exchange(at->second.wish, Wish::kEnd) == Wish::kStay) {
    AskToEnd(state->id());
  }
}

void SubscriptionTable::EndAfter(SubscriptionState* state, uint64_t messages) {
  state->LimitTo(messages);
  if (messages <= state->received()) return Drain(state);
  MutexLock lock(&mutex_);
  const auto at = entries_.find(state->id());
  if (at == entries_.end() || at->second.wish == Wish::kEnd) return;
  Entry& entry = at->second;
  entry.messages_max = messages;
  if (session_ != 0)
    outbox_->AppendControl(Bytes(UnsubscribeFrame(state->id(), messages - entry.received_before)));
}

void SubscriptionTable::Grant(SubscriptionState* state) {
  MutexLock lock(&mutex_);
  if (session_ == 0) return;
  // With the lock, so that it is of this session.
  const uint64_t granted_bytes = state->TakeGrant();
  if (granted_bytes == 0) return;
  v1::ClientFrame frame;
  frame.mutable_credit()->set_subscription(state->id());
  frame.mutable_credit()->set_granted_bytes(granted_bytes);
  outbox_->AppendControl(Bytes(frame));
}

std::vector<std::shared_ptr<SubscriptionState>> SubscriptionTable::All() const {
  MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<SubscriptionState>> all;
  for (const auto& [id, entry] : entries_) all.push_back(entry.state);
  return all;
}

void SubscriptionTable::Close(WaitForCall wait) {
  std::map<uint32_t, Entry> entries;
  {
    MutexLock lock(&mutex_);
    closed_ = true;
    session_ = 0;
    entries.swap(entries_);
  }
  // Without the lock: this waits for handlers, which may use the table.
  for (const auto& [id, entry] : entries) entry.state->Stop(EndedBy::kClose, wait);
}

InboxAddress SubscriptionTable::Inbox() {
  MutexLock lock(&mutex_);
  if (session_ == 0) return {};
  if (inbox_id_ == 0) {
    inbox_id_ = ++last_id_;
    outbox_->AppendControl(Bytes(InboxFrame()));
  }
  return {.session = session_, .topic = inbox_topic_};
}

std::shared_ptr<SubscriptionState> SubscriptionTable::Find(uint32_t id) const {
  MutexLock lock(&mutex_);
  const auto at = entries_.find(id);
  return at == entries_.end() ? nullptr : at->second.state;
}

SubscriptionTable::IsInbox SubscriptionTable::CheckInbox(uint32_t id) const {
  MutexLock lock(&mutex_);
  return id != 0 && id == inbox_id_ ? IsInbox::kYes : IsInbox::kNo;
}

std::vector<Outbox::Dropped> SubscriptionTable::BeginSession(std::string inbox_topic,
                                                             const PublishLimits& limits) {
  MutexLock lock(&mutex_);
  inbox_topic_ = std::move(inbox_topic);
  std::string prologue;
  if (inbox_id_ != 0) AppendFrame(InboxFrame(), &prologue);
  for (auto& [id, entry] : entries_) {
    entry.received_before = entry.state->received();
    entry.state->OnSessionBegin();
    Tell(entry, &prologue);
  }
  std::vector<Outbox::Dropped> dropped = outbox_->BeginSession(prologue, limits);
  session_ = outbox_->session();
  return dropped;
}

std::shared_ptr<SubscriptionState> SubscriptionTable::OnUnsubscribed(uint32_t id, SubscriptionEnd end) {
  std::shared_ptr<SubscriptionState> state;
  {
    MutexLock lock(&mutex_);
    const auto at = entries_.find(id);
    if (at == entries_.end()) return nullptr;
    state = std::move(at->second.state);
    entries_.erase(at);
  }
  state->AddLost(state->books().Lost(end.offered));
  state->OnEnd(std::move(end));
  return state;
}

SubscriptionTable::Refusal SubscriptionTable::OnRefused(uint32_t id, const absl::Status& why) {
  std::shared_ptr<SubscriptionState> state;
  bool was_in_force = false;
  {
    MutexLock lock(&mutex_);
    const auto at = entries_.find(id);
    if (at == entries_.end() || at->second.state->confirmed()) return Refusal::kGoesOn;
    was_in_force = at->second.was_in_force;
    state = std::move(at->second.state);
    entries_.erase(at);
  }
  const bool waited_for = !was_in_force && state->options().confirmation == Confirmation::kWait;
  state->OnEnd({.reason = Reason::kSubscribeRefused, .status = why},
               waited_for ? TellEnd::kNobody : TellEnd::kUser);
  return waited_for ? Refusal::kEndedTold : Refusal::kEndedUntold;
}

std::vector<UnsettledBooks> SubscriptionTable::EndSession() {
  std::vector<UnsettledBooks> unsettled;
  std::vector<std::pair<std::shared_ptr<SubscriptionState>, SubscriptionEnd>> ended;
  {
    MutexLock lock(&mutex_);
    session_ = 0;
    for (auto at = entries_.begin(); at != entries_.end();) {
      Entry& entry = at->second;
      if (entry.state->confirmed()) entry.was_in_force = true;
      if (!entry.state->stopped()) {
        unsettled.push_back(
            {.subscription = at->first, .filter = entry.state->filter(), .books = entry.state->books()});
      }
      if (entry.messages_max > 0 && entry.state->received() >= entry.messages_max) {
        ended.emplace_back(entry.state, SubscriptionEnd{.reason = Reason::kCountReached});
      } else if (entry.wish == Wish::kEnd) {
        ended.emplace_back(entry.state,
                           SubscriptionEnd{.reason = Reason::kConnectionLost,
                                           .status = absl::UnavailableError(
                                               "the connection was lost before the subscription had ended")});
      } else {
        ++at;
        continue;
      }
      at = entries_.erase(at);
    }
  }
  for (auto& [state, end] : ended) state->OnEnd(std::move(end));
  return unsettled;
}

}  // namespace sluice::client
