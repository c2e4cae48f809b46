#include "broker/session.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <utility>

#include "broker/net/error_text.h"
#include "protocol/control.h"
#include "protocol/names.h"
#include "protocol/topic.h"

namespace sluice {
namespace {

// While the client's kernel has not acknowledged our last bytes there is no event to wait for.
constexpr absl::Duration kLingerCheckEvery = absl::Milliseconds(20);
constexpr int kRetryDoublingsMax = 6;

uint64_t Milliseconds(absl::Duration duration) {
  return duration == absl::InfiniteDuration()
             ? 0
             : static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Milliseconds(duration)));
}

std::string RandomBytes(size_t bytes) {
  std::string random(bytes, '\0');
  // Of so few bytes getrandom(2) always gives all, or waits for the kernel to have seeded itself.
  while (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
  }
  return random;
}

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const char byte : bytes) fmt::format_to(std::back_inserter(hex), "{:02x}", static_cast<uint8_t>(byte));
  return hex;
}

std::string Text(const absl::Status& status) { return std::string(status.message()); }

std::string ValueAndLimit(const OverLimit& over) {
  switch (over.reason) {
    case v1::REASON_PENDING_BYTES:
      return fmt::format("{} bytes waited for subscription {}; at most {} may", over.value, over.subscription,
                         over.limit);
    case v1::REASON_PENDING_MESSAGES:
      return fmt::format("{} messages waited for subscription {}; at most {} may", over.value,
                         over.subscription, over.limit);
    case v1::REASON_PENDING_AGE:
      return fmt::format("a message waited {} ms for subscription {}; at most {} ms are allowed", over.value,
                         over.subscription, over.limit);
    case v1::REASON_SESSION_BYTES:
      return fmt::format("{} bytes waited for all subscriptions; at most {} may", over.value, over.limit);
    case v1::REASON_WRITE_TIMEOUT:
      return fmt::format("not a byte was taken or acknowledged for {} ms; at most {} ms are allowed",
                         over.value, over.limit);
    case v1::REASON_CONTROL_BYTES:
      return fmt::format("{} bytes of answers waited unread; at most {} may", over.value, over.limit);
    default:
      return "";
  }
}

absl::Status ValidateName(std::string_view what, std::string_view name, size_t bytes_max) {
  if (name.size() > bytes_max) {
    return absl::InvalidArgumentError(
        fmt::format("{} has {} bytes; at most {} are allowed", what, name.size(), bytes_max));
  }
  if (Printable(name, bytes_max) != name) {
    return absl::InvalidArgumentError(
        fmt::format("{} \"{}\" is not printable", what, Printable(name, bytes_max)));
  }
  return absl::OkStatus();
}

}  // namespace

WriteResult TcpTransport::Write(std::span<const iovec> pieces) {
  const net::IoResult result = socket_.Write(pieces);
  switch (result.status) {
    case net::IoStatus::kOk:
      return {WriteStatus::kTaken, result.bytes};
    case net::IoStatus::kWouldBlock:
      return {WriteStatus::kWouldBlock, 0};
    default:
      error_ = result.error;
      return {WriteStatus::kBroken, 0};
  }
}

Session::Session(uint64_t token, net::Socket socket, const net::SocketAddress& peer, SessionContext* context,
                 absl::Time now)
    : context_(context),
      transport_(std::move(socket)),
      peer_(peer.ToString()),
      began_at_(now),
      subscriber_(token, &context->limits.subscriber),
      heard_at_(now),
      pinged_at_(now) {
  context_->counters.connections_open.Add(1);
}

Session::~Session() {
  context_->fan_out.Forget(&subscriber_);
  context_->counters.connections_open.Add(-1);
}

// ---- What the client sends ----

Session::ReadOutcome Session::Read(absl::Time now) {
  if (reading_ == Reading::kEnded || state_ == State::kEnded) return ReadOutcome::kNothing;
  std::span<char> room = reader_.Room(&context_->read_chunk);
  const iovec piece = {room.data(), room.size()};
  const net::IoResult result = transport_.socket().Read({&piece, 1});
  context_->counters.reads.Add();
  switch (result.status) {
    case net::IoStatus::kWouldBlock:
      return ReadOutcome::kNothing;
    case net::IoStatus::kEof:
      OnEndOfStream();
      return ReadOutcome::kNothing;
    case net::IoStatus::kReset:
    case net::IoStatus::kError:
      connection_ = Connection::kBroken;
      EndBecause({.reason = v1::REASON_CLIENT_RESET, .text = net::ErrorText(result.error)});
      return ReadOutcome::kNothing;
    case net::IoStatus::kOk:
      break;
  }
  context_->counters.read_bytes.Add(result.bytes);
  heard_at_ = now;
  // What a session that is closing sends is thrown away: the room is simply read over.
  if (state_ == State::kConnecting || state_ == State::kOpen) {
    reader_.Received(&context_->read_chunk, static_cast<uint32_t>(result.bytes));
    HandleInput(now);
  }
  // A short read means that nothing is left, and more would be a new edge (epoll(7)), unless that was the
  // end.
  const bool more = result.bytes == room.size() || peer_closed_ == PeerClosedSeen::kYes;
  return more ? ReadOutcome::kMore : ReadOutcome::kNothing;
}

