#include "client/session.h"

#include <fmt/core.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "client/wire_words.h"
#include "protocol/control.h"
#include "protocol/frame.h"
#include "protocol/names.h"
#include "protocol/publish.h"

namespace sluice::client {
namespace {

// What one turn reads and writes before it looks at everything else.
constexpr int kReadsPerTurn = 4;
constexpr int kWritesPerTurn = 4;
constexpr size_t kPiecesPerWrite = 64;
constexpr absl::Duration kDefaultPingInterval = absl::Seconds(30);
// How often publishes that nobody asks about are confirmed, so that after a lost connection few are unknown.
constexpr absl::Duration kConfirmInterval = absl::Seconds(1);
constexpr std::string_view kLibrary = "sluice-cpp/" SLUICE_VERSION;

int PollTimeout(absl::Time now, absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) return -1;
  // Rounded up, or it would spin in the last millisecond.
  const int64_t ms = absl::ToInt64Milliseconds(deadline - now + absl::Milliseconds(1) - absl::Nanoseconds(1));
  return static_cast<int>(std::clamp<int64_t>(ms, 0, 3600 * 1000));
}

// A later broker may say something behind a message, about as much as in a frame of its own.
uint64_t LongestBody(const v1::ServerLimits& limits) {
  if (limits.payload_bytes_max() == 0 || limits.headers_bytes_max() == 0) return kFrameBodyBytesMax;
  return FrameBodyBytesMax({.payload_bytes_max = limits.payload_bytes_max(),
                            .headers_bytes_max = limits.headers_bytes_max()}) +
         kServerControlBodyBytesMax;
}

std::string WithText(std::string_view reason, const std::string& text) {
  return text.empty() ? std::string(reason) : fmt::format("{}: {}", reason, ForPeople(text));
}

}  // namespace

// ---- opening ----

absl::Status Session::Failure(std::string_view what) const {
  return absl::UnavailableError(fmt::format("{}: {}", server_.ToString(), what));
}

Again JudgeAgain(Reason reason) {
  switch (reason) {
    case Reason::kProtocolError:
    case Reason::kFrameTooLarge:
    case Reason::kUnsupportedVersion:
      return Again::kIsUseless;
    default:
      return Again::kMayHelp;
  }
}

absl::Status Session::Open(const std::string& previous_session, absl::Time deadline, Refusal* refusal) {
  *refusal = Refusal();
  absl::StatusOr<std::vector<TcpAddress>> addresses = Resolve(server_);
  if (!addresses.ok()) return addresses.status();
  absl::Status status;
  for (const TcpAddress& address : *addresses) {
    status = ConnectTo(address, deadline);
    if (status.ok()) break;
    if (absl::IsCancelled(status)) return status;
  }
  if (!status.ok()) return status;
  return Handshake(previous_session, deadline, refusal);
}

absl::Status Session::ConnectTo(const TcpAddress& address, absl::Time deadline) {
  IoResult result = stream_.StartConnect(address);
  if (result.status == IoStatus::kWouldBlock) {
    switch (WaitFor(POLLOUT, deadline)) {
      case Waited::kSocket:
        result = stream_.FinishConnect();
        break;
      case Waited::kTimeout:
        return absl::DeadlineExceededError(server_.ToString() + ": the connection was not accepted in time");
      case Waited::kClosing:
        return absl::CancelledError("the client is closed");
    }
  }
  if (result.status != IoStatus::kOk) return Failure("cannot connect: " + SystemErrorText(result.error));
  return absl::OkStatus();
}

Session::Waited Session::WaitFor(short events, absl::Time deadline) {
  for (;;) {
    if (parts_.lifecycle.close_deadline() != absl::InfiniteFuture()) return Waited::kClosing;
    const absl::Time now = MonotonicNow();
    if (now >= deadline) return Waited::kTimeout;
    std::array<pollfd, 2> fds = {{{stream_.fd(), events, 0}, {parts_.wakeup.fd(), POLLIN, 0}}};
    static_cast<void>(::poll(fds.data(), fds.size(), PollTimeout(now, deadline)));
    if (fds[1].revents != 0) parts_.wakeup.Drain();
    if (fds[0].revents != 0) return Waited::kSocket;
  }
}

