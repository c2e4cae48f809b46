// What the library tells the application unasked. Each callback is optional; all run on the dispatch thread,
// one at a time, in the order in which things happened, and may call any method of Client (but see Close()).
// Messages that wait for a handler that is behind do not hold them up.
//
// Public header of the client library.
#ifndef SLUICE_CLIENT_EVENTS_H_
#define SLUICE_CLIENT_EVENTS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/reason.h"

namespace sluice {
inline namespace client_v1 {

// What the broker counted of a session when it ended, of all its subscriptions together.
struct SessionCounts {
  // What waited for us, and how old the oldest of it was.
  uint64_t pending_bytes = 0;
  uint64_t pending_messages = 0;
  absl::Duration oldest_age = {};
  // What overflow policies left out since the session began.
  uint64_t dropped_messages = 0;
  uint64_t conflated_messages = 0;
};

// The books of one subscription for one session: what the broker offered is what it numbered for us; we
// counted what came. received + told_missing + lost == offered.
struct SubscriptionLoss {
  uint32_t subscription = 0;
  std::string filter = {};
  uint64_t offered = 0;
  uint64_t received = 0;
  // Left out by the overflow policy.
  uint64_t told_missing = 0;
  // Of these: told only now, since their gap did not come any more. The others had a GapEvent each.
  uint64_t told_at_end = 0;
  // Matched, neither left out nor received: exact.
  uint64_t lost = 0;
  // Of these: had not left the broker. The others were lost in the network or its buffers.
  uint64_t never_sent = 0;
};

struct PreviousSession {
  Reason reason = Reason::kUnspecified;
  std::string text = {};
  // As in DisconnectedEvent.
  uint64_t limit = 0;
  uint64_t value = 0;
  uint32_t subscription = 0;
  SessionCounts counts = {};
  absl::Duration ended_ago = {};
  // How many sessions in a row were cut as slow consumers, this one included.
  uint32_t cuts_in_a_row = 0;
  // One for each subscription that the broker counted. Filled only when DisconnectedEvent could not say it
  // (Books::kUnknown there), so that nothing is reported twice.
  std::vector<SubscriptionLoss> losses = {};
};

struct ConnectedEvent {
  // "host:port" that we are connected to, and how the broker calls itself.
  std::string server = {};
  std::string broker = {};
  // 0 at the first time.
  uint64_t reconnects = 0;

  // How the previous session ended, when the broker still knew it.
  std::optional<PreviousSession> previous = {};
};

enum class Books {
  kExact,    // `losses` is complete
  kUnknown,  // the connection ended without the broker's numbers; ConnectedEvent::previous may bring them
};

enum class Retry { kWillReconnect, kGaveUp };

struct DisconnectedEvent {
  Reason reason = Reason::kUnspecified;
  // For people: the broker's words, or what the system said.
  std::string text = {};
  // The limit that was reached and the value that reached it (bytes, messages or milliseconds), and the
  // subscription that went over it (0: the session as a whole).
  uint64_t limit = 0;
  uint64_t value = 0;
  uint32_t subscription = 0;
  // How long we had been above the limit, which was a soft one; 0: it was a hard one.
  absl::Duration above_soft_for = {};
  // All 0 with Books::kUnknown.
  SessionCounts counts = {};

  Books books = Books::kUnknown;
  std::vector<SubscriptionLoss> losses = {};
  // Messages that we had handed to the system and that the broker had not confirmed: it may or may not have
  // them. Those still in the outgoing buffer are not among them: they will be sent.
  uint64_t publishes_unknown = 0;

  Retry retry = Retry::kWillReconnect;
  // The broker asked to stay away for so long.
  absl::Duration retry_after = {};
};

// The broker warns that a subscription nears a limit (once more when it has found the cause, and when that
// changes), or that it has come back.
struct SlowConsumerEvent {
  uint32_t subscription = 0;
  std::string filter = {};
  enum class State { kRaised, kCleared } state = State::kRaised;
  // The nearest limit, its value, and what is used of it (bytes, messages or milliseconds).
  Reason limit = Reason::kUnspecified;
  uint64_t limit_value = 0;
  uint64_t value = 0;
  // Not 0: it is a soft limit, and may be passed for less than so long.
  absl::Duration soft_time = {};
  // When raised, and known: why, and what all our subscriptions together take and are given.
  LagCause cause = LagCause::kUnknown;
  uint64_t drain_bytes_per_second = 0;
  uint64_t feed_bytes_per_second = 0;
  // When the limit will be reached if it goes on like this.
  absl::Duration time_to_limit = absl::InfiniteDuration();
};

// Messages that matched and will not come, told in their place: after the message before them and before the
// one behind them. For a subscription with a handler this runs where the handler runs, in between; for one
// that is pulled it runs on arrival, and ReceivedMessage::missed_before() says it again.
struct GapEvent {
  uint32_t subscription = 0;
  std::string filter = {};
  uint64_t messages = 0;
  uint64_t bytes = 0;
  GapCause cause = GapCause::kUnspecified;
};

// Something that was asked for without waiting for the answer was refused: a publish (its topic is not kept,
// but its number in this client's order from 1), or a subscription at reconnect. Or the broker ended a
// subscription that has no on_end.
struct ErrorEvent {
  absl::Status status = {};
  uint32_t subscription = 0;
  uint64_t publish = 0;
};

// The broker stopped reading from us, or reads again; a pause of less than a second may not be told. Publishing
// goes on into the outgoing buffer.
struct PausedEvent {
  enum class State { kPaused, kResumed } state = State::kPaused;
  // "shard_busy", "memory", "blocked_by_consumer" (see Pressure)
  std::string cause = {};
};

struct ClientCallbacks {
  std::function<void(const ConnectedEvent&)> on_connected = {};
  std::function<void(const DisconnectedEvent&)> on_disconnected = {};
  std::function<void(const SlowConsumerEvent&)> on_slow_consumer = {};
  std::function<void(const GapEvent&)> on_gap = {};
  std::function<void(const ErrorEvent&)> on_error = {};
  std::function<void(const PausedEvent&)> on_paused = {};
};

}  // namespace client_v1
}  // namespace sluice

#endif  // SLUICE_CLIENT_EVENTS_H_