void Session::OnEndOfStream() {
  reading_ = Reading::kEnded;
  if (end_.has_value()) return;
  if (reader_.unfinished()) {
    context_->counters.frames_truncated.Add();
    context_->log.Info("client closed within a frame",
                       {{"client", client_name_}, {"address", peer_}, {"bytes", reader_.unfinished_bytes()}});
  }
  EndBecause({.reason = v1::REASON_CLIENT_CLOSED, .text = "the client closed the connection"});
}

void Session::HandleInput(absl::Time now) {
  ReceivedFrame frame;
  while (!end_.has_value()) {
    const uint64_t frame_bytes_max =
        state_ == State::kConnecting ? kFrameBytesMaxBeforeConnect : context_->limits.frame_bytes_max;
    switch (reader_.Next(&context_->read_chunk, frame_bytes_max, &frame)) {
      case FrameStatus::kNeedMore:
        return;
      case FrameStatus::kBadPrefix:
        return Refuse(v1::ERROR_CODE_BAD_FRAME, v1::REASON_PROTOCOL_ERROR,
                      "the length of a frame is not a varint of at most 4 bytes in its shortest form");
      case FrameStatus::kTooLarge:
        return Refuse(
            v1::ERROR_CODE_FRAME_TOO_LARGE, v1::REASON_FRAME_TOO_LARGE,
            fmt::format("a frame of {} bytes; {}at most {} are allowed", reader_.claimed_bytes(),
                        state_ == State::kConnecting ? "before Connect is accepted " : "", frame_bytes_max),
            frame_bytes_max, reader_.claimed_bytes());
      case FrameStatus::kFrame:
        context_->counters.frames_in.Add();
        HandleFrame(frame, now);
        break;
    }
  }
}

void Session::HandleFrame(const ReceivedFrame& received, absl::Time now) {
  if (IsPublish(received.body) && state_ == State::kOpen) return OnPublish(received);
  if (IsPublish(received.body)) {
    return Refuse(v1::ERROR_CODE_NOT_CONNECTED, v1::REASON_PROTOCOL_ERROR, "the first frame is not Connect");
  }
  v1::ClientFrame frame;
  switch (ParseControl(received.body, &frame)) {
    case ControlVerdict::kOk:
      break;
    case ControlVerdict::kTooLarge:
      return Refuse(v1::ERROR_CODE_FRAME_TOO_LARGE, v1::REASON_FRAME_TOO_LARGE,
                    fmt::format("a frame of {} bytes that is no message; at most {} are allowed",
                                received.body.size(), kControlBodyBytesMax),
                    kControlBodyBytesMax, received.body.size());
    case ControlVerdict::kBadFrame:
      return Refuse(v1::ERROR_CODE_BAD_FRAME, v1::REASON_PROTOCOL_ERROR,
                    "a frame is malformed, or of no kind that is known here");
  }
  if (state_ == State::kConnecting) {
    if (frame.has_connect()) return OnConnect(frame.connect(), now);
    return Refuse(v1::ERROR_CODE_NOT_CONNECTED, v1::REASON_PROTOCOL_ERROR, "the first frame is not Connect");
  }
  switch (frame.frame_case()) {
    case v1::ClientFrame::kConnect:
      return Refuse(v1::ERROR_CODE_ALREADY_CONNECTED, v1::REASON_PROTOCOL_ERROR, "Connect was sent twice");
    case v1::ClientFrame::kSubscribe:
      return OnSubscribe(frame.subscribe(), now);
    case v1::ClientFrame::kUnsubscribe:
      return OnUnsubscribe(frame.unsubscribe(), now);
    case v1::ClientFrame::kAckRequest:
      return answers_.Ack(context_->turn, frame.ack_request().id(), publisher_.published(),
                          publisher_.TakeTally());
    case v1::ClientFrame::kPing:
      return answers_.Pong(context_->turn, frame.ping().id());
    case v1::ClientFrame::kPong:
      return;
    case v1::ClientFrame::kMessage:
    case v1::ClientFrame::FRAME_NOT_SET:
      return;  // ParseControl refuses both
  }
}

