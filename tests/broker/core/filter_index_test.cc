#include "broker/core/filter_index.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/topic.h"

namespace sluice {
namespace {

std::string Name(const FilterGroup& group) {
  return std::string(group.filter()) + "/" + std::string(group.queue_group());
}

std::set<std::string> Matched(FilterIndex* index, std::string_view topic) {
  std::set<std::string> filters;
  for (const FilterGroup* group : index->Match(topic)) {
    EXPECT_TRUE(filters.insert(Name(*group)).second) << "matched twice";
  }
  return filters;
}

// A random filter or topic of few words, so that much of it meets.
class Words {
 public:
  explicit Words(uint32_t seed) : random_(seed) {}

  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }
  std::string Topic() { return Draw(Wildcards::kNone); }
  std::string Filter() { return Draw(Wildcards::kSome); }

 private:
  enum class Wildcards { kNone, kSome };

  std::string Draw(Wildcards wildcards) {
    static constexpr std::string_view kTokens[] = {"a", "b", "c", "$s",
                                                   "a-longer-token-than-most-strings-hold-inside"};
    std::string text;
    const uint32_t tokens = Below(50) == 0 ? kTopicTokensMax : 1 + Below(4);
    for (uint32_t i = 0; i < tokens; ++i) {
      if (i > 0) text += '.';
      const uint32_t kind = wildcards == Wildcards::kSome ? Below(6) : 5;
      if (kind == 0 && i + 1 == tokens) {
        text += kAnyTail;
      } else {
        text += kind == 1 ? kAnyToken : kTokens[Below(tokens > 4 ? 2 : 5)];
      }
    }
    return text;
  }

  std::mt19937 random_;
};

class FilterIndexModel {
 public:
  explicit FilterIndexModel(uint32_t seed) : words_(seed) {}

  void Run();

 private:
  static constexpr size_t kCachedTopicsMax = 8;

  // What the index must find: one entry per filter and queue group that somebody is in.
  std::set<std::string> Expected(std::string_view topic) const {
    std::set<std::string> expected;
    for (const auto& subscription : subscriptions_) {
      const FilterGroup* const group = subscription->group;
      if (FilterMatches(group->filter(), topic)) expected.insert(Name(*group));
    }
    return expected;
  }

  void Attach() {
    static constexpr std::string_view kQueueGroups[] = {"", "", "q", "r"};
    const std::string filter = words_.Filter();
    const std::string_view queue_group = kQueueGroups[words_.Below(4)];
    FilterGroup* const group = index_.FindOrCreate(filter, queue_group);
    ASSERT_EQ(group->filter(), filter);
    ASSERT_EQ(group->queue_group(), queue_group);
    ASSERT_EQ(group->kind(), queue_group.empty() ? GroupKind::kShared : GroupKind::kDealt);
    ASSERT_EQ(index_.FindOrCreate(filter, queue_group), group);
    if (words_.Below(10) == 0) return;  // refused for another reason, say
    subscriptions_.push_back(std::make_unique<Subscription>());
    index_.Attach(subscriptions_.back().get(), group);
  }

  void Detach() {
    std::swap(subscriptions_[words_.Below(static_cast<uint32_t>(subscriptions_.size()))],
              subscriptions_.back());
    index_.Detach(subscriptions_.back().get());
    ASSERT_EQ(subscriptions_.back()->group, nullptr);
    index_.Detach(subscriptions_.back().get());  // no effect
    subscriptions_.pop_back();
  }

  void CheckMembers() const {
    std::set<const FilterGroup*> groups;
    size_t members = 0;
    for (const auto& subscription : subscriptions_) {
      const FilterGroup* const group = subscription->group;
      ASSERT_LT(subscription->index_in_group, group->members.size());
      ASSERT_EQ(group->members[subscription->index_in_group], subscription.get());
      if (groups.insert(group).second) members += group->members.size();
    }
    ASSERT_EQ(members, subscriptions_.size());
  }

