// One client's connection: its socket, what it says (frames) and what becomes of it. Joins the receiving side
// (Subscriber) and the sending side (Publisher) of core with a socket. Internal to the broker.
//
// A shard drives it through the phases of a turn; a session never calls its shard:
//
//   session.Read(now)            readable: reads once, handles the frames in it
//   session.BecameWritable()     EPOLLOUT
//   session.Flush(now)           the one path that writes
//   session.Answer()             behind the turn's fan-out: acks, pongs, Subscribed
//   session.CheckDeadlines(now)  when NextDeadline() is due
//   session.Advance(now)         last: the steps of closing
//
// Closing (docs: broker/README.md, "How a session ends"): whoever finds a reason notes it (the first one
// counts), and Advance() does the rest: what is queued is freed but for the frame half on the wire, Goodbye
// is said for at most goodbye_timeout, our direction is shut down, what the client sends is read and thrown
// away until it closes too.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_SESSION_H_
#define SLUICE_BROKER_SESSION_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "broker/consumer_events.h"
#include "broker/core/answers.h"
#include "broker/core/fan_out.h"
#include "broker/core/filter_index.h"
#include "broker/core/frame_reader.h"
#include "broker/core/publisher.h"
#include "broker/core/session_writer.h"
#include "broker/core/subscriber.h"
#include "broker/core/transport.h"
#include "broker/episodes.h"
#include "broker/log.h"
#include "broker/net/address.h"
#include "broker/net/poller.h"
#include "broker/net/socket.h"
#include "broker/session_limits.h"
#include "broker/session_records.h"
#include "broker/topic_sampler.h"
#include "metrics/counters.h"
#include "protocol/sluice.pb.h"

namespace sluice {

// One per shard and kind of line, so that a flood of one kind hides no other. Cuts are what an operator looks for
// later: a thousand at once are written, one by one.
struct LineLimits {
  RateLimit bad_input{10, 100};
  RateLimit lags{10, 100};
  RateLimit causes{10, 100};
  RateLimit blocks{10, 100};
  RateLimit observed{10, 100};
  RateLimit subscription_cuts{100, 1000};
  RateLimit session_cuts{100, 1000};
};

// What a session uses of its shard. Everything outlives the session.
struct SessionContext {
  const SessionLimits& limits;
  FilterIndex& index;
  FanOut& fan_out;
  OpenChunk& read_chunk;
  WriteScratch& scratch;
  MemoryAccount& memory;
  BacklogPool& backlogs;
  SharedLimitsPool& shared_limits;
  ShardCounters& counters;
  SessionRecords& records;
  Logger& log;
  // Lines that clients can cause as often as they like.
  LineLimits lines = {};
  // Of what is told to others about slow consumers; null: nobody listens.
  ConsumerEvents* events = nullptr;
  // Where they are remembered, under this shard's number; null: nowhere.
  Episodes* episodes = nullptr;
  uint32_t shard = 0;
  TopicSampler topics = {};
  // The shard's turn that is going on, from 1, and the last one that every shard has done.
  uint64_t turn = 0;
  uint64_t turn_done = 0;
  // Whether subscriptions have ceased to block publishers since the shard has looked.
  enum class Unblocked : uint8_t { kNobody, kSomebody } unblocked = Unblocked::kNobody;
};

// Plain TCP as core sees it.
class TcpTransport : public Transport {
 public:
  explicit TcpTransport(net::Socket socket) : socket_(std::move(socket)) {}
  WriteResult Write(std::span<const iovec> pieces) override;
  std::optional<uint64_t> BytesAcked() override { return socket_.BytesAcked(); }
  std::optional<TransportSample> Sample() override;
  net::Socket& socket() { return socket_; }
  const net::Socket& socket() const { return socket_; }
  // errno of the write that failed; 0: none has.
  int error() const { return error_; }

 private:
  net::Socket socket_;
  int error_ = 0;
};

class Session {
 public:
  Session(uint64_t token, net::Socket socket, const net::SocketAddress& peer, SessionContext* context,
          absl::Time now);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Reads at most one piece (kReadBytesMax) and handles the frames in it.
  enum class ReadOutcome {
    kMore,     // there may be more: with edges nobody will say so again
    kNothing,  // wait for the next event
  };
  ReadOutcome Read(absl::Time now);