void Session::OnPublish(const ReceivedFrame& frame) {
  PublishView view;
  const PublishOutcome outcome =
      publisher_.Publish(frame, context_->limits.publish, &context_->index, &context_->fan_out, &view);
  const uint64_t number = publisher_.published();
  const PublishLimits& limits = context_->limits.publish;
  switch (outcome) {
    case PublishOutcome::kTaken:
      context_->counters.messages_in.Add();
      context_->counters.message_bytes_in.Add(frame.bytes);
      return;
    case PublishOutcome::kNoSubscribers:
      context_->counters.messages_in.Add();
      context_->counters.message_bytes_in.Add(frame.bytes);
      return SendError(v1::ERROR_CODE_NO_SUBSCRIBERS,
                       fmt::format("nobody subscribes to \"{}\"", Printable(view.topic, kTopicBytesMax)), 0,
                       number);
    case PublishOutcome::kBadFrame:
      return EndBecause({.reason = v1::REASON_PROTOCOL_ERROR,
                         .error = v1::ERROR_CODE_BAD_FRAME,
                         .text = fmt::format("publish {} is not in canonical form", number),
                         .publish = number});
    case PublishOutcome::kBadTopic:
      SendError(v1::ERROR_CODE_BAD_TOPIC, Text(ValidateTopic(view.topic)), 0, number);
      break;
    case PublishOutcome::kBadReplyTo:
      SendError(v1::ERROR_CODE_BAD_TOPIC, fmt::format("reply_to: {}", Text(ValidateTopic(view.reply_to))), 0,
                number);
      break;
    case PublishOutcome::kBadHeaders:
      SendError(v1::ERROR_CODE_BAD_HEADERS,
                fmt::format("headers need a name, and may have {} bytes together", limits.headers_bytes_max),
                0, number);
      break;
    case PublishOutcome::kPayloadTooLarge:
      SendError(v1::ERROR_CODE_PAYLOAD_TOO_LARGE,
                fmt::format("a payload of {} bytes; at most {} are allowed", view.payload.size(),
                            limits.payload_bytes_max),
                0, number);
      break;
    case PublishOutcome::kNotPermitted:
      SendError(v1::ERROR_CODE_NOT_PERMITTED,
                fmt::format("topic \"{}\" is the broker's own", Printable(view.topic, kTopicBytesMax)), 0,
                number);
      break;
  }
  context_->counters.publish_refused.Add();
}

void Session::OnConnect(const v1::Connect& connect, absl::Time now) {
  if (connect.protocol_version() < kProtocolVersion) {
    return Refuse(
        v1::ERROR_CODE_UNSUPPORTED_VERSION, v1::REASON_UNSUPPORTED_VERSION,
        fmt::format("protocol version {}; {} is spoken here", connect.protocol_version(), kProtocolVersion));
  }
  for (const auto& [what, name] : {std::pair("client_name", &connect.client_name()),
                                   std::pair("client_library", &connect.client_library())}) {
    const absl::Status valid = ValidateName(what, *name, kClientNameBytesMax);
    if (!valid.ok()) return Refuse(v1::ERROR_CODE_BAD_CONNECT, v1::REASON_PROTOCOL_ERROR, Text(valid));
  }
  client_name_ = connect.client_name();
  session_id_ = RandomBytes(16);
  inbox_ = fmt::format("$inbox.{}", Hex(RandomBytes(12)));
  state_ = State::kOpen;

  v1::ServerFrame frame;
  v1::Connected* connected = frame.mutable_connected();
  connected->set_protocol_version(kProtocolVersion);
  connected->set_session_id(session_id_);
  connected->set_inbox(inbox_);
  connected->set_broker("sluiced");
  const SessionLimits& limits = context_->limits;
  v1::ServerLimits* told = connected->mutable_limits();
  told->set_payload_bytes_max(limits.publish.payload_bytes_max);
  told->set_headers_bytes_max(limits.publish.headers_bytes_max);
  told->set_subscriptions_max(static_cast<uint32_t>(limits.subscriptions_max));
  told->set_topic_bytes_max(kTopicBytesMax);
  told->set_ping_interval_ms(Milliseconds(limits.ping_interval));
  for (v1::SubscriptionLimits* queue : {told->mutable_default_limits(), told->mutable_highest_limits()}) {
    queue->set_pending_bytes_max(limits.queue.pending_bytes_max);
    queue->set_pending_messages_max(limits.queue.pending_messages_max);
    queue->set_pending_age_max_ms(Milliseconds(limits.queue.pending_age_max));
  }
  if (!connect.previous_session().empty()) {
    if (std::optional<v1::SessionRecord> record = context_->records.Find(connect.previous_session(), now)) {
      cuts_in_a_row_ = record->cuts_in_a_row();
      *connected->mutable_previous_session() = *std::move(record);
    }
  }
  subscriber_.QueueControl(frame);
  context_->log.Debug("client connected", {{"client", client_name_},
                                           {"address", peer_},
                                           {"library", connect.client_library()},
                                           {"session", subscriber_.token()}});
}

