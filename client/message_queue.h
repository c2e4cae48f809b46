// What waits for a subscription's handler or Next(): pieces of received bytes, each some whole message
// frames, and the marks between them (a gap, the end). Internal to the client.
//
//   queue.PushMessages(chunk, frames, /*messages=*/12);
//   queue.PushGap({.messages = 3, …});
//   queue.TakeAll(&batch);                  // one lock for many messages
//
// A piece keeps its whole chunk alive. So that a few small messages of a quiet subscription do not pin a
// chunk each while a busy one fills them, a small piece that finds others waiting is copied behind them;
// pieces that lie next to each other become one.
//
// Thread safety: none; guarded by its owner's mutex. Bytes that were handed out are not touched again.
#ifndef SLUICE_CLIENT_MESSAGE_QUEUE_H_
#define SLUICE_CLIENT_MESSAGE_QUEUE_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "client/chunk.h"
#include "client/events.h"
#include "client/subscription.h"

namespace sluice::client {

struct GapMark {
  uint64_t messages = 0;
  uint64_t bytes = 0;
  GapCause cause = GapCause::kUnspecified;
};

struct Piece {
  // Whole frames, lengths included; empty for a mark.
  ChunkRef chunk = {};
  std::string_view frames = {};
  uint64_t messages = 0;
  // At most one of them.
  std::unique_ptr<GapMark> gap = {};
  std::unique_ptr<SubscriptionEnd> end = {};
};

class MessageQueue {
 public:
  void PushMessages(const ChunkRef& chunk, std::string_view frames, uint64_t messages);
  void PushGap(const GapMark& gap);
  void PushEnd(const SubscriptionEnd& end);

  bool empty() const { return head_ == pieces_.size(); }
  Piece& front() { return pieces_[head_]; }
  void PopFront();
  // Moves everything behind what is in `pieces`, whose memory the queue uses in exchange when it is empty.
  void TakeAll(std::vector<Piece>* pieces);
  // Throws away messages and marks, and says how much.
  void Clear();

  uint64_t messages() const { return messages_; }
  uint64_t bytes() const { return bytes_; }
  // One message of the front piece was taken, `frame_bytes` long.
  void TakeMessage(size_t frame_bytes);

 private:
  static constexpr uint32_t kCopyBelowBytes = 32 << 10;
  static constexpr uint32_t kTailBytesMin = 4 << 10;
  static constexpr uint32_t kTailBytesMax = 64 << 10;

  // Copies `frames` into the queue's own chunk and makes them part of the last piece if they are neighbours.
  void PushCopy(std::string_view frames, uint64_t messages);

  // Those before head_ were taken.
  std::vector<Piece> pieces_;
  size_t head_ = 0;
  uint64_t messages_ = 0;
  uint64_t bytes_ = 0;
  // Where small pieces are copied to.
  ChunkRef tail_;
  uint32_t tail_used_ = 0;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_MESSAGE_QUEUE_H_
