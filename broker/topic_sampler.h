// Which topics are published on most, and by whom, from one message in about sixty-four: enough to name what fills
// a queue, and as good as free. Internal to the broker.
//
//   if (sampler.due()) sampler.Sample(topic, frame_bytes, publisher, now);     // of each publish
//   sampler.Loudest(20, now)                                                   // for /api/topics
//   sampler.PublishersOf("ticks.a", now)                                       // for an episode
//
// It remembers the last 10 to 20 s, at most kTopicsSampledMax topics of them and kPublishersPerTopic publishers of each;
// when there are more, the smallest make room. So a topic of a few messages per second may be missing, and numbers are
// estimates, the better the more there was.
//
// The distance from one sample to the next is random: publishers that go round their topics would otherwise always be
// met at the same ones.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_TOPIC_SAMPLER_H_
#define SLUICE_BROKER_TOPIC_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "broker/core/filter_index.h"  // StringHash

namespace sluice {

inline constexpr uint32_t kMessagesPerSample = 64;
inline constexpr size_t kTopicsSampledMax = 256;
inline constexpr size_t kPublishersPerTopic = 4;

struct PublisherShare {
  std::string publisher;
  // Of what was published on the topic.
  double share = 0;
};

struct SampledTopic {
  std::string topic;
  double messages_per_second = 0;
  double bytes_per_second = 0;
  // The largest share first.
  std::vector<PublisherShare> publishers;
};

// Puts what two shards know of the same topics together; the loudest first, at most `topics_max`.
std::vector<SampledTopic> MergedTopics(const std::vector<std::vector<SampledTopic>>& of_shards,
                                       size_t topics_max);

class TopicSampler {
 public:
  // Of a message; most are not.
  bool due() { return --countdown_ == 0; }
  // Notes a message that is due. `publisher`: how it is to be shown.
  void Sample(std::string_view topic, uint64_t bytes, std::string_view publisher, absl::Time now);

  // By bytes per second.
  std::vector<SampledTopic> Loudest(size_t topics_max, absl::Time now) const;
  // Empty: nothing is known of the topic.
  std::vector<PublisherShare> PublishersOf(std::string_view topic, absl::Time now) const;

 private:
  // Samples, and their bytes.
  struct Weight {
    uint64_t samples = 0;
    uint64_t bytes = 0;
  };
  struct Entry {
    Weight all;
    std::vector<std::pair<std::string, Weight>> publishers;
  };
  using Topics = absl::flat_hash_map<std::string, Entry, StringHash, std::equal_to<>>;

  static Entry* Find(std::string_view topic, Topics* topics);
  static void Count(std::string_view publisher, uint64_t bytes, Entry* entry);
  static std::vector<PublisherShare> Shares(const Entry& entry);
  void Rotate(absl::Time now);
  static void Add(const Entry& other, Entry* entry);
  std::vector<const Topics*> Windows(absl::Time now) const;
  uint32_t Distance();

  uint32_t countdown_ = 1;
  uint64_t random_ = 0x9e3779b97f4a7c15;
  // The window that is being filled and the one before it.
  Topics current_;
  Topics previous_;
  absl::Time current_since_ = absl::InfinitePast();
};

}  // namespace sluice

#endif  // SLUICE_BROKER_TOPIC_SAMPLER_H_
