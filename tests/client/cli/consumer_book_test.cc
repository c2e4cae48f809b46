#include "client/cli/consumer_book.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::cli {
namespace {

v1::ServerFrame Message(const std::string& topic, uint64_t sequence) {
  std::string payload(kBenchPayloadBytesMin, '.');
  WriteBenchStamp({.sequence = sequence}, payload.data());
  v1::ServerFrame frame;
  frame.mutable_message()->set_topic(topic);
  frame.mutable_message()->set_payload(payload);
  return frame;
}

v1::ServerFrame Gap(v1::GapCause cause, uint64_t messages, uint64_t offered) {
  v1::ServerFrame frame;
  frame.mutable_gap()->set_cause(cause);
  frame.mutable_gap()->set_messages(messages);
  frame.mutable_gap()->set_offered(offered);
  return frame;
}

TEST(ConsumerBookTest, NothingCame) {
  const ConsumerBook book = ReadBook({});
  EXPECT_EQ(book.delivered + book.told() + book.gaps, 0u);
  EXPECT_FALSE(book.newest.has_value());
}

TEST(ConsumerBookTest, GapsInTheirPlaceFit) {
  const ConsumerBook book =
      ReadBook(std::vector{Message("a", 0), Message("b", 1), Gap(v1::GAP_CAUSE_DROPPED, 3, 5),
                           Message("b", 5), Gap(v1::GAP_CAUSE_DROPPED, 2, 8)});
  EXPECT_EQ(book.delivered, 3u);
  EXPECT_EQ(book.dropped, 5u);
  EXPECT_EQ(book.conflated, 0u);
  EXPECT_EQ(book.told(), 5u);
  EXPECT_EQ(book.gaps, 2u);
  EXPECT_EQ(book.gaps_wrong, 0u);
  EXPECT_EQ(book.out_of_place, 0u);
  EXPECT_EQ(book.delivered_before_gaps, 2u);
  EXPECT_EQ(book.newest_by_topic, (std::map<std::string, uint64_t>{{"a", 0}, {"b", 5}}));
  EXPECT_EQ(book.newest->sequence, 5u);
}

TEST(ConsumerBookTest, AGapInAnotherPlaceIsSeen) {
  const ConsumerBook book =
      ReadBook(std::vector{Message("a", 0), Message("a", 2), Gap(v1::GAP_CAUSE_DROPPED, 1, 3)});
  EXPECT_EQ(book.out_of_place, 1u);
  EXPECT_EQ(book.gaps_wrong, 0u);
}

TEST(ConsumerBookTest, AGapWithAnotherNumberIsSeen) {
  EXPECT_EQ(ReadBook(std::vector{Message("a", 0), Gap(v1::GAP_CAUSE_DROPPED, 1, 3)}).gaps_wrong, 1u);
}

TEST(ConsumerBookTest, ConflatedOnesAreCountedApart) {
  const ConsumerBook book =
      ReadBook(std::vector{Gap(v1::GAP_CAUSE_CONFLATED, 4, 4), Message("b", 5), Message("a", 4)});
  EXPECT_EQ(book.conflated, 4u);
  EXPECT_EQ(book.dropped, 0u);
  EXPECT_EQ(book.delivered_before_gaps, 0u);
  EXPECT_EQ(book.out_of_place, 2u);
  EXPECT_EQ(book.newest->sequence, 5u);
}

TEST(ConsumerBookTest, APayloadWithoutAStampIsOutOfPlace) {
  v1::ServerFrame frame;
  frame.mutable_message()->set_payload("short");
  const ConsumerBook book = ReadBook(std::vector{frame});
  EXPECT_EQ(book.delivered, 1u);
  EXPECT_EQ(book.out_of_place, 1u);
}

}  // namespace
}  // namespace sluice::cli
