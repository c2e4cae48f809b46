// The client of Sluice, a pub/sub broker. This is the header to read first; the others that it includes say
// how to set up a client (options.h), what a subscription can do (subscription.h) and what one is told
// (events.h). prometheus.h shows the numbers of a client on a page of metrics.
//
//   #include <sluice/client.h>
//
//   auto client = sluice::Client::Connect("sluice://127.0.0.1:7584");
//   if (!client.ok()) return Fail(client.status());
//
//   auto ticks = (*client)->Subscribe("ticks.*.IBM", [](const sluice::MessageView& tick) {
//     std::cout << tick.topic << ' ' << tick.payload << '\n';      // the views are valid for this call
//   });
//   if (!ticks.ok()) return Fail(ticks.status());
//
//   absl::Status status = (*client)->Publish({.topic = "ticks.nyse.IBM", .payload = "187.2"});
//   if (status.ok()) status = (*client)->Flush();                   // the broker has it now
//
// What one gets. Messages of one publisher arrive in the order published, each at most once. A subscriber
// that keeps up loses nothing; one that does not is told how many it missed and why, to the message. The
// library itself never drops what it received: a full incoming buffer stops the reading.
//
// Threads. A client has one I/O thread, which moves all bytes, and one dispatch thread, which calls handlers
// and callbacks. Every method may be called from any thread, also from handlers; those that wait say so.
//
// Outgoing. Publish() writes the message into a bounded buffer and returns; the I/O thread sends what has
// gathered in one piece. A full buffer makes Publish() wait and TryPublish() fail.
//
// Reconnect. A lost connection is made again by itself, with growing delays, and subscriptions are made
// again; not if the broker ended it for something that would happen again (protocol_error, frame_too_large,
// unsupported_version): then the client is closed. Of what was published:
//   * messages that the broker has confirmed (an acknowledgement, a Flush, a pong) are safe;
//   * messages handed to the system and not confirmed are unknown: the broker may or may not have them. They
//     are not sent again (nothing arrives twice); their acknowledgements fail with Unavailable, the next
//     Flush or Confirm says how many there are, and so does DisconnectedEvent;
//   * messages still in the outgoing buffer, also one of which only a part had left, stay there whole and are
//     sent after the reconnect, in order, before what is published later.
// A request that was waiting fails with Unavailable.
#ifndef SLUICE_CLIENT_CLIENT_H_
#define SLUICE_CLIENT_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/events.h"
#include "client/export.h"
#include "client/message.h"
#include "client/options.h"
#include "client/reason.h"
#include "client/subscription.h"
#include "protocol/message_view.h"

