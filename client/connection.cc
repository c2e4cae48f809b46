#include "client/connection.h"

#include <fmt/core.h>
#include <poll.h>

#include <algorithm>
#include <utility>

#include "client/wire_words.h"
#include "protocol/names.h"

namespace sluice::client {
namespace {

SubscriptionLoss ToLoss(const std::string& filter, SessionBooks books, const v1::SubscriptionRecord& told) {
  const uint64_t told_at_end = books.TakeLeftOut(told.dropped_messages() + told.conflated_messages());
  const uint64_t lost = books.Lost(told.offered());
  return {.subscription = told.subscription(),
          .filter = filter,
          .offered = told.offered(),
          .received = books.received,
          .told_missing = books.told_missing,
          .told_at_end = told_at_end,
          .lost = lost,
          .never_sent = std::min(told.pending_messages(), lost)};
}

void AddLoss(const SubscriptionLoss& loss, SubscriptionState* state) {
  state->AddToldAtEnd(loss.told_at_end);
  state->AddLost(loss.lost);
}

SessionCounts ToCounts(const v1::Goodbye& goodbye) {
  return {.pending_bytes = goodbye.pending_bytes(),
          .pending_messages = goodbye.pending_messages(),
          .oldest_age = absl::Milliseconds(static_cast<int64_t>(goodbye.oldest_age_ms())),
          .dropped_messages = goodbye.dropped_messages(),
          .conflated_messages = goodbye.conflated_messages()};
}

ServerInfo ToInfo(const Server& server, const v1::Connected& connected) {
  const v1::ServerLimits& limits = connected.limits();
  return {.address = server.ToString(),
          .broker = connected.broker(),
          .payload_bytes_max = limits.payload_bytes_max(),
          .headers_bytes_max = limits.headers_bytes_max(),
          .subscriptions_max = limits.subscriptions_max(),
          .topic_bytes_max = limits.topic_bytes_max(),
          .ping_interval = absl::Milliseconds(static_cast<int64_t>(limits.ping_interval_ms())),
          .default_limits = FromWire(limits.default_limits()),
          .highest_limits = FromWire(limits.highest_limits())};
}

}  // namespace

Connection::Connection(const IoParts& parts, std::vector<Server> servers, uint64_t seed)
    : parts_(parts),
      servers_(std::move(servers)),
      backoff_({.first = parts.options.reconnect_delay_first, .max = parts.options.reconnect_delay_max},
               seed) {}

bool Connection::Closing() const { return parts_.lifecycle.close_deadline() != absl::InfiniteFuture(); }

void Connection::Run() {
  parts_.outbox.set_io_thread(std::this_thread::get_id());
  while (!Closing() && given_up_.ok()) {
    absl::Status why;
    Again again = Again::kMayHelp;
    const std::unique_ptr<Session> session = OpenAny(&why, &again);
    if (session != nullptr) {
      RunSession(session.get());
    } else if (!Closing()) {
      parts_.lifecycle.OnConnectFailed(why);
      const bool once = sessions_ == 0 && parts_.options.initial_connect == InitialConnect::kOnce;
      if (once || again == Again::kIsUseless) given_up_ = why;
    }
    if (Closing() || !given_up_.ok()) break;
    Pause(std::max(std::exchange(retry_after_, absl::ZeroDuration()), backoff_.Next()));
  }
  Finish();
}

std::unique_ptr<Session> Connection::OpenAny(absl::Status* why, Again* again) {
  *again = Again::kIsUseless;
  for (size_t i = 0; i < servers_.size() && !Closing(); ++i) {
    const Server& server = servers_[next_server_];
    next_server_ = (next_server_ + 1) % servers_.size();
    auto session = std::make_unique<Session>(parts_, server);
    Refusal refusal;
    *why = session->Open(previous_session_, DeadlineIn(parts_.options.connect_timeout), &refusal);
    if (why->ok()) return session;
    retry_after_ = std::max(retry_after_, refusal.retry_after);
    if (refusal.again == Again::kMayHelp) *again = Again::kMayHelp;
  }
  return nullptr;
}

void Connection::RunSession(Session* session) {
  const absl::Time began = MonotonicNow();
  BeginSession(*session);
  EndSession(session->Run());
  // A session that was soon lost again is no reason to come back faster.
  if (MonotonicNow() - began >= parts_.options.reconnect_delay_max) backoff_.Reset();
}

void Connection::BeginSession(const Session& session) {
  retry_after_ = absl::ZeroDuration();
  const v1::Connected& connected = session.connected();
  previous_session_ = connected.session_id();
  if (++sessions_ > 1) parts_.counters.reconnects.Add(1);
  std::vector<Outbox::Dropped> all_dropped = parts_.table.BeginSession(
      connected.inbox(), {.payload_bytes_max = connected.limits().payload_bytes_max(),
                          .headers_bytes_max = connected.limits().headers_bytes_max()});
  // Who hears of it finds the client connected.
  const ServerInfo info = ToInfo(session.server(), connected);
  parts_.lifecycle.OnConnected(info);
  TellConnected(info, connected);
  for (Outbox::Dropped& dropped : all_dropped) {
    parts_.events.Post(ErrorEvent{.status = std::move(dropped.status), .publish = dropped.number});
  }
}

void Connection::EndSession(const SessionEnd& end) {
  parts_.lifecycle.OnDisconnected();
  DisconnectedEvent event{.reason = end.reason, .text = ForPeople(end.text)};
  if (end.goodbye) {
    event.books = Books::kExact;
    event.losses = Settle(*end.goodbye);
    event.limit = end.goodbye->limit();
    event.value = end.goodbye->value();
    event.subscription = end.goodbye->subscription();
    event.counts = ToCounts(*end.goodbye);
    event.above_soft_for = absl::Milliseconds(static_cast<int64_t>(end.goodbye->above_soft_ms()));
    event.retry_after = absl::Milliseconds(static_cast<int64_t>(end.goodbye->retry_after_ms()));
    retry_after_ = event.retry_after;
  }
  unsettled_ = parts_.table.EndSession();
  if (end.goodbye) unsettled_.clear();
  event.publishes_unknown = parts_.outbox.EndSession();
  parts_.requests.FailAll(absl::UnavailableError("the connection was lost"));
  if (Closing()) {
    unknown_at_close_ = event.publishes_unknown;
  } else if (JudgeAgain(end.reason) == Again::kIsUseless) {
    given_up_ = absl::FailedPreconditionError(
        fmt::format("the broker ended the session: {}: {}", ReasonName(end.reason), event.text));
  } else if (parts_.options.reconnect == Reconnect::kNo) {
    given_up_ = absl::UnavailableError("the connection was lost");
  }
  event.retry = Closing() || !given_up_.ok() ? Retry::kGaveUp : Retry::kWillReconnect;
  parts_.events.Post(std::move(event));
}

void Connection::TellConnected(const ServerInfo& server, const v1::Connected& connected) {
  ConnectedEvent event{.server = server.address, .broker = server.broker, .reconnects = sessions_ - 1};
  if (connected.has_previous_session()) {
    const v1::SessionRecord& record = connected.previous_session();
    event.previous.emplace();
    event.previous->reason = ToReason(record.goodbye().reason());
    event.previous->text = ForPeople(record.goodbye().text());
    event.previous->limit = record.goodbye().limit();
    event.previous->value = record.goodbye().value();
    event.previous->subscription = record.goodbye().subscription();
    event.previous->counts = ToCounts(record.goodbye());
    event.previous->ended_ago = absl::Milliseconds(static_cast<int64_t>(record.ended_ms_ago()));
    event.previous->cuts_in_a_row = record.cuts_in_a_row();
    for (const v1::SubscriptionRecord& told : record.goodbye().subscriptions()) {
      const auto at = std::find_if(
          unsettled_.begin(), unsettled_.end(),
          [&told](const UnsettledBooks& books) { return books.subscription == told.subscription(); });
      if (at == unsettled_.end()) continue;
      event.previous->losses.push_back(ToLoss(at->filter, at->books, told));
      if (const auto state = parts_.table.Find(at->subscription)) {
        AddLoss(event.previous->losses.back(), state.get());
      }
    }
  }
  unsettled_.clear();
  parts_.events.Post(std::move(event));
}

std::vector<SubscriptionLoss> Connection::Settle(const v1::Goodbye& goodbye) const {
  std::vector<SubscriptionLoss> losses;
  for (const v1::SubscriptionRecord& told : goodbye.subscriptions()) {
    const auto state = parts_.table.Find(told.subscription());
    if (state == nullptr || state->stopped()) continue;
    losses.push_back(ToLoss(state->filter(), state->books(), told));
    AddLoss(losses.back(), state.get());
  }
  return losses;
}

void Connection::Pause(absl::Duration delay) {
  const absl::Time deadline = MonotonicNow() + delay;
  while (!Closing()) {
    const absl::Time now = MonotonicNow();
    if (now >= deadline) return;
    pollfd wake = {parts_.wakeup.fd(), POLLIN, 0};
    const int64_t ms = absl::ToInt64Milliseconds(deadline - now) + 1;
    if (::poll(&wake, 1, static_cast<int>(std::min<int64_t>(ms, 1000))) > 0) parts_.wakeup.Drain();
  }
}

void Connection::Finish() {
  const absl::Status why = given_up_.ok() ? absl::CancelledError("the client is closed") : given_up_;
  const uint64_t unsent = parts_.outbox.Close(why);
  parts_.requests.FailAll(why);
  absl::Status result = given_up_;
  if (result.ok() && unsent > 0) {
    result = absl::UnavailableError(fmt::format("closed before {} messages were sent", unsent));
  } else if (result.ok() && unknown_at_close_ > 0) {
    result = absl::UnavailableError(
        fmt::format("closed before the broker confirmed all messages; it may or may not have {} of them",
                    unknown_at_close_));
  }
  // Given up: what has come is still handled. Closed: nothing is any more.
  for (const auto& state : parts_.table.All())
    state->OnEnd({.reason = Reason::kConnectionLost, .status = why});
  parts_.lifecycle.OnClosed(result);
}

}  // namespace sluice::client
