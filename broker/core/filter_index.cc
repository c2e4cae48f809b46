#include "broker/core/filter_index.h"

#include <algorithm>
#include <utility>

#include "protocol/topic.h"

namespace sluice {
namespace {

void CollectMembers(const std::vector<std::unique_ptr<FilterGroup>>& groups,
                    std::vector<FilterGroup*>* matched) {
  for (const auto& group : groups) {
    if (group->wanted()) matched->push_back(group.get());
  }
}

}  // namespace

FilterIndex::FilterIndex(size_t cached_topics_max)
    : cached_topics_max_(std::max<size_t>(1, cached_topics_max)) {}
FilterIndex::~FilterIndex() = default;

FilterIndex::Groups* FilterIndex::GroupsOf(std::string_view filter) {
  if (!HasWildcard(filter)) {
    const auto found = exact_.find(filter);
    return found != exact_.end() ? &found->second : &exact_[std::string(filter)];
  }
  TrieNode* node = &wildcards_;
  for (std::string_view rest = filter; rest.data() != nullptr;) {
    const std::string_view token = NextToken(&rest);
    auto child = node->children.find(token);
    if (child == node->children.end()) {
      child = node->children.emplace(std::string(token), std::make_unique<TrieNode>()).first;
    }
    node = child->second.get();
  }
  return &node->here;
}

FilterGroup* FilterIndex::FindOrCreate(std::string_view filter, std::string_view queue_group) {
  Groups* groups = GroupsOf(filter);
  for (const auto& group : *groups) {
    if (group->queue_group == queue_group) return group.get();
  }
  auto group = std::make_unique<FilterGroup>();
  group->filter = filter;
  group->queue_group = queue_group;
  group->id = next_id_++;
  by_id_.emplace(group->id, group.get());
  groups->push_back(std::move(group));
  ++group_count_;
  emptied_.emplace_back(filter);  // until somebody attaches
  return groups->back().get();
}

void FilterIndex::Changed(std::string_view filter) {
  if (HasWildcard(filter)) {
    ++generation_;
    return;
  }
  const auto cached = cache_.find(filter);
  if (cached != cache_.end()) cached->second->generation = 0;
}

void FilterIndex::Attach(Subscription* subscription, FilterGroup* group) {
  const bool wanted_before = group->wanted();
  subscription->group = group;
  subscription->index_in_group = static_cast<uint32_t>(group->members.size());
  group->members.push_back(subscription);
  MembersChanged(group);
  if (!wanted_before) Changed(group->filter);
}

void FilterIndex::Detach(Subscription* subscription) {
  FilterGroup* group = std::exchange(subscription->group, nullptr);
  if (group == nullptr) return;
  Subscription* last = group->members.back();
  group->members[subscription->index_in_group] = last;
  last->index_in_group = subscription->index_in_group;
  group->members.pop_back();
  MembersChanged(group);
  if (!group->members.empty()) return;
  group->members.shrink_to_fit();
  if (group->wanted()) return;
  emptied_.push_back(group->filter);
  Changed(group->filter);
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
  std::erase_if(group->remotes, [shard](const RemoteGroup& remote) { return remote.shard == shard; });
  if (members > 0) group->remotes.push_back({shard, members, id_there});
  if (group->wanted() == wanted_before) return;
  if (!group->wanted()) emptied_.push_back(group->filter);
  Changed(group->filter);
}

FilterGroup* FilterIndex::FindById(uint64_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

std::span<FilterGroup* const> FilterIndex::Match(std::string_view topic) {
  if (!recent_.empty() && recent_.front().topic == topic && recent_.front().generation == generation_) {
    ++cache_hits_;
    return recent_.front().groups;
  }
  const auto cached = cache_.find(topic);
  if (cached != cache_.end()) {
    recent_.splice(recent_.begin(), recent_, cached->second);
    CacheEntry& entry = recent_.front();
    if (entry.generation == generation_) {
      ++cache_hits_;
      return entry.groups;
    }
  } else {
    if (cache_.size() >= cached_topics_max_) {
      cache_.erase(recent_.back().topic);
      recent_.pop_back();
    }
    recent_.emplace_front();
    recent_.front().topic = topic;
    cache_.emplace(recent_.front().topic, recent_.begin());
  }
  ++cache_misses_;
  CacheEntry& entry = recent_.front();
  entry.groups.clear();
  Collect(topic, &entry.groups);
  entry.generation = generation_;
  return entry.groups;
}

void FilterIndex::Collect(std::string_view topic, std::vector<FilterGroup*>* matched) const {
  const auto exact = exact_.find(topic);
  if (exact != exact_.end()) CollectMembers(exact->second, matched);
  if (!wildcards_.children.empty()) CollectWildcards(wildcards_, topic, matched);
}

void FilterIndex::CollectWildcards(const TrieNode& node, std::string_view rest,
                                   std::vector<FilterGroup*>* matched) const {
  if (rest.data() == nullptr) {
    CollectMembers(node.here, matched);
    return;
  }
  // A wildcard in first place does not see the broker's own topics.
  const bool wildcards_apply = &node != &wildcards_ || !IsReserved(rest);
  if (wildcards_apply) {
    const auto tail = node.children.find(kAnyTail);
    if (tail != node.children.end()) CollectMembers(tail->second->here, matched);
  }
  const std::string_view token = NextToken(&rest);
  const auto child = node.children.find(token);
  if (child != node.children.end()) CollectWildcards(*child->second, rest, matched);
  if (!wildcards_apply) return;
  const auto any = node.children.find(kAnyToken);
  if (any != node.children.end()) CollectWildcards(*any->second, rest, matched);
}

void FilterIndex::RemoveEmptyGroups() {
  if (emptied_.empty()) return;
  std::erase_if(announcements_due_, [](const FilterGroup* group) { return !group->wanted(); });
  for (const std::string& filter : std::exchange(emptied_, {})) {
    Groups* groups = GroupsOf(filter);
    const size_t before = groups->size();
    std::erase_if(*groups, [this](const auto& group) {
      if (group->wanted()) return false;
      by_id_.erase(group->id);
      return true;
    });
    group_count_ -= before - groups->size();
    if (groups->empty()) RemoveFilter(filter);
  }
}

void FilterIndex::RemoveFilter(std::string_view filter) {
  if (HasWildcard(filter)) {
    RemoveFromTrie(&wildcards_, filter);
  } else if (const auto found = exact_.find(filter); found != exact_.end()) {
    exact_.erase(found);
  }
}

void FilterIndex::RemoveFromTrie(TrieNode* node, std::string_view rest) {
  if (rest.data() == nullptr) return;
  const auto child = node->children.find(NextToken(&rest));
  RemoveFromTrie(child->second.get(), rest);
  if (child->second->empty()) node->children.erase(child);
}

}  // namespace sluice
