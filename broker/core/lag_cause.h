// Why a subscriber falls behind, from what its connection and its queues did between two looks at them.
// Internal to the broker.
//
//   LagWatch watch;
//   watch.Start();
//   if (watch.due(now)) watch.Observe({now, *transport->Sample(), pending_bytes, gone_bytes});
//   ...
//   Say(watch.finding().cause);
//   watch.Stop();   // everything is written
//
// What stands behind the causes, which are those of the wire:
//   application      the peer's receive window is the limit, and it takes next to nothing
//   over_subscribed  the peer's receive window is the limit, and yet it takes a share of what it is fed
//   network_lossy    a part of what is sent has to be sent again
//   network_slow     none of these, and there was always something under way; or the window is the limit
//                    because a queue on the way has filled it, as the round trip shows
//
// Thread safety: none; a LagWatch belongs to one shard.
#ifndef SLUICE_BROKER_CORE_LAG_CAUSE_H_
#define SLUICE_BROKER_CORE_LAG_CAUSE_H_

#include <cstdint>

#include "absl/time/time.h"
#include "broker/core/transport.h"
#include "broker/core/verdict.h"
#include "protocol/sluice.pb.h"

namespace sluice {

struct LagSample {
  absl::Time at = absl::InfinitePast();
  TransportSample transport;
  // Message bytes that wait in all queues of the session, and that have left them, sent or not. Of the latter
  // only the difference between two samples is looked at.
  uint64_t pending_bytes = 0;
  uint64_t gone_bytes = 0;
};

// Unspecified: it cannot be told.
struct LagFinding {
  v1::LagCause cause = v1::LAG_CAUSE_UNSPECIFIED;
  // What the peer acknowledged, and what was queued for it.
  uint64_t drain_bytes_per_second = 0;
  uint64_t feed_bytes_per_second = 0;
  // What the kernel thinks that the network can do.
  uint64_t delivery_bytes_per_second = 0;
};

// What happened from `before` to `after`. Less than 20 ms apart only the peer's window and what was sent again
// count: the kernel's times are too coarse. What was sent again is looked at from `loss_since` on, which may be
// longer ago: on a lossy line a stall may be just the time before something is sent again.
LagFinding FindLag(const LagSample& before, const LagSample& after, const LagSample& loss_since);

// When the nearest limit will be reached if it goes on like this; InfiniteDuration(): never. The queue's part
// in the growth of the session is taken to be its part in what waits.
absl::Duration TimeToLimit(const LagFinding& finding, const Nearness& nearest, const QueueState& queue,
                           uint64_t session_pending_bytes);

// Looks at one stall, when it is due: first when it is started, then every 0.1 s at the earliest. Looks back
// over the last 1 to 2 s, and less at the beginning.
class LagWatch {
 public:
  // Goes on if it has been started.
  void Start() {
    if (due_at_ == absl::InfiniteFuture()) due_at_ = absl::InfinitePast();
  }
  // Forgets all but what was sent again in the last 10 s.
  void Stop();

  bool due(absl::Time now) const { return now >= due_at_; }
  // InfiniteFuture() when it is not started.
  absl::Time due_at() const { return due_at_; }

  // To be called when it is due. The first sample is what the others are compared with. kChanged: the cause is
  // another one than before, which happens at most once per 2 s, and not while it catches up.
  enum class Outcome { kSame, kChanged };
  Outcome Observe(const LagSample& sample);

  // As of the last Observe().
  const LagFinding& finding() const { return finding_; }

  // What can be said in a hurry, however short it was watched: for the last word about a stall.
  LagFinding Conclude(const LagSample& sample) const;

 private:
  bool has_base() const { return base_.at != absl::InfinitePast(); }

  LagSample base_;
  // The next base.
  LagSample middle_;
  // Older than the stall, but for the first one in a while.
  LagSample loss_since_;
  LagFinding finding_;
  absl::Time due_at_ = absl::InfiniteFuture();
  absl::Time cause_since_ = absl::InfinitePast();
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_LAG_CAUSE_H_
