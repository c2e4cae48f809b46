#include "tests/support/wire_client.h"

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "broker/net/error_text.h"
#include "fmt/format.h"
#include "protocol/frame.h"
#include "protocol/names.h"

namespace sluice::testing {
namespace {

constexpr size_t kReadBytesMax = 256 << 10;

void FillSubscribe(uint32_t id, std::string_view filter, const SubscribeOptions& options,
                   v1::ClientFrame* frame) {
  v1::Subscribe* subscribe = frame->mutable_subscribe();
  subscribe->set_subscription(id);
  subscribe->set_filter(std::string(filter));
  subscribe->set_queue_group(options.queue_group);
  subscribe->set_overflow(options.overflow);
  subscribe->set_conflate_header(options.conflate_header);
  subscribe->set_window_bytes(options.window_bytes);
  v1::SubscriptionLimits* limits = subscribe->mutable_limits();
  limits->set_pending_bytes_max(options.pending_bytes_max);
  limits->set_pending_messages_max(options.pending_messages_max);
  limits->set_pending_age_max_ms(options.pending_age_max_ms);
  limits->set_pending_bytes_soft(options.pending_bytes_soft);
  limits->set_pending_messages_soft(options.pending_messages_soft);
  limits->set_pending_age_soft_ms(options.pending_age_soft_ms);
  limits->set_soft_time_ms(options.soft_time_ms);
}

}  // namespace

std::string Encode(const v1::ClientFrame& frame) {
  std::string bytes;
  AppendFrame(frame, &bytes);
  return bytes;
}

std::string PublishFrame(std::string_view topic, std::string_view payload, std::string_view reply_to) {
  v1::ClientFrame frame;
  frame.mutable_message()->set_topic(std::string(topic));
  frame.mutable_message()->set_payload(std::string(payload));
  frame.mutable_message()->set_reply_to(std::string(reply_to));
  return Encode(frame);
}

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

WireClient::WireClient(uint16_t port, const SocketPairOptions& options)
    : WireClient(ConnectTo(port, options)) {}

WireClient::WireClient(net::Socket socket) : socket_(std::move(socket)) {
  // Small frames at once: otherwise every second one waits for an acknowledgement of the first.
  if (!socket_.Apply({.nodelay = true}).ok()) throw std::runtime_error("TCP_NODELAY");
}

v1::Connected WireClient::Connect(std::string_view name, std::string_view previous_session) {
  v1::ClientFrame frame;
  frame.mutable_connect()->set_protocol_version(kProtocolVersion);
  frame.mutable_connect()->set_client_name(std::string(name));
  frame.mutable_connect()->set_previous_session(std::string(previous_session));
  Send(frame);
  connected_ = NextOf(v1::ServerFrame::kConnected).connected();
  return connected_;
}

void WireClient::SendRaw(std::string_view bytes) {
  while (!bytes.empty()) {
    const iovec piece = {const_cast<char*>(bytes.data()), bytes.size()};
    const net::IoResult result = socket_.Write({&piece, 1});
    if (result.status == net::IoStatus::kOk) {
      bytes.remove_prefix(result.bytes);
    } else if (result.status != net::IoStatus::kWouldBlock) {
      throw std::runtime_error("cannot send: " + net::ErrorText(result.error));
    } else if (!WaitUntilReady(socket_, Readiness::kWritable)) {
      throw std::runtime_error("the broker takes nothing");
    }
  }
}

bool WireClient::TrySendRaw(std::string_view bytes) {
  while (!bytes.empty()) {
    const iovec piece = {const_cast<char*>(bytes.data()), bytes.size()};
    const net::IoResult result = socket_.Write({&piece, 1});
    if (result.status == net::IoStatus::kWouldBlock) return true;
    if (result.status != net::IoStatus::kOk) return false;
    bytes.remove_prefix(result.bytes);
  }
  return true;
}

void WireClient::SendSubscribe(uint32_t id, std::string_view filter, const SubscribeOptions& options) {
  v1::ClientFrame frame;
  FillSubscribe(id, filter, options, &frame);
  Send(frame);
}

v1::Subscribed WireClient::Subscribe(uint32_t id, std::string_view filter, const SubscribeOptions& options) {
  SendSubscribe(id, filter, options);
  return NextOf(v1::ServerFrame::kSubscribed).subscribed();
}

void WireClient::SendUnsubscribe(uint32_t id, uint64_t after_messages) {
  v1::ClientFrame frame;
  frame.mutable_unsubscribe()->set_subscription(id);
  frame.mutable_unsubscribe()->set_after_messages(after_messages);
  Send(frame);
}

void WireClient::SendCredit(uint32_t id, uint64_t granted_bytes) {
  v1::ClientFrame frame;
  frame.mutable_credit()->set_subscription(id);
  frame.mutable_credit()->set_granted_bytes(granted_bytes);
  Send(frame);
}

void WireClient::SendPing(uint64_t id) {
  v1::ClientFrame frame;
  frame.mutable_ping()->set_id(id);
  Send(frame);
}

void WireClient::SendAckRequest(uint64_t id) {
  v1::ClientFrame frame;
  frame.mutable_ack_request()->set_id(id);
  Send(frame);
}

void WireClient::Publish(std::string_view topic, std::string_view payload, std::string_view reply_to) {
  SendRaw(PublishFrame(topic, payload, reply_to));
}

v1::PublishAck WireClient::Ack() {
  const uint64_t id = ++next_id_;
  SendAckRequest(id);
  v1::PublishAck ack = NextOf(v1::ServerFrame::kPublishAck).publish_ack();
  if (ack.id() != id) throw std::runtime_error("an ack that was not asked for");
  return ack;
}

void WireClient::Ping() {
  const uint64_t id = ++next_id_;
  SendPing(id);
  if (NextOf(v1::ServerFrame::kServerPong).server_pong().id() != id) {
    throw std::runtime_error("a pong that was not asked for");
  }
}

WireClient::Fill WireClient::ReadSome(size_t bytes_max) {
  if (parsed_ > 0 && parsed_ >= input_.size() / 2) {
    input_.erase(0, parsed_);
    parsed_ = 0;
  }
  const size_t before = input_.size();
  input_.resize(before + std::min(bytes_max, kReadBytesMax));
  const iovec piece = {input_.data() + before, input_.size() - before};
  const net::IoResult result = socket_.Read({&piece, 1});
  input_.resize(before + result.bytes);
  switch (result.status) {
    case net::IoStatus::kOk:
      return Fill::kBytes;
    case net::IoStatus::kWouldBlock:
      return Fill::kNothing;
    default:
      return Fill::kEnd;
  }
}

std::optional<v1::ServerFrame> WireClient::ParseNext() {
  const std::string_view rest = std::string_view(input_).substr(parsed_);
  const FramePrefix prefix = ReadFramePrefix(rest);
  if (prefix.status == FramePrefixStatus::kBad) throw std::runtime_error("the broker sent a bad length");
  if (prefix.status == FramePrefixStatus::kIncomplete || prefix.frame_bytes() > rest.size()) {
    return std::nullopt;
  }
  v1::ServerFrame frame;
  if (!frame.ParseFromArray(rest.data() + prefix.prefix_bytes, static_cast<int>(prefix.body_bytes)) ||
      frame.frame_case() == v1::ServerFrame::FRAME_NOT_SET) {
    throw std::runtime_error("the broker sent what is no ServerFrame");
  }
  parsed_ += prefix.frame_bytes();
  return frame;
}

bool WireClient::KeepNext() {
  for (;;) {
    if (std::optional<v1::ServerFrame> frame = ParseNext()) {
      kept_.push_back(*std::move(frame));
      return true;
    }
    switch (ReadSome(kReadBytesMax)) {
      case Fill::kBytes:
        break;
      case Fill::kEnd:
        return false;
      case Fill::kNothing:
        if (!WaitUntilReady(socket_, Readiness::kReadable)) throw std::runtime_error("the broker is silent");
    }
  }
}

std::optional<v1::ServerFrame> WireClient::NextFrame() {
  if (kept_.empty() && !KeepNext()) return std::nullopt;
  v1::ServerFrame frame = std::move(kept_.front());
  kept_.pop_front();
  return frame;
}

std::optional<v1::ServerFrame> WireClient::PollFrame() {
  if (!kept_.empty()) return NextFrame();
  for (;;) {
    if (std::optional<v1::ServerFrame> frame = ParseNext()) return frame;
    if (ReadSome(kReadBytesMax) != Fill::kBytes) return std::nullopt;
  }
}

// The first of one of these kinds, out of its order.
v1::ServerFrame WireClient::TakeKept(std::initializer_list<v1::ServerFrame::FrameCase> kinds) {
  for (size_t at = 0;; ++at) {
    if (at == kept_.size() && !KeepNext()) throw std::runtime_error("the connection ended without Goodbye");
    if (std::find(kinds.begin(), kinds.end(), kept_[at].frame_case()) != kinds.end()) {
      v1::ServerFrame frame = std::move(kept_[at]);
      kept_.erase(kept_.begin() + static_cast<ptrdiff_t>(at));
      return frame;
    }
    if (kept_[at].has_goodbye()) {
      throw std::runtime_error(fmt::format("the session ended: {} ({})",
                                           ReasonName(kept_[at].goodbye().reason()),
                                           kept_[at].goodbye().text()));
    }
  }
}

v1::ServerFrame WireClient::NextOf(v1::ServerFrame::FrameCase kind) { return TakeKept({kind}); }

DeliveredMessage WireClient::NextMessage() {
  for (;;) {
    v1::ServerFrame frame = TakeKept({v1::ServerFrame::kDelivery, v1::ServerFrame::kMessage});
    if (frame.has_message()) return {current_subscription_, std::move(*frame.mutable_message())};
    current_subscription_ = frame.delivery().subscription();
  }
}

v1::Error WireClient::ExpectError(v1::ErrorCode code) {
  v1::Error error = NextOf(v1::ServerFrame::kError).error();
  if (error.code() != code) {
    throw std::runtime_error(fmt::format("Error {} ({}) instead of {}", ErrorCodeName(error.code()),
                                         error.text(), ErrorCodeName(code)));
  }
  if (error.text().empty()) throw std::runtime_error("an Error without a text");
  return error;
}

v1::Goodbye WireClient::ExpectGoodbye(v1::Reason reason) {
  const Rest rest = ReadToEnd();
  if (!rest.goodbye.has_value()) throw std::runtime_error("the connection ended without Goodbye");
  if (rest.goodbye->reason() != reason) {
    throw std::runtime_error(fmt::format("Goodbye {} ({}) instead of {}", ReasonName(rest.goodbye->reason()),
                                         rest.goodbye->text(), ReasonName(reason)));
  }
  return *rest.goodbye;
}

WireClient::Rest WireClient::ReadToEnd() {
  Rest rest;
  while (std::optional<v1::ServerFrame> frame = NextFrame()) {
    if (rest.goodbye.has_value()) throw std::runtime_error("something came behind Goodbye");
    if (frame->has_message()) ++rest.messages;
    if (frame->has_goodbye()) rest.goodbye = frame->goodbye();
  }
  return rest;
}

size_t WireClient::ReadAvailable(size_t bytes_max) {
  const size_t before = input_.size() - parsed_;
  while (input_.size() - parsed_ - before < bytes_max) {
    if (ReadSome(bytes_max - (input_.size() - parsed_ - before)) != Fill::kBytes) break;
  }
  return input_.size() - parsed_ - before;
}

void WireClient::Reset() {
  socket_.SetLingerZero();
  socket_.Close();
}

}  // namespace sluice::testing
