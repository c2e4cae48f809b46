#include "broker/core/conflation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/string_view.h"
#include "protocol/frame.h"
#include "protocol/publish.h"

namespace sluice {
namespace {

// Keys whose message has left are forgotten when they are so many more than those that wait.
constexpr size_t kPlacesSpare = 64;

// About what a place takes: in the table, with a key that does not fit there, and the message's own chunk beside
// its bytes.
int64_t BytesOfPlace(const std::string& key) {
  constexpr size_t kInTable = 2 * sizeof(std::pair<std::string, int64_t>);
  constexpr size_t kKeyInPlaceMax = 15;
  const size_t bytes = kInTable + sizeof(Chunk) + (key.size() > kKeyInPlaceMax ? key.size() + 1 : 0);
  return static_cast<int64_t>(bytes);
}

}  // namespace

Missing Conflation::Begin(SendQueue* queue) {
  phase_ = Phase::kActive;
  Missing replaced;
  Ring<Slice> waiting = queue->TakeWaiting();
  for (; !waiting.empty(); waiting.pop_front()) {
    Slice& slice = waiting.front();
    if (slice.kind == SliceKind::kMessages) {
      replaced += Offer(slice, slice.enqueued_at, queue);
    } else {
      queue->Push(slice);
    }
  }
  return replaced;
}

void Conflation::End() {
  phase_ = Phase::kIdle;
  ForgetPlaces();
  view_ = {};
  key_ = {};
}

Missing Conflation::Offer(const Slice& slice, absl::Time enqueued_at, SendQueue* queue) {
  Missing replaced;
  for (std::string_view rest = slice.view(); !rest.empty();) {
    const std::string_view frame = rest.substr(0, BoundaryAfter(rest, 1).bytes);
    rest.remove_prefix(frame.size());
    OfferOne(frame, enqueued_at, queue, &replaced);
  }
  if (places_.size() > 2 * queue->slices().size() + kPlacesSpare) ForgetThoseThatLeft(*queue);
  untold_ += replaced;
  return replaced;
}

void Conflation::OfferOne(std::string_view frame, absl::Time enqueued_at, SendQueue* queue,
                          Missing* replaced) {
  Slice one;
  one.chunk = CopyOf(frame, account_);
  one.bytes = static_cast<uint32_t>(frame.size());
  one.messages = 1;
  one.enqueued_at = enqueued_at;
  const std::string_view key = KeyOf(frame);
  // Debian's absl::string_view is not std::string_view.
  const auto [place, is_new] =
      places_.try_emplace(absl::string_view(key.data(), key.size()), queue->end_number());
  if (is_new) {
    const int64_t bytes = BytesOfPlace(place->first);
    places_bytes_ += bytes;
    account_->Add(bytes);
  } else if (queue->Waits(place->second)) {
    *replaced += queue->Replace(place->second, std::move(one));
    return;
  }
  place->second = queue->end_number();
  queue->Push(one);
}

std::string_view Conflation::KeyOf(std::string_view frame) {
  const FramePrefix prefix = ReadFramePrefix(frame);
  // It was checked when it came in.
  (void)ReadMessage(frame.substr(prefix.prefix_bytes), &view_);
  if (key_header_.empty()) return view_.topic;
  const auto header = std::find_if(view_.headers.begin(), view_.headers.end(),
                                   [&](const HeaderView& one) { return one.name == key_header_; });
  if (header == view_.headers.end()) return view_.topic;
  // A value may look like a topic; a topic has no space.
  key_.assign(" ");
  key_.append(header->value);
  return key_;
}

void Conflation::ForgetPlaces() {
  places_ = {};
  account_->Add(-std::exchange(places_bytes_, 0));
}

void Conflation::ForgetThoseThatLeft(const SendQueue& queue) {
  int64_t bytes = 0;
  absl::erase_if(places_, [&](const auto& place) {
    if (queue.Waits(place.second)) return false;
    bytes += BytesOfPlace(place.first);
    return true;
  });
  places_bytes_ -= bytes;
  account_->Add(-bytes);
}

}  // namespace sluice
