// Where a session's bytes are read to, and the frames in them. Knows no socket: the session reads into Room()
// and says how much came. Internal to the broker.
//
//   std::span<char> room = reader.Room(&open_chunk);
//   reader.Received(&open_chunk, socket.Read(room)...);
//   while ((status = reader.Next(&open_chunk, frame_bytes_max, &frame)) == FrameStatus::kFrame) ...
//
// Bytes go straight into the shard's open chunk, so that a publish is a slice of it without a copy. What
// stands of an unfinished frame at the end of a read is kept here (at most kStashBytesMax) and completed at
// the head of the next read. When more than that of a frame has arrived, it is read on into a chunk of its
// own, which grows with the bytes that arrive, never with the length that was claimed.
//
// A reader in the middle of nothing owns no memory.
//
// Thread safety: owned by one shard. Between Room() and the Next() that says kNeedMore or refuses, the open
// chunk must not be used by anybody else.
#ifndef SLUICE_BROKER_CORE_FRAME_READER_H_
#define SLUICE_BROKER_CORE_FRAME_READER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "broker/core/chunk.h"

namespace sluice {

inline constexpr uint32_t kReadBytesMax = 64 << 10;
inline constexpr uint32_t kStashBytesMax = 16 << 10;
// What an open chunk must be able to hold: a stash and a read behind it.
inline constexpr uint32_t kReadChunkBytesMin = kReadBytesMax + kStashBytesMax;

enum class FrameStatus {
  kFrame,
  kNeedMore,   // everything that was received has been handed out or kept
  kBadPrefix,  // not a length; nothing behind it can be trusted
  kTooLarge,   // the frame claims more than is allowed
};

// A whole frame in place. `chunk` must be held by whoever keeps the bytes longer than until the next Room().
struct ReceivedFrame {
  ChunkRef chunk;
  uint32_t offset = 0;  // of the length prefix
  uint32_t bytes = 0;   // prefix and body
  std::string_view body;
};

class FrameReader {
 public:
  // Where to read next: at least one byte, at most kReadBytesMax of them.
  std::span<char> Room(OpenChunk* open);
  // The first `bytes` of Room() were filled.
  void Received(OpenChunk* open, uint32_t bytes);

  // The next whole frame. After kBadPrefix and kTooLarge the rest of the input is lost.
  [[nodiscard]] FrameStatus Next(OpenChunk* open, uint64_t frame_bytes_max, ReceivedFrame* frame);

  // What was received behind the last frame that Next() gave.
  std::string_view received() const {
    return chunk_ ? std::string_view(chunk_->data() + at_, end_ - at_) : std::string_view();
  }

  // Whether a frame has begun and not ended.
  bool unfinished() const { return stash_ != nullptr || large_; }
  // What is kept of it.
  uint64_t unfinished_bytes() const { return large_ ? large_used_ : stash().size(); }
  // Of the frame that kTooLarge refused: what it claimed.
  uint64_t claimed_bytes() const { return claimed_bytes_; }

 private:
  std::string_view stash() const { return stash_ == nullptr ? std::string_view() : *stash_; }
  void Keep(std::string_view rest, uint64_t frame_bytes, MemoryAccount* account);

  // What was received and not yet looked at, in the open chunk.
  ChunkRef chunk_;
  uint32_t at_ = 0;
  uint32_t end_ = 0;

  // Null: nothing.
  std::unique_ptr<const std::string> stash_;

  ChunkRef large_;
  uint32_t large_used_ = 0;
  uint32_t large_bytes_ = 0;

  uint64_t claimed_bytes_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_FRAME_READER_H_
