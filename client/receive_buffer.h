// Where bytes from the network arrive, and the walk over the frames in them. Internal to the client.
//
//   std::span<char> room = buffer.Room();              // 64 KiB at least
//   buffer.Commit(recv(fd, room.data(), room.size()));
//   Frame frame;
//   while (buffer.Next(&frame) == FrameFound::kFrame) Use(frame, buffer.chunk());
//
// Frames are not copied: they lie in chunks that a queue or a message keeps alive by a reference of its own.
// Only the unfinished frame at the end of a chunk moves to the next. A chunk that nobody else refers to any
// more is filled again from its start, so that a program which keeps up works in memory that the cache holds.
// A frame that is larger than a chunk gets one of its own.
//
// Thread safety: none; owned by the I/O thread. (The chunks themselves are shared.)
#ifndef SLUICE_CLIENT_RECEIVE_BUFFER_H_
#define SLUICE_CLIENT_RECEIVE_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "client/chunk.h"

namespace sluice::client {

inline constexpr uint32_t kReceiveChunkBytes = 256 << 10;
inline constexpr uint32_t kReceiveRoomBytesMin = 64 << 10;

struct Frame {
  // With the length in front, and without.
  std::string_view bytes;
  std::string_view body;
};

enum class FrameFound {
  kFrame,
  kNeedMore,
  kBadLength,  // not a length at all
  kTooLarge,   // more than frame_body_bytes_max
};

class ReceiveBuffer {
 public:
  explicit ReceiveBuffer(uint32_t chunk_bytes = kReceiveChunkBytes,
                         uint32_t room_bytes_min = kReceiveRoomBytesMin)
      : chunk_bytes_(chunk_bytes), room_bytes_min_(room_bytes_min) {}

  // A longer frame is kTooLarge, before memory is taken for it.
  void set_frame_body_bytes_max(uint64_t bytes) { frame_body_bytes_max_ = bytes; }

  // Room for what comes next; less than the least only where a large frame ends. Valid until the next call.
  std::span<char> Room();
  // The first `bytes` of Room() have arrived.
  void Commit(size_t bytes) { used_ += static_cast<uint32_t>(bytes); }

  // The next whole frame; consecutive ones lie one behind the other until the next Room().
  FrameFound Next(Frame* frame);
  // What holds the frames since the last Room().
  const ChunkRef& chunk() const { return chunk_; }

 private:
  void Advance();
  ChunkRef TakeChunk(uint32_t bytes_min);

  static constexpr size_t kKeptMax = 8;

  const uint32_t chunk_bytes_;
  const uint32_t room_bytes_min_;
  uint64_t frame_body_bytes_max_ = uint64_t{1} << 28;

  // The chunk that is being filled: frames up to parsed_ were handed out, bytes up to used_ have arrived.
  ChunkRef chunk_;
  uint32_t own_refs_ = 0;
  uint32_t parsed_ = 0;
  uint32_t used_ = 0;
  // Bytes of the frame at parsed_, once its length is known; 0 before.
  uint32_t frame_bytes_ = 0;

  // The last ones handed out, to be filled again when nobody uses them.
  std::vector<ChunkRef> kept_;
  size_t next_kept_ = 0;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_RECEIVE_BUFFER_H_
