// Chunks: reference-counted blocks of encoded frames, written once and then shared by every queue that holds
// a piece of them. Internal to the broker.
//
//   ChunkPool pool(256 << 10, &account);
//   OpenChunk open(&pool);
//   std::span<char> room = open.Room(64 << 10);   // at least so much, in one piece
//   size_t got = read(..., room.data(), room.size());
//   Slice slice{open.chunk(), open.offset(), got, ...};
//   open.Commit(got);
//
// Invariant: bytes below a chunk's committed end never change while anybody but its writer holds a reference.
//
// Thread safety: references may be dropped on any thread (the count is atomic; one operation per slice, not
// per message). Everything else belongs to one shard.
#ifndef SLUICE_BROKER_CORE_CHUNK_H_
#define SLUICE_BROKER_CORE_CHUNK_H_

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

// How much memory all chunks of a process keep alive, and how much they may. Nothing is refused for it: the
// shards look once per turn, and see to it that there is less.
class MemoryAccount {
 public:
  static constexpr int64_t kNoBudget = INT64_MAX;

  explicit MemoryAccount(int64_t budget_bytes = kNoBudget) : budget_bytes_(budget_bytes) {}

  void Add(int64_t bytes) { bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  int64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  int64_t budget_bytes() const { return budget_bytes_; }

  bool over_budget() const { return bytes() > budget_bytes_; }
  // Whoever frees memory goes on until then, so that it need not begin anew in the next turn.
  int64_t low_mark_bytes() const { return budget_bytes_ - budget_bytes_ / 10; }
  bool within_low_mark() const { return bytes() <= low_mark_bytes(); }

 private:
  const int64_t budget_bytes_;
  std::atomic<int64_t> bytes_{0};
};

class ChunkRef;

class Chunk {
 public:
  // Never null; std::bad_alloc when memory is out. `account` outlives the chunk.
  static ChunkRef Create(uint32_t capacity, MemoryAccount* account);

  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;

  char* data() { return reinterpret_cast<char*>(this + 1); }
  const char* data() const { return reinterpret_cast<const char*>(this + 1); }
  uint32_t capacity() const { return capacity_; }
  // True for the holder of the only reference: nobody else can read, so it may be written anew.
  bool unshared() const { return refs_.load(std::memory_order_acquire) == 1; }
  // How many references there are at the moment; for estimates.
  uint32_t refs() const { return refs_.load(std::memory_order_relaxed); }

 private:
  friend class ChunkRef;
  Chunk(uint32_t capacity, MemoryAccount* account) : capacity_(capacity), account_(account) {}
  ~Chunk() = default;
  void Unref();

  std::atomic<uint32_t> refs_{1};
  const uint32_t capacity_;
  MemoryAccount* const account_;
};

class ChunkRef {
 public:
  ChunkRef() = default;
  ChunkRef(const ChunkRef& other) : chunk_(other.chunk_) {
    if (chunk_ != nullptr) chunk_->refs_.fetch_add(1, std::memory_order_relaxed);
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
  friend bool operator==(const ChunkRef& a, const ChunkRef& b) { return a.chunk_ == b.chunk_; }

 private:
  friend class Chunk;
  explicit ChunkRef(Chunk* adopted) : chunk_(adopted) {}
  Chunk* chunk_ = nullptr;
};

// Hands out chunks of one size and takes those back that nobody uses any more, so that a busy shard does not
// ask the kernel for fresh pages all the time. Keeps at most `kept_max` chunks alive by itself.
class ChunkPool {
 public:
  ChunkPool(uint32_t chunk_bytes, MemoryAccount* account, size_t kept_max = 8)
      : chunk_bytes_(chunk_bytes), account_(account), kept_max_(kept_max) {}

  ChunkRef Take();
  uint32_t chunk_bytes() const { return chunk_bytes_; }
  MemoryAccount* account() const { return account_; }

 private:
  const uint32_t chunk_bytes_;
  MemoryAccount* const account_;
  const size_t kept_max_;
  // The last ones handed out; one whose only reference is ours is free again.
  std::vector<ChunkRef> recent_;
  size_t next_ = 0;
};

// The chunk that a shard is filling.
class OpenChunk {
 public:
  explicit OpenChunk(ChunkPool* pool) : pool_(pool) {}

  // Room for at least `bytes_min` bytes (at most the pool's chunk size); starts a new chunk when the current
  // one has less. Valid until the next call.
  std::span<char> Room(uint32_t bytes_min) {
    if (!chunk_ || chunk_->capacity() - used_ < bytes_min) StartNext();
    return {chunk_->data() + used_, chunk_->capacity() - used_};
  }
  // Where Room begins.
  const ChunkRef& chunk() const { return chunk_; }
  uint32_t offset() const { return used_; }
  // The first `bytes` of Room are in use now.
  void Commit(uint32_t bytes) { used_ += bytes; }
  MemoryAccount* account() const { return pool_->account(); }
  // Copies `bytes` (at most the pool's chunk size) behind what is there and commits them; returns their
  // offset.
  uint32_t Append(std::string_view bytes);

 private:
  void StartNext();

  ChunkPool* const pool_;
  ChunkRef chunk_;
  uint32_t used_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_CHUNK_H_
