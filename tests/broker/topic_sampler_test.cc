#include "broker/topic_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class TopicSamplerTest : public ::testing::Test {
 protected:
  void Publish(std::string_view topic, std::string_view publisher, int times, uint64_t bytes = 100) {
    for (int i = 0; i < times; ++i) {
      if (sampler_.due()) sampler_.Sample(topic, bytes, publisher, now_);
    }
  }

  TopicSampler sampler_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
};

TEST_F(TopicSamplerTest, EstimatesRates) {
  for (int second = 0; second < 10; ++second) {
    Publish("loud", "p", 64'000, 200);
    Publish("half as loud", "p", 32'000, 200);
    now_ += absl::Seconds(1);
  }
  const std::vector<SampledTopic> loudest = sampler_.Loudest(10, now_);
  ASSERT_THAT(loudest, SizeIs(2));
  EXPECT_EQ(loudest[0].topic, "loud");
  EXPECT_NEAR(loudest[0].messages_per_second, 64'000, 6'400);
  EXPECT_NEAR(loudest[0].bytes_per_second, 12.8e6, 1.28e6);
  EXPECT_NEAR(loudest[1].messages_per_second, 32'000, 3'200);
  EXPECT_THAT(sampler_.Loudest(1, now_), SizeIs(1));
}

TEST_F(TopicSamplerTest, GoingRoundIsSeenAsItIs) {
  // As many topics as messages from one sample to the next: with a fixed distance one of them would be met always.
  for (int i = 0; i < 2000; ++i) {
    for (int topic = 0; topic < 64; ++topic) Publish(std::to_string(topic), "p", 1);
  }
  EXPECT_THAT(sampler_.Loudest(100, now_), SizeIs(64));
}

TEST_F(TopicSamplerTest, SaysWhoPublishes) {
  for (int i = 0; i < 10'000; ++i) {
    Publish("a", "most", 3);
    Publish("a", "some", 1);
  }
  Publish("b", "other", 1000);
  const std::vector<PublisherShare> publishers = sampler_.PublishersOf("a", now_);
  ASSERT_THAT(publishers, SizeIs(2));
  EXPECT_EQ(publishers[0].publisher, "most");
  EXPECT_NEAR(publishers[0].share, 0.75, 0.1);
  EXPECT_NEAR(publishers[0].share + publishers[1].share, 1, 1e-9);
  EXPECT_THAT(sampler_.PublishersOf("nothing", now_), IsEmpty());
}

TEST_F(TopicSamplerTest, ForgetsWhatIsOver) {
  Publish("a", "p", 6400);
  now_ += absl::Seconds(12);
  Publish("b", "p", 6400);
  EXPECT_THAT(sampler_.Loudest(10, now_), SizeIs(2)) << "the window before counts, too";
  now_ += absl::Seconds(12);
  Publish("b", "p", 6400);
  EXPECT_THAT(sampler_.Loudest(10, now_), SizeIs(1));
  EXPECT_THAT(sampler_.PublishersOf("a", now_), IsEmpty());
  now_ += absl::Seconds(30);
  EXPECT_THAT(sampler_.Loudest(10, now_), IsEmpty()) << "though nothing has come since";
}

TEST_F(TopicSamplerTest, KeepsTheLoudestOfMany) {
  for (int i = 0; i < 200; ++i) {
    Publish("loud", "p", 640);
    for (int topic = 0; topic < 640; ++topic)
      Publish("t" + std::to_string(i * 640 + topic), "p" + std::to_string(topic), 1);
  }
  const std::vector<SampledTopic> loudest = sampler_.Loudest(100'000, now_);
  EXPECT_THAT(loudest, SizeIs(kTopicsSampledMax));
  EXPECT_EQ(loudest[0].topic, "loud");
  for (int i = 0; i < 6400; ++i) Publish("loud", "q" + std::to_string(i), 1);
  EXPECT_THAT(sampler_.PublishersOf("loud", now_), SizeIs(kPublishersPerTopic));
}

TEST(MergedTopicsTest, AddsUpWhatShardsKnow) {
  const SampledTopic here = {"a", 10, 300, {{"p", 1}}};
  const SampledTopic there = {"a", 10, 100, {{"q", 1}}};
  const SampledTopic other = {"b", 1, 1000, {{"p", 1}}};
  const std::vector<SampledTopic> merged = MergedTopics({{here}, {there, other}}, 10);
  ASSERT_THAT(merged, SizeIs(2));
  EXPECT_EQ(merged[0].topic, "b");
  EXPECT_EQ(merged[1].bytes_per_second, 400);
  EXPECT_EQ(merged[1].messages_per_second, 20);
  ASSERT_THAT(merged[1].publishers, SizeIs(2));
  EXPECT_EQ(merged[1].publishers[0].publisher, "p");
  EXPECT_DOUBLE_EQ(merged[1].publishers[0].share, 0.75);
  EXPECT_THAT(MergedTopics({{here}, {there, other}}, 1), SizeIs(1));
}

}  // namespace
}  // namespace sluice