absl::StatusOr<QueueLimits> Session::GrantedLimits(const v1::SubscriptionLimits& asked) const {
  QueueLimits granted = context_->limits.queue;
  const uint64_t bytes_min = 2 * context_->limits.frame_bytes_max;
  const auto check = [](std::string_view what, uint64_t value, uint64_t min, uint64_t max) {
    if (value == 0 || (value >= min && (max == 0 || value <= max))) return absl::OkStatus();
    return absl::InvalidArgumentError(
        max == 0
            ? fmt::format("{} {} is too small; allowed: {} and more, or 0 (the default)", what, value, min)
            : fmt::format("{} {}; allowed: {} to {}, or 0 (the default)", what, value, min, max));
  };
  if (absl::Status valid =
          check("pending_bytes_max", asked.pending_bytes_max(), bytes_min, granted.pending_bytes_max);
      !valid.ok()) {
    return valid;
  }
  if (absl::Status valid =
          check("pending_messages_max", asked.pending_messages_max(), 1, granted.pending_messages_max);
      !valid.ok()) {
    return valid;
  }
  if (absl::Status valid =
          check("pending_age_max_ms", asked.pending_age_max_ms(), 1, Milliseconds(granted.pending_age_max));
      !valid.ok()) {
    return valid;
  }
  if (asked.pending_bytes_max() != 0) granted.pending_bytes_max = asked.pending_bytes_max();
  if (asked.pending_messages_max() != 0) granted.pending_messages_max = asked.pending_messages_max();
  if (asked.pending_age_max_ms() != 0) {
    granted.pending_age_max = absl::Milliseconds(
        std::min<uint64_t>(asked.pending_age_max_ms(), std::numeric_limits<int64_t>::max()));
  }
  return granted;
}

void Session::OnSubscribe(const v1::Subscribe& subscribe, absl::Time now) {
  const uint32_t id = subscribe.subscription();
  const auto refuse = [&](v1::ErrorCode code, std::string text) { SendError(code, std::move(text), id, 0); };
  if (id == 0) return refuse(v1::ERROR_CODE_BAD_SUBSCRIPTION, "a subscription's id must not be 0");
  if (subscriber_.Find(id) != nullptr) {
    return refuse(v1::ERROR_CODE_DUPLICATE_SUBSCRIPTION, fmt::format("subscription {} is in use", id));
  }
  if (subscriber_.subscription_count() >= context_->limits.subscriptions_max) {
    return refuse(
        v1::ERROR_CODE_TOO_MANY_SUBSCRIPTIONS,
        fmt::format("a session may have {} subscriptions at most", context_->limits.subscriptions_max));
  }
  if (const absl::Status valid = ValidateFilter(subscribe.filter()); !valid.ok()) {
    return refuse(v1::ERROR_CODE_BAD_FILTER, Text(valid));
  }
  if (IsReserved(subscribe.filter()) && !subscribe.filter().starts_with(inbox_ + ".")) {
    return refuse(v1::ERROR_CODE_NOT_PERMITTED,
                  fmt::format("filter \"{}\" is in the broker's own space; allowed: below \"{}.\"",
                              Printable(subscribe.filter(), kTopicBytesMax), inbox_));
  }
  const std::string& queue_group = subscribe.queue_group();
  if (const absl::Status valid = ValidateTopic(queue_group); !queue_group.empty() && !valid.ok()) {
    return refuse(v1::ERROR_CODE_BAD_QUEUE_GROUP, fmt::format("queue_group: {}", Text(valid)));
  }
  if (subscribe.overflow() != v1::OVERFLOW_POLICY_DEFAULT &&
      subscribe.overflow() != v1::OVERFLOW_POLICY_DISCONNECT) {
    return refuse(v1::ERROR_CODE_UNSUPPORTED_POLICY,
                  fmt::format("overflow policy {} is not supported; allowed: {}",
                              OverflowPolicyName(subscribe.overflow()),
                              OverflowPolicyName(v1::OVERFLOW_POLICY_DISCONNECT)));
  }
  const absl::StatusOr<QueueLimits> limits = GrantedLimits(subscribe.limits());
  if (!limits.ok()) return refuse(v1::ERROR_CODE_BAD_LIMITS, Text(limits.status()));

  Subscription* subscription = subscriber_.Add(id, *limits, v1::OVERFLOW_POLICY_DISCONNECT);
  subscription->turn = context_->turn;
  FilterGroup* group = context_->index.FindOrCreate(subscribe.filter(), queue_group);
  context_->fan_out.Settle(group, now);
  context_->index.Attach(subscription, group);
  context_->counters.subscriptions.Add(1);
  answers_.Subscribed(context_->turn, id);
}

