// A slice: a contiguous piece of a chunk that holds whole frames; the unit of enqueueing. Internal to the
// broker.
#ifndef SLUICE_BROKER_CORE_SLICE_H_
#define SLUICE_BROKER_CORE_SLICE_H_

#include <cstdint>
#include <string_view>

#include "absl/time/time.h"
#include "broker/core/chunk.h"

namespace sluice {

enum class SliceKind : uint8_t {
  kMessages,
  // Frames of the broker that stand in a subscription's queue at their place (Unsubscribed, Gap): they are
  // not pending bytes, are never dropped, and name their subscription themselves.
  kInPlace,
};

struct Slice {
  ChunkRef chunk;
  uint32_t offset = 0;
  uint32_t bytes = 0;
  uint32_t messages = 0;
  SliceKind kind = SliceKind::kMessages;
  absl::Time enqueued_at;

  std::string_view view() const { return {chunk->data() + offset, bytes}; }
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_SLICE_H_
