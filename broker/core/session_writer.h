// What one session's socket gets, in which order, and what of it has left. Internal to the broker.
//
// The stream is built from three sources: the rest of the frame that is half on the wire (first, always), the
// control lane (answers, errors, Goodbye: before all queues at the next frame boundary), and the send queues,
// in turn by deficit round robin. Before messages of another subscription than the last stands a Delivery
// header.
//
//   writer.QueueControl(frame);
//   writer.Activate(&subscription);                     // its queue has something
//   FlushResult result = writer.Flush(&transport, &scratch, bytes_max);
//   if (result.outcome == FlushOutcome::kBlocked) ...   // arm EPOLLOUT
//
// Invariant: the stream changes hands (another queue, the control lane) only at a frame boundary, whatever
// the kernel takes of a write. Bytes that the kernel took are booked in the order gathered; a header or
// control frame is booked to the session, a message to its queue.
//
// A queue whose subscription is out of credit takes no turns: it is on another list (starved()) until more is
// granted. What its credit allows is cut at the first frame boundary at or behind it.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_SESSION_WRITER_H_
#define SLUICE_BROKER_CORE_SESSION_WRITER_H_

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "broker/core/subscription.h"
#include "broker/core/transport.h"

namespace google::protobuf {
class MessageLite;
}

namespace sluice {

// Pieces smaller than this are copied into one buffer per write; larger ones are pointed to.
inline constexpr uint32_t kGatherCopyBytesMax = 512;
inline constexpr size_t kGatherPiecesMax = 256;
// What a queue may send before the next one's turn.
inline constexpr int64_t kQuantumBytes = 64 << 10;
// One write asks the kernel to take about so much.
inline constexpr size_t kWriteBytesMax = 1 << 20;

// Room to build one write in; one per shard, for all its sessions.
struct WriteScratch {
  enum class Source : uint8_t { kFrameRest, kHeaderRest, kControl, kHeader, kQueue };
  struct Part {
    Source source;
    uint32_t bytes;
    Subscription* subscription;
  };

  std::array<char, 32 << 10> copies;
  uint32_t copies_used = 0;
  std::array<iovec, kGatherPiecesMax> pieces;
  size_t pieces_used = 0;
  std::vector<Part> parts;
  size_t bytes = 0;
};

enum class FlushOutcome {
  kDrained,  // nothing is left, but for what waits for credit
  kBlocked,  // the socket is full
  kCapped,   // the socket may take more, but the turn is over: flush again
  kBroken,
};

struct FlushResult {
  FlushOutcome outcome = FlushOutcome::kDrained;
  uint64_t offered_bytes = 0;  // in the last write
  uint64_t taken_bytes = 0;    // in all writes
  uint32_t writes = 0;
  uint32_t partial_writes = 0;
  uint32_t would_block = 0;
  // Subscriptions that have used up their credit and have more to send.
  uint32_t starved = 0;
  // Of messages, headers and control frames left out.
  uint64_t messages_sent = 0;
  uint64_t message_bytes_sent = 0;
};

class SessionWriter {
 public:
  SessionWriter() = default;
  SessionWriter(const SessionWriter&) = delete;
  SessionWriter& operator=(const SessionWriter&) = delete;

  // Appends a frame to the control lane.
  void QueueControl(const google::protobuf::MessageLite& frame);
  uint64_t control_bytes() const { return control_.size() - control_sent_; }

  // The subscription's queue is not empty any more (it has a backlog), or it was granted credit, or what needs
  // credit was dropped. No effect when it was active already.
  void Activate(Subscription* subscription);
  // Its queue was emptied by a drop: it sends nothing more for now. The rest of a frame in flight stays its
  // own. (A flush would find out by itself, but until then empty() does not know.)
  void Deactivate(Subscription* subscription);
  // It is about to be destroyed: the rest of its frame in flight leaves all the same, booked to nobody.
  void Forget(Subscription* subscription);

  // Writes until drained, blocked, or message bytes of `bytes_max` were taken. Queues whose last byte left
  // are inactive afterwards.
  FlushResult Flush(Transport* transport, WriteScratch* scratch, uint64_t bytes_max);

  // A circular list (backlog->next_active) of the subscriptions that have something to send; null when there is none.
  Subscription* active() const { return active_; }

  // Those whose messages wait for credit; new ones come at the end.
  std::span<Subscription* const> starved() const {
    return starved_ == nullptr ? std::span<Subscription* const>() : std::span<Subscription* const>(*starved_);
  }

  // Whose frame is half on the wire; it need not be active. Null: nobody's, or it is gone.
  Subscription* in_flight() const { return rest_ ? rest_->owner : nullptr; }

  // Whether nothing may be sent.
  bool empty() const { return !rest_ && header_sent_ == 0 && control_bytes() == 0 && active_ == nullptr; }

  // Copies the rest of the frame in flight, like SendQueue::CopyOut.
  void CopyOutRest(MemoryAccount* account);

  // For closing: drops the control frames that have not begun to leave. The queues are the caller's to empty.
  void DropControl();
  // Bytes of the frame (message, header or control) that is half on the wire.
  uint64_t frame_in_flight_bytes() const;

 private:
  void Gather(WriteScratch* scratch) const;
  void GatherQueue(Subscription* subscription, bool alone, WriteScratch* scratch) const;
  void Book(const WriteScratch& scratch, size_t taken, FlushResult* result);
  void BookQueue(Subscription* subscription, uint32_t taken, bool whole, FlushResult* result);
  void LeaveRound(Subscription* subscription);
  void Starve(Subscription* subscription);
  void StopStarving(Subscription* subscription);
  void SkipSentControl();
  void ClearControl();
  uint32_t control_frame_bytes() const;

  struct Rest {
    FrameRest frame;
    Subscription* owner;  // null once its subscription is gone
  };
  std::optional<Rest> rest_;
  // Of the header that is half on the wire: so much of it has left, and whose messages come behind it. 0: none
  // is.
  uint8_t header_sent_ = 0;
  uint32_t header_subscription_ = 0;

  std::string control_;
  // Where the first control frame that has not left completely begins, and how far the lane has left.
  size_t control_begin_ = 0;
  size_t control_sent_ = 0;

  // Whose messages the peer takes the next message for.
  uint32_t current_subscription_ = 0;
  // The next to send.
  Subscription* active_ = nullptr;
  // Null until there is one.
  std::unique_ptr<std::vector<Subscription*>> starved_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_SESSION_WRITER_H_
