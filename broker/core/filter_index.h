// Which filter groups want a topic. Internal to the broker.
//
//   FilterGroup* group = index.FindOrCreate("ticks.>", "");
//   index.Attach(&subscription, group);
//   for (FilterGroup* group : index.Match("ticks.nyse.IBM")) ...
//
// Filters without a wildcard stand in a hash table, the others in a trie of tokens; a match is remembered per
// topic in a bounded cache (out goes what was not used for long). A change of a filter without wildcards
// touches only that topic's entry; one with wildcards raises a generation, and entries match again when next
// used. With more filters than the cache has places, and no wildcard at all, the hash table answers by itself:
// of a million topics hardly one is remembered, and to look for it costs as much as the answer.
//
// Groups whose last member left stay until RemoveEmptyGroups, so that a turn may hold pointers to them.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_FILTER_INDEX_H_
#define SLUICE_BROKER_CORE_FILTER_INDEX_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "broker/core/filter_group.h"
#include "protocol/topic.h"

namespace sluice {

// Debian's absl has a string_view of its own, which std::string_view does not convert to.
struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const {
    return absl::Hash<absl::string_view>()(absl::string_view(text.data(), text.size()));
  }
};

class FilterIndex {
 public:
  explicit FilterIndex(size_t cached_topics_max);
  ~FilterIndex();
  FilterIndex(const FilterIndex&) = delete;
  FilterIndex& operator=(const FilterIndex&) = delete;

  // `filter` is valid (ValidateFilter). The group lives until RemoveEmptyGroups finds it without members.
  FilterGroup* FindOrCreate(std::string_view filter, std::string_view queue_group);

  // Makes the subscription a member. It must be in no group.
  void Attach(Subscription* subscription, FilterGroup* group);
  // Takes it out of its group; order of members changes. Does nothing when it is in none.
  void Detach(Subscription* subscription);

  // What another shard says of its members of the group: how many, 0 for none any more, and the group's id
  // there.
  void SetRemote(FilterGroup* group, uint32_t shard, uint32_t members, uint64_t id_there);

  // The group's id, by which other shards name it; it has none before the first call.
  uint64_t IdOf(FilterGroup* group);
  // Null when it is gone, or nobody has asked for the id.
  FilterGroup* FindById(uint64_t id) const;

  // Groups whose members here are not what the other shards were told. Stays valid until RemoveEmptyGroups.
  std::vector<FilterGroup*> TakeAnnouncementsDue();

  // Groups with at least one member, here or elsewhere, whose filter matches a valid topic. Stays valid until
  // the next call of anything here.
  std::span<FilterGroup* const> Match(std::string_view topic);

  // The same for bytes that nobody has checked; nullopt when they are no valid topic. Those of a remembered
  // one were checked when it came first, and are not again.
  std::optional<std::span<FilterGroup* const>> MatchIfValid(std::string_view topic) {
    if (last_ != nullptr && last_->topic == topic && last_->generation == generation_) {
      last_->used = CacheEntry::Used::kYes;
      ++cache_hits_;
      return last_->groups;
    }
    return MatchOtherIfValid(topic);
  }

  // Whether there are more filters than places in the cache, and no wildcard: then Match looks at memory that
  // it has not seen for long, and Prefetch, called some time before, brings it in.
  bool outgrows_cache() const { return exact_.size() > cached_topics_max_ && wildcards_.empty(); }
  void Prefetch(std::string_view topic) const {
    if (topic.size() <= kTopicBytesMax) exact_.prefetch(topic);
  }

  void RemoveEmptyGroups();

  size_t group_count() const { return group_count_; }
  // Topics that were remembered, or that the hash table answered by itself; and those matched with the trie.
  uint64_t cache_hits() const { return cache_hits_; }
  uint64_t cache_misses() const { return cache_misses_; }
  size_t cached_topics() const { return cache_.size(); }

 private:
  // The groups of one filter, linked by `next`: at most one without a queue group, and one per queue group.
  using Groups = std::unique_ptr<FilterGroup>;
  struct HashFilter {
    using is_transparent = void;
    size_t operator()(std::string_view filter) const { return StringHash()(filter); }
    size_t operator()(const Groups& groups) const { return StringHash()(groups->filter()); }
  };
  struct SameFilter {
    using is_transparent = void;
    static std::string_view FilterOf(std::string_view filter) { return filter; }
    static std::string_view FilterOf(const Groups& groups) { return groups->filter(); }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return FilterOf(a) == FilterOf(b);
    }
  };
  // Where a filter's tokens have led: those that end here, those that go on with ">", with "*", with a token.
  struct TrieNode {
    Groups here;
    Groups tail;
    std::unique_ptr<TrieNode> any;
    absl::flat_hash_map<std::string, std::unique_ptr<TrieNode>, StringHash, std::equal_to<>> children;
    bool empty() const { return here == nullptr && tail == nullptr && any == nullptr && children.empty(); }
  };
  struct CacheEntry {
    std::string topic;
    std::vector<FilterGroup*> groups;
    uint64_t generation = 0;
    // Whether it was found since it came to where it stands in the list.
    enum class Used : uint8_t { kNo, kYes } used = Used::kNo;
  };
  using CacheList = std::list<CacheEntry>;

  std::optional<std::span<FilterGroup* const>> MatchOtherIfValid(std::string_view topic);
  FilterGroup* FindExact(std::string_view topic) const;
  std::span<FilterGroup* const> MatchedExactly(std::string_view topic, FilterGroup* first);
  CacheEntry* FindRemembered(std::string_view topic);
  CacheEntry* Remember(std::string_view topic);
  std::span<FilterGroup* const> MatchedBy(CacheEntry* entry);
  Groups* WildcardGroupsOf(std::string_view filter);
  void MembersChanged(FilterGroup* group);
  void Changed(std::string_view filter);
  void Collect(std::string_view topic, std::vector<FilterGroup*>* matched) const;
  void CollectWildcards(const TrieNode& node, std::string_view rest,
                        std::vector<FilterGroup*>* matched) const;
  void RemoveUnwanted(Groups* groups);
  static void RemoveFromTrie(TrieNode* node, std::string_view rest);

  const size_t cached_topics_max_;
  // Those without a wildcard.
  absl::flat_hash_set<Groups, HashFilter, SameFilter> exact_;
  TrieNode wildcards_;
  size_t group_count_ = 0;
  std::vector<std::string> emptied_;
  absl::flat_hash_map<uint64_t, FilterGroup*> by_id_;
  uint64_t next_id_ = 1;
  std::vector<FilterGroup*> announcements_due_;

  // The next to go at the end, unless it was used; the map's keys point into the list.
  CacheList remembered_;
  // Stands for the last topic that was matched without the cache.
  CacheEntry uncached_;
  // The one that was found last.
  CacheEntry* last_ = nullptr;
  absl::flat_hash_map<std::string_view, CacheList::iterator, StringHash, std::equal_to<>> cache_;
  uint64_t generation_ = 1;
  uint64_t cache_hits_ = 0;
  uint64_t cache_misses_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_FILTER_INDEX_H_
