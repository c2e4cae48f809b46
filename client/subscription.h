// A subscription of a Client: what it asks for, and the handle that keeps it.
//
//   sluice::SubscribeOptions options;
//   options.queue_group = "workers";                       // each message to one of the group
//   options.overflow = sluice::OverflowPolicy::kDropOldest;
//   absl::StatusOr<sluice::Subscription> subscription =
//       client->Subscribe("jobs.>", [](const sluice::MessageView& job) { Run(job.payload); }, options);
//   ...
//   subscription->Drain(absl::Seconds(5));                 // no more, and handle what has come
//
// A subscription outlives the connection: after a reconnect it is made again, and what the broker could not
// deliver in between is told (DisconnectedEvent, ConnectedEvent).
//
// Public header of the client library.
#ifndef SLUICE_CLIENT_SUBSCRIPTION_H_
#define SLUICE_CLIENT_SUBSCRIPTION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/export.h"
#include "client/message.h"
#include "client/options.h"
#include "client/reason.h"

namespace sluice {

namespace client {
class SubscriptionState;
}

inline namespace client_v1 {

// Called with each message, in order, one call at a time per subscription. The views are valid for the call.
// It may call any method of Client and Subscription (on Run::kInline: those that do not wait). It must not
// throw.
using MessageHandler = std::function<void(const MessageView&)>;

// Runs a function, now or later, on any thread; all that it is given, in any order.
using Executor = std::function<void(std::function<void()>)>;

enum class Run {
  // On the client's dispatch thread, which all subscriptions share: a handler that takes long delays the
  // others.
  kOnDispatchThread,
  // On the I/O thread, straight from the receive buffer: the fastest, for handlers that promise not to block.
  // Calls that wait for the broker return FailedPrecondition there.
  kInline,
};

enum class Confirmation {
  kWait,       // Subscribe() returns when the broker says that it is in force: nothing after that is missed
  kDoNotWait,  // it returns at once; a refusal comes as ErrorEvent and ends the subscription
};

// 0 asks for the broker's default. More than the broker allows is refused.
struct SubscriptionLimits {
  uint64_t pending_bytes_max = 0;
  uint64_t pending_messages_max = 0;
  absl::Duration pending_age_max = absl::ZeroDuration();
  // Soft limits, at most as high: to be above one of them for `soft_time` without interruption is as to be
  // over the limit.
  uint64_t pending_bytes_soft = 0;
  uint64_t pending_messages_soft = 0;
  absl::Duration pending_age_soft = absl::ZeroDuration();
  absl::Duration soft_time = absl::ZeroDuration();
};

// How a subscription ended. received + told_missing + lost == offered, if the broker could still say it.
struct SubscriptionEnd {
  Reason reason = Reason::kUnspecified;
  // OK for kUnsubscribed and kCountReached.
  absl::Status status = {};
  // Of its last session.
  uint64_t offered = 0;
  uint64_t received = 0;
  uint64_t told_missing = 0;
  // The limit that it went over because its handler was behind (IsSlowConsumer(reason)), and the value that
  // did: bytes, messages or milliseconds.
  uint64_t limit = 0;
  uint64_t value = 0;
  // How long it had been above the limit, which was a soft one; 0: it was a hard one.
  absl::Duration above_soft_for = absl::ZeroDuration();
};

// What the broker granted, which may be less than was asked for.
struct SubscriptionTerms {
  OverflowPolicy overflow = OverflowPolicy::kDefault;
  SubscriptionLimits limits = {};
  std::string conflate_header = {};
  // Only observed: over a limit it is counted, and nothing is done.
  enum class Enforcement { kActed, kObserved } enforcement = Enforcement::kActed;
};

struct SubscribeOptions {
  // Members of one queue group share the messages. Empty: none.
  std::string queue_group = {};
  OverflowPolicy overflow = OverflowPolicy::kDefault;
  // With kConflate: the header whose value is the key, of which the newest message is kept. Empty, or a
  // message without it: its topic is.
  std::string conflate_header = {};
  SubscriptionLimits limits = {};
  // How many bytes of messages the broker may send ahead of the handler (or of Next()): to begin with, and at
  // most as the window grows while the handler keeps up. Both the same: it does not grow. 0: no window. At most
  // half of ClientOptions::incoming_bytes_max. What the window has no room for waits at the broker, where the
  // limits apply to it, and holds up no other subscription. One that is over its limit for that, and has the
  // policy kDisconnect, ends (on_end, or ErrorEvent without it); the connection stays.
  uint64_t window_bytes = 256 << 10;
  uint64_t window_bytes_max = 16 << 20;
  // End after so many messages; 0: never.
  uint64_t messages_max = 0;

  Run run = Run::kOnDispatchThread;
  // Where handlers run instead, when given. Called by the I/O thread; must not block it.
  Executor executor = {};
  // Called once, behind the last message, where the handler runs (for an inline or pulled one: on the
  // dispatch thread). Not called after Unsubscribe(), the destructor or Close(), which end the calls
  // themselves.
  std::function<void(const SubscriptionEnd&)> on_end = {};

  Confirmation confirmation = Confirmation::kWait;
  // How long kWait waits before it gives up (DeadlineExceeded) and takes the subscription back.
  absl::Duration timeout = kDefaultTimeout;
};

struct SubscriptionStats {
  // Over all sessions.
  uint64_t received = 0;
  uint64_t handled = 0;
  // Received, and not yet given to a handler or by Next().
  uint64_t waiting_messages = 0;
  uint64_t waiting_bytes = 0;
  // Left out by the overflow policy, told by gaps or at the end of a session; and found lost there.
  uint64_t told_missing = 0;
  uint64_t lost = 0;
  // What the window has grown to; 0: there is none.
  uint64_t window_bytes = 0;
};

// A subscription as its client lists it.
struct SubscriptionInfo {
  // Counts up within the client, and is used once.
  uint32_t id = 0;
  std::string filter = {};
  SubscriptionStats stats = {};
};

// The handle. Destroying it ends the subscription as Unsubscribe() does.
//
// Thread safety: the methods may be called from any thread at the same time; moving and destroying may not.
class SLUICE_EXPORT Subscription {
 public:
  Subscription() = default;
  Subscription(Subscription&& other) noexcept;
  Subscription& operator=(Subscription&& other) noexcept;
  ~Subscription();

  // Only a handle that Subscribe() returned, and that was not moved from or released, is valid; the others of
  // these methods may be called on no other.
  bool valid() const { return state_ != nullptr; }
  uint32_t id() const;
  const std::string& filter() const;

  // The next message of a subscription without a handler; waits for it up to `timeout` (0: not at all).
  // DeadlineExceeded: none came. OutOfRange: the subscription has ended and all of its messages were taken.
  // Cancelled: the client is closed. FailedPrecondition: it has a handler. A refused subscription returns
  // why.
  absl::StatusOr<ReceivedMessage> Next(absl::Duration timeout);

  // Ends the subscription now and throws away what waits. When it returns no call of the handler is running
  // or will come; from within the handler: none will come after the present one. Does not wait for the
  // broker.
  void Unsubscribe();

  // Ends it when it has received `messages` in all since Subscribe(), or at once if so many have come: the
  // broker ends it, so that not one more is sent. InvalidArgument: 0. (For a new one:
  // SubscribeOptions::messages_max.)
  absl::Status UnsubscribeAfter(uint64_t messages);

  // Asks the broker to end it and waits until every message that it had sent has been handled (for a pulled
  // subscription: taken). DeadlineExceeded: not within `timeout`; it goes on ending.
  absl::Status Drain(absl::Duration timeout = kDefaultTimeout);

  // Waits until it has ended, for whatever reason, and its last message was handled. DeadlineExceeded: not
  // yet.
  absl::StatusOr<SubscriptionEnd> WaitEnd(absl::Duration timeout);

  SubscriptionStats stats() const;
  // Of the last session in which the broker confirmed it.
  SubscriptionTerms terms() const;

  // Lets the subscription live as long as the client, without a handle.
  void Release();

  // For the library.
  explicit Subscription(std::shared_ptr<client::SubscriptionState> state);

 private:
  std::shared_ptr<client::SubscriptionState> state_;
};

}  // namespace client_v1
}  // namespace sluice

#endif  // SLUICE_CLIENT_SUBSCRIPTION_H_
