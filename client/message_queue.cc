#include "client/message_queue.h"

#include <algorithm>
#include <cstring>

namespace sluice::client {
namespace {

bool IsMessages(const Piece& piece) { return !piece.frames.empty(); }

bool TouchesEnd(const Piece& piece, const ChunkRef& chunk, const char* data) {
  return IsMessages(piece) && piece.chunk.get() == chunk.get() &&
         piece.frames.data() + piece.frames.size() == data;
}

void Extend(Piece* piece, size_t bytes, uint64_t messages) {
  piece->frames = {piece->frames.data(), piece->frames.size() + bytes};
  piece->messages += messages;
}

}  // namespace

void MessageQueue::PushMessages(const ChunkRef& chunk, std::string_view frames, uint64_t messages) {
  messages_ += messages;
  bytes_ += frames.size();
  if (!empty()) {
    if (TouchesEnd(pieces_.back(), chunk, frames.data()))
      return Extend(&pieces_.back(), frames.size(), messages);
    if (frames.size() < kCopyBelowBytes) return PushCopy(frames, messages);
  }
  pieces_.push_back({.chunk = chunk, .frames = frames, .messages = messages});
}

void MessageQueue::PushCopy(std::string_view frames, uint64_t messages) {
  const uint32_t bytes = static_cast<uint32_t>(frames.size());
  if (tail_ && tail_->refs() == 1) tail_used_ = 0;
  if (!tail_ || tail_->capacity() - tail_used_ < bytes) {
    const uint32_t last = tail_ ? tail_->capacity() : 0;
    tail_ = Chunk::Create(std::clamp(std::max(2 * last, bytes), kTailBytesMin, kTailBytesMax));
    tail_used_ = 0;
  }
  char* to = tail_->data() + tail_used_;
  std::memcpy(to, frames.data(), bytes);
  tail_used_ += bytes;
  if (TouchesEnd(pieces_.back(), tail_, to)) return Extend(&pieces_.back(), bytes, messages);
  pieces_.push_back({.chunk = tail_, .frames = {to, bytes}, .messages = messages});
}

void MessageQueue::PushGap(const GapMark& gap) { pieces_.push_back({.gap = std::make_unique<GapMark>(gap)}); }

void MessageQueue::PushEnd(const SubscriptionEnd& end) {
  pieces_.push_back({.end = std::make_unique<SubscriptionEnd>(end)});
}

void MessageQueue::PopFront() {
  bytes_ -= front().frames.size();
  messages_ -= front().messages;
  front() = Piece();
  ++head_;
  if (empty()) {
    Clear();
  } else if (head_ >= 64 && head_ * 2 >= pieces_.size()) {
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(head_));
    head_ = 0;
  }
}

void MessageQueue::TakeMessage(size_t frame_bytes) {
  Piece& piece = front();
  piece.frames.remove_prefix(frame_bytes);
  --piece.messages;
  bytes_ -= frame_bytes;
  --messages_;
  if (piece.frames.empty()) PopFront();
}

void MessageQueue::TakeAll(std::vector<Piece>* pieces) {
  if (pieces->empty() && head_ == 0) {
    pieces->swap(pieces_);
  } else {
    pieces->insert(pieces->end(), std::make_move_iterator(pieces_.begin() + static_cast<ptrdiff_t>(head_)),
                   std::make_move_iterator(pieces_.end()));
  }
  Clear();
}

void MessageQueue::Clear() {
  pieces_.clear();
  head_ = 0;
  messages_ = 0;
  bytes_ = 0;
  // A small one stays, so that a consumer that is a little behind all the time does not allocate all the
  // time.
  if (tail_ && tail_->capacity() > kTailBytesMin) tail_ = ChunkRef();
}

}  // namespace sluice::client
