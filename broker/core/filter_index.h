// Which filter groups want a topic. Internal to the broker.
//
//   FilterGroup* group = index.FindOrCreate("ticks.>", "");
//   index.Attach(&subscription, group);
//   for (FilterGroup* group : index.Match("ticks.nyse.IBM")) ...
//
// Filters without a wildcard stand in a hash table, the others in a trie of tokens; a match is remembered per
// topic in a bounded cache (least recently used out). A change of a filter without wildcards touches only
// that topic's entry; one with wildcards raises a generation, and entries match again when next used.
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
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "broker/core/filter_group.h"

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

  // Null when it is gone.
  FilterGroup* FindById(uint64_t id) const;

  // Groups whose members here are not what the other shards were told. Stays valid until RemoveEmptyGroups.
  std::vector<FilterGroup*> TakeAnnouncementsDue();

  // Groups with at least one member, here or elsewhere, whose filter matches a valid topic. Stays valid until
  // the next call of anything here.
  std::span<FilterGroup* const> Match(std::string_view topic);

  void RemoveEmptyGroups();

  size_t group_count() const { return group_count_; }
  uint64_t cache_hits() const { return cache_hits_; }
  uint64_t cache_misses() const { return cache_misses_; }
  size_t cached_topics() const { return cache_.size(); }

 private:
  // The groups of one filter: at most one without a queue group, and one per queue group.
  using Groups = std::vector<std::unique_ptr<FilterGroup>>;
  struct TrieNode {
    absl::flat_hash_map<std::string, std::unique_ptr<TrieNode>, StringHash, std::equal_to<>> children;
    Groups here;
    bool empty() const { return children.empty() && here.empty(); }
  };
  struct CacheEntry {
    std::string topic;
    std::vector<FilterGroup*> groups;
    uint64_t generation = 0;
  };
  using CacheList = std::list<CacheEntry>;

  Groups* GroupsOf(std::string_view filter);
  void MembersChanged(FilterGroup* group);
  void Changed(std::string_view filter);
  void Collect(std::string_view topic, std::vector<FilterGroup*>* matched) const;
  void CollectWildcards(const TrieNode& node, std::string_view rest,
                        std::vector<FilterGroup*>* matched) const;
  void RemoveFilter(std::string_view filter);
  static void RemoveFromTrie(TrieNode* node, std::string_view rest);

  const size_t cached_topics_max_;
  absl::flat_hash_map<std::string, Groups, StringHash, std::equal_to<>> exact_;
  TrieNode wildcards_;
  size_t group_count_ = 0;
  std::vector<std::string> emptied_;
  absl::flat_hash_map<uint64_t, FilterGroup*> by_id_;
  uint64_t next_id_ = 1;
  std::vector<FilterGroup*> announcements_due_;

  // The most recently used in front; the map's keys point into the list.
  CacheList recent_;
  absl::flat_hash_map<std::string_view, CacheList::iterator, StringHash, std::equal_to<>> cache_;
  uint64_t generation_ = 1;
  uint64_t cache_hits_ = 0;
  uint64_t cache_misses_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_FILTER_INDEX_H_
