#include "protocol/frame.h"

#include <google/protobuf/message_lite.h>

namespace sluice {

FramePrefix ReadFramePrefix(std::string_view bytes) {
  FramePrefix prefix;
  for (uint32_t i = 0; i < kFramePrefixBytesMax && i < bytes.size(); ++i) {
    const uint8_t byte = static_cast<uint8_t>(bytes[i]);
    prefix.body_bytes |= static_cast<uint32_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      prefix.prefix_bytes = i + 1;
      prefix.status = (byte == 0 && i > 0) ? FramePrefixStatus::kBad : FramePrefixStatus::kComplete;
      return prefix;
    }
  }
  if (bytes.size() >= kFramePrefixBytesMax) prefix.status = FramePrefixStatus::kBad;
  return prefix;
}

uint32_t FramePrefixBytes(uint32_t body_bytes) {
  uint32_t bytes = 1;
  while (body_bytes >= 0x80) {
    body_bytes >>= 7;
    ++bytes;
  }
  return bytes;
}

void AppendFrame(const google::protobuf::MessageLite& frame, std::string* out) {
  uint32_t body_bytes = static_cast<uint32_t>(frame.ByteSizeLong());
  const size_t at = out->size();
  const uint32_t prefix_bytes = FramePrefixBytes(body_bytes);
  out->resize(at + prefix_bytes + body_bytes);
  char* to = out->data() + at;
  uint32_t rest = body_bytes;
  for (uint32_t i = 0; i < prefix_bytes; ++i, rest >>= 7) {
    to[i] = static_cast<char>((rest & 0x7f) | (i + 1 < prefix_bytes ? 0x80 : 0));
  }
  frame.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(to + prefix_bytes));
}

FrameBoundary LastBoundaryWithin(std::string_view frames, size_t bytes_max) {
  FrameBoundary boundary;
  while (boundary.bytes < frames.size()) {
    const uint32_t frame = ReadFramePrefix(frames.substr(boundary.bytes)).frame_bytes();
    if (boundary.bytes + size_t{frame} > bytes_max) break;
    boundary.bytes += frame;
    ++boundary.frames;
  }
  return boundary;
}

FrameBoundary BoundaryAfter(std::string_view frames, uint64_t frames_max) {
  FrameBoundary boundary;
  while (boundary.bytes < frames.size() && boundary.frames < frames_max) {
    boundary.bytes += ReadFramePrefix(frames.substr(boundary.bytes)).frame_bytes();
    ++boundary.frames;
  }
  return boundary;
}

}  // namespace sluice
