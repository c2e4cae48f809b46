#include "broker/core/frame_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "protocol/frame.h"

namespace sluice {

std::span<char> FrameReader::Room(OpenChunk* open) {
  if (large_) {
    if (large_used_ == large_->capacity()) {
      const uint32_t capacity =
          static_cast<uint32_t>(std::min<uint64_t>(large_bytes_, uint64_t{2} * large_->capacity()));
      ChunkRef grown = Chunk::Create(capacity, open->account());
      std::memcpy(grown->data(), large_->data(), large_used_);
      large_ = std::move(grown);
    }
    const uint32_t room = std::min(large_->capacity() - large_used_, kReadBytesMax);
    return {large_->data() + large_used_, room};
  }
  const std::span<char> room = open->Room(kReadChunkBytesMin);
  const std::string_view kept = stash();
  if (!kept.empty()) std::memcpy(room.data(), kept.data(), kept.size());
  return room.subspan(kept.size(), kReadBytesMax);
}

void FrameReader::Received(OpenChunk* open, uint32_t bytes) {
  if (large_) {
    large_used_ += bytes;
    return;
  }
  chunk_ = open->chunk();
  at_ = open->offset();
  end_ = at_ + static_cast<uint32_t>(stash().size()) + bytes;
  stash_ = nullptr;
}

FrameStatus FrameReader::Next(OpenChunk* open, uint64_t frame_bytes_max, ReceivedFrame* frame) {
  if (large_) {
    if (large_used_ < large_bytes_) return FrameStatus::kNeedMore;
    frame->chunk = std::exchange(large_, ChunkRef());
    frame->offset = 0;
    frame->bytes = large_bytes_;
    const uint32_t prefix_bytes = ReadFramePrefix({frame->chunk->data(), large_bytes_}).prefix_bytes;
    frame->body = {frame->chunk->data() + prefix_bytes, large_bytes_ - prefix_bytes};
    return FrameStatus::kFrame;
  }
  if (!chunk_) return FrameStatus::kNeedMore;
  const std::string_view rest(chunk_->data() + at_, end_ - at_);
  const FramePrefix prefix = ReadFramePrefix(rest);
  if (prefix.status == FramePrefixStatus::kBad) {
    chunk_ = ChunkRef();
    return FrameStatus::kBadPrefix;
  }
  if (prefix.status == FramePrefixStatus::kComplete) {
    if (prefix.frame_bytes() > frame_bytes_max) {
      claimed_bytes_ = prefix.frame_bytes();
      chunk_ = ChunkRef();
      return FrameStatus::kTooLarge;
    }
    if (prefix.frame_bytes() <= rest.size()) {
      if (!(frame->chunk == chunk_)) frame->chunk = chunk_;  // one reference per read, not per frame
      frame->offset = at_;
      frame->bytes = prefix.frame_bytes();
      frame->body = rest.substr(prefix.prefix_bytes, prefix.body_bytes);
      at_ += frame->bytes;
      open->Commit(frame->bytes);
      return FrameStatus::kFrame;
    }
  }
  // Not committed: what is unfinished is copied out, and its place is read over.
  if (!rest.empty()) {
    Keep(rest, prefix.status == FramePrefixStatus::kComplete ? prefix.frame_bytes() : 0, open->account());
  }
  chunk_ = ChunkRef();
  return FrameStatus::kNeedMore;
}

void FrameReader::Keep(std::string_view rest, uint64_t frame_bytes, MemoryAccount* account) {
  if (rest.size() <= kStashBytesMax) {
    stash_ = std::make_unique<const std::string>(rest);
    return;
  }
  const uint32_t capacity = static_cast<uint32_t>(std::min<uint64_t>(frame_bytes, 2 * rest.size()));
  large_ = Chunk::Create(capacity, account);
  std::memcpy(large_->data(), rest.data(), rest.size());
  large_used_ = static_cast<uint32_t>(rest.size());
  large_bytes_ = static_cast<uint32_t>(frame_bytes);
}

}  // namespace sluice
