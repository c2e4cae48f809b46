#include "broker/session.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <utility>

#include "broker/granted_limits.h"
#include "broker/net/error_text.h"
#include "protocol/control.h"
#include "protocol/names.h"
#include "protocol/topic.h"

namespace sluice {
namespace {

// While the client's kernel has not acknowledged our last bytes there is no event to wait for.
constexpr absl::Duration kLingerCheckEvery = absl::Milliseconds(20);
constexpr int kRetryDoublingsMax = 6;
// One that kept up for so long before it was cut is not the one any more that was cut before.
constexpr absl::Duration kCutsForgottenAfter = absl::Minutes(1);
// In one turn; further Errors have a code and a number only. Otherwise one read full of bad publishes would
// make twenty times as many bytes of Errors, and cut a client that reads them.
constexpr size_t kErrorTextBytesMax = 16 << 10;

// Of so few bytes getrandom(2) always gives all, or waits for the kernel to have seeded itself.
void FillWithRandom(std::span<char> bytes) {
  while (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
  }
}

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const char byte : bytes) fmt::format_to(std::back_inserter(hex), "{:02x}", static_cast<uint8_t>(byte));
  return hex;
}

std::string Text(const absl::Status& status) { return std::string(status.message()); }

// Of a soft limit: how long it was passed.
std::string SoftFor(const OverLimit& over) {
  if (over.above_soft_for == absl::ZeroDuration()) return "";
  return fmt::format(", the soft limit, which it was above for {} ms",
                     ToWireMilliseconds(over.above_soft_for));
}

std::string ValueAndLimit(const OverLimit& over) {
  switch (over.reason) {
    case v1::REASON_PENDING_BYTES:
      return fmt::format("{} bytes waited for subscription {}; at most {} may{}", over.value,
                         over.subscription, over.limit, SoftFor(over));
    case v1::REASON_PENDING_MESSAGES:
      return fmt::format("{} messages waited for subscription {}; at most {} may{}", over.value,
                         over.subscription, over.limit, SoftFor(over));
    case v1::REASON_PENDING_AGE:
      return fmt::format("a message waited {} ms for subscription {}; at most {} ms are allowed{}",
                         over.value, over.subscription, over.limit, SoftFor(over));
    case v1::REASON_SESSION_BYTES:
      return fmt::format("{} bytes waited for all subscriptions; at most {} may", over.value, over.limit);
    case v1::REASON_WRITE_TIMEOUT:
      return fmt::format("not a byte was taken or acknowledged for {} ms; at most {} ms are allowed",
                         over.value, over.limit);
    case v1::REASON_CONTROL_BYTES:
      return fmt::format("{} bytes of answers waited unread; at most {} may", over.value, over.limit);
    case v1::REASON_BLOCK_TIMEOUT:
      return fmt::format("publishers waited {} ms for subscription {}; at most {} ms are allowed", over.value,
                         over.subscription, over.limit);
    case v1::REASON_MEMORY_BUDGET:
      return fmt::format(
          "{} bytes of memory were in use; at most {} may, and subscription {} kept most of it", over.value,
          over.limit, over.subscription);
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

std::optional<TransportSample> TcpTransport::Sample() {
  const std::optional<net::TcpProgress> progress = socket_.Progress();
  if (!progress.has_value()) return std::nullopt;
  return TransportSample{.busy = progress->busy,
                         .receive_window_limited = progress->receive_window_limited,
                         .acked_bytes = progress->acked_bytes,
                         .retransmitted_bytes = progress->retransmitted_bytes,
                         .delivery_bytes_per_second = progress->delivery_bytes_per_second,
                         .unsent_bytes = progress->unsent_bytes,
                         .receive_window_bytes = progress->receive_window_bytes,
                         .segment_bytes_max = progress->segment_bytes_max,
                         .round_trip = progress->round_trip,
                         .round_trip_min = progress->round_trip_min};
}

// A connection that does nothing is to take 1 KiB at the most, with its subscription and all that holds it.
static_assert(sizeof(Session) <= 616);

Session::Session(uint64_t token, net::Socket socket, const net::SocketAddress& peer, SessionContext* context,
                 absl::Time now)
    : context_(context),
      transport_(std::move(socket)),
      peer_(peer.ToString()),
      began_at_(now),
      subscriber_(token, &context->limits.subscriber, &context->memory, &context->backlogs,
                  &context->shared_limits),
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
      OnEndOfStream(now);
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

void Session::OnEndOfStream(absl::Time now) {
  reading_ = Reading::kEnded;
  if (end_ != nullptr) return;
  if (reader_.unfinished()) {
    context_->counters.frames_truncated.Add();
    if (const std::optional<uint64_t> suppressed = context_->lines.bad_input.Admit(now)) {
      context_->log.Info("client closed within a frame", {{"client", client_name_},
                                                          {"address", peer_},
                                                          {"bytes", reader_.unfinished_bytes()},
                                                          {"suppressed", *suppressed}});
    }
  }
  EndBecause({.reason = v1::REASON_CLIENT_CLOSED, .text = "the client closed the connection"});
}

void Session::HandleInput(absl::Time now) {
  ReceivedFrame frame;
  while (end_ == nullptr) {
    const uint64_t frame_bytes_max = state_ == State::kConnecting ? context_->limits.connect_frame_bytes_max
                                                                  : context_->limits.frame_bytes_max;
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
        // While this one is handled.
        if (context_->index.outgrows_cache()) context_->index.Prefetch(PeekTopic(reader_.received()));
        HandleFrame(frame, now);
        break;
    }
  }
}

void Session::HandleFrame(const ReceivedFrame& received, absl::Time now) {
  if (IsPublish(received.body) && state_ == State::kOpen) return OnPublish(received, now);
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
    case v1::ClientFrame::kCredit:
      return OnCredit(frame.credit());
    case v1::ClientFrame::kMessage:
    case v1::ClientFrame::FRAME_NOT_SET:
      return;  // ParseControl refuses both
  }
}

