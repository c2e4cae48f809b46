#include "broker/core/publisher.h"

#include <optional>
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
  if (tally_ == nullptr) {
    if (blocked_by_ == nullptr) blocked_by_ = std::make_shared<BlockedBy>();
    tally_ = std::make_shared<PublishTally>();
    tally_->blocked_by = blocked_by_;
  }
  return tally_.get();
}

PublishOutcome Publisher::Publish(const ReceivedFrame& frame, const PublishLimits& limits, FilterIndex* index,
                                  FanOut* fan_out, PublishView* view) {
  ++published_;
  PublishTally* const counted = tally();
  ++counted->messages;
  PublishOutcome outcome = PublishOutcome::kBadFrame;
  std::span<FilterGroup* const> groups;
  if (ReadPublish(frame.body, view)) {
    const std::optional<std::span<FilterGroup* const>> matched = index->MatchIfValid(view->topic);
    outcome = OutcomeOf(
        JudgePublish(*view, limits, matched.has_value() ? TopicValidity::kValid : TopicValidity::kInvalid));
    groups = matched.value_or(groups);
  }
  if (outcome == PublishOutcome::kTaken && IsReserved(view->topic) &&
      !view->topic.starts_with(kInboxPrefix)) {
    outcome = PublishOutcome::kNotPermitted;
  }
  if (outcome != PublishOutcome::kTaken) {
    ++counted->refused;
    return outcome;
  }
  if (groups.empty()) return view->reply_to.empty() ? outcome : PublishOutcome::kNoSubscribers;
  fan_out->Take(groups, frame.chunk, frame.offset, frame.bytes, counted);
  return outcome;
}

std::shared_ptr<PublishTally> Publisher::TakeTally() {
  tally();
  return std::exchange(tally_, nullptr);
}

}  // namespace sluice
