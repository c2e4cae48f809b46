#include "broker/core/publisher.h"

#include <span>
#include <string_view>
#include <utility>

#include "protocol/topic.h"

namespace sluice {
namespace {

// Of the broker's own topics, the inboxes are open to everybody who wants to reply.
constexpr std::string_view kInboxPrefix = "$inbox.";

PublishOutcome OutcomeOf(PublishVerdict verdict) {
  switch (verdict) {
    case PublishVerdict::kOk:
      return PublishOutcome::kTaken;
    case PublishVerdict::kBadFrame:
      return PublishOutcome::kBadFrame;
    case PublishVerdict::kBadTopic:
      return PublishOutcome::kBadTopic;
    case PublishVerdict::kBadReplyTo:
      return PublishOutcome::kBadReplyTo;
    case PublishVerdict::kBadHeaders:
      return PublishOutcome::kBadHeaders;
    case PublishVerdict::kPayloadTooLarge:
      return PublishOutcome::kPayloadTooLarge;
  }
  return PublishOutcome::kBadFrame;
}

}  // namespace

PublishTally* Publisher::tally() {
  if (tally_ == nullptr) tally_ = std::make_shared<PublishTally>();
  return tally_.get();
}

PublishOutcome Publisher::Publish(const ReceivedFrame& frame, const PublishLimits& limits, FilterIndex* index,
                                  FanOut* fan_out, PublishView* view) {
  ++published_;
  ++tally()->messages;
  PublishOutcome outcome = OutcomeOf(CheckPublish(frame.body, limits, view));
  if (outcome == PublishOutcome::kTaken && IsReserved(view->topic) &&
      !view->topic.starts_with(kInboxPrefix)) {
    outcome = PublishOutcome::kNotPermitted;
  }
  if (outcome != PublishOutcome::kTaken) {
    ++tally()->refused;
    return outcome;
  }
  const std::span<FilterGroup* const> groups = index->Match(view->topic);
  if (groups.empty()) return view->reply_to.empty() ? outcome : PublishOutcome::kNoSubscribers;
  fan_out->Take(groups, frame.chunk, frame.offset, frame.bytes, tally());
  return outcome;
}

std::shared_ptr<PublishTally> Publisher::TakeTally() {
  tally();
  return std::exchange(tally_, nullptr);
}

}  // namespace sluice
