#include "client/receive_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "protocol/frame.h"

namespace sluice::client {
namespace {

// Any bytes with a length in front.
std::string Framed(const std::string& body) {
  std::string frame;
  size_t rest = body.size();
  for (; rest >= 0x80; rest >>= 7) frame += static_cast<char>(rest | 0x80);
  frame += static_cast<char>(rest);
  return frame + body;
}

// Lets `bytes` arrive, as many as the room takes and at most `some`.
size_t Arrive(ReceiveBuffer* buffer, std::string_view bytes, size_t some) {
  const std::span<char> room = buffer->Room();
  const size_t count = std::min({room.size(), bytes.size(), some});
  std::memcpy(room.data(), bytes.data(), count);
  buffer->Commit(count);
  return count;
}

TEST(ReceiveBufferTest, FindsTheFramesHoweverTheyAreCut) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::vector<std::string> bodies;
    std::string stream;
    for (int i = 0; i < 300; ++i) {
      // Some larger than a chunk of 256 bytes.
      const size_t size = random() % 20 == 0 ? random() % 2000 : random() % 100;
      bodies.emplace_back(size, static_cast<char>('a' + i % 26));
      stream += Framed(bodies.back());
    }
    ReceiveBuffer buffer(/*chunk_bytes=*/256, /*room_bytes_min=*/64);
    // References that a queue would hold; what they show must not change.
    std::vector<std::pair<ChunkRef, std::string_view>> held;
    size_t found = 0;
    for (size_t at = 0; at < stream.size();) {
      at += Arrive(&buffer, std::string_view(stream).substr(at), seed < 3 ? seed : 1 + random() % 700);
      Frame frame;
      FrameFound outcome;
      while ((outcome = buffer.Next(&frame)) == FrameFound::kFrame) {
        ASSERT_LT(found, bodies.size());
        ASSERT_EQ(frame.body, bodies[found]);
        ASSERT_EQ(frame.bytes, Framed(bodies[found]));
        if (random() % 4 == 0) held.emplace_back(buffer.chunk(), frame.body);
        ++found;
      }
      ASSERT_EQ(outcome, FrameFound::kNeedMore);
      if (held.size() > 10) held.erase(held.begin(), held.begin() + 5);
    }
    EXPECT_EQ(found, bodies.size());
  }
}

TEST(ReceiveBufferTest, NeverWritesIntoWhatIsStillHeld) {
  ReceiveBuffer buffer(/*chunk_bytes=*/256, /*room_bytes_min=*/64);
  std::vector<std::pair<ChunkRef, std::string_view>> held;
  std::vector<std::string> expected;
  for (int i = 0; i < 200; ++i) {
    const std::string body(30, static_cast<char>('A' + i % 50));
    ASSERT_EQ(Arrive(&buffer, Framed(body), 1000), 31u);
    Frame frame;
    ASSERT_EQ(buffer.Next(&frame), FrameFound::kFrame);
    held.emplace_back(buffer.chunk(), frame.body);
    expected.push_back(body);
    if (i % 3 == 0) {
      held.erase(held.begin());
      expected.erase(expected.begin());
    }
  }
  for (size_t i = 0; i < held.size(); ++i) EXPECT_EQ(held[i].second, expected[i]);
}

TEST(ReceiveBufferTest, WorksInOneChunkWhileNobodyHoldsAnything) {
  ReceiveBuffer buffer(/*chunk_bytes=*/256, /*room_bytes_min=*/64);
  Frame frame;
  Arrive(&buffer, Framed("a"), 10);
  ASSERT_EQ(buffer.Next(&frame), FrameFound::kFrame);
  const char* const start = frame.bytes.data();
  for (int i = 0; i < 100; ++i) {
    Arrive(&buffer, Framed("b"), 10);
    ASSERT_EQ(buffer.Next(&frame), FrameFound::kFrame);
    ASSERT_EQ(frame.bytes.data(), start);
  }
}

TEST(ReceiveBufferTest, GivesALargeFrameAChunkOfItsOwnAndKeepsReadingIntoIt) {
  ReceiveBuffer buffer(/*chunk_bytes=*/256, /*room_bytes_min=*/64);
  const std::string frame_bytes = Framed(std::string(5000, 'x'));
  std::string_view rest = frame_bytes;
  Frame frame;
  const Chunk* chunk = nullptr;
  int chunks = 0;
  while (!rest.empty()) {
    rest.remove_prefix(Arrive(&buffer, rest, 300));
    if (buffer.chunk().get() != chunk) ++chunks;
    chunk = buffer.chunk().get();
    if (!rest.empty()) {
      ASSERT_EQ(buffer.Next(&frame), FrameFound::kNeedMore);
    }
  }
  ASSERT_EQ(buffer.Next(&frame), FrameFound::kFrame);
  EXPECT_EQ(frame.bytes, frame_bytes);
  EXPECT_EQ(chunks, 2);
}

TEST(ReceiveBufferTest, RefusesWhatIsTooLargeOrNoLength) {
  ReceiveBuffer buffer(/*chunk_bytes=*/256, /*room_bytes_min=*/64);
  buffer.set_frame_body_bytes_max(1000);
  Frame frame;
  Arrive(&buffer, Framed(std::string(1000, 'x')).substr(0, 2), 2);
  EXPECT_EQ(buffer.Next(&frame), FrameFound::kNeedMore);

  ReceiveBuffer too_large(256, 64);
  too_large.set_frame_body_bytes_max(1000);
  Arrive(&too_large, Framed(std::string(1001, 'x')).substr(0, 2), 2);
  EXPECT_EQ(too_large.Next(&frame), FrameFound::kTooLarge);

  ReceiveBuffer bad(256, 64);
  Arrive(&bad, "\xff\xff\xff\xff\xff", 5);
  EXPECT_EQ(bad.Next(&frame), FrameFound::kBadLength);
}

}  // namespace
}  // namespace sluice::client