void Session::OnUnsubscribe(const v1::Unsubscribe& unsubscribe, absl::Time now) {
  const uint32_t id = unsubscribe.subscription();
  Subscription* subscription = subscriber_.Find(id);
  if (subscription == nullptr || subscription->ended != v1::REASON_UNSPECIFIED) {
    return SendError(v1::ERROR_CODE_UNKNOWN_SUBSCRIPTION, fmt::format("there is no subscription {}", id), id,
                     0);
  }
  context_->fan_out.Settle(subscription->group, now);
  if (subscription->ended != v1::REASON_UNSPECIFIED) return;  // what it got just now was the last
  if (unsubscribe.after_messages() > subscription->offered) {
    subscription->offered_max = unsubscribe.after_messages();
    return;
  }
  context_->index.Detach(subscription);
  context_->counters.subscriptions.Add(-1);
  subscriber_.End(subscription,
                  unsubscribe.after_messages() == 0 ? v1::REASON_UNSUBSCRIBED : v1::REASON_COUNT_REACHED,
                  &context_->memory, now);
}

// ---- What it is told ----

void Session::SendError(v1::ErrorCode code, std::string text, uint32_t subscription, uint64_t publish) {
  v1::ServerFrame frame;
  v1::Error* error = frame.mutable_error();
  error->set_code(code);
  error->set_text(std::move(text));
  error->set_subscription(subscription);
  error->set_publish(publish);
  subscriber_.QueueControl(frame);
  context_->counters.errors_sent.Add();
}

void Session::BecameWritable() {
  if (!subscriber_.blocked()) return;
  subscriber_.BecameWritable();
  context_->counters.epollout_resumes.Add();
}

void Session::Failed() {
  if (reading_ == Reading::kOpen) return;  // the next read says what happened
  // Both directions have ended, or the connection is gone. With our own end not said yet it is the latter.
  if (state_ != State::kLingering) {
    connection_ = Connection::kBroken;
    EndBecause({.reason = v1::REASON_CLIENT_RESET, .text = "the connection was reset"});
  }
}

Session::Flushed Session::Flush(absl::Time now) {
  const bool stalled_before = subscriber_.stalled();
  const FlushResult result = subscriber_.Flush(&transport_, &context_->scratch, kFlushBytesMax, now);
  ShardCounters& counters = context_->counters;
  counters.writes.Add(result.writes);
  counters.write_bytes.Add(result.taken_bytes);
  counters.partial_writes.Add(result.partial_writes);
  counters.write_would_block.Add(result.would_block);
  counters.messages_out.Add(result.messages_sent);
  counters.message_bytes_out.Add(result.message_bytes_sent);
  counters.pending_bytes.Add(-static_cast<int64_t>(result.message_bytes_sent));
  counters.pending_messages.Add(-static_cast<int64_t>(result.messages_sent));
  if (stalled_before && !subscriber_.stalled()) {
    counters.stall.ObserveNs(absl::ToInt64Nanoseconds(now - subscriber_.stall().since));
  }
  if ((stalled_before || subscriber_.stalled()) && context_->log.Enabled(LogLevel::kDebug)) {
    LogWrite(result, now);
  }
  if (result.outcome == FlushOutcome::kBroken) {
    connection_ = Connection::kBroken;
    EndBecause({.reason = v1::REASON_CLIENT_RESET, .text = net::ErrorText(transport_.error())});
  }
  // Besides the bound: a lag that the flush ended is told in a frame of its own.
  return wants_flush() ? Flushed::kMore : Flushed::kEnough;
}

void Session::LogWrite(const FlushResult& result, absl::Time now) const {
  const StallEpisode& stall = subscriber_.stall();
  const uint64_t pending_bytes = subscriber_.pending_bytes();
  const uint64_t total_bytes = stall.taken_bytes + pending_bytes;
  const std::string progress =
      fmt::format("{}%", total_bytes == 0 ? 100 : 100 * stall.taken_bytes / total_bytes);
  if (stall.resumes == 0 && subscriber_.stalled()) {
    return context_->log.Debug("write blocked: EPOLLOUT armed", {{"client", client_name_},
                                                                 {"address", peer_},
                                                                 {"offered_bytes", result.offered_bytes},
                                                                 {"taken_bytes", result.taken_bytes},
                                                                 {"pending_bytes", pending_bytes}});
  }
  context_->log.Debug("write resumed", {{"client", client_name_},
                                        {"address", peer_},
                                        {"offered_bytes", result.offered_bytes},
                                        {"taken_bytes", result.taken_bytes},
                                        {"pending_bytes", pending_bytes},
                                        {"progress", progress}});
  if (!subscriber_.stalled()) {
    context_->log.Debug("drained: EPOLLOUT removed", {{"client", client_name_},
                                                      {"address", peer_},
                                                      {"resumes", stall.resumes},
                                                      {"stalled", now - stall.since}});
  }
}

