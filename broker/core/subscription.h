// One filter of one session, with its own send queue, limits and overflow policy. A plain record that filter
// groups, the writer and the subscriber work on; Subscriber keeps it consistent. Internal to the broker.
//
// A broker may hold a million of them, nearly all with nothing to send: what only a queue that is not empty
// needs is in a Backlog, which mutable_queue() makes and ReleaseBacklog() frees.
#ifndef SLUICE_BROKER_CORE_SUBSCRIPTION_H_
#define SLUICE_BROKER_CORE_SUBSCRIPTION_H_

#include <cstdint>
#include <limits>
#include <memory>

#include "broker/core/backlog.h"
#include "broker/core/conflation.h"
#include "broker/core/credit.h"
#include "broker/core/on_overflow.h"
#include "broker/core/send_queue.h"
#include "broker/core/shared_limits.h"
#include "protocol/sluice.pb.h"

namespace sluice {

class Subscriber;
struct FilterGroup;

// An enumeration of the protocol, which takes four bytes by itself.
template <typename Enum>
class InOneByte {
 public:
  constexpr InOneByte(Enum value) : value_(static_cast<uint8_t>(value)) {}
  constexpr operator Enum() const { return static_cast<Enum>(value_); }

 private:
  uint8_t value_;
};
static_assert(v1::OverflowPolicy_MAX <= UINT8_MAX && v1::Reason_MAX <= UINT8_MAX);

inline const SendQueue kEmptyQueue;

// How far an episode of lagging has come.
struct LagExtent {
  uint64_t pending_bytes_peak = 0;
  uint64_t pending_messages_peak = 0;
  // Of the limit that was the nearest then.
  double limit_share_peak = 0;
  v1::Reason nearest_limit = v1::REASON_UNSPECIFIED;
  // Messages left out since it began. (While it goes on: before it began.)
  uint64_t dropped = 0;
  uint64_t conflated = 0;
};

// What not every subscription has.
struct SubscriptionExtras {
  // Of the policy conflate; null for others.
  std::unique_ptr<Conflation> conflation;
  // Of one with a window.
  Credit credit{0};
  // Of one that lags.
  LagExtent lag;
};

struct Subscription {
  uint32_t id = 0;
  // Where it stands in group->members.
  uint32_t index_in_group = 0;
  Subscriber* subscriber = nullptr;
  // Null once it has ended: what is queued still leaves, nothing new comes.
  FilterGroup* group = nullptr;
  SharedLimits limits;
  // Null: none of them.
  std::unique_ptr<SubscriptionExtras> extras;

  // Messages that matched since it came into force.
  uint64_t offered = 0;
  // It ends when `offered` reaches this.
  uint64_t offered_max = std::numeric_limits<uint64_t>::max();

  // The shard's turn in which it was asked for; its low bits tell those of one id apart.
  uint32_t turn = 0;
  InOneByte<v1::OverflowPolicy> policy = v1::OVERFLOW_POLICY_DISCONNECT;
  // Why it has ended; its Unsubscribed is queued or has left.
  InOneByte<v1::Reason> ended = v1::REASON_UNSPECIFIED;
  // Whether its client has got Subscribed, which stands before everything else about it.
  enum class Told : uint8_t { kNo, kYes } told : 1 = Told::kNo;
  // Drops what arrives (drop_newest): from the limit until below the low watermark.
  enum class Shedding : uint8_t { kNo, kYes } shedding : 1 = Shedding::kNo;
  // Above the high watermark, and not below the low one since: its client was told.
  enum class Lagging : uint8_t { kNo, kYes } lagging : 1 = Lagging::kNo;
  OnOverflow on_overflow : 1 = OnOverflow::kAct;
  // Over a limit that is observed, and not below the low watermark since. Only a lagging one is.
  enum class Observed : uint8_t { kWithin, kOver } observed : 1 = Observed::kWithin;
  // Whether it stands on the writer's list of those that wait for credit.
  enum class Starved : uint8_t { kNo, kYes, kCopiedOut } starved : 2 = Starved::kNo;

  // Over its limit with the policy block: whoever publishes to it is not read. See BlockEpisodes.
  enum class Blocking : uint8_t { kNo, kYes } blocking : 1 = Blocking::kNo;

  // Null while nothing waits.
  BacklogRef backlog;

  SubscriptionExtras& NeedExtras() {
    if (extras == nullptr) extras = std::make_unique<SubscriptionExtras>();
    return *extras;
  }
  Conflation* conflation() const { return extras != nullptr ? extras->conflation.get() : nullptr; }
  // Null: it has no window.
  Credit* credit() const {
    return extras != nullptr && extras->credit.granted_bytes() > 0 ? &extras->credit : nullptr;
  }
  // No message of it may begin to leave until its client grants more.
  bool out_of_credit() const { return extras != nullptr && credit() != nullptr && credit()->left() == 0; }
  // Whether anything that waits may leave. A Gap needs no credit, but stands behind before a message: so those
  // that come to stand there meanwhile are one.
  bool may_send() const { return !queue().empty() && (!out_of_credit() || queue().waiting_messages() == 0); }

  bool active() const { return backlog != nullptr && backlog->next_active != nullptr; }
  // To look at: an empty one when there is none.
  const SendQueue& queue() const { return backlog != nullptr ? backlog->queue : kEmptyQueue; }
  // To put something in. Subscriber takes a backlog from its pool before.
  SendQueue& mutable_queue() {
    if (backlog == nullptr) backlog.reset(new Backlog());
    return backlog->queue;
  }
  // Frees the backlog if nothing is left of it.
  void ReleaseBacklog() {
    if (backlog != nullptr && backlog->idle()) backlog = nullptr;
  }
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_SUBSCRIPTION_H_
