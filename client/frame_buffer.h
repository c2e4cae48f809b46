// Outgoing frames in blocks, from which any number leave with one system call. Internal to the client.
//
//   char* end = WritePublishFrame(message, frames.Reserve(bytes));
//   ...
//   iovec pieces[64];
//   size_t count = frames.Gather(pieces);         // valid until Consume(); appending meanwhile is fine
//   frames.Consume(writev(fd, pieces, count));
//
// Frames never span blocks and a block stays until its last frame has left, so that after a lost connection
// Rewind() finds the frame of which only a part had left still whole.
//
// Thread safety: none; guarded by its owner's mutex. Gathered pieces may be read without it.
#ifndef SLUICE_CLIENT_FRAME_BUFFER_H_
#define SLUICE_CLIENT_FRAME_BUFFER_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace sluice::client {

class FrameBuffer {
 public:
  explicit FrameBuffer(size_t block_bytes = 64 << 10) : block_bytes_(block_bytes) {}

  // Room for one frame of exactly so many bytes, at the end. It counts as appended; the caller fills it
  // before anybody gathers.
  char* Reserve(size_t bytes);
  void Append(std::string_view frames);
  // Before everything else. Only while no part of a frame has left (after Rewind()).
  void Prepend(std::string_view frames);

  // What is next to be written. Returns how many pieces it filled.
  size_t Gather(std::span<iovec> pieces) const;
  // The first `bytes` have left.
  void Consume(size_t bytes);

  // Bytes that have not left.
  size_t bytes() const { return bytes_; }
  bool empty() const { return bytes_ == 0; }

  // A new connection: the frame that had begun to leave is whole again.
  void Rewind();
  // Calls `visit(frame)` for each whole frame that has not left, one that has begun to included.
  template <typename Visit>
  void ForEach(Visit visit) const;
  // Calls `keep(frame)` for each frame, in order, and forgets those for which it says no. After Rewind().
  template <typename Keep>
  void Filter(Keep keep);

 private:
  struct Block {
    std::unique_ptr<char[]> data;
    size_t capacity = 0;
    size_t used = 0;
    // Bytes of it that have left.
    size_t consumed = 0;
  };
  static constexpr size_t kSpareMax = 4;

  Block& AddBlock(size_t bytes_min);
  // Where the first frame of which not all bytes have left begins.
  static size_t FrameStart(const Block& block);
  static std::string_view FrameAt(const Block& block, size_t at);

  const size_t block_bytes_;
  std::deque<Block> blocks_;
  std::vector<Block> spare_;
  size_t bytes_ = 0;
};

template <typename Visit>
void FrameBuffer::ForEach(Visit visit) const {
  for (const Block& block : blocks_) {
    size_t at = FrameStart(block);
    while (at < block.used) {
      const std::string_view frame = FrameAt(block, at);
      visit(frame);
      at += frame.size();
    }
  }
}

template <typename Keep>
void FrameBuffer::Filter(Keep keep) {
  FrameBuffer kept(block_bytes_);
  ForEach([&](std::string_view frame) {
    if (keep(frame)) kept.Append(frame);
  });
  blocks_ = std::move(kept.blocks_);
  bytes_ = kept.bytes_;
}

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_FRAME_BUFFER_H_
