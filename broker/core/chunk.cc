#include "broker/core/chunk.h"

#include <cstring>
#include <new>

namespace sluice {

ChunkRef Chunk::Create(uint32_t capacity, MemoryAccount* account) {
  void* memory = ::operator new(sizeof(Chunk) + capacity);
  account->Add(capacity);
  return ChunkRef(new (memory) Chunk(capacity, account));
}

void Chunk::Unref() {
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  account_->Add(-static_cast<int64_t>(capacity_));
  this->~Chunk();
  ::operator delete(this);
}

ChunkRef ChunkPool::Take() {
  for (ChunkRef& kept : recent_) {
    if (kept->unshared()) return kept;
  }
  ChunkRef fresh = Chunk::Create(chunk_bytes_, account_);
  if (recent_.size() < kept_max_) {
    recent_.push_back(fresh);
  } else if (kept_max_ > 0) {
    recent_[next_] = fresh;
    next_ = (next_ + 1) % kept_max_;
  }
  return fresh;
}

void OpenChunk::StartNext() {
  chunk_ = ChunkRef();
  chunk_ = pool_->Take();
  used_ = 0;
}

uint32_t OpenChunk::Append(std::string_view bytes) {
  const std::span<char> room = Room(static_cast<uint32_t>(bytes.size()));
  std::memcpy(room.data(), bytes.data(), bytes.size());
  const uint32_t offset = used_;
  Commit(static_cast<uint32_t>(bytes.size()));
  return offset;
}

}  // namespace sluice
