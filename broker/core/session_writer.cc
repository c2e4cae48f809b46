#include "broker/core/session_writer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
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

// Where the first frame ends that ends at `bytes` or behind it.
uint32_t FirstBoundaryBehind(std::string_view frames, uint64_t bytes) {
  const FrameBoundary within = LastBoundaryWithin(frames, bytes);
  return within.bytes == bytes ? within.bytes : BoundaryAfter(frames, within.frames + uint64_t{1}).bytes;
}

// A ServerFrame with a Delivery as AppendFrame would write it. By hand, since building the objects for a
// session with a hundred subscriptions cost more than all the rest of its flush.
class Header {
 public:
  explicit Header(uint32_t subscription) {
    static_assert(v1::ServerFrame::kDeliveryFieldNumber == 16 && v1::Delivery::kSubscriptionFieldNumber == 1);
    for (; subscription >= 0x80; subscription >>= 7) bytes_[size_++] = static_cast<char>(subscription | 0x80);
    bytes_[size_++] = static_cast<char>(subscription);
    bytes_[kFrameBytes] = static_cast<char>(size_ - 1);
    bytes_[kDeliveryBytes] = static_cast<char>(size_ - 4);
  }
  std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  enum Place { kFrameBytes = 0, kDeliveryBytes = 3, kSubscription = 5 };
  std::array<char, 10> bytes_ = {0, '\x82', 1, 0, 8};
  size_t size_ = kSubscription;
};

}  // namespace

void SessionWriter::QueueControl(const google::protobuf::MessageLite& frame) {
  AppendFrame(frame, &control_);
}

void SessionWriter::Activate(Subscription* subscription) {
  if (subscription->active()) return;
  if (subscription->extras != nullptr) {
    if (!subscription->may_send()) return Starve(subscription);
    StopStarving(subscription);
  }
  Backlog& backlog = *subscription->backlog;
  if (active_ == nullptr) {
    active_ = backlog.next_active = backlog.previous_active = subscription;
    return;
  }
  Subscription* last = active_->backlog->previous_active;
  backlog.previous_active = last;
  backlog.next_active = active_;
  last->backlog->next_active = active_->backlog->previous_active = subscription;
}

void SessionWriter::Starve(Subscription* subscription) {
  if (subscription->starved != Subscription::Starved::kNo) return;
  subscription->starved = Subscription::Starved::kYes;
  if (starved_ == nullptr) starved_ = std::make_unique<std::vector<Subscription*>>();
  starved_->push_back(subscription);
}

void SessionWriter::StopStarving(Subscription* subscription) {
  if (subscription->starved == Subscription::Starved::kNo) return;
  subscription->starved = Subscription::Starved::kNo;
  std::erase(*starved_, subscription);
}

// Inlined: every queue that drains comes by.
[[gnu::always_inline]] inline void SessionWriter::LeaveRound(Subscription* subscription) {
  Backlog& backlog = *subscription->backlog;
  if (backlog.next_active == subscription) {
    active_ = nullptr;
  } else {
    backlog.previous_active->backlog->next_active = backlog.next_active;
    backlog.next_active->backlog->previous_active = backlog.previous_active;
    if (active_ == subscription) active_ = backlog.next_active;
  }
  backlog.next_active = backlog.previous_active = nullptr;
}

void SessionWriter::Deactivate(Subscription* subscription) {
  if (subscription->extras != nullptr) StopStarving(subscription);
  if (subscription->backlog == nullptr) return;
  if (subscription->active()) LeaveRound(subscription);
  subscription->backlog->deficit_bytes = 0;
  subscription->ReleaseBacklog();
}

void SessionWriter::Forget(Subscription* subscription) {
  Deactivate(subscription);
  if (rest_ && rest_->owner == subscription) rest_->owner = nullptr;
}

