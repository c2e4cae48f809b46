#include "broker/core/filter_index.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "protocol/topic.h"

namespace sluice {
namespace {

// Entries that a new topic may find used before it takes the place of one, so that it never walks through the
// whole cache.
constexpr int kSparedMax = 16;

void CollectMembers(FilterGroup* first, std::vector<FilterGroup*>* matched) {
  for (FilterGroup* group = first; group != nullptr; group = group->next.get()) {
    if (group->wanted()) matched->push_back(group);
  }
}

}  // namespace

FilterIndex::FilterIndex(size_t cached_topics_max)
    : cached_topics_max_(std::max<size_t>(1, cached_topics_max)) {}
FilterIndex::~FilterIndex() = default;

FilterIndex::Groups* FilterIndex::WildcardGroupsOf(std::string_view filter) {
  TrieNode* node = &wildcards_;
  for (std::string_view rest = filter; rest.data() != nullptr;) {
    const std::string_view token = NextToken(&rest);
    if (token == kAnyTail) return &node->tail;
    std::unique_ptr<TrieNode>& child =
        token == kAnyToken ? node->any : node->children.try_emplace(token).first->second;
    if (child == nullptr) child = std::make_unique<TrieNode>();
    node = child.get();
  }
  return &node->here;
}

FilterGroup* FilterIndex::FindOrCreate(std::string_view filter, std::string_view queue_group) {
  Groups* const in_trie = HasWildcard(filter) ? WildcardGroupsOf(filter) : nullptr;
  FilterGroup* first = nullptr;
  if (in_trie != nullptr) {
    first = in_trie->get();
  } else {
    first = FindExact(filter);
  }
  for (FilterGroup* group = first; group != nullptr; group = group->next.get()) {
    if (group->queue_group() == queue_group) return group;
  }
  Groups created = FilterGroup::Create(filter, queue_group);
  FilterGroup* const group = created.get();
  if (first != nullptr) {
    created->next = std::move(first->next);
    first->next = std::move(created);
  } else if (in_trie != nullptr) {
    *in_trie = std::move(created);
  } else {
    exact_.insert(std::move(created));
  }
  ++group_count_;
  emptied_.emplace_back(filter);  // until somebody attaches
  return group;
}

void FilterIndex::Changed(std::string_view filter) {
  if (HasWildcard(filter)) {
    ++generation_;
    return;
  }
  if (uncached_.topic == filter) uncached_.generation = 0;
  const auto cached = cache_.find(filter);
  if (cached != cache_.end()) cached->second->generation = 0;
}

void FilterIndex::Attach(Subscription* subscription, FilterGroup* group) {
  const bool wanted_before = group->wanted();
  subscription->group = group;
  subscription->index_in_group = static_cast<uint32_t>(group->members.size());
  group->members.push_back(subscription);
  MembersChanged(group);
  if (!wanted_before) Changed(group->filter());
}

void FilterIndex::Detach(Subscription* subscription) {
  FilterGroup* group = std::exchange(subscription->group, nullptr);
  if (group == nullptr) return;
  Subscription* last = group->members.back();
  group->members[subscription->index_in_group] = last;
  last->index_in_group = subscription->index_in_group;
  group->members.pop_back();
  MembersChanged(group);
  if (group->wanted()) return;
  emptied_.emplace_back(group->filter());
  Changed(group->filter());
}

void FilterIndex::MembersChanged(FilterGroup* group) {
  if (group->announcement == FilterGroup::Announcement::kDue ||
      group->members_to_announce() == group->announced_members) {
    return;
  }
  group->announcement = FilterGroup::Announcement::kDue;
  announcements_due_.push_back(group);
}

std::vector<FilterGroup*> FilterIndex::TakeAnnouncementsDue() {
  std::vector<FilterGroup*> due = std::exchange(announcements_due_, {});
  for (FilterGroup* group : due) {
    group->announcement = FilterGroup::Announcement::kUpToDate;
    group->announced_members = group->members_to_announce();
  }
  return due;
}

void FilterIndex::SetRemote(FilterGroup* group, uint32_t shard, uint32_t members, uint64_t id_there) {
  const bool wanted_before = group->wanted();
  IdOf(group);  // what is dealt there may have to come back
  std::vector<RemoteGroup>& remotes = group->details->remotes;
  std::erase_if(remotes, [shard](const RemoteGroup& remote) { return remote.shard == shard; });
  if (members > 0) remotes.push_back({shard, members, id_there});
  if (group->wanted() == wanted_before) return;
  if (!group->wanted()) emptied_.emplace_back(group->filter());
  Changed(group->filter());
}

uint64_t FilterIndex::IdOf(FilterGroup* group) {
  FilterGroup::Details& details = group->NeedDetails();
  if (details.id == 0) {
    details.id = next_id_++;
    by_id_.emplace(details.id, group);
  }
  return details.id;
}

FilterGroup* FilterIndex::FindById(uint64_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

std::span<FilterGroup* const> FilterIndex::Match(std::string_view topic) {
  if (outgrows_cache()) return MatchedExactly(topic, FindExact(topic));
  CacheEntry* const remembered = FindRemembered(topic);
  return MatchedBy(remembered != nullptr ? remembered : Remember(topic));
}

std::optional<std::span<FilterGroup* const>> FilterIndex::MatchOtherIfValid(std::string_view topic) {
  if (topic.size() > kTopicBytesMax) return std::nullopt;  // before anybody hashes a megabyte
  if (outgrows_cache()) {
    FilterGroup* const first = FindExact(topic);
    if (first == nullptr && !IsValidTopic(topic)) return std::nullopt;
    return MatchedExactly(topic, first);
  }
  if (CacheEntry* const remembered = FindRemembered(topic); remembered != nullptr)
    return MatchedBy(remembered);
  if (!IsValidTopic(topic)) return std::nullopt;
  return MatchedBy(Remember(topic));
}

FilterGroup* FilterIndex::FindExact(std::string_view topic) const {
  const auto found = exact_.find(topic);
  return found == exact_.end() ? nullptr : found->get();
}

std::span<FilterGroup* const> FilterIndex::MatchedExactly(std::string_view topic, FilterGroup* first) {
  ++cache_hits_;
  last_ = &uncached_;
  last_->topic = topic;
  last_->groups.clear();
  CollectMembers(first, &last_->groups);
  last_->generation = generation_;
  return last_->groups;
}

FilterIndex::CacheEntry* FilterIndex::FindRemembered(std::string_view topic) {
  const auto cached = cache_.find(topic);
  if (cached == cache_.end()) return nullptr;
  last_ = &*cached->second;
  last_->used = CacheEntry::Used::kYes;
  return last_;
}

// To mark what is used and to spare it at the end of the list costs less than to move it to the front each
// time it is used, as nearly all is found.
FilterIndex::CacheEntry* FilterIndex::Remember(std::string_view topic) {
  if (cache_.size() < cached_topics_max_) {
    remembered_.emplace_front();
  } else {
    for (int spared = 0; spared < kSparedMax && remembered_.back().used == CacheEntry::Used::kYes; ++spared) {
      remembered_.back().used = CacheEntry::Used::kNo;
      remembered_.splice(remembered_.begin(), remembered_, std::prev(remembered_.end()));
    }
    cache_.erase(remembered_.back().topic);
    // Its memory is used again.
    remembered_.splice(remembered_.begin(), remembered_, std::prev(remembered_.end()));
  }
  last_ = &remembered_.front();
  last_->topic = topic;
  last_->generation = 0;
  last_->used = CacheEntry::Used::kNo;
  cache_.emplace(last_->topic, remembered_.begin());
  return last_;
}

std::span<FilterGroup* const> FilterIndex::MatchedBy(CacheEntry* entry) {
  if (entry->generation == generation_) {
    ++cache_hits_;
    return entry->groups;
  }
  ++cache_misses_;
  entry->groups.clear();
  Collect(entry->topic, &entry->groups);
  entry->generation = generation_;
  return entry->groups;
}

void FilterIndex::Collect(std::string_view topic, std::vector<FilterGroup*>* matched) const {
  CollectMembers(FindExact(topic), matched);
  if (!wildcards_.empty()) CollectWildcards(wildcards_, topic, matched);
}

void FilterIndex::CollectWildcards(const TrieNode& node, std::string_view rest,
                                   std::vector<FilterGroup*>* matched) const {
  if (rest.data() == nullptr) {
    CollectMembers(node.here.get(), matched);
    return;
  }
  // A wildcard in first place does not see the broker's own topics.
  const bool wildcards_apply = &node != &wildcards_ || !IsReserved(rest);
  if (wildcards_apply) CollectMembers(node.tail.get(), matched);
  const std::string_view token = NextToken(&rest);
  const auto child = node.children.find(token);
  if (child != node.children.end()) CollectWildcards(*child->second, rest, matched);
  if (wildcards_apply && node.any != nullptr) CollectWildcards(*node.any, rest, matched);
}

void FilterIndex::RemoveEmptyGroups() {
  if (emptied_.empty()) return;
  std::erase_if(announcements_due_, [](const FilterGroup* group) { return !group->wanted(); });
  for (const std::string& filter : std::exchange(emptied_, {})) {
    if (HasWildcard(filter)) {
      Groups* const groups = WildcardGroupsOf(filter);
      RemoveUnwanted(groups);
      if (*groups == nullptr) RemoveFromTrie(&wildcards_, filter);
      continue;
    }
    const auto found = exact_.find(filter);
    if (found == exact_.end() || ((*found)->wanted() && (*found)->next == nullptr)) continue;
    Groups groups = std::move(exact_.extract(found).value());
    RemoveUnwanted(&groups);
    if (groups != nullptr) exact_.insert(std::move(groups));
  }
}

void FilterIndex::RemoveUnwanted(Groups* groups) {
  while (*groups != nullptr) {
    FilterGroup& group = **groups;
    if (group.wanted()) {
      groups = &group.next;
      continue;
    }
    by_id_.erase(group.id());
    --group_count_;
    *groups = std::exchange(group.next, nullptr);
  }
}

void FilterIndex::RemoveFromTrie(TrieNode* node, std::string_view rest) {
  if (rest.data() == nullptr) return;
  const std::string_view token = NextToken(&rest);
  if (token == kAnyTail) return;
  if (token == kAnyToken) {
    RemoveFromTrie(node->any.get(), rest);
    if (node->any->empty()) node->any = nullptr;
    return;
  }
  const auto child = node->children.find(token);
  RemoveFromTrie(child->second.get(), rest);
  if (child->second->empty()) node->children.erase(child);
}

}  // namespace sluice
