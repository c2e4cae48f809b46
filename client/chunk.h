// Reference-counted blocks of received bytes. Internal to the client.
//
// Invariant: bytes that were handed out as part of a message never change while anybody but the I/O thread
// holds a reference.
//
// Thread safety: references may be taken and dropped on any thread; the bytes are written by one owner.
#ifndef SLUICE_CLIENT_CHUNK_H_
#define SLUICE_CLIENT_CHUNK_H_

#include <atomic>
#include <cstdint>
#include <utility>

namespace sluice::client {

class ChunkRef;

class Chunk {
 public:
  static ChunkRef Create(uint32_t capacity);

  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;

  char* data() { return reinterpret_cast<char*>(this + 1); }
  const char* data() const { return reinterpret_cast<const char*>(this + 1); }
  uint32_t capacity() const { return capacity_; }

  void Ref() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void Unref();
  // Whoever finds here no more than his own references may write the block anew.
  uint32_t refs() const { return refs_.load(std::memory_order_acquire); }

 private:
  explicit Chunk(uint32_t capacity) : capacity_(capacity) {}
  ~Chunk() = default;

  std::atomic<uint32_t> refs_{1};
  const uint32_t capacity_;
};

class ChunkRef {
 public:
  ChunkRef() = default;
  ChunkRef(const ChunkRef& other) : chunk_(other.chunk_) {
    if (chunk_ != nullptr) chunk_->Ref();
  }
  ChunkRef(ChunkRef&& other) noexcept : chunk_(std::exchange(other.chunk_, nullptr)) {}
  ChunkRef& operator=(ChunkRef other) noexcept {
    std::swap(chunk_, other.chunk_);
    return *this;
  }
  ~ChunkRef() {
    if (chunk_ != nullptr) chunk_->Unref();
  }

  Chunk* get() const { return chunk_; }
  Chunk* operator->() const { return chunk_; }
  explicit operator bool() const { return chunk_ != nullptr; }
  // Gives up the reference without dropping it.
  [[nodiscard]] Chunk* release() { return std::exchange(chunk_, nullptr); }

 private:
  friend class Chunk;
  explicit ChunkRef(Chunk* adopted) : chunk_(adopted) {}
  Chunk* chunk_ = nullptr;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_CHUNK_H_
