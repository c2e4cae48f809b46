#include "protocol/frame.h"

#include <google/protobuf/message_lite.h>

namespace sluice {
namespace {

// 0: `bytes` does not begin with a whole frame.
uint32_t WholeFrameBytes(std::string_view bytes) {
  const FramePrefix prefix = ReadFramePrefix(bytes);
  if (prefix.status != FramePrefixStatus::kComplete || prefix.frame_bytes() > bytes.size()) return 0;
  return prefix.frame_bytes();
}

}  // namespace

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
  const std::string_view within = frames.substr(0, bytes_max);
  FrameBoundary boundary;
  while (const uint32_t bytes = WholeFrameBytes(within.substr(boundary.bytes))) {
    boundary.bytes += bytes;
    ++boundary.frames;
  }
  return boundary;
}

FrameBoundary BoundaryAfter(std::string_view frames, uint64_t frames_max) {
  FrameBoundary boundary;
  while (boundary.frames < frames_max) {
    const uint32_t bytes = WholeFrameBytes(frames.substr(boundary.bytes));
    if (bytes == 0) break;
    boundary.bytes += bytes;
    ++boundary.frames;
  }
  return boundary;
}

}  // namespace sluice
