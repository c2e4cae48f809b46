// Times that a consumer lagged, of all shards: those that go on and the last that have ended, so that an operator
// finds them explained afterwards. Bounded; the oldest go first.
//
//   episodes.Raise(who, extent, cause, {TopicsOf(queue), {}});    // it begins, or its cause is found
//   episodes.End(who, extent, cause, EpisodeOutcome::kRecovered, v1::REASON_UNSPECIFIED, now);
//   episodes.List(100, now, wall)                                 // for /api/episodes
//
// Thread safety: any thread. Called when something begins or ends, never per message.
#ifndef SLUICE_BROKER_EPISODES_H_
#define SLUICE_BROKER_EPISODES_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "broker/core/send_queue.h"
#include "broker/core/subscription.h"
#include "metrics/survey.h"
#include "protocol/mutex.h"
#include "protocol/sluice.pb.h"

namespace sluice {

// Of those that have ended. With names and topics as long as they may be, an episode is 4 KiB.
inline constexpr size_t kEpisodesKeptMax = 1000;
// Of those that go on; more are counted and not described.
inline constexpr size_t kEpisodesGoingOnMax = 10'000;

// Who lags. The views need to stay valid during the call only.
struct EpisodeOf {
  ConsumerName consumer;
  std::string_view client_name;
  std::string_view address;
  std::string_view filter;
  v1::OverflowPolicy policy = v1::OVERFLOW_POLICY_DISCONNECT;
  // When it began: monotonic time, like `now` below.
  absl::Time since;
};

// A part of what filled the queue, by bytes.
struct EpisodeShare {
  std::string name;
  double share = 0;
};
void AddShare(std::string_view name, double share, std::vector<EpisodeShare>* shares);
// Three at most, the largest first.
void KeepLargest(std::vector<EpisodeShare>* shares);

struct EpisodeOrigins {
  std::vector<EpisodeShare> topics;
  std::vector<EpisodeShare> publishers;
};

enum class EpisodeOutcome {
  kRecovered,
  kDisconnected,  // the session, or the subscription alone, was cut
  kEnded,         // otherwise: the client went, unsubscribed, ...
};

class Episodes {
 public:
  Episodes() = default;
  Episodes(const Episodes&) = delete;
  Episodes& operator=(const Episodes&) = delete;

  // It begins, or more is known of it. `cause`: unspecified while it is not found. `origins` are taken when it begins.
  void Raise(const EpisodeOf& who, const LagExtent& extent, v1::LagCause cause, const EpisodeOrigins& origins)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // It goes on.
  void Update(const ConsumerName& consumer, const LagExtent& extent) ABSL_LOCKS_EXCLUDED(mutex_);

  // It ends. One that was never raised (a limit was passed at once) is noted all the same. `cause` unspecified: the one
  // that was known already.
  void End(const EpisodeOf& who, const LagExtent& extent, v1::LagCause cause, EpisodeOutcome outcome,
           v1::Reason reason, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  // The newest first, those that go on in front. `wall` is the same moment as `now`, by the calendar.
  admin::EpisodeList List(size_t episodes_max, absl::Time now, absl::Time wall) const
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Episode {
    admin::Episode shown;
    absl::Time since;
    absl::Time ended = absl::InfiniteFuture();
  };

  static void Show(const LagExtent& extent, v1::LagCause cause, admin::Episode* shown);
  static Episode Begin(const EpisodeOf& who);

  mutable Mutex mutex_;
  // By the consumer's name.
  absl::flat_hash_map<std::string, Episode> going_on_ ABSL_GUARDED_BY(mutex_);
  // The newest in front.
  std::deque<Episode> ended_ ABSL_GUARDED_BY(mutex_);
  uint64_t begun_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Which topics the first messages of a queue are on, by bytes; the largest share first, at most three.
std::vector<EpisodeShare> TopicsOf(const SendQueue& queue);

}  // namespace sluice

#endif  // SLUICE_BROKER_EPISODES_H_