void Session::CountLagging() {
  const Subscriber::LagReport report = subscriber_.TakeLagReport();
  if (report.raised == 0 && report.cleared == 0) return;
  context_->counters.lagging_episodes.Add(report.raised);
  context_->counters.lagging_subscriptions.Add(int64_t{report.raised} - int64_t{report.cleared});
  if (report.raised > 0) {
    context_->log.Info("consumer lags", {{"client", client_name_},
                                         {"address", peer_},
                                         {"pending_bytes", subscriber_.pending_bytes()},
                                         {"pending_messages", subscriber_.pending_messages()}});
  } else if (end_ == std::nullopt) {
    context_->log.Info("consumer recovered", {{"client", client_name_}, {"address", peer_}});
  }
}

void Session::TellPaused(v1::Paused::Cause cause) {
  if (paused_ != Paused::kYes || end_.has_value()) return;
  paused_ = Paused::kTold;
  v1::ServerFrame frame;
  frame.mutable_paused()->set_cause(cause);
  subscriber_.QueueControl(frame);
}

void Session::ResumeReads(absl::Time now) {
  heard_at_ = now;
  if (std::exchange(paused_, Paused::kNo) != Paused::kTold || end_.has_value()) return;
  v1::ServerFrame frame;
  frame.mutable_resumed();
  subscriber_.QueueControl(frame);
}

// ---- Time ----

absl::Time Session::NextDeadline() const {
  const SessionLimits& limits = context_->limits;
  switch (state_) {
    case State::kConnecting:
      return end_.has_value() ? absl::InfinitePast() : began_at_ + limits.connect_timeout;
    case State::kOpen: {
      if (end_.has_value()) return absl::InfinitePast();
      absl::Time next = subscriber_.NextCheck();
      if (reader_.unfinished()) next = std::min(next, heard_at_ + limits.frame_timeout);
      if (limits.ping_interval > absl::ZeroDuration()) {
        next = std::min(next, std::max(heard_at_, pinged_at_) + limits.ping_interval);
      }
      return next;
    }
    case State::kDraining:
    case State::kGoodbye:
      return close_by_;
    case State::kLingering:
      return std::min(close_by_, linger_check_at_);
    case State::kEnded:
      break;
  }
  return absl::InfiniteFuture();
}

void Session::CheckDeadlines(absl::Time now) {
  const SessionLimits& limits = context_->limits;
  if (end_.has_value()) return;
  if (state_ == State::kConnecting) {
    if (now < began_at_ + limits.connect_timeout) return;
    return EndBecause(
        {.reason = v1::REASON_CONNECT_TIMEOUT,
         .text = fmt::format("no Connect within {}", absl::FormatDuration(limits.connect_timeout)),
         .limit = Milliseconds(limits.connect_timeout),
         .value = Milliseconds(now - began_at_)});
  }
  if (state_ != State::kOpen) return;
  if (paused_ != Paused::kNo) heard_at_ = now;
  if (reader_.unfinished() && now >= heard_at_ + limits.frame_timeout) {
    return EndBecause({.reason = v1::REASON_FRAME_TIMEOUT,
                       .text = fmt::format("a frame was begun and not continued for {}",
                                           absl::FormatDuration(limits.frame_timeout)),
                       .limit = Milliseconds(limits.frame_timeout),
                       .value = Milliseconds(now - heard_at_)});
  }
  if (now >= subscriber_.NextCheck()) subscriber_.Check(&transport_, now);
  if (limits.ping_interval > absl::ZeroDuration()) CheckLifeSigns(now);
}

void Session::CheckLifeSigns(absl::Time now) {
  const absl::Duration interval = context_->limits.ping_interval;
  if (now < std::max(heard_at_, pinged_at_) + interval) return;
  const uint64_t acked_bytes = transport_.BytesAcked().value_or(0);
  if (pinged_at_ <= heard_at_) {
    pinged_at_ = now;
    acked_at_ping_ = acked_bytes;
    v1::ServerFrame frame;
    frame.mutable_server_ping()->set_id(1);
    subscriber_.QueueControl(frame);
    return;
  }
  // What its kernel acknowledged is a sign of life too, and a full socket is judged by the write timeout.
  if (acked_bytes > acked_at_ping_ || subscriber_.blocked()) {
    heard_at_ = now;
    return;
  }
  EndBecause({.reason = v1::REASON_PING_TIMEOUT,
              .text = fmt::format("no sign of life for {}", absl::FormatDuration(now - heard_at_)),
              .limit = Milliseconds(interval),
              .value = Milliseconds(now - pinged_at_)});
}

