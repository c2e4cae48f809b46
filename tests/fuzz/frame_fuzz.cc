// Bytes as a stream of frames: the length prefix against protobuf's own varint reader, the boundary walk
// against the obvious one, and a reader that gets the stream in pieces against one that has it whole.
#include <google/protobuf/io/coded_stream.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/frame.h"
#include "protocol/sluice.pb.h"
#include "tests/fuzz/fuzz_check.h"

namespace sluice {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

FramePrefix ReferencePrefix(std::string_view bytes) {
  const std::string_view head = bytes.substr(0, kFramePrefixBytesMax);
  CodedInputStream in(reinterpret_cast<const uint8_t*>(head.data()), static_cast<int>(head.size()));
  FramePrefix prefix;
  uint32_t length = 0;
  if (!in.ReadVarint32(&length)) {
    prefix.status =
        bytes.size() < kFramePrefixBytesMax ? FramePrefixStatus::kIncomplete : FramePrefixStatus::kBad;
    return prefix;
  }
  prefix.prefix_bytes = static_cast<uint32_t>(in.CurrentPosition());
  prefix.body_bytes = length;
  prefix.status = CodedOutputStream::VarintSize32(length) == prefix.prefix_bytes
                      ? FramePrefixStatus::kComplete
                      : FramePrefixStatus::kBad;
  return prefix;
}

void CheckPrefix(std::string_view stream) {
  const FramePrefix prefix = ReadFramePrefix(stream);
  const FramePrefix reference = ReferencePrefix(stream);
  FUZZ_CHECK(prefix.status == reference.status);
  if (prefix.status == FramePrefixStatus::kComplete) {
    FUZZ_CHECK(prefix.prefix_bytes == reference.prefix_bytes);
    FUZZ_CHECK(prefix.body_bytes == reference.body_bytes);
    FUZZ_CHECK(FramePrefixBytes(prefix.body_bytes) == prefix.prefix_bytes);
  }
  for (size_t arrived = 0; arrived < stream.size() && arrived <= kFramePrefixBytesMax; ++arrived) {
    const FramePrefix early = ReadFramePrefix(stream.substr(0, arrived));
    FUZZ_CHECK(early.status == FramePrefixStatus::kIncomplete || early.status == prefix.status);
  }
}

// Where each whole frame at the head of the stream ends.
std::vector<size_t> Boundaries(std::string_view stream) {
  std::vector<size_t> ends;
  size_t at = 0;
  while (true) {
    const FramePrefix prefix = ReferencePrefix(stream.substr(at));
    if (prefix.status != FramePrefixStatus::kComplete || prefix.frame_bytes() > stream.size() - at)
      return ends;
    at += prefix.frame_bytes();
    ends.push_back(at);
  }
}

void CheckWalk(std::string_view stream) {
  const std::vector<size_t> ends = Boundaries(stream);
  size_t frames = 0;
  const size_t step = 1 + stream.size() / 64;
  for (size_t bytes_max = 0; bytes_max <= stream.size() + 1; bytes_max += step) {
    while (frames < ends.size() && ends[frames] <= bytes_max) ++frames;
    const FrameBoundary boundary = LastBoundaryWithin(stream, bytes_max);
    FUZZ_CHECK(boundary.frames == frames);
    FUZZ_CHECK(boundary.bytes == (frames == 0 ? 0 : ends[frames - 1]));
  }
  for (size_t frames_max = 0; frames_max <= ends.size() + 1; frames_max += 1 + ends.size() / 64) {
    const size_t expected = std::min(frames_max, ends.size());
    const FrameBoundary boundary = BoundaryAfter(stream, frames_max);
    FUZZ_CHECK(boundary.frames == expected);
    FUZZ_CHECK(boundary.bytes == (expected == 0 ? 0 : ends[expected - 1]));
  }
}

// A reader as a session has one: it keeps what is not a whole frame yet.
void CheckPieces(std::string_view stream) {
  const std::vector<size_t> ends = Boundaries(stream);
  std::string kept;
  size_t frames = 0;
  size_t arrived = 0;
  for (size_t piece = 0; arrived < stream.size(); ++piece) {
    const size_t bytes =
        std::min<size_t>(1 + static_cast<uint8_t>(stream[piece]) % 7, stream.size() - arrived);
    kept += stream.substr(arrived, bytes);
    arrived += bytes;
    while (true) {
      const FramePrefix prefix = ReadFramePrefix(kept);
      if (prefix.status == FramePrefixStatus::kBad) {
        FUZZ_CHECK(frames == ends.size());
        return;
      }
      if (prefix.status == FramePrefixStatus::kIncomplete || prefix.frame_bytes() > kept.size()) break;
      const size_t begin = frames == 0 ? 0 : ends[frames - 1];
      FUZZ_CHECK(frames < ends.size());
      FUZZ_CHECK(kept.substr(0, prefix.frame_bytes()) == stream.substr(begin, ends[frames] - begin));
      kept.erase(0, prefix.frame_bytes());
      ++frames;
    }
  }
  FUZZ_CHECK(frames == ends.size());
}

void CheckAppend(std::string_view payload) {
  v1::ServerFrame frame;
  frame.mutable_message()->set_payload(std::string(payload));
  std::string bytes = "before";
  AppendFrame(frame, &bytes);
  const FramePrefix prefix = ReadFramePrefix(std::string_view(bytes).substr(6));
  FUZZ_CHECK(prefix.status == FramePrefixStatus::kComplete);
  FUZZ_CHECK(prefix.frame_bytes() == bytes.size() - 6);
  FUZZ_CHECK(bytes.substr(6 + prefix.prefix_bytes) == frame.SerializeAsString());
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view stream(reinterpret_cast<const char*>(data), size);
  sluice::CheckPrefix(stream);
  sluice::CheckWalk(stream);
  sluice::CheckPieces(stream);
  sluice::CheckAppend(stream);
  return 0;
}
