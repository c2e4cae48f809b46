// What a session is told once every shard has done what it asked before: acknowledgements, pongs, Subscribed.
// Internal to the broker.
//
//   answers.Pong(turn, ping.id());               // asked in this turn of the shard
//   ... later in the turn, or in a later one ...
//   answers.Tell(turn_done, &subscriber);        // all of turns up to `turn_done`, in the order asked
//
// A turn is done when the fan-out here and those of all shards that were written to are. With one shard that
// is at the end of the turn's own fan-out.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_ANSWERS_H_
#define SLUICE_BROKER_CORE_ANSWERS_H_

#include <cstdint>
#include <memory>
#include <variant>

#include "broker/core/filter_group.h"
#include "broker/core/ring.h"
#include "broker/core/subscriber.h"

namespace sluice {

// What is told; only Answers uses them.
struct PongAnswer {
  uint64_t id = 0;
};
struct SubscribedAnswer {
  uint32_t subscription = 0;
};
struct AckAnswer {
  uint64_t id = 0;
  uint64_t up_to = 0;
  std::shared_ptr<PublishTally> tally;
};

class Answers {
 public:
  // `tally` of all publishes up to number `up_to` that no earlier Ack covers.
  void Ack(uint64_t turn, uint64_t id, uint64_t up_to, std::shared_ptr<PublishTally> tally);
  void Pong(uint64_t turn, uint64_t id);
  void Subscribed(uint64_t turn, uint32_t subscription);

  bool empty() const { return answers_.empty(); }

  void Tell(uint64_t turn_done, Subscriber* subscriber);

 private:
  struct Answer {
    uint64_t turn = 0;
    std::variant<PongAnswer, SubscribedAnswer, AckAnswer> what;
  };

  Ring<Answer> answers_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_ANSWERS_H_
