#include "broker/topic_sampler.h"

#include <algorithm>
#include <map>
#include <utility>

namespace sluice {
namespace {

constexpr absl::Duration kWindow = absl::Seconds(10);

void KeepLoudest(size_t topics_max, std::vector<SampledTopic>* topics) {
  std::sort(topics->begin(), topics->end(), [](const SampledTopic& a, const SampledTopic& b) {
    return a.bytes_per_second > b.bytes_per_second;
  });
  if (topics->size() > topics_max) topics->resize(topics_max);
}

}  // namespace

std::vector<SampledTopic> MergedTopics(const std::vector<std::vector<SampledTopic>>& of_shards,
                                       size_t topics_max) {
  std::map<std::string, SampledTopic> merged;
  for (const std::vector<SampledTopic>& topics : of_shards) {
    for (const SampledTopic& one : topics) {
      SampledTopic& all = merged[one.topic];
      all.topic = one.topic;
      all.messages_per_second += one.messages_per_second;
      all.bytes_per_second += one.bytes_per_second;
      // A publisher is on one shard; its share there becomes one of all.
      for (const PublisherShare& publisher : one.publishers) {
        all.publishers.push_back({publisher.publisher, publisher.share * one.bytes_per_second});
      }
    }
  }
  std::vector<SampledTopic> loudest;
  for (auto& [name, topic] : merged) {
    for (PublisherShare& publisher : topic.publishers) publisher.share /= topic.bytes_per_second;
    std::sort(topic.publishers.begin(), topic.publishers.end(),
              [](const auto& a, const auto& b) { return a.share > b.share; });
    loudest.push_back(std::move(topic));
  }
  KeepLoudest(topics_max, &loudest);
  return loudest;
}

// Uniform from 1 to 2 * kMessagesPerSample - 1, by xorshift (Marsaglia, "Xorshift RNGs", 2003).
uint32_t TopicSampler::Distance() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return static_cast<uint32_t>(random_ % (2 * kMessagesPerSample - 1)) + 1;
}

void TopicSampler::Sample(std::string_view topic, uint64_t bytes, std::string_view publisher,
                          absl::Time now) {
  countdown_ = Distance();
  Rotate(now);
  Entry* entry = Find(topic, &current_);
  ++entry->all.samples;
  entry->all.bytes += bytes;
  Count(publisher, bytes, entry);
}

void TopicSampler::Rotate(absl::Time now) {
  if (now - current_since_ < kWindow) return;
  previous_ = now - current_since_ < 2 * kWindow ? std::exchange(current_, {}) : Topics();
  current_.clear();
  current_since_ = now;
}

// A new one takes the place of the smallest.
TopicSampler::Entry* TopicSampler::Find(std::string_view topic, Topics* topics) {
  const auto found = topics->find(topic);
  if (found != topics->end()) return &found->second;
  if (topics->size() >= kTopicsSampledMax) {
    topics->erase(std::min_element(topics->begin(), topics->end(), [](const auto& a, const auto& b) {
      return a.second.all.bytes < b.second.all.bytes;
    }));
  }
  return &topics->emplace(std::string(topic), Entry()).first->second;
}

void TopicSampler::Count(std::string_view publisher, uint64_t bytes, Entry* entry) {
  auto found = std::find_if(entry->publishers.begin(), entry->publishers.end(),
                            [&](const auto& one) { return one.first == publisher; });
  if (found == entry->publishers.end()) {
    if (entry->publishers.size() >= kPublishersPerTopic) {
      entry->publishers.erase(
          std::min_element(entry->publishers.begin(), entry->publishers.end(),
                           [](const auto& a, const auto& b) { return a.second.bytes < b.second.bytes; }));
    }
    found = entry->publishers.insert(entry->publishers.end(), {std::string(publisher), {}});
  }
  ++found->second.samples;
  found->second.bytes += bytes;
}

void TopicSampler::Add(const Entry& other, Entry* entry) {
  entry->all.samples += other.all.samples;
  entry->all.bytes += other.all.bytes;
  for (const auto& one : other.publishers) {
    const auto same = std::find_if(entry->publishers.begin(), entry->publishers.end(),
                                   [&](const auto& known) { return known.first == one.first; });
    if (same == entry->publishers.end()) {
      entry->publishers.push_back(one);
    } else {
      same->second.samples += one.second.samples;
      same->second.bytes += one.second.bytes;
    }
  }
}

// What is older than two windows does not count; nothing may have come since to rotate them.
std::vector<const TopicSampler::Topics*> TopicSampler::Windows(absl::Time now) const {
  if (now - current_since_ >= 2 * kWindow) return {};
  if (now - current_since_ >= kWindow) return {&current_};
  return {&current_, &previous_};
}

std::vector<PublisherShare> TopicSampler::Shares(const Entry& entry) {
  std::vector<PublisherShare> shares;
  for (const auto& [publisher, weight] : entry.publishers) {
    shares.push_back({publisher, static_cast<double>(weight.bytes) / static_cast<double>(entry.all.bytes)});
  }
  std::sort(shares.begin(), shares.end(), [](const auto& a, const auto& b) { return a.share > b.share; });
  return shares;
}

std::vector<SampledTopic> TopicSampler::Loudest(size_t topics_max, absl::Time now) const {
  Topics summed;
  for (const Topics* window : Windows(now)) {
    for (const auto& [topic, entry] : *window) Add(entry, &summed[topic]);
  }
  const absl::Duration known_for =
      now - current_since_ + (previous_.empty() ? absl::ZeroDuration() : kWindow);
  const double seconds = std::max(1.0, absl::ToDoubleSeconds(std::min(known_for, 2 * kWindow)));
  std::vector<SampledTopic> loudest;
  for (const auto& [topic, entry] : summed) {
    loudest.push_back({topic, static_cast<double>(entry.all.samples) * kMessagesPerSample / seconds,
                       static_cast<double>(entry.all.bytes) * kMessagesPerSample / seconds, Shares(entry)});
  }
  KeepLoudest(topics_max, &loudest);
  return loudest;
}

std::vector<PublisherShare> TopicSampler::PublishersOf(std::string_view topic, absl::Time now) const {
  Entry both;
  for (const Topics* window : Windows(now)) {
    if (const auto found = window->find(topic); found != window->end()) Add(found->second, &both);
  }
  return Shares(both);
}

}  // namespace sluice
