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

}  // namespace
}  // namespace sluice
