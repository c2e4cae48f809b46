#include "broker/core/filter_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "protocol/topic.h"

namespace sluice {
namespace {

std::set<std::string> Matched(FilterIndex* index, std::string_view topic) {
  std::set<std::string> filters;
  for (const FilterGroup* group : index->Match(topic)) {
    EXPECT_TRUE(filters.insert(group->filter + "/" + group->queue_group).second) << "matched twice";
  }
  return filters;
}

TEST(FilterIndex, AgreesWithTheReferenceMatcherWhileFiltersComeAndGo) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const std::vector<std::string> words = {"a", "b", "c", "$s"};
    const auto draw = [&](bool filter) {
      std::string text;
      const size_t tokens = 1 + random() % 4;
      for (size_t i = 0; i < tokens; ++i) {
        if (i > 0) text += '.';
        const uint32_t kind = filter ? random() % 6 : 5;
        if (kind == 0 && i + 1 == tokens) {
          text += '>';
        } else {
          text += kind == 1 ? "*" : words[random() % words.size()];
        }
      }
      return text;
    };
    FilterIndex index(/*cached_topics_max=*/8);
    std::vector<std::unique_ptr<Subscription>> subscriptions;
    for (int step = 0; step < 2000; ++step) {
      const uint32_t action = random() % 10;
      if (action == 0 || subscriptions.empty()) {
        subscriptions.push_back(std::make_unique<Subscription>());
        index.Attach(subscriptions.back().get(),
                     index.FindOrCreate(draw(true), random() % 3 == 0 ? "q" : ""));
      } else if (action == 1) {
        std::swap(subscriptions[random() % subscriptions.size()], subscriptions.back());
        index.Detach(subscriptions.back().get());
        subscriptions.pop_back();
      } else if (action == 2) {
        index.RemoveEmptyGroups();
      } else {
        const std::string topic = draw(false);
        std::set<std::string> expected;
        for (const auto& subscription : subscriptions) {
          if (FilterMatches(subscription->group->filter, topic)) {
            expected.insert(subscription->group->filter + "/" + subscription->group->queue_group);
          }
        }
        ASSERT_EQ(Matched(&index, topic), expected) << topic;
      }
      ASSERT_LE(index.cached_topics(), 8u);
    }
    for (const auto& subscription : subscriptions) index.Detach(subscription.get());
    index.RemoveEmptyGroups();
    EXPECT_EQ(index.group_count(), 0u);
  }
}

TEST(FilterIndex, AnExactFilterDisturbsOnlyItsOwnTopicInTheCache) {
  FilterIndex index(100);
  Subscription first;
  Subscription second;
  index.Attach(&first, index.FindOrCreate("a", ""));
  (void)index.Match("a");
  (void)index.Match("b");
  const uint64_t misses = index.cache_misses();
  index.Attach(&second, index.FindOrCreate("b", ""));
  (void)index.Match("a");
  EXPECT_EQ(index.cache_misses(), misses);
  EXPECT_EQ(Matched(&index, "b"), std::set<std::string>{"b/"});
  EXPECT_EQ(index.cache_misses(), misses + 1);
}

TEST(FilterIndex, KeepsAnEmptiedGroupUntilItIsToldToRemoveIt) {
  FilterIndex index(100);
  Subscription subscription;
  FilterGroup* group = index.FindOrCreate("a.>", "");
  index.Attach(&subscription, group);
  index.Detach(&subscription);
  EXPECT_EQ(index.FindOrCreate("a.>", ""), group);
  EXPECT_TRUE(index.Match("a.b").empty());
  index.RemoveEmptyGroups();
  EXPECT_EQ(index.group_count(), 0u);
}

}  // namespace
}  // namespace sluice
