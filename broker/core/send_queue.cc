#include "broker/core/send_queue.h"

#include <utility>

#include "protocol/frame.h"

namespace sluice {

void SendQueue::Push(Slice slice) {
  if (slice.kind == SliceKind::kMessages) {
    waiting_bytes_ += slice.bytes;
    waiting_messages_ += slice.messages;
    if (!slices_.empty()) {
      Slice& last = slices_.back();
      if (last.kind == SliceKind::kMessages && last.chunk == slice.chunk &&
          last.offset + last.bytes == slice.offset && slice.enqueued_at - last.enqueued_at < kSliceGrowsFor) {
        last.bytes += slice.bytes;
        last.messages += slice.messages;
        return;
      }
    }
  }
  slices_.push_back(std::move(slice));
}

std::optional<FrameRest> SendQueue::Consume(uint64_t bytes) {
  while (bytes > 0) {
    Slice& first = slices_.front();
    const bool counts = first.kind == SliceKind::kMessages;
    if (bytes >= first.bytes) {
      bytes -= first.bytes;
      if (counts) {
        waiting_bytes_ -= first.bytes;
        waiting_messages_ -= first.messages;
        sent_messages_ += first.messages;
      }
      slices_.pop_front();
      continue;
    }
    const FrameBoundary whole = LastBoundaryWithin(first.view(), bytes);
    const uint32_t into_frame = static_cast<uint32_t>(bytes) - whole.bytes;
    uint32_t taken = whole.bytes;
    uint32_t taken_messages = whole.frames;
    std::optional<FrameRest> rest;
    if (into_frame > 0) {
      const FrameBoundary cut = BoundaryAfter(first.view().substr(whole.bytes), 1);
      rest =
          FrameRest{first.chunk, first.offset + whole.bytes + into_frame, cut.bytes - into_frame, first.kind};
      taken += cut.bytes;
      taken_messages += 1;
      if (counts) {
        rest_bytes_ = rest->bytes;
        rest_messages_ = 1;
        rest_enqueued_at_ = first.enqueued_at;
      }
    }
    if (counts) {
      waiting_bytes_ -= taken;
      waiting_messages_ -= taken_messages;
      sent_messages_ += whole.frames;
    }
    if (taken == first.bytes) {
      slices_.pop_front();
    } else {
      first.offset += taken;
      first.bytes -= taken;
      first.messages -= counts ? taken_messages : 0;
    }
    if (slices_.empty()) slices_.clear();
    return rest;
  }
  if (slices_.empty()) slices_.clear();
  return std::nullopt;
}

void SendQueue::ConsumeRest(uint32_t bytes, SliceKind kind) {
  if (kind == SliceKind::kMessages) rest_bytes_ -= bytes;
}

void SendQueue::FinishFrame(SliceKind kind) {
  if (kind != SliceKind::kMessages) return;
  rest_bytes_ = 0;
  rest_messages_ = 0;
  ++sent_messages_;
}

SendQueue::Dropped SendQueue::DropWaiting() {
  Ring<Slice> kept;
  for (size_t i = 0; i < slices_.size(); ++i) {
    if (slices_[i].kind == SliceKind::kInPlace) kept.push_back(std::move(slices_[i]));
  }
  slices_ = std::move(kept);
  return {std::exchange(waiting_bytes_, 0), std::exchange(waiting_messages_, 0)};
}

QueueState SendQueue::state() const {
  QueueState state{waiting_bytes_, waiting_messages_, absl::InfiniteFuture()};
  if (rest_messages_ > 0) {
    state.oldest = rest_enqueued_at_;
  } else if (waiting_messages_ > 0) {
    // Frames in place have no age. There is at most a handful of them: they merge with their neighbours.
    size_t first = 0;
    while (slices_[first].kind != SliceKind::kMessages) ++first;
    state.oldest = slices_[first].enqueued_at;
  }
  return state;
}

}  // namespace sluice
