#include "broker/core/send_queue.h"

#include <algorithm>

namespace sluice {

void SendQueue::Push(const Slice& slice, absl::Time enqueued_at) {
  if (slice.kind == SliceKind::kMessages) {
    waiting_bytes_ += slice.bytes;
    waiting_messages_ += slice.messages;
    if (!slices_.empty()) {
      Slice& last = slices_.back();
      if (last.kind == SliceKind::kMessages && last.chunk == slice.chunk &&
          last.offset + last.bytes == slice.offset && enqueued_at - last.enqueued_at < kSliceGrowsFor) {
        last.bytes += slice.bytes;
        last.messages += slice.messages;
        return;
      }
    }
  }
  slices_.push_back(slice);
  slices_.back().enqueued_at = enqueued_at;
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
      PopFront();
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
      PopFront();
    } else {
      first.offset += taken;
      first.bytes -= taken;
      first.messages -= counts ? taken_messages : 0;
    }
    if (slices_.empty()) slices_.Shrink();
    return rest;
  }
  if (slices_.empty()) slices_.Shrink();
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

Missing SendQueue::DropWaiting() {
  Ring<Slice> kept(slices_.account());
  for (size_t i = 0; i < slices_.size(); ++i) {
    if (slices_[i].kind == SliceKind::kInPlace) kept.push_back(std::move(slices_[i]));
  }
  slices_ = std::move(kept);
  return {.messages = std::exchange(waiting_messages_, 0), .bytes = std::exchange(waiting_bytes_, 0)};
}

// Books that so much of a slice is dropped; which end it was at is the caller's.
void SendQueue::DropFrom(Slice* slice, const FrameBoundary& dropped, Missing* sum) {
  slice->bytes -= dropped.bytes;
  slice->messages -= dropped.frames;
  waiting_bytes_ -= dropped.bytes;
  waiting_messages_ -= dropped.frames;
  *sum += {.messages = dropped.frames, .bytes = dropped.bytes};
}

SendQueue::Drop SendQueue::DropOldest(const QueueBound& keep) {
  Drop drop;
  while (!slices_.empty()) {
    Slice& first = slices_.front();
    if (const std::optional<Missing> gap = GapIn(first)) {
      drop.told += *gap;
      PopFront();
      continue;
    }
    if (first.kind != SliceKind::kMessages) break;
    FrameBoundary over;
    if (first.enqueued_at < keep.enqueued_since) {
      over = {first.bytes, first.messages};
    } else {
      if (waiting_messages_ > keep.messages_max) {
        over = BoundaryAfter(first.view(), waiting_messages_ - keep.messages_max);
      }
      if (waiting_bytes_ - over.bytes > keep.bytes_max) {
        // The frame that ends at the bound or behind it.
        const uint64_t bytes = std::min<uint64_t>(waiting_bytes_ - keep.bytes_max, first.bytes);
        over = LastBoundaryWithin(first.view(), bytes);
        if (over.bytes < bytes) over = BoundaryAfter(first.view(), over.frames + uint64_t{1});
      }
    }
    if (over.frames == 0) break;
    DropFrom(&first, over, &drop.dropped);
    first.offset += over.bytes;
    if (first.messages == 0) PopFront();
  }
  return drop;
}

SendQueue::Drop SendQueue::DropNewest(const QueueBound& keep) {
  Drop drop;
  while (!slices_.empty() && (waiting_messages_ > keep.messages_max || waiting_bytes_ > keep.bytes_max)) {
    Slice& last = slices_.back();
    if (last.kind != SliceKind::kMessages) {
      const std::optional<Missing> gap = GapIn(last);
      if (!gap.has_value()) break;
      drop.told += *gap;
      slices_.pop_back();
      continue;
    }
    const uint64_t bytes_before = waiting_bytes_ - last.bytes;
    const uint64_t messages_before = waiting_messages_ - last.messages;
    FrameBoundary kept;
    if (bytes_before < keep.bytes_max && messages_before < keep.messages_max) {
      kept = LastBoundaryWithin(last.view(), keep.bytes_max - bytes_before);
      if (kept.frames > keep.messages_max - messages_before) {
        kept = BoundaryAfter(last.view(), keep.messages_max - messages_before);
      }
    }
    DropFrom(&last, {last.bytes - kept.bytes, last.messages - kept.frames}, &drop.dropped);
    if (last.messages == 0) slices_.pop_back();
  }
  return drop;
}

Missing SendQueue::TakeGapInFront() {
  if (slices_.empty()) return {};
  const std::optional<Missing> gap = GapIn(slices_.front());
  if (!gap.has_value()) return {};
  PopFront();
  return *gap;
}

void SendQueue::CopyOut(MemoryAccount* account) {
  for (size_t i = 0; i < slices_.size(); ++i) {
    Slice& slice = slices_[i];
    if (!BetterCopiedOut(*slice.chunk.get(), slice.bytes)) continue;
    slice.chunk = CopyOf(slice.view(), account);
    slice.offset = 0;
  }
}

Ring<Slice> SendQueue::TakeWaiting() {
  begin_number_ = end_number();
  waiting_bytes_ = 0;
  waiting_messages_ = 0;
  return std::exchange(slices_, Ring<Slice>(slices_.account()));
}

Missing SendQueue::Replace(int64_t number, Slice slice) {
  Slice& place = slices_[Index(number)];
  const Missing replaced = {.messages = 1, .bytes = place.bytes};
  waiting_bytes_ += slice.bytes;
  waiting_bytes_ -= place.bytes;
  slice.enqueued_at = place.enqueued_at;
  place = std::move(slice);
  return replaced;
}

Missing SendQueue::TakeGapBehind() {
  if (slices_.empty()) return {};
  const std::optional<Missing> gap = GapIn(slices_.back());
  if (!gap.has_value()) return {};
  slices_.pop_back();
  return *gap;
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