// ---- The end ----

void Session::EndBecause(End end) {
  if (!end_.has_value()) end_ = std::move(end);
}

void Session::Refuse(v1::ErrorCode code, v1::Reason reason, std::string text, uint64_t limit,
                     uint64_t value) {
  EndBecause({.reason = reason, .error = code, .text = std::move(text), .limit = limit, .value = value});
}

void Session::TurnAway(v1::Reason reason, std::string text) {
  EndBecause({.reason = reason, .text = std::move(text)});
}

void Session::Drain(absl::Time now, absl::Time deadline) {
  EndBecause({.reason = v1::REASON_SHUTDOWN, .text = "the broker is going down"});
  if (state_ == State::kOpen) {
    StartDraining(now);
    close_by_ = deadline;
  }
}

Session::Life Session::Advance(absl::Time now) {
  if (!end_.has_value()) {
    const std::optional<OverLimit>& over = subscriber_.over();
    if (!over.has_value()) return Life::kGoesOn;
    EndBecause({.reason = over->reason,
                .text = ValueAndLimit(*over),
                .limit = over->limit,
                .value = over->value,
                .subscription = over->subscription});
  }
  if (connection_ == Connection::kBroken && state_ != State::kEnded) Finish(now);
  for (;;) {
    const State before = state_;
    switch (state_) {
      case State::kConnecting:
        SayGoodbye(now);
        break;
      case State::kOpen:
        if (end_->reason == v1::REASON_CLIENT_CLOSED) {
          StartDraining(now);
          close_by_ = now + context_->limits.goodbye_timeout;
        } else {
          SayGoodbye(now);
        }
        break;
      case State::kDraining:
        if ((subscriber_.writer().empty() && answers_.empty()) || now >= close_by_) SayGoodbye(now);
        break;
      case State::kGoodbye:
        if (connection_ == Connection::kBroken) {
          Finish(now);
        } else if (subscriber_.writer().empty()) {
          transport_.socket().ShutdownWrite();
          state_ = State::kLingering;
        } else if (now >= close_by_) {
          Finish(now);
        }
        break;
      case State::kLingering:
        if (now >= close_by_) {
          Finish(now);
        } else if (reading_ == Reading::kEnded) {
          // Our end of the stream counts as one byte until it is acknowledged.
          if (transport_.socket().UnsentBytes() <= 1) {
            Finish(now);
          } else {
            linger_check_at_ = now + kLingerCheckEvery;
          }
        }
        break;
      case State::kEnded:
        return Life::kEnded;
    }
    if (state_ == before) return Life::kGoesOn;
  }
}

// Takes every subscription out of its group, behind what the group had for it.
void Session::LeaveGroups(absl::Time now) {
  subscriber_.ForEachSubscription([&](Subscription* subscription) {
    if (subscription->group == nullptr) return;
    context_->fan_out.Settle(subscription->group, now);
    context_->index.Detach(subscription);
    context_->fan_out.Forget(subscription);
    context_->counters.subscriptions.Add(-1);
  });
}

void Session::StartDraining(absl::Time now) {
  LeaveGroups(now);
  reader_ = FrameReader();
  state_ = State::kDraining;
}

void Session::SayGoodbye(absl::Time now) {
  state_ = State::kGoodbye;
  // First, so that the numbers of the Goodbye hold.
  subscriber_.ForEachSubscription([&](const Subscription* subscription) {
    if (subscription->group != nullptr) context_->fan_out.Settle(subscription->group, now);
  });
  if (IsSlowConsumer(end_->reason)) ++cuts_in_a_row_;
  v1::Goodbye goodbye = MakeGoodbye();
  LogEnd(now);
  context_->counters.sessions_ended[static_cast<size_t>(end_->reason)].Add();
  if (!session_id_.empty()) {
    context_->records.Keep(session_id_, goodbye, IsSlowConsumer(end_->reason) ? cuts_in_a_row_ : 0, now);
  }

  uint64_t dealt_again = 0;
  std::vector<std::pair<FilterGroup*, Subscription*>> dealt;
  subscriber_.ForEachSubscription([&](Subscription* subscription) {
    FilterGroup* group = subscription->group;
    if (group != nullptr && group->kind() == GroupKind::kDealt) dealt.emplace_back(group, subscription);
  });
  LeaveGroups(now);
  for (const auto& [group, subscription] : dealt) {
    dealt_again += context_->fan_out.DealAgain(group, subscription);
  }
  const SendQueue::Dropped dropped = subscriber_.Close(
      IsSlowConsumer(end_->reason) ? Subscriber::ControlFrames::kDrop : Subscriber::ControlFrames::kKeep);
  context_->counters.pending_bytes.Add(-static_cast<int64_t>(dropped.bytes));
  context_->counters.pending_messages.Add(-static_cast<int64_t>(dropped.messages));
  context_->counters.messages_dropped.Add(dropped.messages - std::min(dropped.messages, dealt_again));
  CountLagging();
  reader_ = FrameReader();
  publisher_ = Publisher();
  answers_ = Answers();

  if (connection_ == Connection::kBroken ||
      subscriber_.writer().frame_in_flight_bytes() > kGoodbyeBehindBytesMax) {
    return Finish(now);
  }
  if (end_->error != v1::ERROR_CODE_UNSPECIFIED) SendError(end_->error, end_->text, 0, end_->publish);
  v1::ServerFrame frame;
  *frame.mutable_goodbye() = std::move(goodbye);
  subscriber_.QueueControl(frame);
  close_by_ = now + context_->limits.goodbye_timeout;
  if (subscriber_.wants_flush()) (void)Flush(now);
}