FlushResult SessionWriter::Flush(Transport* transport, WriteScratch* scratch, uint64_t bytes_max) {
  FlushResult result;
  while (!empty()) {
    if (result.message_bytes_sent >= bytes_max) {
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
  if (header_sent_ > 0) {
    const Header header(header_subscription_);
    const std::string_view left = header.view().substr(header_sent_);
    AddPiece(left, scratch);  // a copy: there is room for it
    AddPart(Source::kHeaderRest, nullptr, left.size(), scratch);
  }
  if (control_bytes() > 0) {
    AddPiece(std::string_view(control_).substr(control_sent_), scratch);
    AddPart(Source::kControl, nullptr, control_bytes(), scratch);
  }
  if (active_ == nullptr) return;
  const bool alone = active_->backlog->next_active == active_;
  Subscription* subscription = active_;
  uint32_t current = header_sent_ == 0 ? current_subscription_ : header_subscription_;
  do {
    if (!HasRoom(*scratch)) return;
    if (!alone && subscription->backlog->deficit_bytes + kQuantumBytes <= 0) {
      // Still in debt: visited, with nothing to send.
      AddPart(Source::kQueue, subscription, 0, scratch);
    } else {
      // Frames in place name their subscription themselves, so a header is only needed before messages.
      bool messages = false;
      const Ring<Slice>& slices = subscription->backlog->queue.slices();
      for (size_t i = 0; i < slices.size() && !messages; ++i) {
        messages = slices[i].kind == SliceKind::kMessages;
      }
      if (messages && subscription->out_of_credit()) messages = false;
      if (messages && current != subscription->id) {
        // A header in the last piece would leave its message none: the queue would have had its turn for
        // nothing, and again in every round that goes the same way.
        if (scratch->pieces_used + 2 > kGatherPiecesMax) return;
        const Header header(subscription->id);
        AddPiece(header.view(), scratch);
        AddPart(Source::kHeader, subscription, header.view().size(), scratch);
        current = subscription->id;
      }
      GatherQueue(subscription, alone, scratch);
    }
    subscription = subscription->backlog->next_active;
  } while (subscription != active_);
  // Nothing but visits without a byte: the caller lets them pay.
}

void SessionWriter::GatherQueue(Subscription* subscription, bool alone, WriteScratch* scratch) const {
  const Backlog& backlog = *subscription->backlog;
  const Ring<Slice>& slices = backlog.queue.slices();
  const uint64_t allowance =
      alone ? kWriteBytesMax : static_cast<uint64_t>(kQuantumBytes + backlog.deficit_bytes);
  const Credit* const credit = subscription->credit();
  uint64_t credit_left = credit == nullptr ? std::numeric_limits<uint64_t>::max() : credit->left();
  uint64_t taken = 0;
  for (size_t i = 0; i < slices.size() && taken < allowance; ++i) {
    const Slice& slice = slices[i];
    if (scratch->pieces_used == kGatherPiecesMax || (i > 0 && !HasRoom(*scratch))) break;
    std::string_view bytes = slice.view();
    if (credit != nullptr && slice.kind == SliceKind::kMessages) {
      if (credit_left == 0) break;
      if (bytes.size() > credit_left) bytes = bytes.substr(0, FirstBoundaryBehind(bytes, credit_left));
      credit_left -= std::min<uint64_t>(credit_left, bytes.size());
    }
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
        Subscription* const owner = frame.kind == SliceKind::kMessages ? rest_->owner : nullptr;
        if (owner != nullptr) owner->backlog->queue.ConsumeRest(bytes, frame.kind);
        if (!whole) return;
        if (frame.kind == SliceKind::kMessages) ++result->messages_sent;
        if (owner != nullptr) {
          owner->backlog->queue.FinishFrame(frame.kind);
          owner->ReleaseBacklog();
        }
        rest_.reset();
        break;
      }
      case Source::kHeaderRest:
        header_sent_ = static_cast<uint8_t>(header_sent_ + bytes);
        if (!whole) return;
        current_subscription_ = header_subscription_;
        header_sent_ = 0;
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
          header_sent_ = static_cast<uint8_t>(bytes);
          header_subscription_ = part.subscription->id;
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
  Backlog& backlog = *subscription->backlog;
  SendQueue& queue = backlog.queue;
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
  Credit* const credit = subscription->credit();
  if (credit != nullptr) {
    const bool rest_counts = owed > 0 && rest_->frame.kind == SliceKind::kMessages;
    credit->Spend(pending_before - queue.pending_bytes() + static_cast<uint64_t>(rest_counts ? owed : 0));
  }
  if (queue.empty()) {
    Deactivate(subscription);
    return;
  }
  if (credit != nullptr && !subscription->may_send()) {
    // Its turn is over; a debt stays until it comes back.
    const int64_t deficit =
        backlog.next_active == subscription ? 0 : backlog.deficit_bytes + kQuantumBytes - taken;
    backlog.deficit_bytes = std::min<int64_t>(0, deficit - owed);
    LeaveRound(subscription);
    Starve(subscription);
    ++result->starved;
    return;
  }
  if (backlog.next_active == subscription) {
    // Alone: nobody to be fair to, but for those who come while the rest of its frame leaves.
    backlog.deficit_bytes = -owed;
    return;
  }
  if (!whole) {
    backlog.deficit_bytes -= taken + owed;
    return;
  }
  // Its turn is over. Only debts are carried into the next one.
  backlog.deficit_bytes = std::min<int64_t>(0, backlog.deficit_bytes + kQuantumBytes - taken);
  active_ = backlog.next_active;
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

void SessionWriter::CopyOutRest(MemoryAccount* account) {
  if (!rest_) return;
  FrameRest& frame = rest_->frame;
  if (!BetterCopiedOut(*frame.chunk.get(), frame.bytes)) return;
  frame.chunk = CopyOf({frame.chunk->data() + frame.offset, frame.bytes}, account);
  frame.offset = 0;
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
  if (header_sent_ > 0) return Header(header_subscription_).view().size() - header_sent_;
  return control_sent_ > control_begin_ ? control_begin_ + control_frame_bytes() - control_sent_ : 0;
}

}  // namespace sluice
