// One filter of one session, with its own send queue, limits and overflow policy. A plain record that filter
// groups, the writer and the subscriber work on; Subscriber keeps it consistent. Internal to the broker.
#ifndef SLUICE_BROKER_CORE_SUBSCRIPTION_H_
#define SLUICE_BROKER_CORE_SUBSCRIPTION_H_

#include <cstdint>
#include <limits>

#include "broker/core/send_queue.h"
#include "broker/core/verdict.h"
#include "protocol/sluice.pb.h"

namespace sluice {

class Subscriber;
struct FilterGroup;

struct Subscription {
  uint32_t id = 0;
  // Where it stands in group->members.
  uint32_t index_in_group = 0;
  Subscriber* subscriber = nullptr;
  // Null once it has ended: what is queued still leaves, nothing new comes.
  FilterGroup* group = nullptr;
  QueueLimits limits;
  v1::OverflowPolicy policy = v1::OVERFLOW_POLICY_DISCONNECT;

  // Why it has ended; its Unsubscribed is queued or has left.
  v1::Reason ended = v1::REASON_UNSPECIFIED;

  // Whether its client has got Subscribed, which stands before everything else about it.
  enum class Told : uint8_t { kNo, kYes } told = Told::kNo;
  // The shard's turn in which it was asked for.
  uint64_t turn = 0;

  // Messages that matched since it came into force.
  uint64_t offered = 0;
  // It ends when `offered` reaches this.
  uint64_t offered_max = std::numeric_limits<uint64_t>::max();

  SendQueue queue;
  // Above the high watermark, and not below the low one since: its client was told.
  enum class Lagging : uint8_t { kNo, kYes } lagging = Lagging::kNo;

  // The writer's: a circular list of subscriptions with something to send, and what this one may still send
  // (or, below zero, owes) in the round.
  Subscription* next_active = nullptr;
  Subscription* previous_active = nullptr;
  int64_t deficit_bytes = 0;

  bool active() const { return next_active != nullptr; }
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_SUBSCRIPTION_H_