v1::Goodbye Session::MakeGoodbye() const {
  v1::Goodbye goodbye;
  goodbye.set_reason(end_->reason);
  goodbye.set_text(end_->text);
  goodbye.set_limit(end_->limit);
  goodbye.set_value(end_->value);
  goodbye.set_subscription(end_->subscription);
  goodbye.set_pending_bytes(subscriber_.pending_bytes());
  goodbye.set_pending_messages(subscriber_.pending_messages());
  goodbye.set_retry_after_ms(Milliseconds(RetryAfter()));
  subscriber_.ForEachSubscription([&](const Subscription* subscription) {
    if (goodbye.subscriptions_size() >= kGoodbyeSubscriptionsMax) return;
    v1::SubscriptionRecord* record = goodbye.add_subscriptions();
    record->set_subscription(subscription->id);
    if (subscription->group != nullptr && subscription->id == end_->subscription) {
      record->set_filter(subscription->group->filter);
    }
    record->set_offered(subscription->offered);
  });
  return goodbye;
}

absl::Duration Session::RetryAfter() const {
  if (end_->reason == v1::REASON_CLIENT_CLOSED) return absl::ZeroDuration();
  if (!IsSlowConsumer(end_->reason)) return context_->limits.retry_after;
  const int doublings = std::min<int>(static_cast<int>(cuts_in_a_row_) - 1, kRetryDoublingsMax);
  return context_->limits.retry_after * (1 << std::max(0, doublings));
}

void Session::LogEnd(absl::Time now) const {
  const absl::Duration lasted = now - began_at_;
  if (!IsSlowConsumer(end_->reason)) {
    const LogLevel level = end_->error == v1::ERROR_CODE_UNSPECIFIED ? LogLevel::kDebug : LogLevel::kInfo;
    context_->log.Write(level, "session ended",
                        {{"client", client_name_},
                         {"address", peer_},
                         {"reason", ReasonName(end_->reason)},
                         {"text", end_->text},
                         {"lasted", lasted}});
    return;
  }
  const Subscription* subscription = subscriber_.Find(end_->subscription);
  const FilterGroup* group = subscription == nullptr ? nullptr : subscription->group;
  context_->log.Warn(
      "slow consumer disconnected",
      {{"client", client_name_},
       {"address", peer_},
       {"reason", ReasonName(end_->reason)},
       {"limit", end_->limit},
       {"value", end_->value},
       {"subscription", end_->subscription},
       {"filter", group == nullptr ? "" : group->filter},
       {"pending_bytes", subscriber_.pending_bytes()},
       {"pending_messages", subscriber_.pending_messages()},
       {"blocked_for", subscriber_.stalled() ? now - subscriber_.stall().since : absl::ZeroDuration()},
       {"cuts_in_a_row", cuts_in_a_row_},
       {"retry_after", RetryAfter()}});
}

// The last step, from every state.
void Session::Finish(absl::Time now) {
  if (state_ == State::kConnecting || state_ == State::kOpen || state_ == State::kDraining) {
    // The connection broke: what is left to do of SayGoodbye happens without the client, and comes back here.
    return SayGoodbye(now);
  }
  if (transport_.socket().UnsentBytes() > 1 || !subscriber_.writer().empty()) {
    transport_.socket().SetLingerZero();
  }
  const uint64_t left_bytes = subscriber_.pending_bytes();
  const uint64_t left_messages = subscriber_.pending_messages();
  context_->counters.pending_bytes.Add(-static_cast<int64_t>(left_bytes));
  context_->counters.pending_messages.Add(-static_cast<int64_t>(left_messages));
  context_->counters.messages_dropped.Add(left_messages);
  transport_.socket().Close();
  state_ = State::kEnded;
}

}  // namespace sluice