absl::Status Session::Handshake(const std::string& previous_session, absl::Time deadline, Refusal* refusal) {
  SendConnect(previous_session);
  buffer_.set_frame_body_bytes_max(kServerControlBodyBytesMax);
  // The Error that a Goodbye is to follow, or the connection's end.
  absl::Status why;
  for (;;) {
    switch (WaitFor(POLLIN, deadline)) {
      case Waited::kSocket:
        break;
      case Waited::kTimeout:
        why.Update(absl::DeadlineExceededError(server_.ToString() + ": the server did not answer in time"));
        return why;
      case Waited::kClosing:
        return absl::CancelledError("the client is closed");
    }
    const IoResult got = stream_.Read(buffer_.Room());
    if (got.status == IoStatus::kWouldBlock) continue;
    if (got.status == IoStatus::kEof)
      why.Update(Failure("the server closed the connection before it answered"));
    if (got.status == IoStatus::kError) {
      why.Update(Failure("the connection was lost: " + SystemErrorText(got.error)));
    }
    if (got.status != IoStatus::kOk) return why;
    buffer_.Commit(got.bytes);
    parts_.counters.bytes_received.Add(got.bytes);
    switch (TakeAnswer(refusal, &why)) {
      case Opening::kGoesOn:
        break;
      case Opening::kConnected:
        return absl::OkStatus();
      case Opening::kRefused:
        return why;
    }
  }
}

void Session::SendConnect(const std::string& previous_session) {
  v1::ClientFrame hello;
  v1::Connect& connect = *hello.mutable_connect();
  connect.set_protocol_version(kProtocolVersion);
  connect.set_client_name(parts_.options.name);
  connect.set_client_library(kLibrary.data(), kLibrary.size());
  connect.set_previous_session(previous_session);
  std::string bytes;
  AppendFrame(hello, &bytes);
  const iovec piece = {bytes.data(), bytes.size()};
  // A new connection takes some hundred bytes at once. If it does not, the server is gone, and what it said
  // before that is still to be read.
  parts_.counters.bytes_sent.Add(stream_.Write({&piece, 1}).bytes);
}

Session::Opening Session::TakeAnswer(Refusal* refusal, absl::Status* why) {
  for (;;) {
    Frame frame;
    const FrameFound found = buffer_.Next(&frame);
    if (found == FrameFound::kNeedMore) return Opening::kGoesOn;
    const bool parsed = found == FrameFound::kFrame &&
                        frame_.ParseFromArray(frame.body.data(), static_cast<int>(frame.body.size()));
    switch (parsed ? frame_.frame_case() : v1::ServerFrame::kMessage) {
      case v1::ServerFrame::kConnected:
        connected_ = frame_.connected();
        return Opening::kConnected;
      case v1::ServerFrame::kError:
        why->Update(ToStatus(frame_.error()));
        break;
      case v1::ServerFrame::kGoodbye:
        refusal->retry_after = absl::Milliseconds(static_cast<int64_t>(frame_.goodbye().retry_after_ms()));
        refusal->again = JudgeAgain(ToReason(frame_.goodbye().reason()));
        why->Update(Failure(WithText(ReasonName(frame_.goodbye().reason()), frame_.goodbye().text())));
        return Opening::kRefused;
      case v1::ServerFrame::FRAME_NOT_SET:
        // Of a newer version.
        break;
      default:
        why->Update(Failure("the server does not speak this protocol"));
        return Opening::kRefused;
    }
  }
}

// ---- the turn ----

