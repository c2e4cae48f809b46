#include "tests/client/mini_broker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "protocol/frame.h"
#include "protocol/topic.h"

namespace sluice {
namespace {

// A test cannot go on without its broker.
void Require(bool condition) {
  if (!condition) std::abort();
}

constexpr PublishLimits kLimits;

}  // namespace

MiniBroker::MiniBroker() {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  Require(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), bytes) == 0);
  Require(::listen(listener_, 100) == 0);
  Require(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &bytes) == 0);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Run(); });
}

MiniBroker::~MiniBroker() {
  stopping_ = true;
  thread_.join();
  for (const auto& session : sessions_) ::close(session->fd);
  ::close(listener_);
}

void MiniBroker::Run() {
  while (!stopping_) {
    std::vector<pollfd> fds = {{listener_, POLLIN, 0}};
    for (const auto& session : sessions_) {
      fds.push_back({session->fd, static_cast<short>(session->out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
    }
    // Looks at its flags every 10 ms.
    static_cast<void>(::poll(fds.data(), fds.size(), 10));
    for (size_t i = 1; i < fds.size(); ++i) {
      if ((fds[i].revents & ~POLLOUT) != 0) Read(sessions_[i - 1].get());
    }
    if (fds[0].revents != 0) Accept();
    if (resets_wanted_.exchange(0) > 0) {
      for (const auto& session : sessions_) Reset(session.get());
      resets_.fetch_add(1);
    }
    for (const auto& session : sessions_) Flush(session.get());
    std::erase_if(sessions_, [](const std::unique_ptr<Session>& session) { return session->fd < 0; });
  }
}

void MiniBroker::Accept() {
  const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto session = std::make_unique<Session>();
  session->fd = fd;
  session->id = "session-" + std::to_string(++last_session_);
  session->inbox = "$inbox." + std::to_string(last_session_);
  sessions_.push_back(std::move(session));
}

void MiniBroker::Read(Session* session) {
  if (session->fd < 0 || session->ended) return;
  char bytes[65536];
  const ssize_t got = ::recv(session->fd, bytes, sizeof bytes, 0);
  if (got < 0) {
    if (errno != EAGAIN) Reset(session);
    return;
  }
  session->in.append(bytes, static_cast<size_t>(got));
  std::string_view rest = session->in;
  for (;;) {
    const FramePrefix prefix = ReadFramePrefix(rest);
    Require(prefix.status != FramePrefixStatus::kBad);
    if (prefix.status != FramePrefixStatus::kComplete || rest.size() < prefix.frame_bytes()) break;
    const std::string_view frame = rest.substr(0, prefix.frame_bytes());
    Take(session, frame.substr(prefix.prefix_bytes), frame);
    rest.remove_prefix(frame.size());
  }
  session->in.erase(0, session->in.size() - rest.size());
  if (got > 0) return;
  v1::ServerFrame goodbye;
  *goodbye.mutable_goodbye() = Farewell(*session, v1::REASON_CLIENT_CLOSED);
  Say(session, goodbye);
  session->subscriptions.clear();
  session->ended = true;
}

void MiniBroker::Take(Session* session, std::string_view body, std::string_view frame) {
  if (IsPublish(body)) {
    PublishView message;
    Require(session->connected && CheckPublish(body, kLimits, &message) == PublishVerdict::kOk);
    return TakePublish(session, message, frame);
  }
  v1::ClientFrame control;
  Require(control.ParseFromArray(body.data(), static_cast<int>(body.size())));
  v1::ServerFrame answer;
  switch (control.frame_case()) {
    case v1::ClientFrame::kConnect:
      return TakeConnect(session, control.connect());
    case v1::ClientFrame::kSubscribe: {
      const v1::Subscribe& subscribe = control.subscribe();
      Require(subscribe.subscription() != 0 && ValidateFilter(subscribe.filter()).ok());
      Require(session->subscriptions
                  .emplace(subscribe.subscription(),
                           Subscription{.filter = subscribe.filter(), .queue_group = subscribe.queue_group()})
                  .second);
      answer.mutable_subscribed()->set_subscription(subscribe.subscription());
      return Say(session, answer);
    }
    case v1::ClientFrame::kUnsubscribe:
      return TakeUnsubscribe(session, control.unsubscribe());
    case v1::ClientFrame::kAckRequest:
      *answer.mutable_publish_ack() = std::exchange(session->since, {});
      answer.mutable_publish_ack()->set_id(control.ack_request().id());
      answer.mutable_publish_ack()->set_up_to(session->publishes);
      return Say(session, answer);
    case v1::ClientFrame::kPing:
      answer.mutable_server_pong()->set_id(control.ping().id());
      return Say(session, answer);
    default:
      return;
  }
}

void MiniBroker::TakeConnect(Session* session, const v1::Connect& connect) {
  session->connected = true;
  v1::ServerFrame answer;
  v1::Connected& connected = *answer.mutable_connected();
  connected.set_protocol_version(1);
  connected.set_session_id(session->id);
  connected.set_inbox(session->inbox);
  connected.set_broker("mini");
  connected.mutable_limits()->set_payload_bytes_max(kLimits.payload_bytes_max);
  connected.mutable_limits()->set_headers_bytes_max(kLimits.headers_bytes_max);
  connected.mutable_limits()->set_ping_interval_ms(30000);
  const auto ended = ended_.find(connect.previous_session());
  if (ended != ended_.end()) {
    *connected.mutable_previous_session()->mutable_goodbye() = ended->second;
    ended_.erase(ended);
  }
  Say(session, answer);
}

void MiniBroker::TakePublish(Session* session, const PublishView& message, std::string_view frame) {
  ++session->publishes;
  publishes_.fetch_add(1);
  session->since.set_messages(session->since.messages() + 1);
  // Members of each queue group that the topic reaches; the others get it at once.
  std::map<std::string, std::vector<std::pair<Session*, uint32_t>>> groups;
  uint64_t matched = 0;
  for (const auto& other : sessions_) {
    std::vector<uint32_t> ids;
    for (const auto& [id, subscription] : other->subscriptions) {
      if (!FilterMatches(subscription.filter, message.topic)) continue;
      if (subscription.queue_group.empty()) {
        ids.push_back(id);
      } else {
        groups[subscription.queue_group + " " + subscription.filter].emplace_back(other.get(), id);
      }
    }
    matched += ids.size();
    for (const uint32_t id : ids) Offer(other.get(), id, frame);
  }
  for (const auto& [name, members] : groups) {
    const auto& [member, id] = members[deals_++ % members.size()];
    Offer(member, id, frame);
    ++matched;
  }
  session->since.set_matched(session->since.matched() + matched);
  session->since.set_queued(session->since.queued() + matched);
  if (matched > 0 || message.reply_to.empty()) return;
  v1::ServerFrame error;
  error.mutable_error()->set_code(v1::ERROR_CODE_NO_SUBSCRIBERS);
  error.mutable_error()->set_text("nobody subscribes to it");
  error.mutable_error()->set_publish(session->publishes);
  Say(session, error);
}

void MiniBroker::Offer(Session* session, uint32_t id, std::string_view frame) {
  Subscription& subscription = session->subscriptions.at(id);
  if (std::exchange(session->delivering_to, id) != id) {
    v1::ServerFrame delivery;
    delivery.mutable_delivery()->set_subscription(id);
    Say(session, delivery);
  }
  session->out.append(frame);
  ++subscription.offered;
  if (subscription.messages_max == subscription.offered)
    EndSubscription(session, id, v1::REASON_COUNT_REACHED);
}

void MiniBroker::TakeUnsubscribe(Session* session, const v1::Unsubscribe& unsubscribe) {
  const auto at = session->subscriptions.find(unsubscribe.subscription());
  if (at == session->subscriptions.end()) {
    v1::ServerFrame error;
    error.mutable_error()->set_code(v1::ERROR_CODE_UNKNOWN_SUBSCRIPTION);
    error.mutable_error()->set_subscription(unsubscribe.subscription());
    return Say(session, error);
  }
  at->second.messages_max = unsubscribe.after_messages();
  if (unsubscribe.after_messages() <= at->second.offered) {
    EndSubscription(session, at->first,
                    unsubscribe.after_messages() == 0 ? v1::REASON_UNSUBSCRIBED : v1::REASON_COUNT_REACHED);
  }
}

void MiniBroker::EndSubscription(Session* session, uint32_t id, v1::Reason reason) {
  v1::ServerFrame frame;
  frame.mutable_unsubscribed()->set_subscription(id);
  frame.mutable_unsubscribed()->set_reason(reason);
  frame.mutable_unsubscribed()->set_offered(session->subscriptions.at(id).offered);
  Say(session, frame);
  session->subscriptions.erase(id);
}

v1::Goodbye MiniBroker::Farewell(const Session& session, v1::Reason reason) const {
  v1::Goodbye goodbye;
  goodbye.set_reason(reason);
  for (const auto& [id, subscription] : session.subscriptions) {
    v1::SubscriptionRecord& record = *goodbye.add_subscriptions();
    record.set_subscription(id);
    record.set_filter(subscription.filter);
    record.set_offered(subscription.offered);
  }
  return goodbye;
}

void MiniBroker::Reset(Session* session) {
  if (session->fd < 0) return;
  ended_[session->id] = Farewell(*session, v1::REASON_CLIENT_RESET);
  const linger now = {.l_onoff = 1, .l_linger = 0};
  ::setsockopt(session->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(std::exchange(session->fd, -1));
  session->subscriptions.clear();
}

void MiniBroker::Flush(Session* session) {
  if (session->fd < 0) return;
  while (!session->out.empty()) {
    const ssize_t sent = ::send(session->fd, session->out.data(), session->out.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno != EAGAIN) Reset(session);
      return;
    }
    session->out.erase(0, static_cast<size_t>(sent));
  }
  if (session->ended) ::close(std::exchange(session->fd, -1));
}

void MiniBroker::Say(Session* session, const v1::ServerFrame& frame) { AppendFrame(frame, &session->out); }

}  // namespace sluice
