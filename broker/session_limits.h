// What every session of a broker is held to; made once from the configuration. Internal to the broker.
#ifndef SLUICE_BROKER_SESSION_LIMITS_H_
#define SLUICE_BROKER_SESSION_LIMITS_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "broker/config.h"
#include "broker/core/subscriber.h"
#include "broker/core/verdict.h"
#include "protocol/control.h"
#include "protocol/frame.h"
#include "protocol/publish.h"

namespace sluice {

// The rest of a frame half on the wire that is still sent to a session which is cut.
inline constexpr uint64_t kGoodbyeBehindBytesMax = 1 << 20;

struct SessionLimits {
  explicit SessionLimits(const Config& config)
      : publish{config.payload_bytes_max, config.headers_bytes_max, config.topic_bytes_max},
        frame_bytes_max(config.frame_bytes_max()),
        connect_frame_bytes_max(FramePrefixBytes(static_cast<uint32_t>(config.connect_frame_bytes_max)) +
                                config.connect_frame_bytes_max),
        subscriptions_max(config.subscriptions_per_session_max),
        subscription_rules(config.subscription_rules),
        on_overflow(config.on_overflow),
        sys_topics(config.sys_topics),
        queue{config.pending_bytes_max,  config.pending_messages_max,  OrNone(config.pending_age_max),
              config.pending_bytes_soft, config.pending_messages_soft, OrNone(config.pending_age_soft),
              config.soft_time},
        subscriber{config.session_bytes_max, config.control_bytes_max, config.write_timeout,
                   config.block_timeout},
        connect_timeout(config.connect_timeout),
        frame_timeout(config.frame_timeout),
        ping_interval(config.ping_interval),
        goodbye_timeout(config.goodbye_timeout),
        retry_after(config.retry_after) {}

  PublishLimits publish;
  uint64_t frame_bytes_max;
  // Before Connect is accepted, so that strangers cost little.
  uint64_t connect_frame_bytes_max;
  uint64_t subscriptions_max;
  std::vector<SubscriptionRule> subscription_rules;
  OnOverflow on_overflow;
  SysTopics sys_topics;
  // What a subscription gets that asks for nothing, and the most that it may ask for: see GrantLimits().
  QueueLimits queue;
  SubscriberLimits subscriber;
  absl::Duration connect_timeout;
  absl::Duration frame_timeout;
  absl::Duration ping_interval;  // 0: no pings
  absl::Duration goodbye_timeout;
  absl::Duration retry_after;

 private:
  static absl::Duration OrNone(absl::Duration limit) {
    return limit == absl::ZeroDuration() ? absl::InfiniteDuration() : limit;
  }
};

}  // namespace sluice

#endif  // SLUICE_BROKER_SESSION_LIMITS_H_
