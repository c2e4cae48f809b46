#include "client/message_queue.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <random>
#include <string>

#include "protocol/frame.h"

namespace sluice::client {
namespace {

// A chunk that is filled from the front, as the receive buffer does.
class Filled {
 public:
  explicit Filled(uint32_t capacity) : chunk_(Chunk::Create(capacity)) {}
  std::string_view Add(std::string_view bytes) {
    char* to = chunk_->data() + used_;
    std::memcpy(to, bytes.data(), bytes.size());
    used_ += bytes.size();
    return {to, bytes.size()};
  }
  const ChunkRef& chunk() const { return chunk_; }

 private:
  ChunkRef chunk_;
  size_t used_ = 0;
};

std::string Frames(int count, char fill, size_t body_bytes = 9) {
  std::string frames;
  for (int i = 0; i < count; ++i) frames += static_cast<char>(body_bytes) + std::string(body_bytes, fill);
  return frames;
}

TEST(MessageQueueTest, MakesOnePieceOfNeighbours) {
  MessageQueue queue;
  Filled chunk(1000);
  queue.PushMessages(chunk.chunk(), chunk.Add(Frames(2, 'a')), 2);
  queue.PushMessages(chunk.chunk(), chunk.Add(Frames(3, 'b')), 3);
  EXPECT_EQ(queue.messages(), 5u);
  EXPECT_EQ(queue.bytes(), 50u);
  std::vector<Piece> pieces;
  queue.TakeAll(&pieces);
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].frames, Frames(2, 'a') + Frames(3, 'b'));
  EXPECT_EQ(pieces[0].messages, 5u);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
}

TEST(MessageQueueTest, SmallPiecesThatWaitDoNotKeepTheirChunksAlive) {
  MessageQueue queue;
  Filled first(1000);
  queue.PushMessages(first.chunk(), first.Add(Frames(1, 'a')), 1);
  std::string expected = Frames(1, 'a');
  for (int i = 0; i < 500; ++i) {
    Filled chunk(1000);
    const std::string frames = Frames(1, static_cast<char>('b' + i % 20), 60);
    queue.PushMessages(chunk.chunk(), chunk.Add(frames), 1);
    expected += frames;
    // Ours and nobody else's.
    ASSERT_EQ(chunk.chunk()->refs(), 1u);
  }
  std::vector<Piece> pieces;
  queue.TakeAll(&pieces);
  // 4, 8, 16 and 32 KiB.
  EXPECT_LE(pieces.size(), 5u);
  std::string all;
  uint64_t messages = 0;
  for (const Piece& piece : pieces) {
    all += piece.frames;
    messages += piece.messages;
  }
  EXPECT_EQ(all, expected);
  EXPECT_EQ(messages, 501u);
}

TEST(MessageQueueTest, LargePiecesAreNotCopied) {
  MessageQueue queue;
  Filled small(1000);
  queue.PushMessages(small.chunk(), small.Add(Frames(1, 'a')), 1);
  Filled large(100000);
  const std::string_view frames = large.Add(Frames(4000, 'b'));
  queue.PushMessages(large.chunk(), frames, 4000);
  std::vector<Piece> pieces;
  queue.TakeAll(&pieces);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[1].frames.data(), frames.data());
}

TEST(MessageQueueTest, KeepsMarksInTheirPlaces) {
  MessageQueue queue;
  Filled chunk(1000);
  queue.PushMessages(chunk.chunk(), chunk.Add(Frames(1, 'a')), 1);
  queue.PushGap({.messages = 7, .bytes = 70, .cause = GapCause::kDropped});
  queue.PushMessages(chunk.chunk(), chunk.Add(Frames(1, 'b')), 1);
  queue.PushEnd({.reason = Reason::kCountReached, .offered = 9});
  std::vector<Piece> pieces;
  queue.TakeAll(&pieces);
  ASSERT_EQ(pieces.size(), 4u);
  EXPECT_EQ(pieces[0].frames, Frames(1, 'a'));
  ASSERT_NE(pieces[1].gap, nullptr);
  EXPECT_EQ(pieces[1].gap->messages, 7u);
  EXPECT_EQ(pieces[2].frames, Frames(1, 'b'));
  ASSERT_NE(pieces[3].end, nullptr);
  EXPECT_EQ(pieces[3].end->offered, 9u);
}

TEST(MessageQueueTest, AgreesWithAListWhenMessagesAreTakenOneByOneOrAllAtOnce) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    MessageQueue queue;
    std::deque<std::string> model;
    Filled chunk(4000);
    size_t room = 4000;
    int number = 0;
    for (int step = 0; step < 3000; ++step) {
      if (random() % 2 == 0) {
        std::string frames;
        const uint32_t count = 1 + random() % 5;
        for (uint32_t i = 0; i < count; ++i) {
          const std::string body = std::to_string(number++);
          model.push_back(body);
          frames += static_cast<char>(body.size()) + body;
        }
        if (frames.size() > room) {
          chunk = Filled(4000);
          room = 4000;
        }
        room -= frames.size();
        queue.PushMessages(chunk.chunk(), chunk.Add(frames), count);
      } else if (random() % 10 == 0) {
        std::vector<Piece> pieces;
        queue.TakeAll(&pieces);
        for (const Piece& piece : pieces) {
          std::string_view rest = piece.frames;
          for (uint64_t i = 0; i < piece.messages; ++i) {
            const uint32_t bytes = ReadFramePrefix(rest).frame_bytes();
            ASSERT_EQ(rest.substr(1, bytes - 1), model.front());
            model.pop_front();
            rest.remove_prefix(bytes);
          }
          ASSERT_TRUE(rest.empty());
        }
      } else if (!queue.empty()) {
        const std::string_view frames = queue.front().frames;
        const uint32_t bytes = ReadFramePrefix(frames).frame_bytes();
        ASSERT_EQ(frames.substr(1, bytes - 1), model.front());
        model.pop_front();
        queue.TakeMessage(bytes);
      }
      ASSERT_EQ(queue.messages(), model.size());
      ASSERT_EQ(queue.empty(), model.empty());
    }
  }
}

}  // namespace
}  // namespace sluice::client