SessionEnd Session::Run() {
  const v1::ServerLimits& limits = connected_.limits();
  buffer_.set_frame_body_bytes_max(LongestBody(limits));
  const absl::Duration interval = limits.ping_interval_ms() == 0
                                      ? kDefaultPingInterval
                                      : absl::Milliseconds(static_cast<int64_t>(limits.ping_interval_ms()));
  life_.emplace(interval, MonotonicNow());
  confirmed_at_ = MonotonicNow();
  TakeFrames();
  while (!end_) {
    Write();
    const absl::Time now = MonotonicNow();
    JudgeReading(now);
    JudgeClosing(now);
    if (!end_) Wait(now);
    if (!end_ && socket_ready_) Read();
    if (!end_) {
      const absl::Time later = MonotonicNow();
      JudgeLife(later);
      ConfirmNowAndThen(later);
      parts_.requests.Expire(later);
    }
  }
  parts_.counters.reading_paused.End(MonotonicNow());
  parts_.counters.broker_paused.End(MonotonicNow());
  stream_.Close();
  return *std::move(end_);
}

void Session::Write() {
  more_to_write_ = false;
  for (int i = 0; i < kWritesPerTurn && writing_ == Writing::kOn; ++i) {
    std::array<iovec, kPiecesPerWrite> room;
    const std::span<const iovec> pieces(room.data(), parts_.outbox.Gather(room));
    if (pieces.empty()) return;
    size_t offered = 0;
    for (const iovec& piece : pieces) offered += piece.iov_len;
    const IoResult result = stream_.Write(pieces);
    parts_.counters.sends.Add(1);
    switch (result.status) {
      case IoStatus::kOk:
        parts_.outbox.Consume(result.bytes);
        parts_.counters.bytes_sent.Add(result.bytes);
        if (result.bytes < offered) writing_ = Writing::kBlocked;
        break;
      case IoStatus::kWouldBlock:
        writing_ = Writing::kBlocked;
        break;
      default:
        // What the broker said before it went is still to be read; the end will be found there.
        writing_ = Writing::kEnded;
    }
  }
  more_to_write_ = writing_ == Writing::kOn;
}

void Session::JudgeReading(absl::Time now) {
  const bool full = !closing_ && parts_.budget.Judge() == Intake::kFull;
  if (full == parts_.counters.reading_paused.running()) return;
  if (full) {
    parts_.counters.reading_paused.Begin(now);
    life_->Suspend(Suspension::kOwnReads);
  } else {
    parts_.counters.reading_paused.End(now);
    life_->Resume(Suspension::kOwnReads, now);
    ignore_socket_ = false;
  }
}

void Session::JudgeClosing(absl::Time now) {
  const absl::Time deadline = parts_.lifecycle.close_deadline();
  if (deadline == absl::InfiniteFuture()) return;
  if (!closing_) {
    closing_ = true;
    JudgeReading(now);
  }
  if (now >= deadline) return End(Reason::kClientClosed, "closed before the server said goodbye");
  if (writing_ == Writing::kOn && !more_to_write_) {
    stream_.ShutdownWrite();
    writing_ = Writing::kEnded;
  }
}

absl::Time Session::NextDeadline(absl::Time now) {
  absl::Time next =
      std::min({life_->NextJudgement(), parts_.requests.NextDeadline(), parts_.lifecycle.close_deadline()});
  if (parts_.outbox.WantsConfirmation())
    next = std::min(next, std::max(now, confirmed_at_ + kConfirmInterval));
  return next;
}

void Session::Wait(absl::Time now) {
  short events = 0;
  if (!parts_.counters.reading_paused.running()) events |= POLLIN;
  if (writing_ == Writing::kBlocked || more_to_write_) events |= POLLOUT;
  std::array<pollfd, 2> fds = {
      {{ignore_socket_ ? -1 : stream_.fd(), events, 0}, {parts_.wakeup.fd(), POLLIN, 0}}};
  // EINTR is as good as a timeout.
  static_cast<void>(::poll(fds.data(), fds.size(), PollTimeout(now, NextDeadline(now))));
  if (fds[1].revents != 0) parts_.wakeup.Drain();
  if ((fds[0].revents & POLLOUT) != 0 && writing_ == Writing::kBlocked) writing_ = Writing::kOn;
  socket_ready_ = (fds[0].revents & ~POLLOUT) != 0;
  if (socket_ready_ && (events & POLLIN) == 0) {
    socket_ready_ = false;
    ignore_socket_ = true;
  }
}

