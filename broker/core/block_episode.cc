#include "broker/core/block_episode.h"

#include "broker/core/subscription.h"

namespace sluice {
namespace {

const BlockRef kNoBlock;

}  // namespace

bool BlockedBy::Waits(const Subscriber* own) {
  absl::erase_if(blocks_,
                 [own](const BlockRef& block) { return block->over() || block->subscriber() == own; });
  return !blocks_.empty();
}

BlockEpisodes::~BlockEpisodes() {
  for (const auto& [subscription, episode] : episodes_) episode.block->SetOver();
}

void BlockEpisodes::Begin(Subscription* subscription, const BlockCause& cause, absl::Time now) {
  const auto [at, is_new] = episodes_.try_emplace(subscription);
  if (!is_new) return;
  at->second = {std::make_shared<Block>(subscription->subscriber), now};
  subscription->blocking = Subscription::Blocking::kYes;
  news_.push_back({.kind = BlockNews::Kind::kBegan, .subscription = subscription->id, .cause = cause});
}

void BlockEpisodes::End(Subscription* subscription) {
  const auto at = episodes_.find(subscription);
  if (at == episodes_.end()) return;
  Conclude(subscription, at->second);
  episodes_.erase(at);
}

const BlockRef& BlockEpisodes::Find(Subscription* subscription) const {
  const auto at = episodes_.find(subscription);
  return at == episodes_.end() ? kNoBlock : at->second.block;
}

std::optional<std::pair<Subscription*, absl::Time>> BlockEpisodes::Oldest() const {
  std::optional<std::pair<Subscription*, absl::Time>> oldest;
  for (const auto& [subscription, episode] : episodes_) {
    if (!oldest.has_value() || episode.since < oldest->second) oldest.emplace(subscription, episode.since);
  }
  return oldest;
}

void BlockEpisodes::Conclude(Subscription* subscription, const Episode& episode) {
  episode.block->SetOver();
  subscription->blocking = Subscription::Blocking::kNo;
  news_.push_back({.kind = BlockNews::Kind::kEnded,
                   .subscription = subscription->id,
                   .began_at = episode.since,
                   .publishers_paused = episode.block->publishers_paused()});
}

}  // namespace sluice
