#include "broker/core/session_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "protocol/frame.h"
#include "protocol/sluice.pb.h"

namespace sluice {
namespace {

using Source = WriteScratch::Source;

bool HasRoom(const WriteScratch& scratch) {
  return scratch.pieces_used < kGatherPiecesMax && scratch.bytes < kWriteBytesMax &&
         scratch.copies_used + kGatherCopyBytesMax < scratch.copies.size();
}

// Adds bytes that stay where they are until the write is done, small ones by copy.
void AddPiece(std::string_view bytes, WriteScratch* scratch) {
  if (bytes.size() < kGatherCopyBytesMax && scratch->copies_used + bytes.size() <= scratch->copies.size()) {
    char* copy = scratch->copies.data() + scratch->copies_used;
    std::memcpy(copy, bytes.data(), bytes.size());
    scratch->copies_used += static_cast<uint32_t>(bytes.size());
    if (scratch->pieces_used > 0) {
      iovec& last = scratch->pieces[scratch->pieces_used - 1];
      if (static_cast<char*>(last.iov_base) + last.iov_len == copy) {
        last.iov_len += bytes.size();
        scratch->bytes += bytes.size();
        return;
      }
    }
    bytes = {copy, bytes.size()};
  }
  scratch->pieces[scratch->pieces_used++] = {const_cast<char*>(bytes.data()), bytes.size()};
  scratch->bytes += bytes.size();
}

void AddPart(Source source, Subscription* subscription, size_t bytes, WriteScratch* scratch) {
  scratch->parts.push_back({source, static_cast<uint32_t>(bytes), subscription});
}

// A ServerFrame with a Delivery as AppendFrame would write it. By hand, since building the objects for a
// session with a hundred subscriptions cost more than all the rest of its flush.
std::string EncodeHeader(uint32_t subscription) {
  static_assert(v1::ServerFrame::kDeliveryFieldNumber == 16 && v1::Delivery::kSubscriptionFieldNumber == 1);
  enum Place { kFrameBytes = 0, kDeliveryBytes = 3 };
  std::string bytes = {5, '\x82', 1, 2, 8};
  for (; subscription >= 0x80; subscription >>= 7) {
    bytes.push_back(static_cast<char>(subscription | 0x80));
    ++bytes[kFrameBytes];
    ++bytes[kDeliveryBytes];
  }
  bytes.push_back(static_cast<char>(subscription));
  return bytes;
}

}  // namespace

void SessionWriter::QueueControl(const google::protobuf::MessageLite& frame) {
  AppendFrame(frame, &control_);
}

void SessionWriter::Activate(Subscription* subscription) {
  if (subscription->active()) return;
  if (active_ == nullptr) {
    active_ = subscription->next_active = subscription->previous_active = subscription;
    return;
  }
  Subscription* last = active_->previous_active;
  subscription->previous_active = last;
  subscription->next_active = active_;
  last->next_active = active_->previous_active = subscription;
}

void SessionWriter::Deactivate(Subscription* subscription) {
  if (!subscription->active()) return;
  if (subscription->next_active == subscription) {
    active_ = nullptr;
  } else {
    subscription->previous_active->next_active = subscription->next_active;
    subscription->next_active->previous_active = subscription->previous_active;
    if (active_ == subscription) active_ = subscription->next_active;
  }
  subscription->next_active = subscription->previous_active = nullptr;
  subscription->deficit_bytes = 0;
}

void SessionWriter::Forget(Subscription* subscription) {
  Deactivate(subscription);
  if (rest_ && rest_->owner == subscription) rest_->owner = nullptr;
}

FlushResult SessionWriter::Flush(Transport* transport, WriteScratch* scratch, uint64_t bytes_max) {
  FlushResult result;
  while (!empty()) {
    if (result.taken_bytes >= bytes_max) {
      result.outcome = FlushOutcome::kCapped;
      return result;
    }
    Gather(scratch);
    if (scratch->bytes == 0) {
      // Everybody who has something works off a debt first (or has nothing: a drop emptied the queue).
      Book(*scratch, 0, &result);
      continue;
    }
    const WriteResult written = transport->Write({scratch->pieces.data(), scratch->pieces_used});
    ++result.writes;
    result.offered_bytes = scratch->bytes;
    switch (written.status) {
      case WriteStatus::kBroken:
        result.outcome = FlushOutcome::kBroken;
        return result;
      case WriteStatus::kWouldBlock:
        ++result.would_block;
        result.outcome = FlushOutcome::kBlocked;
        return result;
      case WriteStatus::kTaken:
        break;
    }
    result.taken_bytes += written.bytes;
    const bool partial = written.bytes < scratch->bytes;
    Book(*scratch, written.bytes, &result);
    if (partial) {
      ++result.partial_writes;
      result.outcome = FlushOutcome::kBlocked;
      return result;
    }
  }
  return result;
}

void SessionWriter::Gather(WriteScratch* scratch) const {
  scratch->copies_used = 0;
  scratch->pieces_used = 0;
  scratch->bytes = 0;
  scratch->parts.clear();
  if (rest_) {
    const FrameRest& frame = rest_->frame;
    AddPiece({frame.chunk->data() + frame.offset, frame.bytes}, scratch);
    AddPart(Source::kFrameRest, rest_->owner, frame.bytes, scratch);
  }
  if (!header_rest_.empty()) {
    AddPiece(header_rest_, scratch);
    AddPart(Source::kHeaderRest, nullptr, header_rest_.size(), scratch);
  }
  if (control_bytes() > 0) {
    AddPiece(std::string_view(control_).substr(control_sent_), scratch);
    AddPart(Source::kControl, nullptr, control_bytes(), scratch);
  }
  if (active_ == nullptr) return;
  const bool alone = active_->next_active == active_;
  Subscription* subscription = active_;
  uint32_t current = header_rest_.empty() ? current_subscription_ : header_rest_subscription_;
  do {
    if (!HasRoom(*scratch)) return;
    if (!alone && subscription->deficit_bytes + kQuantumBytes <= 0) {
      // Still in debt: visited, with nothing to send.
      AddPart(Source::kQueue, subscription, 0, scratch);
    } else {
      // Frames in place name their subscription themselves, so a header is only needed before messages.
      bool messages = false;
      for (size_t i = 0; i < subscription->queue.slices().size() && !messages; ++i) {
        messages = subscription->queue.slices()[i].kind == SliceKind::kMessages;
      }
      if (messages && current != subscription->id) {
        // A header in the last piece would leave its message none: the queue would have had its turn for
        // nothing, and again in every round that goes the same way.
        if (scratch->pieces_used + 2 > kGatherPiecesMax) return;
        const std::string header = EncodeHeader(subscription->id);
        AddPiece(header, scratch);
        AddPart(Source::kHeader, subscription, header.size(), scratch);
        current = subscription->id;
      }
      GatherQueue(subscription, alone, scratch);
    }
    subscription = subscription->next_active;
  } while (subscription != active_);
  // Nothing but visits without a byte: the caller lets them pay.
}

void SessionWriter::GatherQueue(Subscription* subscription, bool alone, WriteScratch* scratch) const {
  const Ring<Slice>& slices = subscription->queue.slices();
  const uint64_t allowance =
      alone ? kWriteBytesMax : static_cast<uint64_t>(kQuantumBytes + subscription->deficit_bytes);
  uint64_t taken = 0;
  for (size_t i = 0; i < slices.size() && taken < allowance; ++i) {
    const Slice& slice = slices[i];
    if (scratch->pieces_used == kGatherPiecesMax || (i > 0 && !HasRoom(*scratch))) break;
    std::string_view bytes = slice.view();
    if (bytes.size() > allowance - taken && !alone) {
      FrameBoundary fits = LastBoundaryWithin(bytes, allowance - taken);
      if (fits.bytes == 0) {
        if (taken > 0) break;
        fits = BoundaryAfter(bytes, 1);  // larger than a quantum: sent whole, and owed
      }
      bytes = bytes.substr(0, fits.bytes);
    }
    AddPiece(bytes, scratch);
    taken += bytes.size();
    if (bytes.size() < slice.bytes) break;
  }
  AddPart(Source::kQueue, subscription, taken, scratch);
}

void SessionWriter::Book(const WriteScratch& scratch, size_t taken, FlushResult* result) {
  for (const WriteScratch::Part& part : scratch.parts) {
    const uint32_t bytes = static_cast<uint32_t>(std::min<size_t>(part.bytes, taken));
    const bool whole = bytes == part.bytes;
    taken -= bytes;
    if (bytes == 0 && part.bytes != 0) return;
    switch (part.source) {
      case Source::kFrameRest: {
        FrameRest& frame = rest_->frame;
        frame.offset += bytes;
        frame.bytes -= bytes;
        if (frame.kind == SliceKind::kMessages) result->message_bytes_sent += bytes;
        if (rest_->owner != nullptr) rest_->owner->queue.ConsumeRest(bytes, frame.kind);
        if (!whole) return;
        if (frame.kind == SliceKind::kMessages) ++result->messages_sent;
        if (rest_->owner != nullptr) rest_->owner->queue.FinishFrame(frame.kind);
        rest_.reset();
        break;
      }
      case Source::kHeaderRest:
        header_rest_.erase(0, bytes);
        if (!whole) return;
        current_subscription_ = header_rest_subscription_;
        header_rest_ = std::string();
        break;
      case Source::kControl:
        control_sent_ += bytes;
        if (!whole) {
          SkipSentControl();
          return;
        }
        ClearControl();
        break;
      case Source::kHeader:
        if (!whole) {
          header_rest_ = EncodeHeader(part.subscription->id).substr(bytes);
          header_rest_subscription_ = part.subscription->id;
          return;
        }
        current_subscription_ = part.subscription->id;
        break;
      case Source::kQueue:
        BookQueue(part.subscription, bytes, whole, result);
        if (!whole) return;
        break;
    }
  }
}

void SessionWriter::BookQueue(Subscription* subscription, uint32_t taken, bool whole, FlushResult* result) {
  SendQueue& queue = subscription->queue;
  const uint64_t sent_before = queue.sent_messages();
  const uint64_t pending_before = queue.pending_bytes();
  // A frame that was cut leaves to its end before anybody else's turn, so it is paid for as a whole.
  int64_t owed = 0;
  if (std::optional<FrameRest> rest = queue.Consume(taken)) {
    owed = rest->bytes;
    rest_ = Rest{*std::move(rest), subscription};
  }
  result->messages_sent += queue.sent_messages() - sent_before;
  result->message_bytes_sent += pending_before - queue.pending_bytes();
  if (queue.empty()) {
    Deactivate(subscription);
    return;
  }
  if (subscription->next_active == subscription) {
    // Alone: nobody to be fair to, but for those who come while the rest of its frame leaves.
    subscription->deficit_bytes = -owed;
    return;
  }
  if (!whole) {
    subscription->deficit_bytes -= taken + owed;
    return;
  }
  // Its turn is over. Only debts are carried into the next one.
  subscription->deficit_bytes = std::min<int64_t>(0, subscription->deficit_bytes + kQuantumBytes - taken);
  active_ = subscription->next_active;
}

// A lane that drains in many small writes must not be moved in memory for each of them.
void SessionWriter::SkipSentControl() {
  const std::string_view unfinished = std::string_view(control_).substr(control_begin_);
  control_begin_ += LastBoundaryWithin(unfinished, control_sent_ - control_begin_).bytes;
  if (control_begin_ <= control_.size() / 2) return;
  control_.erase(0, control_begin_);
  control_sent_ -= control_begin_;
  control_begin_ = 0;
}

void SessionWriter::ClearControl() {
  control_ = std::string();
  control_begin_ = 0;
  control_sent_ = 0;
}

uint32_t SessionWriter::control_frame_bytes() const {
  return BoundaryAfter(std::string_view(control_).substr(control_begin_), 1).bytes;
}

void SessionWriter::DropControl() {
  if (control_sent_ == control_begin_) {
    ClearControl();
  } else {
    control_.resize(control_begin_ + control_frame_bytes());
  }
}

uint64_t SessionWriter::frame_in_flight_bytes() const {
  if (rest_) return rest_->frame.bytes;
  if (!header_rest_.empty()) return header_rest_.size();
  return control_sent_ > control_begin_ ? control_begin_ + control_frame_bytes() - control_sent_ : 0;
}

}  // namespace sluice