void Session::Read() {
  for (int i = 0; i < kReadsPerTurn && !end_; ++i) {
    const std::span<char> room = buffer_.Room();
    const IoResult result = stream_.Read(room);
    switch (result.status) {
      case IoStatus::kOk:
        break;
      case IoStatus::kWouldBlock:
        return;
      case IoStatus::kEof:
        return closing_ ? End(Reason::kClientClosed, "closed")
                        : End(Reason::kConnectionLost, "the server closed the connection without a goodbye");
      case IoStatus::kError:
        return End(Reason::kConnectionLost, SystemErrorText(result.error));
    }
    buffer_.Commit(result.bytes);
    parts_.counters.receives.Add(1);
    parts_.counters.bytes_received.Add(result.bytes);
    life_->OnSign(MonotonicNow());
    TakeFrames();
    if (result.bytes < room.size() || (!closing_ && parts_.budget.Judge() == Intake::kFull)) return;
  }
}

void Session::JudgeLife(absl::Time now) {
  if (now < life_->NextJudgement()) return;
  // A long message may be under way for longer than an interval: as long as the peer's system takes it, and
  // our question stands behind it, the peer lives.
  int unsent = 0;
  const bool waits =
      writing_ == Writing::kBlocked || (::ioctl(stream_.fd(), SIOCOUTQ, &unsent) == 0 && unsent > 0);
  const uint64_t acked = stream_.BytesAcked().value_or(0);
  const bool moves = acked > std::exchange(bytes_acked_, acked);
  if (waits && moves) return life_->OnSign(now);
  switch (life_->Judge(now)) {
    case LifeVerdict::kAlive:
      return;
    case LifeVerdict::kAsk:
      // It can only fail when there is no session.
      static_cast<void>(parts_.outbox.Ping(PingKind::kLife, nullptr));
      return;
    case LifeVerdict::kDead:
      return End(Reason::kServerSilent, "the server gave no sign of life");
  }
}

void Session::ConfirmNowAndThen(absl::Time now) {
  if (!parts_.outbox.WantsConfirmation()) {
    confirmed_at_ = now;
    return;
  }
  if (now < confirmed_at_ + kConfirmInterval) return;
  confirmed_at_ = now;
  static_cast<void>(parts_.outbox.Ping(PingKind::kLife, nullptr));
}

// ---- what came ----

void Session::TakeFrames() {
  // Message frames that follow one another go to their subscription in one piece.
  std::string_view run;
  uint64_t messages = 0;
  while (!end_) {
    Frame frame;
    const FrameFound found = buffer_.Next(&frame);
    if (found == FrameFound::kFrame && IsPublish(frame.body)) {
      run = messages == 0 ? frame.bytes : std::string_view(run.data(), run.size() + frame.bytes.size());
      ++messages;
      continue;
    }
    if (messages > 0) Deliver(run, std::exchange(messages, 0));
    switch (found) {
      case FrameFound::kNeedMore:
        return;
      case FrameFound::kBadLength:
        return End(Reason::kBadServerFrame, "the server sent a frame without a proper length");
      case FrameFound::kTooLarge:
        return End(Reason::kBadServerFrame, "the server sent a frame that is larger than it had announced");
      case FrameFound::kFrame:
        if (!end_) TakeControl(frame.body);
    }
  }
}

void Session::Deliver(std::string_view frames, uint64_t messages) {
  parts_.counters.messages_received.Add(messages);
  switch (target_) {
    case Target::kNone:
      return End(Reason::kBadServerFrame, "the server sent a message without saying to which subscription");
    case Target::kInbox:
      return DeliverReplies(frames);
    case Target::kSubscription:
      // One that we have forgotten meanwhile: thrown away.
      if (subscription_ != nullptr) subscription_->OnMessages(buffer_.chunk(), frames, messages);
  }
}

