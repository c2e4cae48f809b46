// The outgoing side of a client: a bounded buffer of frames that any thread fills and the I/O thread empties,
// the numbers of the publishes in it, and who waits for an answer about them. Internal to the client.
//
//   outbox.Publish(message, {.when_full = WhenFull::kWait, .deadline = …});          // any thread
//
//   outbox.BeginSession(subscribe_frames, limits);                                    // the I/O thread
//   size_t count = outbox.Gather(pieces);   outbox.Consume(writev(…));
//   outbox.OnPublishAck(…); outbox.OnPong(…); outbox.OnPublishError(…);
//   outbox.EndSession();
//
// Order is what this class is about: a publish, the AckRequest behind it and its number are appended under
// one lock. Publishes are numbered from 1 for the life of the client; the broker counts them per session, and
// the class translates. When a session ends, what has not left stays (whole frames: publishes, and the
// AckRequests and pings that still make sense), everything else fails; client.h says so to the user.
//
// Waking: the I/O thread sleeps only after Gather() returned 0; the next append wakes it, once.
//
// Thread safety: all methods from any thread; those of the I/O thread are marked. Callbacks are called
// without the lock, by the thread that brings the news.
#ifndef SLUICE_CLIENT_OUTBOX_H_
#define SLUICE_CLIENT_OUTBOX_H_

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/ack_ledger.h"
#include "client/mutex.h"
#include "client/numbered_frames.h"
#include "client/wakeup.h"
#include "protocol/publish.h"
#include "protocol/sluice.pb.h"

namespace sluice::client {

enum class WhenFull { kWait, kFail };

struct PublishOptions {
  WhenFull when_full = WhenFull::kWait;
  absl::Time deadline = absl::InfiniteFuture();
  // Ask for a receipt about this message.
  AckCallback ack = {};
  // The request that this message is; OnPublishError() says it again.
  uint64_t request = 0;
  // Only in this session (Unavailable otherwise); 0: in any.
  uint64_t session = 0;
};

// InvalidArgument: the broker would refuse it. 0 in a limit: not known.
absl::Status CheckMessage(const MessageView& message, const PublishLimits& limits);

enum class PingKind {
  kLife,  // nobody waits
  kRoundTrip,
  kFlush,  // fails when publishes are unknown that no flush has told yet
};
using PingDone = std::function<void(absl::Status)>;

// What the broker's Error about a publish is about.
struct RefusedPublish {
  uint64_t number = 0;
  uint64_t request = 0;
  AckLedger::Told told = AckLedger::Told::kNotYet;
};

class Outbox {
 public:
  // `wakeup` outlives the outbox.
  Outbox(uint64_t bytes_max, const Wakeup* wakeup) : bytes_max_(bytes_max), wakeup_(wakeup) {}

  // ResourceExhausted: full, and not to wait. DeadlineExceeded: full all the time. InvalidArgument,
  // Unavailable: see above. Cancelled: closed.
  absl::Status Publish(const MessageView& message, const PublishOptions& options);
  // A receipt for all publishes without one of their own since the last call.
  absl::Status RequestReceipt(AckCallback done);
  // `done` is called when the broker has processed everything appended before, or when that will not be
  // known.
  absl::Status Ping(PingKind kind, PingDone done);
  // Control frames of the present session, with their lengths, that nothing comes between; without a session
  // they are forgotten. Not bounded.
  void AppendControl(std::string_view frames);

  // From now on publishes are refused with Cancelled; what is buffered still goes out.
  void StopPublishing();

  // The I/O thread from here on.
  // For the rule that it does not wait for itself.
  void set_io_thread(std::thread::id id) { io_thread_.store(id, std::memory_order_relaxed); }
  bool OnIoThread() const { return io_thread_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }

  // A session with those limits begins; `prologue`, some control frames, goes before everything else.
  // Buffered messages that the broker would not take are dropped and returned with their reasons.
  struct Dropped {
    uint64_t number = 0;
    absl::Status status;
  };
  std::vector<Dropped> BeginSession(std::string_view prologue, const PublishLimits& limits);
  // Counts from 1; 0: none now.
  uint64_t session() const;

  size_t Gather(std::span<iovec> pieces);
  void Consume(size_t bytes);

  void OnPublishAck(const v1::PublishAck& ack);
  void OnPong(uint64_t id);
  RefusedPublish OnPublishError(uint64_t publish, const absl::Status& why);
  // The broker said that it has processed everything that has left.
  void OnAllProcessed();

  // Whether there are publishes that no ping outstanding will confirm.
  bool WantsConfirmation() const;

  // Returns how many publishes are unknown now.
  uint64_t EndSession();
  // For good: everything that waits fails with `why`. Returns how many publishes were not sent.
  uint64_t Close(const absl::Status& why);

  struct Stats {
    uint64_t published = 0;
    uint64_t bytes = 0;
    uint64_t messages = 0;
    uint64_t unknown = 0;
  };
  Stats stats() const;

 private:
  enum class State { kOffline, kLive, kClosed };

  struct PendingPing {
    uint64_t id = 0;
    // The last publish before it.
    uint64_t after = 0;
    PingKind kind = PingKind::kLife;
    PingDone done;
  };
  // A publish whose sender hears of it by a request's end.
  struct Request {
    uint64_t number = 0;
    uint64_t request = 0;
  };
  // Callbacks to be called without the lock.
  struct News {
    std::vector<AckCompletion> acks;
    std::vector<std::pair<PingDone, absl::Status>> pings;
    void Tell();
  };

  absl::Status WaitForRoom(const PublishOptions& options) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AppendFrame(const v1::ClientFrame& frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AppendAckRequest(AckKind kind, AckCallback done) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the I/O thread is to be woken, by the caller, without the lock.
  [[nodiscard]] bool TakeWake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Confirm(uint64_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t EndSessionLocked(News* news) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FailPings(News* news) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint64_t bytes_max_;
  const Wakeup* const wakeup_;
  std::atomic<std::thread::id> io_thread_{};
  std::atomic<uint64_t> payload_bytes_max_{0};
  std::atomic<uint64_t> headers_bytes_max_{0};

  mutable Mutex mutex_;
  CondVar has_room_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kOffline;
  bool publishing_stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool reader_asleep_ ABSL_GUARDED_BY(mutex_) = false;
  uint32_t waiting_for_room_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t session_ ABSL_GUARDED_BY(mutex_) = 0;
  NumberedFrames frames_ ABSL_GUARDED_BY(mutex_);
  AckLedger acks_ ABSL_GUARDED_BY(mutex_);
  std::deque<PendingPing> pings_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_ping_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<Request> requests_ ABSL_GUARDED_BY(mutex_);

  // Publishes up to it the broker has processed, as it said, or they were told unknown.
  uint64_t confirmed_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t unknown_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t unknown_for_flush_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_OUTBOX_H_
