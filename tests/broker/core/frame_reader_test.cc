#include "broker/core/frame_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/frame.h"

namespace sluice {
namespace {

constexpr uint32_t kChunkBytes = 256 << 10;
constexpr uint64_t kAnySize = uint64_t{1} << 40;

std::string Prefix(uint32_t body_bytes) {
  std::string prefix;
  while (body_bytes >= 0x80) {
    prefix.push_back(static_cast<char>(body_bytes | 0x80));
    body_bytes >>= 7;
  }
  prefix.push_back(static_cast<char>(body_bytes));
  return prefix;
}

// A frame whose bytes differ from place to place and from frame to frame.
std::string Frame(uint32_t body_bytes, uint32_t seed) {
  std::string frame = Prefix(body_bytes);
  for (uint32_t i = 0; i < body_bytes; ++i) frame.push_back(static_cast<char>(seed * 31 + i * 7 + (i >> 8)));
  return frame;
}

// A frame of exactly so many bytes, its length included.
std::string FrameOf(uint32_t frame_bytes, uint32_t seed) {
  uint32_t body_bytes = frame_bytes - 1;
  while (FramePrefixBytes(body_bytes) + body_bytes > frame_bytes) --body_bytes;
  return Frame(body_bytes, seed);
}

class FrameReaderTest : public ::testing::Test {
 protected:
  // As much of `bytes` as one read brings, at most `read_bytes_max`; removes it from `bytes`.
  void ReadOnce(FrameReader* reader, std::string_view* bytes, size_t read_bytes_max) {
    const std::span<char> room = reader->Room(&open_);
    ASSERT_GE(room.size(), 1u);
    ASSERT_LE(room.size(), kReadBytesMax);
    const size_t got = std::min({room.size(), bytes->size(), read_bytes_max});
    std::memcpy(room.data(), bytes->data(), got);
    bytes->remove_prefix(got);
    reader->Received(&open_, static_cast<uint32_t>(got));
  }

  // The frames that are whole now.
  void TakeFrames(FrameReader* reader, std::vector<ReceivedFrame>* frames) {
    ReceivedFrame frame;
    FrameStatus status;
    while ((status = reader->Next(&open_, kAnySize, &frame)) == FrameStatus::kFrame) frames->push_back(frame);
    ASSERT_EQ(status, FrameStatus::kNeedMore);
  }

  void Feed(FrameReader* reader, std::string_view bytes, std::vector<ReceivedFrame>* frames) {
    while (!bytes.empty()) {
      ReadOnce(reader, &bytes, kReadBytesMax);
      TakeFrames(reader, frames);
    }
  }

  // Also says that the bytes are still the same now, whatever was read since.
  static void ExpectFrames(const std::vector<ReceivedFrame>& frames, const std::vector<std::string>& sent) {
    ASSERT_EQ(frames.size(), sent.size());
    for (size_t i = 0; i < sent.size(); ++i) {
      const ReceivedFrame& frame = frames[i];
      const std::string_view whole(frame.chunk->data() + frame.offset, frame.bytes);
      ASSERT_TRUE(whole == sent[i]) << "frame " << i << " of " << sent[i].size() << " bytes";
      ASSERT_EQ(frame.body.data() + frame.body.size(), whole.data() + whole.size());
      ASSERT_EQ(frame.body.size(), ReadFramePrefix(sent[i]).body_bytes);
    }
  }