void Session::DeliverReplies(std::string_view frames) {
  while (!frames.empty()) {
    const FramePrefix prefix = ReadFramePrefix(frames);
    MessageView view;
    if (!ReadMessage(frames.substr(prefix.prefix_bytes, prefix.body_bytes), &view)) {
      return End(Reason::kBadServerFrame, "the server sent a malformed reply");
    }
    frames.remove_prefix(prefix.frame_bytes());
    const uint64_t id = Requests::ParseToken(view.topic.substr(view.topic.rfind('.') + 1));
    ChunkRef chunk = buffer_.chunk();
    // A reply that comes too late, or a second one, has nobody who waits.
    static_cast<void>(parts_.requests.Finish(id, ReceivedMessage(chunk.release(), std::move(view), 0)));
  }
}

void Session::TakeControl(std::string_view body) {
  if (!frame_.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return End(Reason::kBadServerFrame, "the server sent a malformed frame");
  }
  switch (frame_.frame_case()) {
    case v1::ServerFrame::kDelivery:
      return OnDelivery(frame_.delivery().subscription());
    case v1::ServerFrame::kSubscribed:
      return OnSubscribed(frame_.subscribed());
    case v1::ServerFrame::kUnsubscribed:
      return OnUnsubscribed(frame_.unsubscribed());
    case v1::ServerFrame::kPublishAck:
      return parts_.outbox.OnPublishAck(frame_.publish_ack());
    case v1::ServerFrame::kError:
      return OnError(frame_.error());
    case v1::ServerFrame::kServerPing: {
      v1::ClientFrame answer;
      answer.mutable_pong()->set_id(frame_.server_ping().id());
      std::string bytes;
      AppendFrame(answer, &bytes);
      return parts_.outbox.AppendControl(bytes);
    }
    case v1::ServerFrame::kServerPong:
      return parts_.outbox.OnPong(frame_.server_pong().id());
    case v1::ServerFrame::kGap:
      return OnGap(frame_.gap());
    case v1::ServerFrame::kSlowConsumer:
      return OnSlowConsumer(frame_.slow_consumer());
    case v1::ServerFrame::kPaused:
      return OnPaused(frame_.paused());
    case v1::ServerFrame::kResumed:
      return OnResumed();
    case v1::ServerFrame::kGoodbye:
      return OnGoodbye(frame_.goodbye());
    case v1::ServerFrame::kConnected:
      return End(Reason::kBadServerFrame, "the server said Connected twice");
    case v1::ServerFrame::kMessage:
      // Its tag would have said so, unless something stands in front of it.
      return End(Reason::kBadServerFrame, "the server sent a malformed message");
    case v1::ServerFrame::FRAME_NOT_SET:
      // Of a newer version.
      return;
  }
}

void Session::OnDelivery(uint32_t subscription) {
  if (parts_.table.CheckInbox(subscription) == SubscriptionTable::IsInbox::kYes) {
    target_ = Target::kInbox;
    subscription_ = nullptr;
  } else {
    target_ = Target::kSubscription;
    subscription_ = parts_.table.Find(subscription);
  }
}

void Session::OnSubscribed(const v1::Subscribed& subscribed) {
  const auto state = parts_.table.Find(subscribed.subscription());
  if (state == nullptr) return;
  state->OnSubscribed({.overflow = FromWire(subscribed.overflow()),
                       .limits = FromWire(subscribed.limits()),
                       .conflate_header = subscribed.conflate_header(),
                       .enforcement = subscribed.observed() ? SubscriptionTerms::Enforcement::kObserved
                                                            : SubscriptionTerms::Enforcement::kActed},
                      subscribed.window_bytes());
}

void Session::OnUnsubscribed(const v1::Unsubscribed& unsubscribed) {
  SubscriptionEnd end{
      .reason = ToReason(unsubscribed.reason()),
      .offered = unsubscribed.offered(),
      .limit = unsubscribed.limit(),
      .value = unsubscribed.value(),
      .above_soft_for = absl::Milliseconds(static_cast<int64_t>(unsubscribed.above_soft_ms()))};
  if (end.reason != Reason::kUnsubscribed && end.reason != Reason::kCountReached) {
    end.status = absl::UnavailableError(fmt::format(
        "the broker ended the subscription: {}{}", ReasonName(unsubscribed.reason()),
        end.limit == 0 ? ""
                       : fmt::format(" ({} waited for its handler; at most {} may)", end.value, end.limit)));
  }
  const absl::Status status = end.status;
  const auto state = parts_.table.OnUnsubscribed(unsubscribed.subscription(), std::move(end));
  // Nobody would hear of it otherwise.
  if (state != nullptr && !status.ok() && !state->options().on_end) {
    parts_.events.Post(ErrorEvent{.status = status, .subscription = unsubscribed.subscription()});
  }
}

