#include "client/frame_buffer.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <string>

namespace sluice::client {
namespace {

std::string Frame(size_t body_bytes, char fill) {
  EXPECT_LT(body_bytes, 128u);
  return static_cast<char>(body_bytes) + std::string(body_bytes, fill);
}

std::string Gathered(const FrameBuffer& buffer, size_t pieces_max = 64) {
  std::vector<iovec> pieces(pieces_max);
  const size_t count = buffer.Gather(pieces);
  std::string bytes;
  for (size_t i = 0; i < count; ++i)
    bytes.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
  return bytes;
}

TEST(FrameBufferTest, SendsWhatWasAppendedWhateverTheKernelTakesEachTime) {
  for (uint32_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    FrameBuffer buffer(/*block_bytes=*/128);
    std::string appended;
    std::string sent;
    for (int step = 0; step < 2000; ++step) {
      if (random() % 2 == 0) {
        // Some larger than half a block, none larger than a block here.
        const std::string frame = Frame(random() % 127, static_cast<char>('a' + step % 26));
        buffer.Append(frame);
        appended += frame;
      } else {
        const std::string next = Gathered(buffer, 1 + random() % 4);
        const size_t taken = next.empty() ? 0 : random() % (next.size() + 1);
        sent += next.substr(0, taken);
        buffer.Consume(taken);
      }
      ASSERT_EQ(buffer.bytes(), appended.size() - sent.size());
      ASSERT_EQ(appended.compare(0, sent.size(), sent), 0);
    }
    EXPECT_EQ(sent + Gathered(buffer, 10000), appended);
  }
}

TEST(FrameBufferTest, AFrameOfWhichOnlyAPartHasLeftIsWholeAgainAfterRewind) {
  const std::string a = Frame(10, 'a');
  const std::string b = Frame(20, 'b');
  const std::string c = Frame(30, 'c');
  for (size_t left = 0; left <= a.size() + b.size() + c.size(); ++left) {
    SCOPED_TRACE(left);
    FrameBuffer buffer(/*block_bytes=*/40);
    buffer.Append(a);
    buffer.Append(b);
    buffer.Append(c);
    buffer.Consume(left);
    buffer.Rewind();
    const std::string expected = left < a.size()                         ? a + b + c
                                 : left < a.size() + b.size()            ? b + c
                                 : left < a.size() + b.size() + c.size() ? c
                                                                         : "";
    EXPECT_EQ(Gathered(buffer), expected);
    EXPECT_EQ(buffer.bytes(), expected.size());
  }
}

TEST(FrameBufferTest, TakesAFrameThatIsLargerThanABlock) {
  FrameBuffer buffer(/*block_bytes=*/16);
  const std::string large = Frame(100, 'x');
  buffer.Append(Frame(1, 'a'));
  buffer.Append(large);
  buffer.Append(Frame(1, 'b'));
  EXPECT_EQ(Gathered(buffer), Frame(1, 'a') + large + Frame(1, 'b'));
}

TEST(FrameBufferTest, GathersNoMoreThanThereIsRoomFor) {
  FrameBuffer buffer(/*block_bytes=*/4);
  for (int i = 0; i < 5; ++i) buffer.Append(Frame(3, static_cast<char>('a' + i)));
  EXPECT_EQ(Gathered(buffer, 2), Frame(3, 'a') + Frame(3, 'b'));
}

TEST(FrameBufferTest, FiltersAndPrepends) {
  FrameBuffer buffer(/*block_bytes=*/16);
  for (const char name : {'a', 'b', 'c', 'd'}) buffer.Append(Frame(7, name));
  buffer.Consume(10);
  buffer.Rewind();
  std::string seen;
  buffer.Filter([&seen](std::string_view frame) {
    seen += frame[1];
    return frame[1] != 'c';
  });
  EXPECT_EQ(seen, "bcd");
  buffer.Prepend(Frame(2, 'p') + Frame(2, 'q'));
  EXPECT_EQ(Gathered(buffer), Frame(2, 'p') + Frame(2, 'q') + Frame(7, 'b') + Frame(7, 'd'));
  EXPECT_EQ(buffer.bytes(), 3u + 3u + 8u + 8u);
}

}  // namespace
}  // namespace sluice::client
