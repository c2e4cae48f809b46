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
// An empty queue keeps room for a few slices, and frees what it has grown beyond.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_SEND_QUEUE_H_
#define SLUICE_BROKER_CORE_SEND_QUEUE_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "broker/core/chunk.h"
#include "broker/core/gap.h"
#include "broker/core/ring.h"
#include "broker/core/slice.h"
#include "broker/core/verdict.h"
#include "protocol/frame.h"

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
  // What its slices take counts in `account`, beside their chunks; null: nowhere.
  explicit SendQueue(MemoryAccount* account = nullptr) : slices_(account) {}

  // Appends whole frames (slice.bytes > 0) that came into the queue at `enqueued_at`, whatever the slice
  // says.
  void Push(const Slice& slice, absl::Time enqueued_at);
  void Push(const Slice& slice) { Push(slice, slice.enqueued_at); }

  // Takes the first `bytes` waiting bytes out: the kernel has them. When they end within a frame, its
  // remainder is taken out as well and returned; it stays pending until ConsumeRest and FinishFrame.
  [[nodiscard]] std::optional<FrameRest> Consume(uint64_t bytes);

  // The kernel took so many bytes of the remainder; FinishFrame when that was the last of them.
  void ConsumeRest(uint32_t bytes, SliceKind kind);
  void FinishFrame(SliceKind kind);

  // Forgets what waits; the frame in flight stays. Returns what was dropped.
  Missing DropWaiting();

  // Drops messages, from the head or from the tail, until what waits is within `keep`, and takes the Gaps out
  // that it comes by: one Gap for both is to be put there instead.
  struct Drop {
    Missing told;  // by those Gaps
    Missing dropped;
  };
  Drop DropOldest(const QueueBound& keep);
  Drop DropNewest(const QueueBound& keep);
  // What a Gap at the head, or at the tail, tells; it is taken out.
  Missing TakeGapInFront();
  Missing TakeGapBehind();
  void PutGapInFront(Slice gap) {
    --begin_number_;
    slices_.push_front(std::move(gap));
  }
  void PutGapBehind(Slice gap) { slices_.push_back(std::move(gap)); }

  // Copies messages out of chunks that are better not kept alive for them (BetterCopiedOut).
  void CopyOut(MemoryAccount* account);

  // Takes out what waits, to be pushed again in another form.
  Ring<Slice> TakeWaiting();

  // Messages have the numbers of their slices, which stay while others leave; this is the next one's.
  int64_t end_number() const { return begin_number_ + static_cast<int64_t>(slices_.size()); }
  // Whether the slice of that number has not left; a Gap in front may have the number of one that has.
  bool Waits(int64_t number) const {
    return number >= begin_number_ && slices_[Index(number)].kind == SliceKind::kMessages;
  }
  // Puts a message in the place of one that waits alone in its slice, with the time of that one. Returns what
  // was replaced.
  Missing Replace(int64_t number, Slice slice);

  const Ring<Slice>& slices() const { return slices_; }
  bool empty() const { return slices_.empty(); }
  // Neither anything that waits nor a message that is half on the wire.
  bool idle() const { return slices_.empty() && rest_messages_ == 0; }

  uint64_t pending_bytes() const { return waiting_bytes_ + rest_bytes_; }
  uint64_t pending_messages() const { return waiting_messages_ + rest_messages_; }
  // What its slices take by themselves.
  uint64_t slices_bytes() const { return slices_.size() * sizeof(Slice); }
  // Behind the frame that is half on the wire.
  uint64_t waiting_messages() const { return waiting_messages_; }
  // Messages whose last byte the kernel took.
  uint64_t sent_messages() const { return sent_messages_; }
  QueueState state() const;

 private:
  size_t Index(int64_t number) const { return static_cast<size_t>(number - begin_number_); }
  void PopFront() {
    slices_.pop_front();
    ++begin_number_;
  }
  void DropFrom(Slice* slice, const FrameBoundary& dropped, Missing* sum);

  Ring<Slice> slices_;
  int64_t begin_number_ = 0;
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
