// What every session of a broker is held to; made once from the configuration. Internal to the broker.
#ifndef SLUICE_BROKER_SESSION_LIMITS_H_
#define SLUICE_BROKER_SESSION_LIMITS_H_

#include <cstdint>

#include "absl/time/time.h"
#include "broker/config.h"
#include "broker/core/subscriber.h"
#include "broker/core/verdict.h"
#include "protocol/control.h"
#include "protocol/frame.h"
#include "protocol/publish.h"

namespace sluice {

// Before Connect is accepted a frame is at most so large, so that strangers cost little.
inline constexpr uint64_t kFrameBytesMaxBeforeConnect =
    FramePrefixBytes(kControlBodyBytesMax) + kControlBodyBytesMax;
inline constexpr size_t kClientNameBytesMax = 128;
// The rest of a frame half on the wire that is still sent to a session which is cut.
inline constexpr uint64_t kGoodbyeBehindBytesMax = 1 << 20;

// A Goodbye tells the numbers of so many subscriptions, so that it stays below the megabyte that a frame of
// the broker may have.
inline constexpr int kGoodbyeSubscriptionsMax = 32'768;

struct SessionLimits {
  explicit SessionLimits(const Config& config)
      : publish{config.payload_bytes_max, config.headers_bytes_max},
        frame_bytes_max(config.frame_bytes_max()),
        subscriptions_max(config.subscriptions_per_session_max),
        queue{config.pending_bytes_max, config.pending_messages_max, config.pending_age_max},
        subscriber{config.session_bytes_max, config.control_bytes_max, config.write_timeout},
        connect_timeout(config.connect_timeout),
        frame_timeout(config.frame_timeout),
        ping_interval(config.ping_interval),
        goodbye_timeout(config.goodbye_timeout),
        retry_after(config.retry_after) {
    if (queue.pending_age_max == absl::ZeroDuration()) queue.pending_age_max = absl::InfiniteDuration();
  }

  PublishLimits publish;
  uint64_t frame_bytes_max;
  uint64_t subscriptions_max;
  // What a subscription gets that asks for nothing, and the most that it may ask for.
  QueueLimits queue;
  SubscriberLimits subscriber;
  absl::Duration connect_timeout;
  absl::Duration frame_timeout;
  absl::Duration ping_interval;  // 0: no pings
  absl::Duration goodbye_timeout;
  absl::Duration retry_after;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_SESSION_LIMITS_H_
