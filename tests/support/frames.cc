#include "tests/support/frames.h"

#include <cstring>

#include "protocol/frame.h"

namespace sluice::testing {

std::string Encode(const v1::ServerFrame& frame) {
  std::string bytes;
  AppendFrame(frame, &bytes);
  return bytes;
}

std::string MessageFrame(std::string_view topic, std::string_view payload) {
  v1::ServerFrame frame;
  frame.mutable_message()->set_topic(std::string(topic));
  frame.mutable_message()->set_payload(std::string(payload));
  return Encode(frame);
}

v1::ServerFrame ServerPong(uint64_t id) {
  v1::ServerFrame frame;
  frame.mutable_server_pong()->set_id(id);
  return frame;
}

std::string UnsubscribedFrame(uint32_t subscription) {
  v1::ServerFrame frame;
  frame.mutable_unsubscribed()->set_subscription(subscription);
  return Encode(frame);
}

Slice SliceOf(std::string_view frames, MemoryAccount* account, absl::Time enqueued_at, SliceKind kind) {
  Slice slice;
  slice.chunk = Chunk::Create(static_cast<uint32_t>(frames.size()), account);
  std::memcpy(slice.chunk->data(), frames.data(), frames.size());
  slice.bytes = static_cast<uint32_t>(frames.size());
  slice.messages = kind == SliceKind::kMessages ? BoundaryAfter(frames, frames.size()).frames : 0;
  slice.kind = kind;
  slice.enqueued_at = enqueued_at;
  return slice;
}

ReceivedStream ReadStream(std::string_view bytes) {
  ReceivedStream received;
  uint32_t current = 0;
  while (!bytes.empty()) {
    const FramePrefix prefix = ReadFramePrefix(bytes);
    if (prefix.status == FramePrefixStatus::kIncomplete || prefix.frame_bytes() > bytes.size()) break;
    v1::ServerFrame frame;
    const std::string body(bytes.substr(prefix.prefix_bytes, prefix.body_bytes));
    if (prefix.status == FramePrefixStatus::kBad || !frame.ParseFromString(body) ||
        frame.frame_case() == v1::ServerFrame::FRAME_NOT_SET) {
      received.state = ReceivedStream::State::kTorn;
      break;
    }
    if (frame.has_delivery()) {
      current = frame.delivery().subscription();
      ++received.deliveries;
    }
    if (frame.has_message()) received.payloads[current].push_back(frame.message().payload());
    if (frame.has_server_pong()) received.pongs.push_back(frame.server_pong().id());
    if (frame.has_unsubscribed()) received.unsubscribed.push_back(frame.unsubscribed().subscription());
    received.frames.push_back(std::move(frame));
    bytes.remove_prefix(prefix.frame_bytes());
  }
  received.unfinished_bytes = bytes.size();
  return received;
}

}  // namespace sluice::testing