void Session::OnGap(const v1::Gap& gap) {
  const auto state = parts_.table.Find(gap.subscription());
  if (state == nullptr) return;
  state->OnGap({.messages = gap.messages(), .bytes = gap.bytes(), .cause = ToGapCause(gap.cause())});
}

void Session::OnError(const v1::Error& error) {
  const absl::Status status = ToStatus(error);
  ErrorEvent event{.status = status, .subscription = error.subscription()};
  if (error.publish() != 0) {
    const RefusedPublish refused = parts_.outbox.OnPublishError(error.publish(), status);
    if (refused.told == AckLedger::Told::kBySingle) return;
    if (refused.request != 0) {
      static_cast<void>(parts_.requests.Finish(refused.request, status));
      return;
    }
    event.publish = refused.number;
  } else if (error.subscription() != 0) {
    if (parts_.table.CheckInbox(error.subscription()) == SubscriptionTable::IsInbox::kYes) {
      parts_.requests.FailAll(status);
    } else if (parts_.table.OnRefused(error.subscription(), status) ==
               SubscriptionTable::Refusal::kEndedTold) {
      return;
    }
    // We ended it while the broker ended it.
    if (error.code() == v1::ERROR_CODE_UNKNOWN_SUBSCRIPTION) return;
  }
  parts_.events.Post(std::move(event));
}

void Session::OnSlowConsumer(const v1::SlowConsumer& slow) {
  const auto state = parts_.table.Find(slow.subscription());
  parts_.events.Post(SlowConsumerEvent{
      .subscription = slow.subscription(),
      .filter = state == nullptr ? "" : state->filter(),
      .state = slow.state() == v1::SlowConsumer::STATE_CLEARED ? SlowConsumerEvent::State::kCleared
                                                               : SlowConsumerEvent::State::kRaised,
      .limit = ToReason(slow.limit()),
      .limit_value = slow.limit_value(),
      .value = slow.value(),
      .soft_time = absl::Milliseconds(static_cast<int64_t>(slow.soft_time_ms())),
      .cause = ToLagCause(slow.cause()),
      .drain_bytes_per_second = slow.drain_bytes_per_second(),
      .feed_bytes_per_second = slow.feed_bytes_per_second(),
      .time_to_limit = slow.time_to_limit_ms() == 0
                           ? absl::InfiniteDuration()
                           : absl::Milliseconds(static_cast<int64_t>(slow.time_to_limit_ms()))});
}

void Session::OnPaused(const v1::Paused& paused) {
  parts_.counters.broker_paused.Begin(MonotonicNow());
  life_->Suspend(Suspension::kBroker);
  parts_.events.Post(
      PausedEvent{.state = PausedEvent::State::kPaused, .cause = PauseCauseName(paused.cause())});
}

void Session::OnResumed() {
  parts_.counters.broker_paused.End(MonotonicNow());
  life_->Resume(Suspension::kBroker, MonotonicNow());
  parts_.events.Post(PausedEvent{.state = PausedEvent::State::kResumed, .cause = ""});
}

void Session::OnGoodbye(const v1::Goodbye& goodbye) {
  // It answers the end of our stream after everything in it was processed.
  if (goodbye.reason() == v1::REASON_CLIENT_CLOSED) parts_.outbox.OnAllProcessed();
  End(ToReason(goodbye.reason()), goodbye.text());
  end_->goodbye = goodbye;
}

void Session::End(Reason reason, std::string text) {
  if (!end_) end_ = SessionEnd{.reason = reason, .text = std::move(text), .goodbye = std::nullopt};
}

}  // namespace sluice::client