  MemoryAccount account_;
  ChunkPool pool_{kChunkBytes, &account_};
  OpenChunk open_{&pool_};
};

TEST_F(FrameReaderTest, GivesTheSameFramesByteByByte) {
  std::vector<std::string> sent;
  uint32_t seed = 0;
  for (const uint32_t bytes : {1u, 2u, 128u, 129u, 130u, 131u, 700u, kStashBytesMax - 1, kStashBytesMax,
                               kStashBytesMax + 1, 3u, 40'000u, 1u, 1u}) {
    sent.push_back(FrameOf(bytes, ++seed));
  }
  FrameReader reader;
  std::vector<ReceivedFrame> frames;
  for (const std::string& frame : sent) {
    for (std::string_view rest = frame; !rest.empty();) {
      EXPECT_EQ(reader.unfinished(), rest.size() < frame.size());
      EXPECT_EQ(reader.unfinished_bytes(), frame.size() - rest.size());
      ReadOnce(&reader, &rest, 1);
      TakeFrames(&reader, &frames);
    }
    EXPECT_FALSE(reader.unfinished());
  }
  ExpectFrames(frames, sent);
}

TEST_F(FrameReaderTest, GivesTheSameFramesHoweverTheStreamIsSplit) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::vector<std::string> sent;
    std::string stream;
    while (stream.size() < 600'000) {
      uint32_t bytes = 0;
      switch (random() % 8) {
        case 0:
          bytes = kStashBytesMax - 3 + random() % 7;
          break;
        case 1:
          bytes = 16'000 + random() % 100'000;
          break;
        case 2:
          bytes = random() % 16 == 0 ? 300'000 + random() % 200'000 : 1;
          break;
        default:
          bytes = 1 + random() % 400;
      }
      sent.push_back(FrameOf(bytes, static_cast<uint32_t>(sent.size())));
      stream += sent.back();
    }
    const uint32_t typical = uint32_t{1} << random() % 17;
    FrameReader reader;
    std::vector<ReceivedFrame> frames;
    for (std::string_view rest = stream; !rest.empty();) {
      ReadOnce(&reader, &rest, 1 + random() % typical);
      TakeFrames(&reader, &frames);
    }
    EXPECT_FALSE(reader.unfinished());
    ExpectFrames(frames, sent);
  }
}

TEST_F(FrameReaderTest, ReadersThatTakeTurnsAtOneChunkDoNotDisturbEachOther) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    struct Peer {
      FrameReader reader;
      std::vector<std::string> sent;
      std::string stream;
      std::string_view rest;
      std::vector<ReceivedFrame> frames;
    };
    std::vector<Peer> peers(4);
    for (Peer& peer : peers) {
      for (int i = 0; i < 60; ++i) {
        const uint32_t bytes = random() % 12 == 0 ? 1 + random() % 60'000 : 1 + random() % 900;
        peer.sent.push_back(FrameOf(bytes, random()));
        peer.stream += peer.sent.back();
      }
      peer.rest = peer.stream;
    }
    for (size_t left = peers.size(); left > 0;) {
      Peer& peer = peers[random() % peers.size()];
      if (peer.rest.empty()) continue;
      if (random() % 4 == 0) {
        (void)peer.reader.Room(&open_);  // a read that brought nothing
        continue;
      }
      ReadOnce(&peer.reader, &peer.rest, 1 + random() % 5000);
      TakeFrames(&peer.reader, &peer.frames);
      if (peer.rest.empty()) --left;
    }
    for (const Peer& peer : peers) ExpectFrames(peer.frames, peer.sent);
  }
}

TEST_F(FrameReaderTest, FramesOfOneReadLieSideBySide) {
  FrameReader reader;
  std::vector<ReceivedFrame> frames;
  std::string stream;
  for (uint32_t i = 0; i < 100; ++i) stream += Frame(i, i);
  Feed(&reader, stream, &frames);
  ASSERT_EQ(frames.size(), 100u);
  for (size_t i = 1; i < frames.size(); ++i) {
    EXPECT_EQ(frames[i].chunk, frames[0].chunk);
    EXPECT_EQ(frames[i].offset, frames[i - 1].offset + frames[i - 1].bytes);
  }
}

TEST_F(FrameReaderTest, AFrameThatIsCompletedLiesBesideThoseBehindIt) {
  FrameReader reader;
  std::vector<ReceivedFrame> frames;
  const std::string first = Frame(1000, 1);
  Feed(&reader, std::string_view(first).substr(0, 400), &frames);
  EXPECT_TRUE(frames.empty());
  Feed(&reader, first.substr(400) + Frame(50, 2), &frames);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[1].chunk, frames[0].chunk);
  EXPECT_EQ(frames[1].offset, frames[0].offset + frames[0].bytes);
}

