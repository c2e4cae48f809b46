#include "client/outbox.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <utility>

#include "protocol/frame.h"
#include "protocol/names.h"
#include "protocol/topic.h"

namespace sluice::client {
namespace {

absl::Status Closed() { return absl::CancelledError("the client is closed"); }

absl::Status CheckHeaders(const std::vector<HeaderView>& headers, uint64_t bytes_max) {
  uint64_t bytes = 0;
  for (const HeaderView& header : headers) {
    if (header.name.empty()) return absl::InvalidArgumentError("a header has no name");
    if (!IsValidUtf8(header.name) || !IsValidUtf8(header.value)) {
      return absl::InvalidArgumentError(fmt::format("header \"{}\" is not UTF-8", Printable(header.name)));
    }
    bytes += header.name.size() + header.value.size();
  }
  if (headers.size() > kHeadersMax) {
    return absl::InvalidArgumentError(fmt::format("{} headers: at most {}", headers.size(), kHeadersMax));
  }
  if (bytes_max > 0 && bytes > bytes_max) {
    return absl::InvalidArgumentError(fmt::format("headers of {} bytes: at most {}", bytes, bytes_max));
  }
  return absl::OkStatus();
}

// A control frame of our own; 0: not an AckRequest.
uint64_t AckRequestId(std::string_view frame) {
  v1::ClientFrame control;
  const std::string_view body = BodyOf(frame);
  control.ParseFromArray(body.data(), static_cast<int>(body.size()));
  return control.ack_request().id();
}

}  // namespace

absl::Status CheckMessage(const MessageView& message, const PublishLimits& limits) {
  if (!IsValidTopic(message.topic)) return ValidateTopic(message.topic);
  if (limits.payload_bytes_max > 0 && message.payload.size() > limits.payload_bytes_max) {
    return absl::InvalidArgumentError(fmt::format("a payload of {} bytes: the broker takes at most {}",
                                                  message.payload.size(), limits.payload_bytes_max));
  }
  if (!message.reply_to.empty() && !IsValidTopic(message.reply_to)) return ValidateTopic(message.reply_to);
  if (!message.headers.empty()) return CheckHeaders(message.headers, limits.headers_bytes_max);
  return absl::OkStatus();
}

void Outbox::News::Tell() {
  for (AckCompletion& ack : acks) ack.done(ack.result);
  for (auto& [done, status] : pings) done(status);
}

absl::Status Outbox::Publish(const MessageView& message, const PublishOptions& options) {
  const absl::Status checked =
      CheckMessage(message, {.payload_bytes_max = payload_bytes_max_.load(std::memory_order_relaxed),
                             .headers_bytes_max = headers_bytes_max_.load(std::memory_order_relaxed)});
  if (!checked.ok()) return checked;
  const uint64_t frame_bytes = PublishFrameBytes(message);
  if (frame_bytes > kFrameBodyBytesMax) {
    return absl::InvalidArgumentError(fmt::format("a message of {} bytes is too large", frame_bytes));
  }
  bool wake = false;
  {
    MutexLock lock(&mutex_);
    const absl::Status room = WaitForRoom(options);
    if (!room.ok()) return room;
    if (options.session != 0 && (options.session != session_ || state_ != State::kLive)) {
      return absl::UnavailableError("the connection was lost");
    }
    if (options.ack && acks_.AnythingSince(frames_.last())) AppendAckRequest(AckKind::kSeparator, nullptr);
    WritePublishFrame(message, frames_.ReservePublish(frame_bytes));
    if (options.ack) AppendAckRequest(AckKind::kSingle, options.ack);
    if (options.request != 0) requests_.push_back({.number = frames_.last(), .request = options.request});
    wake = TakeWake();
  }
  if (wake) wakeup_->Notify();
  return absl::OkStatus();
}

absl::Status Outbox::WaitForRoom(const PublishOptions& options) {
  while (!publishing_stopped_ && frames_.bytes() >= bytes_max_) {
    if (options.when_full == WhenFull::kFail || OnIoThread()) {
      return absl::ResourceExhaustedError(
          fmt::format("the outgoing buffer is full: {} bytes wait for the broker", frames_.bytes()));
    }
    if (MonotonicNow() >= options.deadline) {
      return absl::DeadlineExceededError(
          fmt::format("the outgoing buffer stayed full: {} bytes wait for the broker", frames_.bytes()));
    }
    ++waiting_for_room_;
    has_room_.WaitUntil(&mutex_, options.deadline);
    --waiting_for_room_;
  }
  return publishing_stopped_ ? Closed() : absl::OkStatus();
}

absl::Status Outbox::RequestReceipt(AckCallback done) {
  bool wake = false;
  {
    MutexLock lock(&mutex_);
    if (publishing_stopped_) return Closed();
    AppendAckRequest(AckKind::kBatch, std::move(done));
    wake = TakeWake();
  }
  if (wake) wakeup_->Notify();
  return absl::OkStatus();
}

absl::Status Outbox::Ping(PingKind kind, PingDone done) {
  bool wake = false;
  {
    MutexLock lock(&mutex_);
    if (publishing_stopped_ && kind != PingKind::kLife) return Closed();
    if (state_ != State::kLive && kind == PingKind::kLife) return absl::OkStatus();
    pings_.push_back({.id = ++last_ping_, .after = frames_.last(), .kind = kind, .done = std::move(done)});
    v1::ClientFrame frame;
    frame.mutable_ping()->set_id(last_ping_);
    AppendFrame(frame);
    wake = TakeWake();
  }
  if (wake) wakeup_->Notify();
  return absl::OkStatus();
}

void Outbox::AppendControl(std::string_view frames) {
  bool wake = false;
  {
    MutexLock lock(&mutex_);
    if (state_ != State::kLive) return;
    frames_.AppendControl(frames);
    wake = TakeWake();
  }
  if (wake) wakeup_->Notify();
}

void Outbox::AppendFrame(const v1::ClientFrame& frame) {
  std::string bytes;
  sluice::AppendFrame(frame, &bytes);
  frames_.AppendControl(bytes);
}

void Outbox::AppendAckRequest(AckKind kind, AckCallback done) {
  v1::ClientFrame frame;
  frame.mutable_ack_request()->set_id(acks_.Add(kind, frames_.last(), std::move(done)));
  AppendFrame(frame);
}

bool Outbox::TakeWake() { return std::exchange(reader_asleep_, false); }

void Outbox::StopPublishing() {
  MutexLock lock(&mutex_);
  publishing_stopped_ = true;
  has_room_.SignalAll();
}

std::vector<Outbox::Dropped> Outbox::BeginSession(std::string_view prologue, const PublishLimits& limits) {
  payload_bytes_max_.store(limits.payload_bytes_max, std::memory_order_relaxed);
  headers_bytes_max_.store(limits.headers_bytes_max, std::memory_order_relaxed);
  std::vector<Dropped> dropped;
  News news;
  {
    MutexLock lock(&mutex_);
    state_ = State::kLive;
    ++session_;
    AckLedger* const acks = &acks_;
    frames_.Filter([&](std::string_view frame, uint64_t number) {
      // The AckRequest about a dropped publish stands behind it.
      if (number == 0) return AckRequestId(frame) == 0 || acks->Contains(AckRequestId(frame));
      MessageView message;
      // What we wrote ourselves can be read.
      static_cast<void>(ReadMessage(BodyOf(frame), &message));
      const absl::Status checked = CheckMessage(message, limits);
      if (checked.ok()) return true;
      std::vector<AckCompletion> failed = acks->OnDropped(number, checked);
      if (failed.empty()) dropped.push_back({.number = number, .status = checked});
      std::move(failed.begin(), failed.end(), std::back_inserter(news.acks));
      return false;
    });
    frames_.Prepend(prologue);
  }
  news.Tell();
  return dropped;
}

uint64_t Outbox::session() const {
  MutexLock lock(&mutex_);
  return state_ == State::kLive ? session_ : 0;
}

size_t Outbox::Gather(std::span<iovec> pieces) {
  MutexLock lock(&mutex_);
  const size_t count = frames_.Gather(pieces);
  reader_asleep_ = count == 0;
  return count;
}

void Outbox::Consume(size_t bytes) {
  MutexLock lock(&mutex_);
  frames_.Consume(bytes);
  if (waiting_for_room_ > 0 && frames_.bytes() <= bytes_max_ / 2) has_room_.SignalAll();
}

void Outbox::OnPublishAck(const v1::PublishAck& ack) {
  News news;
  {
    MutexLock lock(&mutex_);
    Confirm(frames_.NumberOf(ack.up_to()));
    news.acks = acks_.OnAck(ack.id(), {.messages = ack.messages(),
                                       .matched = ack.matched(),
                                       .queued = ack.queued(),
                                       .dropped = ack.dropped(),
                                       .refused = ack.refused(),
                                       .blocked = ack.blocked()});
  }
  news.Tell();
}

void Outbox::OnPong(uint64_t id) {
  News news;
  {
    MutexLock lock(&mutex_);
    while (!pings_.empty() && pings_.front().id <= id) {
      PendingPing ping = std::move(pings_.front());
      pings_.pop_front();
      Confirm(ping.after);
      if (!ping.done) continue;
      absl::Status status;
      if (ping.kind == PingKind::kFlush && unknown_for_flush_ > 0) {
        status = absl::UnavailableError(fmt::format(
            "the connection was lost meanwhile; the broker may or may not have {} messages that were "
            "published before",
            std::exchange(unknown_for_flush_, 0)));
      }
      news.pings.emplace_back(std::move(ping.done), std::move(status));
    }
  }
  news.Tell();
}

void Outbox::Confirm(uint64_t number) {
  confirmed_ = std::max(confirmed_, number);
  while (!requests_.empty() && requests_.front().number <= confirmed_) requests_.pop_front();
}

RefusedPublish Outbox::OnPublishError(uint64_t publish, const absl::Status& why) {
  MutexLock lock(&mutex_);
  RefusedPublish refused{.number = frames_.NumberOf(publish)};
  refused.told = acks_.OnRefusal(refused.number, why);
  for (const Request& request : requests_) {
    if (request.number == refused.number) refused.request = request.request;
    if (request.number >= refused.number) break;
  }
  return refused;
}

void Outbox::OnAllProcessed() {
  MutexLock lock(&mutex_);
  Confirm(frames_.LastLeft());
}

bool Outbox::WantsConfirmation() const {
  MutexLock lock(&mutex_);
  return frames_.last() > confirmed_ && pings_.empty();
}

uint64_t Outbox::EndSession() {
  News news;
  uint64_t unknown = 0;
  {
    MutexLock lock(&mutex_);
    unknown = EndSessionLocked(&news);
  }
  news.Tell();
  return unknown;
}

uint64_t Outbox::EndSessionLocked(News* news) {
  if (state_ != State::kLive) return 0;
  state_ = State::kOffline;
  reader_asleep_ = false;
  const uint64_t left = frames_.LastLeft();
  const uint64_t unknown = frames_.CountBetween(confirmed_, left);
  // Those whose sender hears of each by itself are not told again.
  uint64_t untold = unknown - acks_.SinglesBetween(confirmed_, left);
  for (; !requests_.empty() && requests_.front().number <= left; requests_.pop_front()) --untold;
  confirmed_ = std::max(confirmed_, left);
  unknown_ += unknown;
  unknown_for_flush_ += untold;
  news->acks = acks_.EndSession(left, untold);
  FailPings(news);
  frames_.EndSession();
  const AckLedger* const acks = &acks_;
  std::deque<Request>* const requests = &requests_;
  frames_.Filter([acks, requests](std::string_view frame, uint64_t number) {
    if (number == 0) return acks->Contains(AckRequestId(frame));
    // A request's sender was told that the connection was lost, and its reply topic is gone.
    if (requests->empty() || requests->front().number != number) return true;
    requests->pop_front();
    return false;
  });
  return unknown;
}

void Outbox::FailPings(News* news) {
  for (PendingPing& ping : pings_) {
    if (!ping.done) continue;
    absl::Status status = absl::UnavailableError("the connection was lost");
    if (ping.kind == PingKind::kFlush) {
      status = absl::UnavailableError(fmt::format(
          "the connection was lost; the broker may or may not have {} messages that were published "
          "before",
          std::exchange(unknown_for_flush_, 0)));
    }
    news->pings.emplace_back(std::move(ping.done), std::move(status));
  }
  pings_.clear();
}

uint64_t Outbox::Close(const absl::Status& why) {
  News news;
  uint64_t unsent = 0;
  {
    MutexLock lock(&mutex_);
    publishing_stopped_ = true;
    has_room_.SignalAll();
    EndSessionLocked(&news);
    state_ = State::kClosed;
    unsent = frames_.BufferedPublishes();
    for (AckCompletion& ack : acks_.FailAll(why)) news.acks.push_back(std::move(ack));
    for (PendingPing& ping : pings_) {
      if (ping.done) news.pings.emplace_back(std::move(ping.done), why);
    }
    pings_.clear();
  }
  news.Tell();
  return unsent;
}

Outbox::Stats Outbox::stats() const {
  MutexLock lock(&mutex_);
  return {.published = frames_.last(),
          .bytes = frames_.bytes(),
          .messages = frames_.BufferedPublishes(),
          .unknown = unknown_};
}

}  // namespace sluice::client
