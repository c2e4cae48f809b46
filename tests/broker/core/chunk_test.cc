#include "broker/core/chunk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "broker/core/slice.h"

namespace sluice {
namespace {

Slice Piece(const ChunkRef& chunk, uint32_t offset, uint32_t bytes) {
  Slice slice;
  slice.chunk = chunk;
  slice.offset = offset;
  slice.bytes = bytes;
  return slice;
}

TEST(ChunkTest, IsAccountedForUntilTheLastReferenceIsGone) {
  MemoryAccount account;
  ChunkRef first = Chunk::Create(1000, &account);
  EXPECT_EQ(account.bytes(), 1000);
  EXPECT_EQ(first->capacity(), 1000u);
  {
    const ChunkRef second = first;
    first = ChunkRef();
    EXPECT_FALSE(first);
    EXPECT_EQ(account.bytes(), 1000);
  }
  EXPECT_EQ(account.bytes(), 0);
}

TEST(ChunkTest, KnowsWhetherAnybodyElseCanReadIt) {
  MemoryAccount account;
  ChunkRef first = Chunk::Create(10, &account);
  EXPECT_TRUE(first->unshared());
  {
    const ChunkRef second = first;
    EXPECT_TRUE(second == first);
    EXPECT_FALSE(first->unshared());
  }
  EXPECT_TRUE(first->unshared());
  const ChunkRef moved = std::move(first);
  EXPECT_TRUE(moved->unshared());
}

TEST(ChunkTest, AReferenceSurvivesBeingAssignedToItself) {
  MemoryAccount account;
  ChunkRef chunk = Chunk::Create(10, &account);
  const ChunkRef& same = chunk;
  chunk = same;
  EXPECT_TRUE(chunk->unshared());
  EXPECT_EQ(account.bytes(), 10);
}

TEST(ChunkTest, ReferencesMayBeDroppedOnAnyThread) {
  MemoryAccount account;
  for (int round = 0; round < 50; ++round) {
    ChunkRef chunk = Chunk::Create(100, &account);
    std::memset(chunk->data(), 'x', 100);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([reference = chunk]() mutable {
        EXPECT_EQ(std::count(reference->data(), reference->data() + 100, 'x'), 100);
        reference = ChunkRef();
      });
    }
    chunk = ChunkRef();
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(account.bytes(), 0);
}

TEST(SliceTest, ShowsItsPieceOfTheChunk) {
  MemoryAccount account;
  const Slice slice = Piece(Chunk::Create(10, &account), 3, 4);
  std::memcpy(slice.chunk->data(), "0123456789", 10);
  EXPECT_EQ(slice.view(), "3456");
}

TEST(ChunkPoolTest, HandsAChunkOutAgainOnceNobodyReadsIt) {
  MemoryAccount account;
  ChunkPool pool(100, &account);
  ChunkRef first = pool.Take();
  const Chunk* const address = first.get();
  ChunkRef reader = first;
  first = ChunkRef();
  EXPECT_NE(pool.Take().get(), address);
  reader = ChunkRef();
  EXPECT_EQ(pool.Take().get(), address);
}

TEST(ChunkPoolTest, NeverHandsTheSameChunkToTwo) {
  MemoryAccount account;
  ChunkPool pool(100, &account);
  std::vector<ChunkRef> taken;
  for (int i = 0; i < 50; ++i) {
    taken.push_back(pool.Take());
    for (size_t j = 0; j + 1 < taken.size(); ++j) ASSERT_FALSE(taken[j] == taken.back());
  }
}

TEST(ChunkPoolTest, KeepsNoMoreThanItMay) {
  for (const size_t kept_max : {size_t{0}, size_t{1}, size_t{3}, size_t{8}}) {
    MemoryAccount account;
    {
      ChunkPool pool(100, &account, kept_max);
      std::vector<ChunkRef> taken;
      for (int i = 0; i < 20; ++i) taken.push_back(pool.Take());
      EXPECT_EQ(account.bytes(), 20 * 100);
      taken.clear();
      EXPECT_EQ(account.bytes(), static_cast<int64_t>(kept_max) * 100);
    }
    EXPECT_EQ(account.bytes(), 0);
  }
}

TEST(OpenChunkTest, GivesRoomBehindWhatIsInUse) {
  MemoryAccount account;
  ChunkPool pool(100, &account);
  OpenChunk open(&pool);
  std::span<char> room = open.Room(40);
  EXPECT_EQ(room.size(), 100u);
  EXPECT_EQ(open.offset(), 0u);
  EXPECT_EQ(room.data(), open.chunk()->data());
  open.Commit(30);
  room = open.Room(70);
  EXPECT_EQ(room.size(), 70u);
  EXPECT_EQ(open.offset(), 30u);
  EXPECT_EQ(room.data(), open.chunk()->data() + 30);
}

TEST(OpenChunkTest, StartsAnotherChunkWhenThereIsTooLittleRoom) {
  MemoryAccount account;
  ChunkPool pool(100, &account);
  OpenChunk open(&pool);
  open.Commit(static_cast<uint32_t>(open.Room(1).size()) - 20);
  const ChunkRef first = open.chunk();
  EXPECT_EQ(open.Room(20).size(), 20u);
  EXPECT_TRUE(open.chunk() == first);
  EXPECT_EQ(open.Room(21).size(), 100u);
  EXPECT_FALSE(open.chunk() == first);
  EXPECT_EQ(open.offset(), 0u);
}

TEST(OpenChunkTest, BeginsAgainInItsOwnChunkWhenNobodyReadsIt) {
  MemoryAccount account;
  ChunkPool pool(100, &account);
  OpenChunk open(&pool);
  for (int i = 0; i < 10; ++i) {
    static_cast<void>(open.Room(100));
    open.Commit(100);
  }
  EXPECT_EQ(account.bytes(), 100);
}

TEST(OpenChunkTest, AppendSaysWhereTheBytesAre) {
  MemoryAccount account;
  ChunkPool pool(10, &account);
  OpenChunk open(&pool);
  EXPECT_EQ(open.Append("hello"), 0u);
  EXPECT_EQ(open.Append("you"), 5u);
  const Slice both = Piece(open.chunk(), 0, 8);
  EXPECT_EQ(open.Append("again"), 0u);  // does not fit behind them
  EXPECT_EQ(both.view(), "helloyou");
  EXPECT_EQ(std::string(open.chunk()->data(), 5), "again");
}

TEST(OpenChunkTest, NeverChangesBytesThatSomebodyHolds) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    MemoryAccount account;
    {
      ChunkPool pool(256, &account, /*kept_max=*/4);
      OpenChunk open(&pool);
      struct Held {
        Slice slice;
        std::string expected;
      };
      std::vector<Held> held;
      for (int step = 0; step < 3000; ++step) {
        if (random() % 3 == 0 && !held.empty()) {
          std::swap(held[random() % held.size()], held.back());
          ASSERT_EQ(held.back().slice.view(), held.back().expected);
          held.pop_back();
          continue;
        }
        const std::string text(1 + random() % 100, static_cast<char>('a' + random() % 26));
        const uint32_t offset = open.Append(text);
        held.push_back({Piece(open.chunk(), offset, static_cast<uint32_t>(text.size())), text});
        if (held.size() > 60) held.erase(held.begin(), held.begin() + 30);
      }
      for (const Held& piece : held) ASSERT_EQ(piece.slice.view(), piece.expected);
    }
    EXPECT_EQ(account.bytes(), 0);
  }
}

}  // namespace
}  // namespace sluice