TEST_F(FrameReaderTest, UnfinishedBytesDoNotUseUpTheOpenChunk) {
  FrameReader reader;
  std::vector<ReceivedFrame> frames;
  const std::string whole = Frame(100, 1);
  const std::string unfinished = Frame(10'000, 2);
  Feed(&reader, whole + unfinished.substr(0, 9000), &frames);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(open_.offset(), whole.size());
  EXPECT_EQ(reader.unfinished_bytes(), 9000u);

  const std::string large = Frame(100'000, 3);
  FrameReader other;
  Feed(&other, std::string_view(large).substr(0, 50'000), &frames);
  EXPECT_EQ(open_.offset(), whole.size());
  Feed(&other, std::string_view(large).substr(50'000), &frames);
  EXPECT_EQ(open_.offset(), whole.size());
  ExpectFrames(frames, {whole, large});
}

TEST_F(FrameReaderTest, KeepsOfAnUnfinishedFrameUpToTheStashBesideTheChunks) {
  for (const uint32_t arrived : {kStashBytesMax, kStashBytesMax + 1}) {
    const std::string sent = FrameOf(40'000, 1);
    FrameReader reader;
    std::vector<ReceivedFrame> frames;
    Feed(&reader, std::string_view(sent).substr(0, arrived), &frames);
    const int64_t chunk_of_its_own = account_.bytes() - kChunkBytes;
    if (arrived == kStashBytesMax) {
      EXPECT_EQ(chunk_of_its_own, 0);
    } else {
      EXPECT_GT(chunk_of_its_own, 0);
    }
    EXPECT_EQ(reader.unfinished_bytes(), arrived);
    Feed(&reader, std::string_view(sent).substr(arrived), &frames);
    EXPECT_EQ(reader.unfinished_bytes(), 0u);
    ExpectFrames(frames, {sent});
  }
}

TEST_F(FrameReaderTest, ALargeFrameGrowsWithWhatArrivedNotWithWhatWasClaimed) {
  const std::string prefix = Prefix(200'000'000);
  const std::string body(3'000'000, 'x');
  {
    FrameReader reader;
    std::vector<ReceivedFrame> frames;
    Feed(&reader, prefix, &frames);
    EXPECT_EQ(account_.bytes(), kChunkBytes);
    size_t arrived = prefix.size();
    for (std::string_view rest = body; !rest.empty();) {
      const size_t before = rest.size();
      ReadOnce(&reader, &rest, 1 + before % (arrived < 20'000 ? 500 : 50'000));
      TakeFrames(&reader, &frames);
      arrived += before - rest.size();
      EXPECT_EQ(reader.unfinished_bytes(), arrived);
      const int64_t allowed = arrived <= kStashBytesMax ? 0 : 2 * static_cast<int64_t>(arrived);
      ASSERT_LE(account_.bytes(), kChunkBytes + allowed) << "of " << arrived;
    }
    EXPECT_TRUE(frames.empty());
    EXPECT_GE(account_.bytes(), 3'000'000);
  }
  EXPECT_LE(account_.bytes(), kChunkBytes);
}

TEST_F(FrameReaderTest, ALargeFrameIsInAChunkOfItsOwnSize) {
  const std::string sent = Frame(1'000'000, 7);
  FrameReader reader;
  std::vector<ReceivedFrame> frames;
  Feed(&reader, sent, &frames);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].chunk->capacity(), sent.size());
  EXPECT_EQ(frames[0].offset, 0u);
}

TEST_F(FrameReaderTest, TakesAFrameOfTheMaximumAndRefusesOneByteMore) {
  for (const uint32_t frame_bytes_max : {10u, 5000u, 100'000u}) {
    FrameReader reader;
    ReceivedFrame frame;
    const std::string allowed = FrameOf(frame_bytes_max, 1);
    const std::string refused = FrameOf(frame_bytes_max + 1, 2);
    const std::string stream = allowed + refused;
    FrameStatus status = FrameStatus::kNeedMore;
    std::string_view rest = stream;
    uint32_t frames = 0;
    while (status != FrameStatus::kTooLarge) {
      ASSERT_FALSE(rest.empty());
      ReadOnce(&reader, &rest, 1);
      while ((status = reader.Next(&open_, frame_bytes_max, &frame)) == FrameStatus::kFrame) ++frames;
    }
    EXPECT_EQ(frames, 1u);
    EXPECT_EQ(reader.claimed_bytes(), refused.size());
    // As soon as its length was there, before anything was kept for it.
    const FramePrefix prefix = ReadFramePrefix(refused);
    EXPECT_EQ(rest.size(), refused.size() - prefix.prefix_bytes);
    EXPECT_FALSE(reader.unfinished());
    EXPECT_EQ(reader.Next(&open_, frame_bytes_max, &frame), FrameStatus::kNeedMore);
  }
}

TEST_F(FrameReaderTest, TheMaximumMayChangeBetweenTwoFramesOfOneRead) {
  FrameReader reader;
  ReceivedFrame frame;
  const std::string stream = Frame(10, 1) + Frame(1000, 2);
  std::string_view rest = stream;
  ReadOnce(&reader, &rest, stream.size());
  EXPECT_EQ(reader.Next(&open_, 100, &frame), FrameStatus::kFrame);
  EXPECT_EQ(reader.Next(&open_, 2000, &frame), FrameStatus::kFrame);
  EXPECT_EQ(frame.body.size(), 1000u);
}

TEST_F(FrameReaderTest, RefusesALengthThatIsNotOneBehindTheFramesBeforeIt) {
  const std::vector<std::string> bad = {
      std::string("\x80\x00", 2),  // not the shortest form
      "\xff\xff\xff\xff",          // five bytes, whatever comes
      "\x80\x80\x80\x80",
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    for (const size_t read_bytes : {size_t{1}, size_t{1000}}) {
      SCOPED_TRACE(::testing::Message() << "prefix " << i << ", " << read_bytes << " bytes per read");
      FrameReader reader;
      ReceivedFrame frame;
      const std::string stream = Frame(5, 1) + Frame(6, 2) + bad[i];
      FrameStatus status = FrameStatus::kNeedMore;
      uint32_t frames = 0;
      for (std::string_view rest = stream; !rest.empty();) {
        ASSERT_NE(status, FrameStatus::kBadPrefix);
        ReadOnce(&reader, &rest, read_bytes);
        while ((status = reader.Next(&open_, kAnySize, &frame)) == FrameStatus::kFrame) ++frames;
      }
      EXPECT_EQ(status, FrameStatus::kBadPrefix);
      EXPECT_EQ(frames, 2u);
      EXPECT_FALSE(reader.unfinished());
      EXPECT_EQ(reader.Next(&open_, kAnySize, &frame), FrameStatus::kNeedMore);
    }
  }
}

TEST(FrameReaderMemoryTest, AReaderInTheMiddleOfNothingOwnsNothing) {
  MemoryAccount account;
  std::vector<FrameReader> readers(100);
  {
    ChunkPool pool(kChunkBytes, &account);
    OpenChunk open(&pool);
    for (FrameReader& reader : readers) {
      const std::string stream = Frame(100, 1) + Frame(100'000, 2) + Frame(5, 3);
      ReceivedFrame frame;
      for (std::string_view rest = stream; !rest.empty();) {
        const std::span<char> room = reader.Room(&open);
        const size_t got = std::min(room.size(), rest.size());
        std::memcpy(room.data(), rest.data(), got);
        rest.remove_prefix(got);
        reader.Received(&open, static_cast<uint32_t>(got));
        while (reader.Next(&open, kAnySize, &frame) == FrameStatus::kFrame) {
        }
      }
    }
  }
  EXPECT_EQ(account.bytes(), 0);
}

}  // namespace
}  // namespace sluice