  Words words_;
  FilterIndex index_{kCachedTopicsMax};
  std::vector<std::unique_ptr<Subscription>> subscriptions_;
};

void FilterIndexModel::Run() {
  for (int step = 0; step < 2000; ++step) {
    const uint32_t action = words_.Below(10);
    // Now and then nearly everybody leaves.
    const bool shrinking = step / 300 % 2 == 1;
    if (action == 0 || subscriptions_.empty() || (action == 2 && !shrinking)) {
      Attach();
    } else if (action == 1 || (action == 2 && shrinking)) {
      Detach();
    } else if (action == 3) {
      index_.RemoveEmptyGroups();
      std::set<const FilterGroup*> groups;
      for (const auto& subscription : subscriptions_) groups.insert(subscription->group);
      ASSERT_EQ(index_.group_count(), groups.size());
    } else {
      const std::string topic = words_.Topic();
      ASSERT_EQ(Matched(&index_, topic), Expected(topic)) << topic;
    }
    CheckMembers();
    ASSERT_LE(index_.cached_topics(), kCachedTopicsMax);
    if (::testing::Test::HasFatalFailure()) return;
  }
  while (!subscriptions_.empty()) Detach();
  index_.RemoveEmptyGroups();
  EXPECT_EQ(index_.group_count(), 0u);
  EXPECT_TRUE(index_.Match("a").empty());
}

TEST(FilterIndexModelTest, AgreesWithTheReferenceMatcherWhileFiltersComeAndGo) {
  for (uint32_t seed = 1; seed <= 30 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    FilterIndexModel(seed).Run();
  }
}

TEST(FilterIndex, TheQueueGroupsOfOneFilterAreGroupsOfTheirOwn) {
  FilterIndex index(100);
  Subscription members[4];
  index.Attach(&members[0], index.FindOrCreate("a.*", ""));
  index.Attach(&members[1], index.FindOrCreate("a.*", "q"));
  index.Attach(&members[2], index.FindOrCreate("a.*", "r"));
  index.Attach(&members[3], index.FindOrCreate("a.*", "q"));
  EXPECT_EQ(index.group_count(), 3u);
  EXPECT_EQ(Matched(&index, "a.b"), (std::set<std::string>{"a.*/", "a.*/q", "a.*/r"}));
  EXPECT_EQ(members[1].group, members[3].group);
  index.Detach(&members[1]);
  EXPECT_EQ(Matched(&index, "a.b"), (std::set<std::string>{"a.*/", "a.*/q", "a.*/r"}));
  index.Detach(&members[3]);
  EXPECT_EQ(Matched(&index, "a.b"), (std::set<std::string>{"a.*/", "a.*/r"}));
  index.RemoveEmptyGroups();
  EXPECT_EQ(index.group_count(), 2u);
}

TEST(FilterIndex, FindsWhatMatchedLongAgoAsLongAsItIsUsedAgain) {
  FilterIndex index(/*cached_topics_max=*/3);
  (void)index.Match("a");
  (void)index.Match("b");
  (void)index.Match("c");
  EXPECT_EQ(index.cache_misses(), 3u);
  (void)index.Match("a");
  (void)index.Match("d");  // in place of b
  (void)index.Match("a");
  (void)index.Match("c");
  EXPECT_EQ(index.cache_misses(), 4u);
  EXPECT_EQ(index.cache_hits(), 3u);
  (void)index.Match("b");
  EXPECT_EQ(index.cache_misses(), 5u);
  EXPECT_EQ(index.cached_topics(), 3u);
}

TEST(FilterIndex, OfBytesThatNobodyCheckedOnlyATopicMatches) {
  FilterIndex index(/*cached_topics_max=*/2);
  Subscription all;
  index.Attach(&all, index.FindOrCreate(">", ""));
  const std::string too_long(kTopicBytesMax + 1, 'a');
  for (const std::string& bad :
       {std::string(), std::string("a..b"), std::string("a.*"), std::string("\xff"), too_long}) {
    EXPECT_EQ(index.MatchIfValid(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(index.cached_topics(), 0u);
  EXPECT_EQ(index.cache_misses(), 0u);
  for (int round = 0; round < 2; ++round) {
    for (const std::string_view topic : {"a", "b"}) {
      ASSERT_NE(index.MatchIfValid(topic), std::nullopt);
      EXPECT_EQ(index.MatchIfValid(topic)->front(), all.group);
    }
  }
  EXPECT_EQ(index.cache_misses(), 2u);
  EXPECT_EQ(index.cache_hits(), 6u);
  // A topic stays valid; what matches it does not stay the same.
  index.Detach(&all);
  ASSERT_NE(index.MatchIfValid("a"), std::nullopt);
  EXPECT_TRUE(index.MatchIfValid("a")->empty());
}

TEST(FilterIndex, ACacheForNoneHoldsOne) {
  FilterIndex index(/*cached_topics_max=*/0);
  Subscription subscription;
  index.Attach(&subscription, index.FindOrCreate("a.>", ""));
  for (const std::string topic : {"a.b", "a.c", "a.c", "b"}) {
    EXPECT_EQ(index.Match(topic).size(), topic[0] == 'a' ? 1u : 0u);
    EXPECT_EQ(index.cached_topics(), 1u);
  }
  EXPECT_EQ(index.cache_hits(), 1u);
}

TEST(FilterIndex, AWildcardDisturbsTheCacheOnlyWhenItsGroupFillsOrEmpties) {
  FilterIndex index(100);
  Subscription first;
  Subscription second;
  index.Attach(&first, index.FindOrCreate("a.*", ""));
  EXPECT_EQ(Matched(&index, "a.b"), std::set<std::string>{"a.*/"});
  const uint64_t misses = index.cache_misses();
  index.Attach(&second, index.FindOrCreate("a.*", ""));
  EXPECT_EQ(index.Match("a.b").front()->members.size(), 2u);
  index.Detach(&first);
  EXPECT_EQ(index.Match("a.b").front()->members.size(), 1u);
  EXPECT_EQ(index.cache_misses(), misses);
  index.Detach(&second);
  EXPECT_TRUE(index.Match("a.b").empty());
  EXPECT_EQ(index.cache_misses(), misses + 1);
}

TEST(FilterIndex, AGroupThatFillsAgainBeforeEmptyOnesAreRemovedStays) {
  for (const std::string filter : {"a.b", "a.*"}) {
    FilterIndex index(100);
    Subscription first;
    Subscription second;
    FilterGroup* const group = index.FindOrCreate(filter, "");
    index.Attach(&first, group);
    index.Detach(&first);
    index.Attach(&second, index.FindOrCreate(filter, ""));
    index.RemoveEmptyGroups();
    EXPECT_EQ(second.group, group);
    EXPECT_EQ(Matched(&index, "a.b"), std::set<std::string>{filter + "/"});
  }
}

TEST(FilterIndex, AGroupThatNobodyEntersIsRemoved) {
  FilterIndex index(100);
  static_cast<void>(index.FindOrCreate("a.b", ""));
  static_cast<void>(index.FindOrCreate("a.>", "q"));
  EXPECT_EQ(index.group_count(), 2u);
  EXPECT_TRUE(index.Match("a.b").empty());
  index.RemoveEmptyGroups();
  EXPECT_EQ(index.group_count(), 0u);
}

TEST(FilterIndex, WithMoreFiltersThanPlacesAndNoWildcardTheCacheIsNotUsed) {
  FilterIndex index(/*cached_topics_max=*/1);
  Subscription other;
  index.Attach(&other, index.FindOrCreate("c", ""));
  Subscription exact;
  Subscription wildcard;
  index.Attach(&exact, index.FindOrCreate("a", ""));
  EXPECT_TRUE(index.outgrows_cache());
  for (const std::string_view topic : {"a", "b", "a", "a"}) {
    index.Prefetch(topic);
    ASSERT_NE(index.MatchIfValid(topic), std::nullopt);
    EXPECT_EQ(index.MatchIfValid(topic)->size(), topic == "a" ? 1u : 0u);
  }
  EXPECT_EQ(index.MatchIfValid("a..b"), std::nullopt);
  index.Detach(&exact);
  EXPECT_TRUE(index.MatchIfValid("a")->empty());
  index.Attach(&exact, index.FindOrCreate("a", ""));
  EXPECT_EQ(index.MatchIfValid("a")->size(), 1u);
  EXPECT_EQ(index.MatchIfValid("c")->size(), 1u);
  EXPECT_EQ(index.cached_topics(), 0u);
  EXPECT_EQ(index.cache_misses(), 0u);

  index.Attach(&wildcard, index.FindOrCreate(">", ""));
  EXPECT_FALSE(index.outgrows_cache());
  EXPECT_EQ(index.MatchIfValid("a")->size(), 2u);
  EXPECT_EQ(index.cached_topics(), 1u);
  index.Detach(&wildcard);
  index.RemoveEmptyGroups();
  EXPECT_EQ(index.MatchIfValid("a")->size(), 1u);
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
