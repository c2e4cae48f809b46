#include "tests/bench/workload.h"

#include <gtest/gtest.h>

#include <set>

namespace sluice::bench {
namespace {

Workload WithTopics(Layout layout) {
  Workload workload;
  workload.layout = layout;
  workload.subscribers = 3;
  workload.topics = 8;
  workload.publishers = 2;
  return workload;
}

TEST(WorkloadTest, TheWindowIsInMessagesAndNeverTooSmall) {
  Workload workload;
  workload.window_bytes = 1 << 20;
  workload.payload_bytes = 64;
  EXPECT_EQ(workload.window_messages(), (1u << 20) / 128);
  workload.payload_bytes = 1 << 20;
  EXPECT_EQ(workload.window_messages(), 4u);
}

TEST(WorkloadTest, SplitTopicsBelongToOneSubscriberEach) {
  const Workload workload = WithTopics(Layout::kSplit);
  std::multiset<uint32_t> topics;
  for (uint32_t subscriber = 0; subscriber < workload.subscribers; ++subscriber) {
    for (uint32_t i = 0; i < workload.TopicsOf(subscriber); ++i) {
      topics.insert(workload.TopicOf(subscriber, i));
    }
  }
  EXPECT_EQ(topics, (std::multiset<uint32_t>{0, 1, 2, 3, 4, 5, 6, 7}));
}

// Whoever subscribed to a topic finds its streams, and no two of them at the same place.
TEST(WorkloadTest, LocalStreamsFollowTheTopics) {
  for (const Layout layout : {Layout::kAll, Layout::kSplit}) {
    const Workload workload = WithTopics(layout);
    for (uint32_t subscriber = 0; subscriber < workload.subscribers; ++subscriber) {
      size_t expected = 0;
      for (uint32_t i = 0; i < workload.TopicsOf(subscriber); ++i) {
        for (uint32_t publisher = 0; publisher < workload.publishers; ++publisher) {
          const uint32_t stream = workload.StreamOf(workload.TopicOf(subscriber, i), publisher);
          EXPECT_EQ(workload.LocalStream(subscriber, stream), expected++);
        }
      }
    }
  }
}

TEST(WorkloadTest, StreamsOfOthersAreNotOnesOwn) {
  const Workload workload = WithTopics(Layout::kSplit);
  EXPECT_EQ(workload.LocalStream(0, workload.StreamOf(1, 0)), SIZE_MAX);
}

}  // namespace
}  // namespace sluice::bench
