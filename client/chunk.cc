#include "client/chunk.h"

#include <new>

namespace sluice::client {

ChunkRef Chunk::Create(uint32_t capacity) {
  void* memory = ::operator new(sizeof(Chunk) + capacity);
  return ChunkRef(new (memory) Chunk(capacity));
}

void Chunk::Unref() {
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  this->~Chunk();
  ::operator delete(this);
}

}  // namespace sluice::client
