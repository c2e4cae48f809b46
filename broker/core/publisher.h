// A session as the sender of messages: counts what it publishes, and answers for it. Internal to the broker.
//
//   switch (publisher.Publish(frame, limits, &index, &fan_out)) ...
//   publisher.RequestAck(id);                    // the client's AckRequest
//   ... FanOut::Next() to its end ...
//   publisher.Answer(&subscriber);               // the acks and pongs of this turn
//
// Publishes carry no number: both sides count them from 1. An answer about them, an ack or a pong, says that
// they are in the queues, so it waits for the end of the turn's fan-out.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_PUBLISHER_H_
#define SLUICE_BROKER_CORE_PUBLISHER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "broker/core/fan_out.h"
#include "broker/core/filter_index.h"
#include "broker/core/frame_reader.h"
#include "broker/core/subscriber.h"
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

  // To be answered at the end of the turn, in the order of these calls.
  void RequestAck(uint64_t id);
  void RequestPong(uint64_t id);
  bool has_requests() const { return !requests_.empty(); }
  void Answer(Subscriber* subscriber);

 private:
  PublishTally* tally();

  struct Request {
    uint64_t id;
    uint64_t up_to;
    // Null: a pong.
    std::unique_ptr<PublishTally> tally;
  };

  uint64_t published_ = 0;
  // Since the last AckRequest. Messages of this turn point to it.
  std::unique_ptr<PublishTally> tally_;
  std::vector<Request> requests_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_PUBLISHER_H_
