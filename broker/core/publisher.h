// A session as the sender of messages: judges and counts what it publishes. Internal to the broker.
//
//   switch (publisher.Publish(frame, limits, &index, &fan_out, &view)) ...
//   answers.Ack(turn, id, publisher.published(), publisher.TakeTally());   // the client's AckRequest
//
// Publishes carry no number: both sides count them from 1.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_PUBLISHER_H_
#define SLUICE_BROKER_CORE_PUBLISHER_H_

#include <cstdint>
#include <memory>

#include "broker/core/fan_out.h"
#include "broker/core/filter_index.h"
#include "broker/core/frame_reader.h"
#include "protocol/publish.h"

namespace sluice {

enum class PublishOutcome {
  kTaken,          // also when nobody wanted it
  kNoSubscribers,  // nobody wanted it, and it asked for a reply
  kBadFrame,       // the stream cannot be trusted
  kBadTopic,
  kBadReplyTo,
  kBadHeaders,
  kPayloadTooLarge,
  kNotPermitted,  // a topic of the broker's own
};

class Publisher {
 public:
  // Judges a publish frame (IsPublish() said so) and notes it for the groups that want it. Fills `view`.
  [[nodiscard]] PublishOutcome Publish(const ReceivedFrame& frame, const PublishLimits& limits,
                                       FilterIndex* index, FanOut* fan_out, PublishView* view);

  // The number of the last publish.
  uint64_t published() const { return published_; }

  // Whether a subscription that it has published to blocks its publishers, and is not one of `own`: then it is
  // not to be read.
  bool WaitsForConsumers(const Subscriber* own) const {
    return blocked_by_ != nullptr && !blocked_by_->empty() && blocked_by_->Waits(own);
  }
  // It is paused for them.
  void CountPaused() const { blocked_by_->CountPaused(); }

  // What became of everything since the last call. Complete when the fan-outs of all shards have done this
  // turn's messages, so that it is read later than taken.
  std::shared_ptr<PublishTally> TakeTally();

 private:
  PublishTally* tally();

  uint64_t published_ = 0;
  // Messages of this turn point to it. Null: nothing was published since it was taken.
  std::shared_ptr<PublishTally> tally_;
  // Null: nothing was published yet.
  std::shared_ptr<BlockedBy> blocked_by_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_PUBLISHER_H_
