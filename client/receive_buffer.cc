#include "client/receive_buffer.h"

#include <algorithm>
#include <cstring>

#include "protocol/frame.h"

namespace sluice::client {

std::span<char> ReceiveBuffer::Room() {
  if (chunk_ && parsed_ == used_ && chunk_->refs() == own_refs_) parsed_ = used_ = 0;
  const uint32_t room = chunk_ ? chunk_->capacity() - used_ : 0;
  const bool frame_fits = chunk_ && uint64_t{parsed_} + frame_bytes_ <= chunk_->capacity();
  const bool roomy = room >= room_bytes_min_ || frame_bytes_ >= room_bytes_min_;
  if (!frame_fits || !roomy) Advance();
  return {chunk_->data() + used_, chunk_->capacity() - used_};
}

void ReceiveBuffer::Advance() {
  const uint32_t pending = used_ - parsed_;
  const ChunkRef before = std::move(chunk_);
  chunk_ = TakeChunk(std::max(frame_bytes_, pending) + room_bytes_min_);
  if (pending > 0) std::memcpy(chunk_->data(), before->data() + parsed_, pending);
  parsed_ = 0;
  used_ = pending;
}

ChunkRef ReceiveBuffer::TakeChunk(uint32_t bytes_min) {
  if (bytes_min > chunk_bytes_) {
    own_refs_ = 1;
    return Chunk::Create(bytes_min);
  }
  own_refs_ = 2;
  for (const ChunkRef& kept : kept_) {
    if (kept->refs() == 1) return kept;
  }
  ChunkRef fresh = Chunk::Create(chunk_bytes_);
  if (kept_.size() < kKeptMax) {
    kept_.push_back(fresh);
  } else {
    kept_[next_kept_] = fresh;
    next_kept_ = (next_kept_ + 1) % kKeptMax;
  }
  return fresh;
}

FrameFound ReceiveBuffer::Next(Frame* frame) {
  if (!chunk_) return FrameFound::kNeedMore;
  const std::string_view rest(chunk_->data() + parsed_, used_ - parsed_);
  const FramePrefix prefix = ReadFramePrefix(rest);
  if (prefix.status == FramePrefixStatus::kBad) return FrameFound::kBadLength;
  if (prefix.status == FramePrefixStatus::kIncomplete) return FrameFound::kNeedMore;
  if (prefix.body_bytes > frame_body_bytes_max_) return FrameFound::kTooLarge;
  frame_bytes_ = prefix.frame_bytes();
  if (rest.size() < frame_bytes_) return FrameFound::kNeedMore;
  frame->bytes = rest.substr(0, frame_bytes_);
  frame->body = frame->bytes.substr(prefix.prefix_bytes);
  parsed_ += frame_bytes_;
  frame_bytes_ = 0;
  return FrameFound::kFrame;
}

}  // namespace sluice::client
