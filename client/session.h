// One connection to one server, from the first SYN to the last byte. Internal to the client.
//
//   Session session(parts, server);
//   absl::Status opened = session.Open(previous_session, deadline);    // Connected came
//   ...                                                                // table and outbox begin the session
//   SessionEnd end = session.Run();                                    // to its end, from whichever side
//
// Run() takes turns: write what the outbox has gathered, wait, read a bounded amount, take the frames where
// they belong, look at the clocks. Nothing in it waits except poll().
//
// Thread safety: none; the I/O thread's.
#ifndef SLUICE_CLIENT_SESSION_H_
#define SLUICE_CLIENT_SESSION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/counters.h"
#include "client/event_sink.h"
#include "client/incoming_budget.h"
#include "client/life_clock.h"
#include "client/lifecycle.h"
#include "client/outbox.h"
#include "client/receive_buffer.h"
#include "client/requests.h"
#include "client/subscription_table.h"
#include "client/tcp_stream.h"
#include "client/url.h"
#include "client/wakeup.h"
#include "protocol/sluice.pb.h"

namespace sluice::client {

// The parts of a client that its I/O thread works with. All outlive it.
struct IoParts {
  const ClientOptions& options;
  Outbox& outbox;
  SubscriptionTable& table;
  Requests& requests;
  EventSink& events;
  IncomingBudget& budget;
  Lifecycle& lifecycle;
  Counters& counters;
  const Wakeup& wakeup;
};

// Whether another attempt can end otherwise.
enum class Again { kMayHelp, kIsUseless };

// What came with a refusal to open a session.
struct Refusal {
  absl::Duration retry_after = absl::ZeroDuration();
  Again again = Again::kMayHelp;
};

// Whether the broker ended a session for something that would happen again.
Again JudgeAgain(Reason reason);

struct SessionEnd {
  Reason reason = Reason::kUnspecified;
  std::string text;
  // The broker's last frame, if it came.
  std::optional<v1::Goodbye> goodbye;
};

class Session {
 public:
  Session(const IoParts& parts, const Server& server) : parts_(parts), server_(server) {}

  // Unavailable, DeadlineExceeded: no connection, or no answer. FailedPrecondition, InvalidArgument …: the
  // broker refused; `refusal` says more. Cancelled: the client is being closed.
  absl::Status Open(const std::string& previous_session, absl::Time deadline, Refusal* refusal);
  const v1::Connected& connected() const { return connected_; }
  const Server& server() const { return server_; }

  SessionEnd Run();

 private:
  enum class Writing { kOn, kBlocked, kEnded };
  enum class Target { kNone, kSubscription, kInbox };
  enum class Opening { kGoesOn, kConnected, kRefused };
  enum class Waited { kSocket, kTimeout, kClosing };

  // Opening.
  absl::Status ConnectTo(const TcpAddress& address, absl::Time deadline);
  absl::Status Handshake(const std::string& previous_session, absl::Time deadline, Refusal* refusal);
  void SendConnect(const std::string& previous_session);
  Opening TakeAnswer(Refusal* refusal, absl::Status* why);
  Waited WaitFor(short events, absl::Time deadline);
  absl::Status Failure(std::string_view what) const;

  // The turn.
  void Write();
  void Wait(absl::Time now);
  absl::Time NextDeadline(absl::Time now);
  void Read();
  void JudgeReading(absl::Time now);
  void JudgeLife(absl::Time now);
  void JudgeClosing(absl::Time now);
  void ConfirmNowAndThen(absl::Time now);

  // What came.
  void TakeFrames();
  void Deliver(std::string_view frames, uint64_t messages);
  void DeliverReplies(std::string_view frames);
  void TakeControl(std::string_view body);
  void OnDelivery(uint32_t subscription);
  void OnSubscribed(const v1::Subscribed& subscribed);
  void OnUnsubscribed(const v1::Unsubscribed& unsubscribed);
  void OnGap(const v1::Gap& gap);
  void OnError(const v1::Error& error);
  void OnSlowConsumer(const v1::SlowConsumer& slow);
  void OnPaused(const v1::Paused& paused);
  void OnResumed();
  void OnGoodbye(const v1::Goodbye& goodbye);
  void End(Reason reason, std::string text);

  const IoParts& parts_;
  const Server& server_;
  TcpStream stream_;
  ReceiveBuffer buffer_;
  v1::Connected connected_;
  // Reused for each control frame.
  v1::ServerFrame frame_;
  std::optional<LifeClock> life_;

  Writing writing_ = Writing::kOn;
  // Whether the last Write() stopped at its bound and not for lack of frames.
  bool more_to_write_ = false;
  bool closing_ = false;
  bool socket_ready_ = false;
  // A socket that is in error while we do not read would wake us all the time.
  bool ignore_socket_ = false;
  uint64_t bytes_acked_ = 0;
  absl::Time confirmed_at_;

  // Where messages belong now.
  Target target_ = Target::kNone;
  std::shared_ptr<SubscriptionState> subscription_;

  std::optional<SessionEnd> end_;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_SESSION_H_