  // The client sends no more, says the poller: from now on Read() goes on until it finds the end.
  void PeerClosed() { peer_closed_ = PeerClosedSeen::kYes; }
  void BecameWritable();
  // The connection failed, says the poller: a session that does not read any more would not notice.
  void Failed();

  // Writes what there is, at most kFlushBytesMax.
  enum class Flushed {
    kEnough,  // everything is written, or the socket is full
    kMore,    // the bound was reached: flush again in the next turn
  };
  Flushed Flush(absl::Time now);
  bool wants_flush() const { return state_ != State::kEnded && subscriber_.wants_flush(); }

  // Tells what can be told of it now; the rest waits for other shards.
  bool has_answers() const { return !answers_.empty(); }
  void Answer() { answers_.Tell(context_->turn_done, &subscriber_); }

  // Its reads are paused, through no fault of its own: silence is not held against it. Told when it lasts.
  void PauseReads() { paused_ = Paused::kYes; }
  // Ends it if it has begun a frame that it is not read to the end of.
  void GiveUpUnfinishedFrame();
  void TellPaused(v1::Paused::Cause cause);
  void ResumeReads(absl::Time now);
  // Whether it sends what the pause is about.
  bool publishes() const { return publisher_.published() > 0; }
  // Whether it has published to a consumer that blocks its publishers: it is paused until that has room.
  bool WaitsForConsumers() const { return !closing() && publisher_.WaitsForConsumers(&subscriber_); }
  void PauseForConsumers() {
    PauseReads();
    publisher_.CountPaused();
  }

  // Brings what began or ceased to lag or to block, and what overflow policies left out, into the counters and
  // the log.
  void CountLagging(absl::Time now);

  // Ends the subscriptions that went over a limit for want of credit.
  void EndCutSubscriptions(absl::Time now);

  void CheckDeadlines(absl::Time now);
  absl::Time NextDeadline() const;

  // Something is to be done by Advance().
  bool closing() const { return end_ != nullptr || subscriber_.over().has_value(); }
  // Does what can be done now of closing.
  enum class Life { kGoesOn, kEnded };
  Life Advance(absl::Time now);

  // There is no room for it: Goodbye instead of service.
  void TurnAway(v1::Reason reason, std::string text);
  // The broker is going down: what is queued is delivered until `deadline`, then Goodbye, which asks the client to come
  // back, here or elsewhere, after `retry_after`.
  void Drain(absl::Time now, absl::Time deadline, absl::Duration retry_after);

  // What the poller is to report from now on.
  net::Interest interest() const {
    return subscriber_.blocked() ? net::Interest::kReadWrite : net::Interest::kRead;
  }

  // For an operator: the session ends as if its client had been cut, with the reason "kicked".
  void Kick() { EndBecause({.reason = v1::REASON_KICKED, .text = "disconnected by an operator"}); }

  int fd() { return transport_.socket().fd(); }
  const Subscriber& subscriber() const { return subscriber_; }
  std::string_view client_name() const { return client_name_; }
  const std::string& address() const { return peer_; }
  absl::Time began_at() const { return began_at_; }
  // What the kernel holds for it that the client has not acknowledged.
  uint64_t KernelBytes() const { return transport_.socket().UnsentBytes(); }

 private:
  enum class State : uint8_t {
    kConnecting,  // has not said Connect
    kOpen,
    kDraining,   // reads no more, is in no group, sends what is queued
    kGoodbye,    // sends its last frames
    kLingering,  // our direction is shut; waits for the client's end
    kEnded,
  };

  // Why and how it ends.
  struct End {
    v1::Reason reason;
    // Said in an Error before the Goodbye; unspecified: none.
    v1::ErrorCode error = v1::ERROR_CODE_UNSPECIFIED;
    std::string text;
    uint64_t limit = 0;
    uint64_t value = 0;
    uint32_t subscription = 0;
    // 0: the limit was no soft one.
    absl::Duration above_soft_for = absl::ZeroDuration();
    // The number of the publish that the Error is about; 0: none.
    uint64_t publish = 0;
    // Of a shutdown; otherwise see RetryAfter().
    absl::Duration retry_after = absl::ZeroDuration();

    // The end of the phase of closing that it is in.
    absl::Time close_by = absl::InfiniteFuture();
    absl::Time linger_check_at = absl::InfiniteFuture();
  };

  void EndBecause(End end);
  // The stream cannot be trusted any more.
  void Refuse(v1::ErrorCode code, v1::Reason reason, std::string text, uint64_t limit = 0,
              uint64_t value = 0);
  void SendError(v1::ErrorCode code, std::string text, uint32_t subscription, uint64_t publish);

