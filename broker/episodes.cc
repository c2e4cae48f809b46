#include "broker/episodes.h"

#include <algorithm>
#include <utility>

#include "broker/core/send_queue.h"
#include "protocol/frame.h"
#include "protocol/names.h"
#include "protocol/publish.h"

namespace sluice {
namespace {

// Of a queue's topics. So many messages are looked at.
constexpr size_t kMessagesLookedAt = 128;
constexpr size_t kSharesKept = 3;

const char* OutcomeName(EpisodeOutcome outcome) {
  switch (outcome) {
    case EpisodeOutcome::kRecovered:
      return "recovered";
    case EpisodeOutcome::kDisconnected:
      return "disconnected";
    case EpisodeOutcome::kEnded:
      return "ended";
  }
  return "ended";
}

}  // namespace

void Episodes::Show(const LagExtent& extent, v1::LagCause cause, admin::Episode* shown) {
  shown->set_pending_bytes_peak(static_cast<double>(extent.pending_bytes_peak));
  shown->set_pending_messages_peak(static_cast<double>(extent.pending_messages_peak));
  shown->set_limit_share_peak(extent.limit_share_peak);
  if (extent.nearest_limit != v1::REASON_UNSPECIFIED) {
    shown->set_nearest_limit(std::string(ReasonName(extent.nearest_limit)));
  }
  if (cause != v1::LAG_CAUSE_UNSPECIFIED) shown->set_cause(std::string(LagCauseName(cause)));
  shown->set_dropped(static_cast<double>(extent.dropped));
  shown->set_conflated(static_cast<double>(extent.conflated));
}

Episodes::Episode Episodes::Begin(const EpisodeOf& who) {
  Episode episode = {.shown = {}, .since = who.since};
  episode.shown.set_session(who.consumer.session.ToString());
  episode.shown.set_subscription(who.consumer.subscription.value_or(0));
  episode.shown.set_client_name(std::string(who.client_name));
  episode.shown.set_address(std::string(who.address));
  episode.shown.set_filter(std::string(who.filter));
  episode.shown.set_policy(std::string(OverflowPolicyName(who.policy)));
  episode.shown.set_outcome("going_on");
  return episode;
}

void Episodes::Raise(const EpisodeOf& who, const LagExtent& extent, v1::LagCause cause,
                     const EpisodeOrigins& origins) {
  const MutexLock lock(&mutex_);
  const std::string name = who.consumer.ToString();
  auto found = going_on_.find(name);
  if (found == going_on_.end()) {
    ++begun_;
    if (going_on_.size() >= kEpisodesGoingOnMax) return;
    found = going_on_.emplace(name, Begin(who)).first;
    const auto show = [](const EpisodeShare& one, admin::Share* shown) {
      shown->set_name(one.name);
      shown->set_share(one.share);
    };
    admin::Episode& shown = found->second.shown;
    for (const EpisodeShare& topic : origins.topics) show(topic, shown.add_topics());
    for (const EpisodeShare& publisher : origins.publishers) show(publisher, shown.add_publishers());
  }
  Show(extent, cause, &found->second.shown);
}

void Episodes::Update(const ConsumerName& consumer, const LagExtent& extent) {
  const MutexLock lock(&mutex_);
  const auto found = going_on_.find(consumer.ToString());
  if (found != going_on_.end()) Show(extent, v1::LAG_CAUSE_UNSPECIFIED, &found->second.shown);
}

void Episodes::End(const EpisodeOf& who, const LagExtent& extent, v1::LagCause cause, EpisodeOutcome outcome,
                   v1::Reason reason, absl::Time now) {
  const MutexLock lock(&mutex_);
  const auto found = going_on_.find(who.consumer.ToString());
  if (found == going_on_.end()) {
    ++begun_;
    ended_.push_front(Begin(who));
  } else {
    ended_.push_front(std::move(found->second));
    going_on_.erase(found);
  }
  Episode& episode = ended_.front();
  episode.ended = now;
  Show(extent, cause, &episode.shown);
  episode.shown.set_outcome(OutcomeName(outcome));
  if (reason != v1::REASON_UNSPECIFIED) episode.shown.set_reason(std::string(ReasonName(reason)));
  if (ended_.size() > kEpisodesKeptMax) ended_.pop_back();
}

admin::EpisodeList Episodes::List(size_t episodes_max, absl::Time now, absl::Time wall) const {
  const MutexLock lock(&mutex_);
  std::vector<const Episode*> listed;
  for (const auto& [name, episode] : going_on_) listed.push_back(&episode);
  std::sort(listed.begin(), listed.end(),
            [](const Episode* a, const Episode* b) { return a->since > b->since; });
  for (const Episode& episode : ended_) listed.push_back(&episode);
  if (listed.size() > episodes_max) listed.resize(episodes_max);

  admin::EpisodeList list;
  list.set_episodes_total(static_cast<double>(begun_));
  for (const Episode* episode : listed) {
    admin::Episode* shown = list.add_episodes();
    *shown = episode->shown;
    *shown->mutable_began() = ToTimestamp(wall - (now - episode->since));
    shown->set_duration_seconds(absl::ToDoubleSeconds(std::min(episode->ended, now) - episode->since));
  }
  return list;
}

void AddShare(std::string_view name, double share, std::vector<EpisodeShare>* shares) {
  const auto found =
      std::find_if(shares->begin(), shares->end(), [&](const EpisodeShare& one) { return one.name == name; });
  if (found != shares->end()) {
    found->share += share;
  } else {
    shares->push_back({std::string(name), share});
  }
}

void KeepLargest(std::vector<EpisodeShare>* shares) {
  std::sort(shares->begin(), shares->end(),
            [](const EpisodeShare& a, const EpisodeShare& b) { return a.share > b.share; });
  if (shares->size() > kSharesKept) shares->resize(kSharesKept);
}

std::vector<EpisodeShare> TopicsOf(const SendQueue& queue) {
  std::vector<EpisodeShare> topics;
  double bytes_of_all = 0;
  size_t looked_at = 0;
  for (size_t i = 0; i < queue.slices().size() && looked_at < kMessagesLookedAt; ++i) {
    const Slice& slice = queue.slices()[i];
    if (slice.kind != SliceKind::kMessages) continue;
    for (std::string_view rest = slice.view(); !rest.empty() && looked_at < kMessagesLookedAt; ++looked_at) {
      const FramePrefix prefix = ReadFramePrefix(rest);
      if (prefix.status != FramePrefixStatus::kComplete) break;
      PublishView view;
      if (ReadPublish(rest.substr(prefix.prefix_bytes, prefix.body_bytes), &view)) {
        AddShare(view.topic, prefix.frame_bytes(), &topics);
        bytes_of_all += prefix.frame_bytes();
      }
      rest.remove_prefix(prefix.frame_bytes());
    }
  }
  for (EpisodeShare& topic : topics) topic.share /= bytes_of_all;
  KeepLargest(&topics);
  return topics;
}

}  // namespace sluice
