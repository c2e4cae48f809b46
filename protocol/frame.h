// Length-delimited protobuf frames: a varint length, then so many bytes. Finding where a frame ends, and
// writing one. What is inside a frame: publish.h for messages, the generated sluice.pb.h for everything else.
//
//   std::string out;
//   AppendFrame(pong_frame, &out);
//
//   FramePrefix prefix = ReadFramePrefix(received);
//   if (prefix.status == FramePrefixStatus::kComplete && received.size() >= prefix.frame_bytes()) ...
//
// Thread safety: pure functions.
#ifndef SLUICE_PROTOCOL_FRAME_H_
#define SLUICE_PROTOCOL_FRAME_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace google::protobuf {
class MessageLite;
}

namespace sluice {

// A length of more than four varint bytes (256 MiB and up) is refused whatever the limits say, so that sizes
// of frames fit 32 bits everywhere.
inline constexpr size_t kFramePrefixBytesMax = 4;
inline constexpr uint32_t kFrameBodyBytesMax = (uint32_t{1} << 28) - 1;

enum class FramePrefixStatus {
  kComplete,    // the length is known; its body may still be on the way
  kIncomplete,  // more bytes are needed to know the length
  kBad,         // longer than four bytes, or not the shortest encoding
};

struct FramePrefix {
  FramePrefixStatus status = FramePrefixStatus::kIncomplete;
  uint32_t prefix_bytes = 0;
  uint32_t body_bytes = 0;

  uint32_t frame_bytes() const { return prefix_bytes + body_bytes; }
};

// Reads the length at the head of `bytes`. Looks at no more than kFramePrefixBytesMax bytes. (Here, to be
// inlined: where the next frame begins is known no sooner than this is, so that its latency counts.)
inline FramePrefix ReadFramePrefix(std::string_view bytes) {
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

// Bytes that the prefix of a body of `body_bytes` takes (1 to 4).
constexpr uint32_t FramePrefixBytes(uint32_t body_bytes) {
  uint32_t bytes = 1;
  for (; body_bytes >= 0x80; body_bytes >>= 7) ++bytes;
  return bytes;
}

// Appends `frame`, length first, to `out`. The frame must be smaller than kFrameBodyBytesMax (our own bug
// otherwise: callers check sizes before they build frames).
void AppendFrame(const google::protobuf::MessageLite& frame, std::string* out);

// How many whole frames fit into the first `bytes_max` bytes of `frames`, and where the last of them ends.
// `frames` starts at a frame boundary. This is the walk of the data path, which a queue uses to cut a slice
// between two messages; it ends in front of the first frame that is not whole, or not a frame.
struct FrameBoundary {
  uint32_t bytes = 0;
  uint32_t frames = 0;
};
FrameBoundary LastBoundaryWithin(std::string_view frames, size_t bytes_max);

// The end of the first `frames_max` frames (or of all, if there are fewer).
FrameBoundary BoundaryAfter(std::string_view frames, uint64_t frames_max);

}  // namespace sluice

#endif  // SLUICE_PROTOCOL_FRAME_H_
