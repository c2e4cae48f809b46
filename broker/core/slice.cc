#include "broker/core/slice.h"

#include <cstring>

namespace sluice {

ChunkRef CopyOf(std::string_view bytes, MemoryAccount* account) {
  ChunkRef chunk = Chunk::Create(static_cast<uint32_t>(bytes.size()), account);
  std::memcpy(chunk->data(), bytes.data(), bytes.size());
  return chunk;
}

}  // namespace sluice
