#include "client/frame_buffer.h"

#include <algorithm>
#include <cstring>

#include "protocol/frame.h"

namespace sluice::client {

FrameBuffer::Block& FrameBuffer::AddBlock(size_t bytes_min) {
  if (bytes_min <= block_bytes_ && !spare_.empty()) {
    blocks_.push_back(std::move(spare_.back()));
    spare_.pop_back();
  } else {
    const size_t capacity = std::max(bytes_min, block_bytes_);
    blocks_.push_back({.data = std::unique_ptr<char[]>(new char[capacity]), .capacity = capacity});
  }
  return blocks_.back();
}

char* FrameBuffer::Reserve(size_t bytes) {
  Block* block = blocks_.empty() ? nullptr : &blocks_.back();
  if (block == nullptr || block->capacity - block->used < bytes) block = &AddBlock(bytes);
  char* room = block->data.get() + block->used;
  block->used += bytes;
  bytes_ += bytes;
  return room;
}

void FrameBuffer::Append(std::string_view frames) {
  if (!frames.empty()) std::memcpy(Reserve(frames.size()), frames.data(), frames.size());
}

void FrameBuffer::Prepend(std::string_view frames) {
  if (frames.empty()) return;
  blocks_.push_front({.data = std::unique_ptr<char[]>(new char[frames.size()]),
                      .capacity = frames.size(),
                      .used = frames.size()});
  std::memcpy(blocks_.front().data.get(), frames.data(), frames.size());
  bytes_ += frames.size();
}

size_t FrameBuffer::Gather(std::span<iovec> pieces) const {
  size_t count = 0;
  for (const Block& block : blocks_) {
    if (count == pieces.size()) break;
    if (block.used == block.consumed) continue;
    pieces[count++] = {block.data.get() + block.consumed, block.used - block.consumed};
  }
  return count;
}

void FrameBuffer::Consume(size_t bytes) {
  bytes_ -= bytes;
  while (bytes > 0) {
    Block& block = blocks_.front();
    const size_t left = std::min(bytes, block.used - block.consumed);
    block.consumed += left;
    bytes -= left;
    if (block.consumed < block.used) return;
    block.used = block.consumed = 0;
    // The only block is filled again from its start.
    if (blocks_.size() == 1 && block.capacity == block_bytes_) return;
    if (block.capacity == block_bytes_ && spare_.size() < kSpareMax) spare_.push_back(std::move(block));
    blocks_.pop_front();
  }
}

void FrameBuffer::Rewind() {
  if (blocks_.empty()) return;
  Block& block = blocks_.front();
  const size_t start = FrameStart(block);
  bytes_ += block.consumed - start;
  block.consumed = start;
}

size_t FrameBuffer::FrameStart(const Block& block) {
  return LastBoundaryWithin({block.data.get(), block.used}, block.consumed).bytes;
}

std::string_view FrameBuffer::FrameAt(const Block& block, size_t at) {
  const std::string_view rest(block.data.get() + at, block.used - at);
  return rest.substr(0, ReadFramePrefix(rest).frame_bytes());
}

}  // namespace sluice::client
