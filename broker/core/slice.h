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

// The largest chunk that a filter group makes for what waits for its blocked members.
inline constexpr uint32_t kKeptChunkBytesMax = 64 << 10;

// Whether to keep so many bytes of a chunk alive costs much more than to copy them: the chunk is a large one,
// and if all who hold a piece of it copied as much, they would together need less than an eighth of it.
inline bool BetterCopiedOut(const Chunk& chunk, uint64_t bytes) {
  return chunk.capacity() > kKeptChunkBytesMax && bytes * chunk.refs() < chunk.capacity() / 8;
}

// A chunk of their own for some bytes.
ChunkRef CopyOf(std::string_view bytes, MemoryAccount* account);

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_SLICE_H_
