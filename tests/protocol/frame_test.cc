#include "protocol/frame.h"

#include <gtest/gtest.h>

#include "protocol/sluice.pb.h"

namespace sluice {
namespace {

TEST(FramePrefix, ReadsEveryLengthThatAppendFrameWrites) {
  for (uint32_t payload : {0u, 1u, 100u, 120u, 127u, 128u, 16000u, 16383u, 16384u, 2097152u}) {
    v1::ServerFrame frame;
    frame.mutable_message()->set_payload(std::string(payload, 'x'));
    std::string bytes;
    AppendFrame(frame, &bytes);
    const FramePrefix prefix = ReadFramePrefix(bytes);
    ASSERT_EQ(prefix.status, FramePrefixStatus::kComplete);
    EXPECT_EQ(prefix.frame_bytes(), bytes.size());
    EXPECT_EQ(prefix.prefix_bytes, FramePrefixBytes(prefix.body_bytes));
    v1::ServerFrame again;
    ASSERT_TRUE(again.ParseFromString(bytes.substr(prefix.prefix_bytes)));
    EXPECT_EQ(again.message().payload().size(), payload);
  }
}

TEST(FramePrefix, WaitsForTheBytesOfTheLength) {
  EXPECT_EQ(ReadFramePrefix("").status, FramePrefixStatus::kIncomplete);
  EXPECT_EQ(ReadFramePrefix("\x80").status, FramePrefixStatus::kIncomplete);
  EXPECT_EQ(ReadFramePrefix("\x80\x80\x80").status, FramePrefixStatus::kIncomplete);
}

TEST(FramePrefix, RefusesLongAndPaddedLengths) {
  EXPECT_EQ(ReadFramePrefix("\x80\x80\x80\x80").status, FramePrefixStatus::kBad);
  EXPECT_EQ(ReadFramePrefix(std::string("\x80\x00", 2)).status, FramePrefixStatus::kBad);
  EXPECT_EQ(ReadFramePrefix(std::string("\xff\x80\x00", 3)).status, FramePrefixStatus::kBad);
  EXPECT_EQ(ReadFramePrefix(std::string("\x00", 1)).status, FramePrefixStatus::kComplete);
  EXPECT_EQ(ReadFramePrefix("\xff\xff\xff\x7f").body_bytes, kFrameBodyBytesMax);
}

TEST(FrameBoundary, IsTheLastOneThatFits) {
  // Bodies of 1, 2 and 0 bytes.
  const std::string frames(
      "\x01"
      "a"
      "\x02"
      "bc"
      "\x00",
      6);
  for (const auto& [max, bytes, count] : {std::tuple<size_t, uint32_t, uint32_t>{0, 0, 0},
                                          {1, 0, 0},
                                          {2, 2, 1},
                                          {4, 2, 1},
                                          {5, 5, 2},
                                          {6, 6, 3},
                                          {99, 6, 3}}) {
    const FrameBoundary boundary = LastBoundaryWithin(frames, max);
    EXPECT_EQ(boundary.bytes, bytes) << max;
    EXPECT_EQ(boundary.frames, count) << max;
  }
}

TEST(FrameBoundary, StandsAfterSoManyFramesOrTheLast) {
  const std::string frames(
      "\x01"
      "a"
      "\x02"
      "bc"
      "\x00",
      6);
  EXPECT_EQ(BoundaryAfter(frames, 0).bytes, 0u);
  EXPECT_EQ(BoundaryAfter(frames, 1).bytes, 2u);
  EXPECT_EQ(BoundaryAfter(frames, 2).bytes, 5u);
  EXPECT_EQ(BoundaryAfter(frames, 9).bytes, 6u);
  EXPECT_EQ(BoundaryAfter(frames, 9).frames, 3u);
}

TEST(FrameBoundary, StandsInFrontOfWhatIsNotAWholeFrame) {
  const std::string whole("\x01\x61\x00", 3);
  for (const std::string& tail : {std::string("\x80"), std::string("\x02z"), std::string("\x80\x80\x80"),
                                  std::string("\x80\x00", 2), std::string("\xff\xff\xff\xff\x01")}) {
    for (const FrameBoundary& boundary :
         {LastBoundaryWithin(whole + tail, 99), BoundaryAfter(whole + tail, 99)}) {
      EXPECT_EQ(boundary.bytes, 3u) << tail.size();
      EXPECT_EQ(boundary.frames, 2u) << tail.size();
    }
  }
}

// Whatever part of a stream has arrived, the length is either not known yet or the one that is meant.
TEST(FramePrefix, IsTheSameAtEverySplit) {
  for (uint32_t body : {0u, 1u, 127u, 128u, 16383u, 16384u, 2097151u, 2097152u, kFrameBodyBytesMax}) {
    std::string bytes;
    uint32_t rest = body;
    for (uint32_t i = 0; i < FramePrefixBytes(body); ++i, rest >>= 7) {
      bytes += static_cast<char>((rest & 0x7f) | (i + 1 < FramePrefixBytes(body) ? 0x80 : 0));
    }
    for (size_t arrived = 0; arrived < bytes.size(); ++arrived) {
      EXPECT_EQ(ReadFramePrefix(std::string_view(bytes).substr(0, arrived)).status,
                FramePrefixStatus::kIncomplete)
          << body << " after " << arrived;
    }
    const FramePrefix prefix = ReadFramePrefix(bytes + "what follows");
    EXPECT_EQ(prefix.status, FramePrefixStatus::kComplete) << body;
    EXPECT_EQ(prefix.body_bytes, body);
    EXPECT_EQ(prefix.prefix_bytes, bytes.size());
  }
}

TEST(AppendFrame, PutsOneFrameBehindAnother) {
  v1::ServerFrame pong;
  pong.mutable_server_pong()->set_id(300);
  std::string bytes = "before";
  AppendFrame(pong, &bytes);
  AppendFrame(v1::ServerFrame(), &bytes);
  EXPECT_EQ(bytes, std::string("before\x06\xba\x01\x03\x08\xac\x02\x00", 14));
}

}  // namespace
}  // namespace sluice