  void HandleInput(absl::Time now);
  void HandleFrame(const ReceivedFrame& frame, absl::Time now);
  void OnPublish(const ReceivedFrame& frame, absl::Time now);
  void OnConnect(const v1::Connect& connect, absl::Time now);
  void OnSubscribe(const v1::Subscribe& subscribe, absl::Time now);
  void OnUnsubscribe(const v1::Unsubscribe& unsubscribe, absl::Time now);
  void OnCredit(const v1::Credit& credit);
  void OnEndOfStream(absl::Time now);
  void ThrowAwayInput();

  std::string Inbox() const;
  // Why the client may not subscribe to a filter in the broker's own space; empty: it may.
  std::string WhyNotReserved(std::string_view filter) const;

  void LeaveGroups(absl::Time now);
  void StartDraining(absl::Time now);
  void SayGoodbye(absl::Time now);
  void Finish(absl::Time now);
  v1::Goodbye MakeGoodbye(absl::Time now) const;
  absl::Duration RetryAfter() const;
  void LogLag(const Subscriber::LagReport& report, absl::Time now) const;
  void LogLagCause(absl::Time now) const;
  void LogEnd(const v1::Goodbye& goodbye, const LagFinding& lag, absl::Time now) const;
  // Tell others of it.
  void PublishLag(absl::Time now);
  void PublishLag(const Subscriber::LagNotice& notice, absl::Time now);
  // Remember it.
  void RememberLag(const Subscriber::LagNotice& notice, absl::Time now);
  void RememberProgress();
  EpisodeOrigins OriginsOf(const SendQueue& queue, absl::Time now) const;
  void RememberCut(const Subscription& subscription, absl::Time since, v1::Reason reason,
                   const LagFinding& lag, absl::Time now);
  void RememberCuts(const LagFinding& lag, absl::Time now);
  enum class Ends { kSession, kSubscription };
  void PublishCut(Ends ends, const OverLimit& over, const LagFinding& lag, absl::Time now);
  bool PublishesAbout(v1::ConsumerEvent::Kind kind) const;
  v1::ConsumerEvent MakeEvent(v1::ConsumerEvent::Kind kind, absl::Time lagging_since, absl::Time now) const;
  void LogObserved(const OverLimit& over, absl::Time now);
  void CountBlock(const BlockNews& news, absl::Time now);
  void LogCut(const OverLimit& over, const Subscription& subscription, absl::Time now);
  void LogWrite(const FlushResult& result, absl::Time now) const;
  void CheckLifeSigns(absl::Time now);

  SessionContext* const context_;
  TcpTransport transport_;
  const std::string peer_;
  const absl::Time began_at_;
  std::string client_name_;
  // Random bytes, given when it connects. The first are the client's secret.
  enum class Ids : uint8_t { kNone, kGiven } ids_ = Ids::kNone;
  std::array<char, 16> session_id_;
  std::array<char, 12> inbox_id_;

  // Whether it has ever subscribed below $sys. Then nothing is told there of it: that would come back to it.
  enum class Watches : uint8_t { kNo, kYes } watches_ = Watches::kNo;

  State state_ = State::kConnecting;
  FrameReader reader_;
  Publisher publisher_;
  Answers answers_;
  Subscriber subscriber_;

  enum class Reading : uint8_t { kOpen, kEnded } reading_ = Reading::kOpen;
  enum class PeerClosedSeen : uint8_t { kNo, kYes } peer_closed_ = PeerClosedSeen::kNo;
  enum class Connection : uint8_t { kUp, kBroken } connection_ = Connection::kUp;
  enum class Paused : uint8_t { kNo, kYes, kTold } paused_ = Paused::kNo;
  uint32_t cuts_in_a_row_ = 0;
  // What the texts of Errors cost in the turn in which the last one was sent.
  uint32_t error_text_bytes_ = 0;
  uint64_t error_turn_ = 0;

  absl::Time heard_at_;
  absl::Time pinged_at_;
  uint64_t acked_at_ping_ = 0;
  std::unique_ptr<End> end_;
};

// The most that one flush writes: the rest waits for the next turn, so that a fast reader of a long queue
// does not hold up the others.
inline constexpr uint64_t kFlushBytesMax = uint64_t{4} << 20;

}  // namespace sluice

#endif  // SLUICE_BROKER_SESSION_H_
