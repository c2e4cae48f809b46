#include "client/numbered_frames.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "protocol/frame.h"
#include "protocol/sluice.pb.h"

namespace sluice::client {
namespace {

// A publish whose payload says its number.
void AppendPublish(NumberedFrames* frames, uint64_t number) {
  const std::string payload = std::to_string(number);
  const MessageView message{.topic = "t", .payload = payload};
  WritePublishFrame(message, frames->ReservePublish(PublishFrameBytes(message)));
  ASSERT_EQ(frames->last(), number);
}

void AppendPing(NumberedFrames* frames) {
  v1::ClientFrame ping;
  ping.mutable_ping()->set_id(1);
  std::string bytes;
  AppendFrame(ping, &bytes);
  frames->AppendControl(bytes);
}

uint64_t NumberIn(std::string_view frame) {
  MessageView message;
  EXPECT_TRUE(ReadMessage(BodyOf(frame), &message));
  return std::stoull(std::string(message.payload));
}

// The frames that would be written now.
std::vector<std::string> Buffered(const NumberedFrames& frames) {
  std::vector<iovec> pieces(100);
  const size_t count = frames.Gather(pieces);
  std::string bytes;
  for (size_t i = 0; i < count; ++i)
    bytes.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
  std::vector<std::string> all;
  for (std::string_view rest = bytes; !rest.empty();) {
    const size_t size = ReadFramePrefix(rest).frame_bytes();
    all.emplace_back(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  return all;
}

TEST(NumberedFramesTest, CountsTheSessionsPublishesFromItsFirst) {
  NumberedFrames frames;
  for (uint64_t i = 1; i <= 3; ++i) AppendPublish(&frames, i);
  EXPECT_EQ(frames.NumberOf(2), 2u);
  frames.Consume(frames.bytes());
  AppendPublish(&frames, 4);
  AppendPublish(&frames, 5);
  EXPECT_EQ(frames.LastLeft(), 3u);
  frames.EndSession();
  EXPECT_EQ(frames.NumberOf(0), 3u);
  EXPECT_EQ(frames.NumberOf(1), 4u);
  EXPECT_EQ(frames.BufferedPublishes(), 2u);
}

TEST(NumberedFramesTest, APublishThatLeftInPartHasNotLeft) {
  NumberedFrames frames;
  AppendPublish(&frames, 1);
  const size_t one = frames.bytes();
  AppendPublish(&frames, 2);
  frames.Consume(one + 1);
  EXPECT_EQ(frames.LastLeft(), 1u);
  frames.EndSession();
  ASSERT_EQ(Buffered(frames).size(), 1u);
  EXPECT_EQ(NumberIn(Buffered(frames)[0]), 2u);
}

TEST(NumberedFramesTest, SkipsTheNumbersOfThoseThatWereTakenOut) {
  NumberedFrames frames;
  for (uint64_t i = 1; i <= 7; ++i) {
    AppendPublish(&frames, i);
    if (i == 3) frames.Consume(frames.bytes());
  }
  frames.EndSession();
  frames.Filter([](std::string_view, uint64_t number) { return number != 5; });
  EXPECT_EQ(frames.NumberOf(0), 3u);
  EXPECT_EQ(frames.NumberOf(1), 4u);
  EXPECT_EQ(frames.NumberOf(2), 6u);
  EXPECT_EQ(frames.NumberOf(3), 7u);
  EXPECT_EQ(frames.CountBetween(3, 7), 3u);
  EXPECT_EQ(frames.CountBetween(5, 7), 2u);
  EXPECT_EQ(frames.CountBetween(7, 3), 0u);
}

TEST(NumberedFramesTest, AgreesWithAListThroughManySessions) {
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    NumberedFrames frames;
    // Numbers of this session's publishes; those before `left` have left whole.
    std::vector<uint64_t> session;
    size_t left = 0;
    uint64_t last_left = 0;
    for (int step = 0; step < 400; ++step) {
      switch (random() % 6) {
        case 0:
        case 1:
        case 2:
          AppendPublish(&frames, frames.last() + 1);
          session.push_back(frames.last());
          break;
        case 3:
          AppendPing(&frames);
          break;
        case 4: {
          // Some frames leave whole, and perhaps a part of the next.
          const std::vector<std::string> buffered = Buffered(frames);
          if (buffered.empty()) break;
          size_t bytes = 0;
          const size_t whole = random() % buffered.size();
          for (size_t i = 0; i < whole; ++i) {
            bytes += buffered[i].size();
            if (IsPublish(BodyOf(buffered[i]))) last_left = session[left++];
          }
          // One that had begun to leave before is not seen whole here, so that only whole ones may go.
          frames.Consume(bytes);
          break;
        }
        case 5: {
          const std::vector<std::string> buffered = Buffered(frames);
          if (!buffered.empty()) frames.Consume(random() % buffered[0].size());
          ASSERT_EQ(frames.LastLeft(), last_left);
          frames.EndSession();
          session.erase(session.begin(), session.begin() + static_cast<ptrdiff_t>(left));
          left = 0;
          frames.Filter([&](std::string_view frame, uint64_t number) {
            if (number == 0) return random() % 2 == 0;
            EXPECT_EQ(NumberIn(frame), number);
            if (random() % 5 != 0) return true;
            std::erase(session, number);
            return false;
          });
        }
      }
      ASSERT_EQ(frames.BufferedPublishes(), session.size() - left);
      ASSERT_EQ(frames.LastLeft(), last_left);
      for (size_t i = 0; i < session.size(); ++i) ASSERT_EQ(frames.NumberOf(i + 1), session[i]);
      ASSERT_EQ(frames.CountBetween(last_left, frames.last()), session.size() - left);
    }
  }
}

}  // namespace
}  // namespace sluice::client