namespace sluice {

namespace client {
class Core;
}

inline namespace client_v1 {

// Whether a consumer holds us up: a subscription with OverflowPolicy::kBlock that is over its limit.
enum class Pressure {
  kNone,
  kBackpressured,  // the broker has queued the messages, and reads no more from us until the consumer has room
};

// What the broker says about the messages that an acknowledgement covers.
struct PublishReceipt {
  uint64_t messages = 0;
  // Subscriptions that they matched, added up (a queue group counts once).
  uint64_t matched = 0;
  // Of these: put into the queue of the subscription (not: received), and not.
  uint64_t queued = 0;
  uint64_t dropped = 0;
  // Messages that the broker refused; each also came as an ErrorEvent.
  uint64_t refused = 0;
  // Of those queued: for subscriptions that hold their publishers up.
  uint64_t blocked = 0;

  Pressure pressure() const { return blocked > 0 ? Pressure::kBackpressured : Pressure::kNone; }
};

// Run on the dispatch thread.
using AckCallback = std::function<void(const absl::StatusOr<PublishReceipt>&)>;
using ReplyCallback = std::function<void(absl::StatusOr<ReceivedMessage>)>;

enum class ClientState { kConnecting, kConnected, kClosed };

// What the broker of the present (or last) session said of itself.
struct ServerInfo {
  std::string address = {};
  std::string broker = {};
  uint64_t payload_bytes_max = 0;
  uint64_t headers_bytes_max = 0;
  uint32_t subscriptions_max = 0;
  uint32_t topic_bytes_max = 0;
  absl::Duration ping_interval = {};
  SubscriptionLimits default_limits = {};
  SubscriptionLimits highest_limits = {};
};

enum class Reading {
  kOn,
  kPausedBufferFull,  // handlers or Next() are behind by incoming_bytes_max
};

struct ClientStats {
  ClientState state = ClientState::kConnecting;
  uint64_t reconnects = 0;

  uint64_t messages_published = 0;
  uint64_t messages_received = 0;
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  // System calls that moved them: how well the batching works.
  uint64_t sends = 0;
  uint64_t receives = 0;

  // In the outgoing buffer now.
  uint64_t outgoing_bytes = 0;
  uint64_t outgoing_messages = 0;
  // Handed over and lost from sight by reconnects, over all.
  uint64_t publishes_unknown = 0;
  // Whether the broker has paused reading from us.
  PausedEvent::State broker = PausedEvent::State::kResumed;

  // Received and not yet handled, over all subscriptions.
  uint64_t incoming_bytes = 0;
  Reading reading = Reading::kOn;
  uint64_t reading_pauses = 0;
  absl::Duration reading_paused_for = {};
};

class SLUICE_EXPORT Client {
 public:
  // Connects. Waits for the broker's answer (up to connect_timeout per server), unless
  // options.initial_connect says kKeepTrying. InvalidArgument: an option makes no sense. Unavailable,
  // DeadlineExceeded: no server could be reached. FailedPrecondition: the broker does not speak this version.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(ClientOptions options);
  // `servers` as one string: "sluice://host:port", or several joined by commas.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(std::string_view servers);

  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  // Close(options.close_timeout). Not from a handler or callback.
  ~Client();

  // ---- publishing ----

  // Buffers the message for sending; copies it. Waits while the buffer is full, up to
  // options.publish_timeout. InvalidArgument: a topic, header or size that the broker would refuse.
  // DeadlineExceeded: no room in time. ResourceExhausted: no room, and this is an inline handler, which must
  // not wait. Cancelled: closed.
  absl::Status Publish(const MessageView& message);
  absl::Status Publish(std::string_view topic, std::string_view payload);

  // The same without waiting: ResourceExhausted when the buffer is full (the broker, or the path to it, is
  // behind).
  absl::Status TryPublish(const MessageView& message);

  // Publishes and waits for the broker's receipt for this message. In addition to Publish(): the broker's
  // refusal; NotFound when nobody subscribes to the topic of a message with reply_to; Unavailable when the
  // connection broke after the message was handed over (unknown); DeadlineExceeded (unknown, too).
  absl::StatusOr<PublishReceipt> PublishWithAck(const MessageView& message, absl::Duration timeout);
  // Publishes and returns; `done` gets the receipt later, exactly once. Not called if this returns an error.
  absl::Status PublishWithAck(const MessageView& message, AckCallback done);

  // One receipt for everything that was published without an acknowledgement since the previous Confirm.
  // Unavailable: a connection broke meanwhile; the text says how many messages are unknown.
  absl::StatusOr<PublishReceipt> Confirm(absl::Duration timeout = kDefaultTimeout);
  absl::Status Confirm(AckCallback done);

  // Waits until the broker has processed everything that was published before (queued for its subscribers;
  // not: received). Unavailable: a connection broke since the last Flush that told it, and messages are
  // unknown; the text says how many. DeadlineExceeded: no answer in time.
  absl::Status Flush(absl::Duration timeout = kDefaultTimeout);

  // The time to the broker and back, through everything that is buffered before it.
  absl::StatusOr<absl::Duration> Ping(absl::Duration timeout = kDefaultTimeout);

  // ---- subscribing ----

  // Calls `handler` with each message whose topic matches `filter` ('*' stands for one token, a last '>' for
  // one or more). InvalidArgument, PermissionDenied, ResourceExhausted: refused, with the reason.
  // DeadlineExceeded: not confirmed within options.timeout. The subscription lives as long as the returned
  // handle.
  [[nodiscard]] absl::StatusOr<Subscription> Subscribe(std::string_view filter, MessageHandler handler,
                                                       SubscribeOptions options = {});
  // The same, to be read with Subscription::Next().
  [[nodiscard]] absl::StatusOr<Subscription> SubscribePull(std::string_view filter,
                                                           SubscribeOptions options = {});

  // ---- request, reply ----

  // Publishes `message` with a reply topic of our own and waits for the first reply. NotFound: nobody
  // subscribes to the topic, said at once. DeadlineExceeded: no reply in time. Unavailable: the connection
  // broke, or there was none within `timeout`. A reply_to that is set already is InvalidArgument.
  absl::StatusOr<ReceivedMessage> Request(const MessageView& message, absl::Duration timeout);
  // The same without waiting; needs a connection now (Unavailable otherwise). `done` is called exactly once,
  // unless this returns an error.
  absl::Status Request(const MessageView& message, absl::Duration timeout, ReplyCallback done);

  // Answers a request. InvalidArgument when it wants no reply.
  absl::Status Reply(const MessageView& request, std::string_view payload);

  // ---- the whole ----

  // Waits until there is a connection. DeadlineExceeded: not in time. Cancelled: closed.
  absl::Status WaitConnected(absl::Duration timeout);

  // Parts without losing anything: ends all subscriptions, waits until all that they had got is handled,
  // sends all that is buffered, then closes. DeadlineExceeded: not all of that within `timeout`; it is closed
  // all the same.
  absl::Status Drain(absl::Duration timeout = kDefaultTimeout);

  // Sends what is buffered (if there is a connection; it does not wait for one), parts from the broker and
  // stops the threads; received messages that were not handled yet are thrown away, and when it returns no
  // handler or callback is running or will come. From within a handler or callback it returns at once and the
  // rest happens behind it. Unavailable, DeadlineExceeded: the text says how many published messages were not
  // sent or are unknown. A second call returns what the first did.
  absl::Status Close(absl::Duration timeout = kDefaultTimeout);

  ClientState state() const;
  ServerInfo server() const;
  ClientStats stats() const;
  // Those that have not ended, in the order they were made.
  std::vector<SubscriptionInfo> subscriptions() const;

 private:
  explicit Client(std::shared_ptr<client::Core> core);

  const std::shared_ptr<client::Core> core_;
};

}  // namespace client_v1
}  // namespace sluice

#endif  // SLUICE_CLIENT_CLIENT_H_
