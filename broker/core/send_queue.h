// The bounded queue of one subscription: slices offered and not yet accepted by the kernel. Internal to the
// broker.
//
// The books are exact to the byte after every partial write:
//
//   pending = offered - consumed - dropped
//
// where pending is what waits here plus what is left of the one frame that is half on the wire. That frame
// has left the queue: the session's writer holds it (FrameRest) and always sends it to its end, whatever
// happens to the queue meanwhile; what waits here always starts at a frame boundary.
//
//   queue.Push(slice);
//   ... the writer gathers queue.slices() and the kernel takes n bytes of them ...
//   if (std::optional<FrameRest> rest = queue.Consume(n)) ...   // the frame that was cut
//   queue.FinishFrame();                                        // its rest left as well
//
// An empty queue owns no memory.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_SEND_QUEUE_H_
#define SLUICE_BROKER_CORE_SEND_QUEUE_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "broker/core/chunk.h"
#include "broker/core/ring.h"
#include "broker/core/slice.h"
#include "broker/core/verdict.h"

namespace sluice {

// A slice that continues the last one grows it while that is younger than this, so that the age of the oldest
// message stays exact to this much.
inline constexpr absl::Duration kSliceGrowsFor = absl::Milliseconds(10);

// What is left of a frame whose first bytes the kernel took.
struct FrameRest {
  ChunkRef chunk;
  uint32_t offset = 0;
  uint32_t bytes = 0;
  SliceKind kind = SliceKind::kMessages;
};

class SendQueue {
 public:
  // Appends whole frames (slice.bytes > 0).
  void Push(Slice slice);

  // Takes the first `bytes` waiting bytes out: the kernel has them. When they end within a frame, its
  // remainder is taken out as well and returned; it stays pending until ConsumeRest and FinishFrame.
  [[nodiscard]] std::optional<FrameRest> Consume(uint64_t bytes);

  // The kernel took so many bytes of the remainder; FinishFrame when that was the last of them.
  void ConsumeRest(uint32_t bytes, SliceKind kind);
  void FinishFrame(SliceKind kind);

  // Forgets what waits; the frame in flight stays. Returns what was dropped.
  struct Dropped {
    uint64_t bytes = 0;
    uint64_t messages = 0;
  };
  Dropped DropWaiting();

  const Ring<Slice>& slices() const { return slices_; }
  bool empty() const { return slices_.empty(); }

  uint64_t pending_bytes() const { return waiting_bytes_ + rest_bytes_; }
  uint64_t pending_messages() const { return waiting_messages_ + rest_messages_; }
  // Messages whose last byte the kernel took.
  uint64_t sent_messages() const { return sent_messages_; }
  QueueState state() const;

 private:
  Ring<Slice> slices_;
  // Messages and their frames only; frames in place are not counted.
  uint64_t waiting_bytes_ = 0;
  uint64_t waiting_messages_ = 0;
  uint64_t sent_messages_ = 0;
  uint32_t rest_bytes_ = 0;
  uint32_t rest_messages_ = 0;  // 0 or 1
  absl::Time rest_enqueued_at_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_SEND_QUEUE_H_