void Session::OnPublish(const ReceivedFrame& frame, absl::Time now) {
  PublishView view;
  const PublishOutcome outcome =
      publisher_.Publish(frame, context_->limits.publish, &context_->index, &context_->fan_out, &view);
  const uint64_t number = publisher_.published();
  const PublishLimits& limits = context_->limits.publish;
  switch (outcome) {
    case PublishOutcome::kTaken:
      context_->counters.messages_in.Add();
      context_->counters.message_bytes_in.Add(frame.bytes);
      if (context_->topics.due()) {
        context_->topics.Sample(view.topic, frame.bytes, fmt::format("{} ({})", client_name_, peer_), now);
      }
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
      SendError(v1::ERROR_CODE_BAD_TOPIC, Text(ValidateTopic(view.topic, limits.topic_bytes_max)), 0, number);
      break;
    case PublishOutcome::kBadReplyTo:
      SendError(v1::ERROR_CODE_BAD_TOPIC,
                fmt::format("reply_to: {}", Text(ValidateTopic(view.reply_to, limits.topic_bytes_max))), 0,
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
  ids_ = Ids::kGiven;
  FillWithRandom(session_id_);
  FillWithRandom(inbox_id_);
  state_ = State::kOpen;

  v1::ServerFrame frame;
  v1::Connected* connected = frame.mutable_connected();
  connected->set_protocol_version(kProtocolVersion);
  connected->set_session_id(session_id_.data(), session_id_.size());
  connected->set_inbox(Inbox());
  connected->set_broker("sluiced");
  const SessionLimits& limits = context_->limits;
  v1::ServerLimits* told = connected->mutable_limits();
  told->set_payload_bytes_max(limits.publish.payload_bytes_max);
  told->set_headers_bytes_max(limits.publish.headers_bytes_max);
  told->set_subscriptions_max(static_cast<uint32_t>(limits.subscriptions_max));
  told->set_topic_bytes_max(static_cast<uint32_t>(limits.publish.topic_bytes_max));
  told->set_ping_interval_ms(ToWireMilliseconds(limits.ping_interval));
  for (v1::SubscriptionLimits* queue : {told->mutable_default_limits(), told->mutable_highest_limits()}) {
    ToWire(limits.queue, queue);
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

std::string Session::Inbox() const {
  return fmt::format("$inbox.{}", Hex({inbox_id_.data(), inbox_id_.size()}));
}

std::string Session::WhyNotReserved(std::string_view filter) const {
  if (filter.starts_with(Inbox() + ".")) return "";
  if (!IsSysTopic(filter)) {
    return fmt::format("filter \"{}\" is in the broker's own space; allowed: below \"{}.\"",
                       Printable(filter, kTopicBytesMax), Inbox());
  }
  switch (context_->limits.sys_topics) {
    case SysTopics::kEveryone:
      return "";
    case SysTopics::kNobody:
      return "this broker publishes nothing about itself (its setting sys_topics)";
    case SysTopics::kLoopback:
      break;
  }
  if (transport_.socket().PeerAddress().IsLoopback()) return "";
  return "what this broker publishes about itself is for clients on its own machine (its setting sys_topics)";
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
  const size_t topic_bytes_max = context_->limits.publish.topic_bytes_max;
  if (const absl::Status valid = ValidateFilter(subscribe.filter(), topic_bytes_max); !valid.ok()) {
    return refuse(v1::ERROR_CODE_BAD_FILTER, Text(valid));
  }
  if (IsReserved(subscribe.filter())) {
    std::string why_not = WhyNotReserved(subscribe.filter());
    if (!why_not.empty()) return refuse(v1::ERROR_CODE_NOT_PERMITTED, std::move(why_not));
  }
  const std::string& queue_group = subscribe.queue_group();
  if (const absl::Status valid = ValidateTopic(queue_group, topic_bytes_max);
      !queue_group.empty() && !valid.ok()) {
    return refuse(v1::ERROR_CODE_BAD_QUEUE_GROUP, fmt::format("queue_group: {}", Text(valid)));
  }
  const v1::OverflowPolicy asked = subscribe.overflow();
  const auto offered = OverflowPoliciesOffered();
  if (asked != v1::OVERFLOW_POLICY_DEFAULT &&
      std::find(offered.begin(), offered.end(), asked) == offered.end()) {
    return refuse(v1::ERROR_CODE_UNSUPPORTED_POLICY,
                  fmt::format("overflow policy {} is not supported; allowed: {}", OverflowPolicyName(asked),
                              NamesOf(offered)));
  }
  const SubscriptionRule* rule =
      FindRule(context_->limits.subscription_rules, subscribe.filter(), client_name_);
  const v1::OverflowPolicy overflow = GrantOverflow(asked, rule);
  std::string_view conflate_header = subscribe.conflate_header();
  if (!conflate_header.empty() && asked != v1::OVERFLOW_POLICY_CONFLATE &&
      overflow != v1::OVERFLOW_POLICY_CONFLATE) {
    return refuse(
        v1::ERROR_CODE_UNSUPPORTED_POLICY,
        fmt::format("conflate_header is for the policy conflate; this is {}", OverflowPolicyName(overflow)));
  }
  if (conflate_header.empty() && rule != nullptr) conflate_header = rule->conflate_header;
  if (const absl::Status valid =
          ValidateName("conflate_header", subscribe.conflate_header(), topic_bytes_max);
      !valid.ok()) {
    return refuse(v1::ERROR_CODE_UNSUPPORTED_POLICY, Text(valid));
  }
  const absl::StatusOr<QueueLimits> limits = GrantLimits(
      subscribe.limits(), TermsUnder(rule, context_->limits.queue, 2 * context_->limits.frame_bytes_max));
  if (!limits.ok()) return refuse(v1::ERROR_CODE_BAD_LIMITS, Text(limits.status()));

  Subscription* subscription =
      subscriber_.Add(id, *limits, overflow, conflate_header,
                      rule == nullptr ? context_->limits.on_overflow
                                      : rule->on_overflow.value_or(context_->limits.on_overflow));
  if (subscribe.window_bytes() > 0) Subscriber::OpenWindow(subscription, subscribe.window_bytes());
  if (IsSysTopic(subscribe.filter())) watches_ = Watches::kYes;
  subscription->turn = static_cast<uint32_t>(context_->turn);
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
                  unsubscribe.after_messages() == 0 ? v1::REASON_UNSUBSCRIBED : v1::REASON_COUNT_REACHED);
}

void Session::OnCredit(const v1::Credit& credit) {
  const uint32_t id = credit.subscription();
  if (id == 0) return SendError(v1::ERROR_CODE_BAD_CREDIT, "a subscription's id must not be 0", id, 0);
  Subscription* subscription = subscriber_.Find(id);
  if (subscription == nullptr) return;  // it has crossed the end
  if (subscription->credit() == nullptr) {
    return SendError(v1::ERROR_CODE_BAD_CREDIT, fmt::format("subscription {} has no window", id), id, 0);
  }
  subscriber_.Grant(subscription, credit.granted_bytes());
}

// ---- What it is told ----

void Session::SendError(v1::ErrorCode code, std::string text, uint32_t subscription, uint64_t publish) {
  v1::ServerFrame frame;
  v1::Error* error = frame.mutable_error();
  error->set_code(code);
  if (std::exchange(error_turn_, context_->turn) != context_->turn) error_text_bytes_ = 0;
  error_text_bytes_ += static_cast<uint32_t>(text.size());
  if (error_text_bytes_ <= kErrorTextBytesMax) error->set_text(std::move(text));
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
  // The next read says what happened, if there is one.
  if (reading_ == Reading::kOpen && paused_ == Paused::kNo) return;
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

void Session::CountLagging(absl::Time now) {
  const auto [dropped, conflated, gaps] = subscriber_.TakeLosses();
  context_->counters.gaps.Add(gaps);
  context_->counters.pending_bytes.Add(-static_cast<int64_t>(dropped.bytes + conflated.bytes));
  context_->counters.pending_messages.Add(-static_cast<int64_t>(dropped.messages + conflated.messages));
  context_->counters.messages_dropped.Add(dropped.messages);
  context_->counters.messages_conflated.Add(conflated.messages);
  const Subscriber::LagReport report = subscriber_.TakeLagReport();
  context_->counters.observed_messages.Add(report.observed_messages);
  if (report.observed > 0) {
    for (const OverLimit& over : subscriber_.TakeObserved()) LogObserved(over, now);
  }
  for (const BlockNews& news : subscriber_.TakeBlockNews()) CountBlock(news, now);
  if (report.raised == 0 && report.causes_told == 0 && report.cleared == 0) return;
  context_->counters.lagging_episodes.Add(report.raised);
  context_->counters.lagging_causes[static_cast<size_t>(subscriber_.lag_told().finding.cause)].Add(
      report.causes_told);
  context_->counters.lagging_subscriptions.Add(int64_t{report.raised} - int64_t{report.cleared});
  PublishLag(now);
  // LogEnd, or LogCut, says more.
  if (report.raised == 0 && (end_ != nullptr || (report.recovered == 0 && report.causes_told == 0))) return;
  if (!context_->log.Enabled(LogLevel::kInfo)) return;
  if (report.raised > 0 || report.recovered > 0) LogLag(report, now);
  if (report.causes_told > 0) LogLagCause(now);
}

void Session::LogLag(const Subscriber::LagReport& report, absl::Time now) const {
  if (const std::optional<uint64_t> suppressed = context_->lines.lags.Admit(now)) {
    context_->log.Info(report.raised > 0 ? "consumer lags" : "consumer recovered",
                       {{"client", client_name_},
                        {"address", peer_},
                        {"pending_bytes", subscriber_.pending_bytes()},
                        {"pending_messages", subscriber_.pending_messages()},
                        {"kernel_bytes", transport_.socket().UnsentBytes()},
                        {"suppressed", *suppressed}});
  }
}

void Session::LogLagCause(absl::Time now) const {
  const std::optional<uint64_t> suppressed = context_->lines.causes.Admit(now);
  if (!suppressed.has_value()) return;
  const auto [lag, time_to_limit] = subscriber_.lag_told();
  context_->log.Info("cause of lag", {{"client", client_name_},
                                      {"address", peer_},
                                      {"cause", LagCauseName(lag.cause)},
                                      {"drain_bytes_per_second", lag.drain_bytes_per_second},
                                      {"feed_bytes_per_second", lag.feed_bytes_per_second},
                                      {"delivery_bytes_per_second", lag.delivery_bytes_per_second},
                                      {"time_to_limit", time_to_limit},
                                      {"suppressed", *suppressed}});
}

void Session::CountBlock(const BlockNews& news, absl::Time now) {
  const bool began = news.kind == BlockNews::Kind::kBegan;
  context_->counters.blocking_subscriptions.Add(began ? 1 : -1);
  if (!began) context_->unblocked = SessionContext::Unblocked::kSomebody;
  if (!context_->log.Enabled(LogLevel::kInfo)) return;
  const std::optional<uint64_t> suppressed = context_->lines.blocks.Admit(now);
  if (!suppressed.has_value()) return;
  if (began) {
    context_->log.Info("consumer blocks its publishers", {{"client", client_name_},
                                                          {"address", peer_},
                                                          {"subscription", news.subscription},
                                                          {"reason", ReasonName(news.cause.limit)},
                                                          {"limit", news.cause.limit_value},
                                                          {"value", news.cause.value},
                                                          {"suppressed", *suppressed}});
  } else {
    context_->log.Info("consumer's publishers go on", {{"client", client_name_},
                                                       {"address", peer_},
                                                       {"subscription", news.subscription},
                                                       {"publishers_paused", news.publishers_paused},
                                                       {"lasted", now - news.began_at},
                                                       {"suppressed", *suppressed}});
  }
}

bool Session::PublishesAbout(v1::ConsumerEvent::Kind kind) const {
  return watches_ == Watches::kNo && context_->events != nullptr && context_->events->wanted(kind);
}

v1::ConsumerEvent Session::MakeEvent(v1::ConsumerEvent::Kind kind, absl::Time lagging_since,
                                     absl::Time now) const {
  v1::ConsumerEvent event;
  event.set_kind(kind);
  event.set_client_name(client_name_);
  event.set_address(peer_);
  event.set_session(subscriber_.token());
  event.set_pending_bytes(subscriber_.pending_bytes());
  event.set_pending_messages(subscriber_.pending_messages());
  event.set_lagging_ms(ToWireMilliseconds(std::max(absl::ZeroDuration(), now - lagging_since)));
  return event;
}

void Session::PublishLag(absl::Time now) {
  const bool cut = end_ != nullptr && IsSlowConsumer(end_->reason);
  for (const Subscriber::LagNotice& notice : subscriber_.TakeLagNotices()) {
    const bool slow = notice.told.state() == v1::SlowConsumer::STATE_RAISED;
    if (!slow && (cut || IsSlowConsumer(notice.ended))) continue;  // it has not recovered, but was cut
    RememberLag(notice, now);
    PublishLag(notice, now);
  }
}

void Session::PublishLag(const Subscriber::LagNotice& notice, absl::Time now) {
  const v1::SlowConsumer& told = notice.told;
  const bool slow = told.state() == v1::SlowConsumer::STATE_RAISED;
  const auto kind = slow ? v1::ConsumerEvent::KIND_SLOW : v1::ConsumerEvent::KIND_RECOVERED;
  if (!PublishesAbout(kind)) return;
  v1::ConsumerEvent event = MakeEvent(kind, notice.lagging_since, now);
  event.set_subscription(told.subscription());
  event.set_filter(notice.filter);
  event.set_limit(told.limit());
  event.set_limit_value(told.limit_value());
  event.set_value(told.value());
  event.set_soft_time_ms(told.soft_time_ms());
  event.set_cause(told.cause());
  event.set_drain_bytes_per_second(told.drain_bytes_per_second());
  event.set_feed_bytes_per_second(told.feed_bytes_per_second());
  event.set_time_to_limit_ms(told.time_to_limit_ms());
  event.set_reason(end_ != nullptr ? end_->reason : notice.ended);
  if (slow) event.clear_reason();
  context_->events->Add(std::move(event), now);
}

void Session::RememberLag(const Subscriber::LagNotice& notice, absl::Time now) {
  if (context_->episodes == nullptr) return;
  const EpisodeOf who = {.consumer = {{context_->shard, subscriber_.token()}, notice.told.subscription()},
                         .client_name = client_name_,
                         .address = peer_,
                         .filter = notice.filter,
                         .policy = notice.policy,
                         .since = notice.lagging_since};
  if (notice.told.state() == v1::SlowConsumer::STATE_RAISED) {
    const Subscription* subscription = subscriber_.Find(notice.told.subscription());
    const bool begins = notice.lagging_since >= now && subscription != nullptr;
    return context_->episodes->Raise(who, notice.extent, notice.told.cause(),
                                     begins ? OriginsOf(subscription->queue(), now) : EpisodeOrigins());
  }
  const v1::Reason reason = end_ != nullptr ? end_->reason : notice.ended;
  context_->episodes->End(
      who, notice.extent, notice.told.cause(),
      reason == v1::REASON_UNSPECIFIED ? EpisodeOutcome::kRecovered : EpisodeOutcome::kEnded, reason, now);
}

void Session::RememberProgress() {
  if (context_->episodes == nullptr) return;
  subscriber_.ForEachLagging([&](const Subscription* subscription, absl::Time) {
    context_->episodes->Update({{context_->shard, subscriber_.token()}, subscription->id},
                               subscriber_.lag_extent(*subscription));
  });
}

// Publishers by what the sampler knows of the topics. Those of other shards it does not know.
EpisodeOrigins Session::OriginsOf(const SendQueue& queue, absl::Time now) const {
  EpisodeOrigins origins = {.topics = TopicsOf(queue), .publishers = {}};
  for (const EpisodeShare& topic : origins.topics) {
    for (const PublisherShare& one : context_->topics.PublishersOf(topic.name, now)) {
      AddShare(one.publisher, one.share * topic.share, &origins.publishers);
    }
  }
  KeepLargest(&origins.publishers);
  return origins;
}

void Session::RememberCut(const Subscription& subscription, absl::Time since, v1::Reason reason,
                          const LagFinding& lag, absl::Time now) {
  if (context_->episodes == nullptr) return;
  const bool lagged = subscription.lagging == Subscription::Lagging::kYes;
  LagExtent extent = lagged ? subscriber_.lag_extent(subscription) : LagExtent();
  const SendQueue& queue = subscription.queue();
  extent.pending_bytes_peak = std::max(extent.pending_bytes_peak, queue.pending_bytes());
  extent.pending_messages_peak = std::max(extent.pending_messages_peak, queue.pending_messages());
  // What waits is lost with it.
  extent.dropped += queue.pending_messages();
  const Nearness nearest = NearestLimit(queue.state(), *subscription.limits, now);
  if (nearest.share >= extent.limit_share_peak) {
    extent.limit_share_peak = nearest.share;
    extent.nearest_limit = nearest.limit;
  }
  context_->episodes->End(
      {.consumer = {{context_->shard, subscriber_.token()}, subscription.id},
       .client_name = client_name_,
       .address = peer_,
       .filter = subscription.group == nullptr ? std::string_view() : subscription.group->filter(),
       .policy = subscription.policy,
       .since = since},
      extent, lag.cause, EpisodeOutcome::kDisconnected, reason, now);
}

// All that lagged. If none had come to that yet, the one that went over its limit, or of which most waits.
void Session::RememberCuts(const LagFinding& lag, absl::Time now) {
  const Subscription* fullest = subscriber_.Find(end_->subscription);
  bool lagged = false;
  subscriber_.ForEachPending([&](const Subscription* subscription) {
    const absl::Time since = subscriber_.lagging_since(*subscription);
    if (since < absl::InfiniteFuture()) {
      lagged = true;
      RememberCut(*subscription, since, end_->reason, lag, now);
    } else if (fullest == nullptr || (end_->subscription == 0 && subscription->queue().pending_bytes() >
                                                                     fullest->queue().pending_bytes())) {
      fullest = subscription;
    }
  });
  if (!lagged && fullest != nullptr) {
    RememberCut(*fullest, std::min(now, subscriber_.stall().since), end_->reason, lag, now);
  }
}

void Session::PublishCut(Ends ends, const OverLimit& over, const LagFinding& lag, absl::Time now) {
  constexpr auto kKind = v1::ConsumerEvent::KIND_DISCONNECTED;
  if (!PublishesAbout(kKind)) return;
  v1::ConsumerEvent event = MakeEvent(kKind, subscriber_.lagging_since(), now);
  const Subscription* subscription = subscriber_.Find(over.subscription);
  event.set_subscription(over.subscription);
  if (subscription != nullptr && subscription->group != nullptr) {
    event.set_filter(std::string(subscription->group->filter()));
  }
  event.set_reason(over.reason);
  event.set_limit(over.reason);
  event.set_limit_value(over.limit);
  event.set_value(over.value);
  event.set_cause(lag.cause);
  event.set_drain_bytes_per_second(lag.drain_bytes_per_second);
  event.set_feed_bytes_per_second(lag.feed_bytes_per_second);
  if (ends == Ends::kSession) {
    event.set_retry_after_ms(ToWireMilliseconds(RetryAfter()));
    event.set_cuts_in_a_row(cuts_in_a_row_);
  }
  context_->events->Add(std::move(event), now);
}

void Session::LogObserved(const OverLimit& over, absl::Time now) {
  context_->counters.observed_overflows[static_cast<size_t>(over.reason)].Add();
  const std::optional<uint64_t> suppressed = context_->lines.observed.Admit(now);
  if (!suppressed.has_value()) return;
  const Subscription* subscription = subscriber_.Find(over.subscription);
  const FilterGroup* group = subscription == nullptr ? nullptr : subscription->group;
  context_->log.Warn("slow consumer observed",
                     {{"client", client_name_},
                      {"address", peer_},
                      {"reason", ReasonName(over.reason)},
                      {"limit", over.limit},
                      {"value", over.value},
                      {"above_soft_for", over.above_soft_for},
                      {"subscription", over.subscription},
                      {"filter", group == nullptr ? std::string_view() : group->filter()},
                      {"overflow", subscription == nullptr ? "" : OverflowPolicyName(subscription->policy)},
                      {"suppressed", *suppressed}});
}

void Session::EndCutSubscriptions(absl::Time now) {
  for (const OverLimit& over : subscriber_.TakeCut()) {
    Subscription* subscription = subscriber_.Find(over.subscription);
    uint64_t dealt_again = 0;
    if (FilterGroup* group = subscription->group; group != nullptr) {
      context_->fan_out.Settle(group, now);
      if (subscription->ended != v1::REASON_UNSPECIFIED) continue;  // what it got just now was the last
      LogCut(over, *subscription, now);
      const LagFinding lag = {.cause = v1::LAG_CAUSE_APPLICATION};
      PublishCut(Ends::kSubscription, over, lag, now);
      RememberCut(*subscription, std::min(now, subscriber_.lagging_since(*subscription)), over.reason, lag,
                  now);
      context_->index.Detach(subscription);
      context_->counters.subscriptions.Add(-1);
      if (group->kind() == GroupKind::kDealt) dealt_again = context_->fan_out.DealAgain(group, subscription);
    }
    const Missing dropped = subscriber_.EndOver(subscription, over);
    ShardCounters& counters = context_->counters;
    counters.pending_bytes.Add(-static_cast<int64_t>(dropped.bytes));
    counters.pending_messages.Add(-static_cast<int64_t>(dropped.messages));
    counters.messages_dropped.Add(dropped.messages - std::min(dropped.messages, dealt_again));
    counters.subscriptions_cut[static_cast<size_t>(over.reason)].Add();
  }
}

void Session::LogCut(const OverLimit& over, const Subscription& subscription, absl::Time now) {
  const std::optional<uint64_t> suppressed = context_->lines.subscription_cuts.Admit(now);
  if (!suppressed.has_value()) return;
  context_->log.Warn("slow consumer: subscription ended",
                     {{"client", client_name_},
                      {"address", peer_},
                      {"reason", ReasonName(over.reason)},
                      {"limit", over.limit},
                      {"value", over.value},
                      {"above_soft_for", over.above_soft_for},
                      {"cause", "application"},
                      {"subscription", over.subscription},
                      {"filter", subscription.group->filter()},
                      {"pending_bytes", subscription.queue().pending_bytes()},
                      {"pending_messages", subscription.queue().pending_messages()},
                      {"suppressed", *suppressed}});
}

void Session::TellPaused(v1::Paused::Cause cause) {
  if (paused_ != Paused::kYes || end_ != nullptr) return;
  paused_ = Paused::kTold;
  v1::ServerFrame frame;
  frame.mutable_paused()->set_cause(cause);
  subscriber_.QueueControl(frame);
}

void Session::GiveUpUnfinishedFrame() {
  if (!reader_.unfinished()) return;
  EndBecause({.reason = v1::REASON_OUT_OF_RESOURCES,
              .text = "the broker's memory is used up, and a frame that was begun holds some of it"});
}

void Session::ResumeReads(absl::Time now) {
  heard_at_ = now;
  if (std::exchange(paused_, Paused::kNo) != Paused::kTold || end_ != nullptr) return;
  v1::ServerFrame frame;
  frame.mutable_resumed();
  subscriber_.QueueControl(frame);
}

// ---- Time ----

absl::Time Session::NextDeadline() const {
  const SessionLimits& limits = context_->limits;
  switch (state_) {
    case State::kConnecting:
      return end_ != nullptr ? absl::InfinitePast() : began_at_ + limits.connect_timeout;
    case State::kOpen: {
      if (end_ != nullptr) return absl::InfinitePast();
      absl::Time next = subscriber_.NextCheck();
      if (reader_.unfinished()) next = std::min(next, heard_at_ + limits.frame_timeout);
      if (limits.ping_interval > absl::ZeroDuration()) {
        next = std::min(next, std::max(heard_at_, pinged_at_) + limits.ping_interval);
      }
      return next;
    }
    case State::kDraining:
    case State::kGoodbye:
      return end_->close_by;
    case State::kLingering:
      return std::min(end_->close_by, end_->linger_check_at);
    case State::kEnded:
      break;
  }
  return absl::InfiniteFuture();
}

void Session::CheckDeadlines(absl::Time now) {
  const SessionLimits& limits = context_->limits;
  if (end_ != nullptr) return;
  if (state_ == State::kConnecting) {
    if (now < began_at_ + limits.connect_timeout) return;
    return EndBecause(
        {.reason = v1::REASON_CONNECT_TIMEOUT,
         .text = fmt::format("no Connect within {}", absl::FormatDuration(limits.connect_timeout)),
         .limit = ToWireMilliseconds(limits.connect_timeout),
         .value = ToWireMilliseconds(now - began_at_)});
  }
  if (state_ != State::kOpen) return;
  if (paused_ != Paused::kNo) heard_at_ = now;
  if (reader_.unfinished() && now >= heard_at_ + limits.frame_timeout) {
    return EndBecause({.reason = v1::REASON_FRAME_TIMEOUT,
                       .text = fmt::format("a frame was begun and not continued for {}",
                                           absl::FormatDuration(limits.frame_timeout)),
                       .limit = ToWireMilliseconds(limits.frame_timeout),
                       .value = ToWireMilliseconds(now - heard_at_)});
  }
  if (now >= subscriber_.NextCheck()) {
    subscriber_.Check(&transport_, now);
    RememberProgress();
  }
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
              .limit = ToWireMilliseconds(interval),
              .value = ToWireMilliseconds(now - pinged_at_)});
}

// ---- The end ----

void Session::EndBecause(End end) {
  if (end_ == nullptr) end_ = std::make_unique<End>(std::move(end));
}

void Session::Refuse(v1::ErrorCode code, v1::Reason reason, std::string text, uint64_t limit,
                     uint64_t value) {
  EndBecause({.reason = reason, .error = code, .text = std::move(text), .limit = limit, .value = value});
}

void Session::TurnAway(v1::Reason reason, std::string text) {
  EndBecause({.reason = reason, .text = std::move(text)});
}

void Session::Drain(absl::Time now, absl::Time deadline, absl::Duration retry_after) {
  EndBecause({.reason = v1::REASON_SHUTDOWN, .text = "the broker is going down", .retry_after = retry_after});
  if (state_ == State::kOpen) {
    StartDraining(now);
    end_->close_by = deadline;
  }
}

Session::Life Session::Advance(absl::Time now) {
  if (end_ == nullptr) {
    const std::optional<OverLimit>& over = subscriber_.over();
    if (!over.has_value()) return Life::kGoesOn;
    EndBecause({.reason = over->reason,
                .text = ValueAndLimit(*over),
                .limit = over->limit,
                .value = over->value,
                .subscription = over->subscription,
                .above_soft_for = over->above_soft_for});
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
          end_->close_by = now + context_->limits.goodbye_timeout;
        } else {
          SayGoodbye(now);
        }
        break;
      case State::kDraining:
        if ((subscriber_.writer().empty() && answers_.empty()) || now >= end_->close_by) SayGoodbye(now);
        break;
      case State::kGoodbye:
        if (connection_ == Connection::kBroken) {
          Finish(now);
        } else if (subscriber_.writer().empty()) {
          transport_.socket().ShutdownWrite();
          state_ = State::kLingering;
        } else if (now >= end_->close_by) {
          Finish(now);
        }
        break;
      case State::kLingering:
        if (now >= end_->close_by) {
          Finish(now);
        } else if (reading_ == Reading::kEnded) {
          // Our end of the stream counts as one byte until it is acknowledged.
          if (transport_.socket().UnsentBytes() <= 1) {
            Finish(now);
          } else {
            end_->linger_check_at = now + kLingerCheckEvery;
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
  // Behind what that has brought.
  subscriber_.StopBlocking();
}

void Session::StartDraining(absl::Time now) {
  LeaveGroups(now);
  subscriber_.LiftWindows();
  reader_ = FrameReader();
  state_ = State::kDraining;
}

void Session::SayGoodbye(absl::Time now) {
  state_ = State::kGoodbye;
  // First, so that the numbers of the Goodbye hold.
  subscriber_.ForEachSubscription([&](const Subscription* subscription) {
    if (subscription->group != nullptr) context_->fan_out.Settle(subscription->group, now);
  });
  LagFinding lag;
  if (IsSlowConsumer(end_->reason)) {
    // Only a session whose socket is full is cut for being slow, so this is the stall that it was cut in.
    if (subscriber_.stall().since - began_at_ >= kCutsForgottenAfter) cuts_in_a_row_ = 0;
    ++cuts_in_a_row_;
    lag = subscriber_.ConcludeLag(&transport_, now);
    PublishCut(Ends::kSession, {end_->reason, end_->limit, end_->value, end_->subscription, {}}, lag, now);
    RememberCuts(lag, now);
  }
  v1::Goodbye goodbye = MakeGoodbye(now);
  LogEnd(goodbye, lag, now);
  context_->counters.sessions_ended[static_cast<size_t>(end_->reason)].Add();
  if (ids_ == Ids::kGiven) {
    context_->records.Keep({session_id_.data(), session_id_.size()}, goodbye,
                           IsSlowConsumer(end_->reason) ? cuts_in_a_row_ : 0, now);
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
  const Missing dropped = subscriber_.Close(IsSlowConsumer(end_->reason) ? Subscriber::ControlFrames::kDrop
                                                                         : Subscriber::ControlFrames::kKeep);
  context_->counters.pending_bytes.Add(-static_cast<int64_t>(dropped.bytes));
  context_->counters.pending_messages.Add(-static_cast<int64_t>(dropped.messages));
  context_->counters.messages_dropped.Add(dropped.messages - std::min(dropped.messages, dealt_again));
  CountLagging(now);
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
  end_->close_by = now + context_->limits.goodbye_timeout;
  if (subscriber_.wants_flush()) (void)Flush(now);
}

v1::Goodbye Session::MakeGoodbye(absl::Time now) const {
  v1::Goodbye goodbye;
  goodbye.set_reason(end_->reason);
  goodbye.set_text(end_->text);
  goodbye.set_limit(end_->limit);
  goodbye.set_value(end_->value);
  goodbye.set_subscription(end_->subscription);
  goodbye.set_above_soft_ms(ToWireMilliseconds(end_->above_soft_for));
  goodbye.set_pending_bytes(subscriber_.pending_bytes());
  goodbye.set_pending_messages(subscriber_.pending_messages());
  goodbye.set_retry_after_ms(ToWireMilliseconds(RetryAfter()));
  const LeftOut left_out = subscriber_.left_out().total();
  goodbye.set_dropped_messages(left_out.dropped);
  goodbye.set_conflated_messages(left_out.conflated);
  absl::Time oldest = now;
  subscriber_.ForEachSubscription([&](const Subscription* subscription) {
    v1::SubscriptionRecord* record = goodbye.add_subscriptions();
    record->set_subscription(subscription->id);
    if (subscription->group != nullptr && subscription->id == end_->subscription) {
      record->set_filter(std::string(subscription->group->filter()));
    }
    record->set_offered(subscription->offered);
    const LeftOut of_it = subscriber_.left_out().Of(subscription->id);
    record->set_dropped_messages(of_it.dropped);
    record->set_conflated_messages(of_it.conflated);
    record->set_pending_messages(subscription->queue().pending_messages());
    oldest = std::min(oldest, subscription->queue().state().oldest);
  });
  goodbye.set_oldest_age_ms(ToWireMilliseconds(now - oldest));
  return goodbye;
}

absl::Duration Session::RetryAfter() const {
  if (end_->reason == v1::REASON_CLIENT_CLOSED) return absl::ZeroDuration();
  if (end_->reason == v1::REASON_SHUTDOWN) return end_->retry_after;
  if (!IsSlowConsumer(end_->reason)) return context_->limits.retry_after;
  const int doublings = std::min<int>(static_cast<int>(cuts_in_a_row_) - 1, kRetryDoublingsMax);
  return context_->limits.retry_after * (1 << std::max(0, doublings));
}

void Session::LogEnd(const v1::Goodbye& goodbye, const LagFinding& lag, absl::Time now) const {
  const absl::Duration lasted = now - began_at_;
  if (!IsSlowConsumer(end_->reason)) {
    const LogLevel level = end_->error == v1::ERROR_CODE_UNSPECIFIED ? LogLevel::kDebug : LogLevel::kInfo;
    if (!context_->log.Enabled(level)) return;
    uint64_t suppressed_before = 0;
    if (level == LogLevel::kInfo) {
      const std::optional<uint64_t> suppressed = context_->lines.bad_input.Admit(now);
      if (!suppressed.has_value()) return;
      suppressed_before = *suppressed;
    }
    context_->log.Write(level, "session ended",
                        {{"client", client_name_},
                         {"address", peer_},
                         {"reason", ReasonName(end_->reason)},
                         {"text", end_->text},
                         {"lasted", lasted},
                         {"suppressed", suppressed_before}});
    return;
  }
  const std::optional<uint64_t> suppressed = context_->lines.session_cuts.Admit(now);
  if (!suppressed.has_value()) return;
  const Subscription* subscription = subscriber_.Find(end_->subscription);
  const FilterGroup* group = subscription == nullptr ? nullptr : subscription->group;
  context_->log.Warn(
      "slow consumer disconnected",
      {{"client", client_name_},
       {"address", peer_},
       {"reason", ReasonName(end_->reason)},
       {"limit", end_->limit},
       {"value", end_->value},
       {"above_soft_for", end_->above_soft_for},
       {"subscription", end_->subscription},
       {"filter", group == nullptr ? std::string_view() : group->filter()},
       {"pending_bytes", subscriber_.pending_bytes()},
       {"pending_messages", subscriber_.pending_messages()},
       {"cause", LagCauseName(lag.cause)},
       {"drain_bytes_per_second", lag.drain_bytes_per_second},
       {"feed_bytes_per_second", lag.feed_bytes_per_second},
       {"delivery_bytes_per_second", lag.delivery_bytes_per_second},
       {"oldest_age", absl::Milliseconds(static_cast<int64_t>(goodbye.oldest_age_ms()))},
       {"dropped_messages", goodbye.dropped_messages()},
       {"conflated_messages", goodbye.conflated_messages()},
       {"kernel_bytes", transport_.socket().UnsentBytes()},
       {"blocked_for", subscriber_.stalled() ? now - subscriber_.stall().since : absl::ZeroDuration()},
       {"cuts_in_a_row", cuts_in_a_row_},
       {"retry_after", RetryAfter()},
       {"suppressed", *suppressed}});
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
