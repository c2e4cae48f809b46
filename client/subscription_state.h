// One subscription: what it asked for, what waits for it, who handles that, and its books. Internal to the
// client.
//
// Messages take one of three ways:
//   * dispatched: the I/O thread queues pieces; whoever runs (the dispatch thread or the user's executor)
//     takes all that waits under one lock and calls the handler for each message in place;
//   * inline: the I/O thread calls the handler, nothing is queued;
//   * pulled: Next() takes one message at a time.
//
// Thread safety: the methods of the I/O thread, of the runner and of the user are marked; the last may be
// called from any thread at the same time.
#ifndef SLUICE_CLIENT_SUBSCRIPTION_STATE_H_
#define SLUICE_CLIENT_SUBSCRIPTION_STATE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/dispatcher.h"
#include "client/event_sink.h"
#include "client/incoming_budget.h"
#include "client/message_queue.h"
#include "client/mutex.h"
#include "client/receive_window.h"
#include "client/subscription.h"

namespace sluice::client {

class SubscriptionTable;

// What a subscription needs of the client. All of it outlives the subscription (which keeps the table, and so
// the client's insides, alive).
struct SubscriptionHost {
  std::shared_ptr<SubscriptionTable> table;
  IncomingBudget* budget = nullptr;
  Dispatcher* dispatcher = nullptr;
  EventSink* events = nullptr;
  // Whether this is the thread that must not wait for itself.
  std::function<bool()> on_io_thread;
};

// One session's count of one subscription.
struct SessionBooks {
  uint64_t received = 0;
  uint64_t told_missing = 0;

  // What the broker's last numbers say that its overflow policy left out in all. Returns how many of these no
  // gap had told.
  uint64_t TakeLeftOut(uint64_t messages) {
    const uint64_t untold = messages > told_missing ? messages - told_missing : 0;
    told_missing += untold;
    return untold;
  }
  // What is missing and was not told, given what the broker offered.
  uint64_t Lost(uint64_t offered) const {
    const uint64_t known = received + told_missing;
    return offered > known ? offered - known : 0;
  }
};

enum class EndedBy { kUser, kClose };
enum class WaitForCall { kYes, kNo };
// Whether on_end is called. (Not when Subscribe() itself returns the refusal.)
enum class TellEnd { kUser, kNobody };

class SubscriptionState : public Runnable, public std::enable_shared_from_this<SubscriptionState> {
 public:
  // Without a handler it is pulled.
  SubscriptionState(uint32_t id, std::string filter, SubscribeOptions options, MessageHandler handler,
                    SubscriptionHost host);
  ~SubscriptionState() override;

  uint32_t id() const { return id_; }
  const std::string& filter() const { return filter_; }
  const SubscribeOptions& options() const { return options_; }
  SubscriptionTable& table() const { return *host_.table; }

  // The I/O thread.
  void OnSessionBegin();
  // `granted_bytes`: of its window; 0: it has none.
  void OnSubscribed(SubscriptionTerms terms, uint64_t granted_bytes);
  // Whole message frames that lie in `chunk`. What exceeds the most that the subscription wants is thrown
  // away.
  void OnMessages(const ChunkRef& chunk, std::string_view frames, uint64_t messages);
  void OnGap(const GapMark& gap);
  // Behind the last message; for good. (From any thread when there is no session.) Only the first counts.
  void OnEnd(SubscriptionEnd end, TellEnd tell = TellEnd::kUser);
  const SessionBooks& books() const { return books_; }
  // `messages` were found lost when a session ended.
  void AddLost(uint64_t messages) { lost_.fetch_add(messages, std::memory_order_relaxed); }
  // … left out by the overflow policy, without that a gap had told it.
  void AddToldAtEnd(uint64_t messages) { told_missing_.fetch_add(messages, std::memory_order_relaxed); }

  // The runner.
  More RunBatch() override;

  // The user.
  absl::StatusOr<ReceivedMessage> Next(absl::Duration timeout);
  // Throws away what waits; no further call of the handler will come. With kYes it returns when none is
  // running any more, except the one that calls this.
  void Stop(EndedBy by, WaitForCall wait);
  // Whether it is called from within a call of the handler.
  bool RunsHere() const;
  // OK when the broker said that it is in force; why it refused; DeadlineExceeded.
  absl::Status WaitConfirmed(absl::Time deadline);
  absl::StatusOr<SubscriptionEnd> WaitEnd(absl::Time deadline);
  SubscriptionStats stats() const;
  SubscriptionTerms terms() const;
  // What to ask for, and what is to be granted in this session (0: nothing).
  uint64_t window_bytes() const { return window_.bytes(); }
  uint64_t TakeGrant() { return window_.TakeGrant(MonotonicNow()); }
  // Only so many messages from the first on; 0: all. The broker is told, too, but may have sent more before
  // it heard.
  void LimitTo(uint64_t messages) { messages_max_.store(messages, std::memory_order_relaxed); }
  // Without those that were too many.
  uint64_t received() const { return received_.load(std::memory_order_relaxed); }
  bool stopped() const { return stopped_.load(std::memory_order_relaxed); }
  // Whether the broker has confirmed it in this session.
  bool confirmed() const;

 private:
  enum class Way { kDispatched, kInline, kPulled };
  enum class Confirmed { kNotYet, kYes };

  // Whether somebody has to be told that something was pushed; Announce() does it, without the lock.
  enum class Push { kNobodyWaits, kSchedule, kWakePuller };
  Push AfterPush() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Announce(Push push);
  void RunInline(std::string_view frames);
  void HandlePiece(const Piece& piece);
  void HandleFrames(std::string_view frames);
  void NoLongerWaiting(uint64_t messages, uint64_t bytes);
  // Not with the lock held.
  void OnHandled(uint64_t bytes);
  GapEvent ToEvent(const GapMark& gap) const;
  bool DrainedLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool WouldWaitForItself() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Constant.
  const uint32_t id_;
  const std::string filter_;
  const SubscribeOptions options_;
  const MessageHandler handler_;
  const SubscriptionHost host_;
  const Way way_;

  ReceiveWindow window_;

  // The I/O thread's.
  SessionBooks books_;

  // The runner's; there is one at a time, which scheduled_ sees to.
  std::vector<Piece> batch_;
  size_t batch_at_ = 0;
  MessageView view_;

  std::atomic<bool> stopped_{false};
  std::atomic<uint64_t> messages_max_;
  std::atomic<uint64_t> received_{0};
  std::atomic<uint64_t> handled_{0};
  std::atomic<uint64_t> told_missing_{0};
  std::atomic<uint64_t> lost_{0};
  // Received and not yet handled or thrown away; of a batch that is being handled, too.
  std::atomic<uint64_t> waiting_messages_{0};
  std::atomic<uint64_t> waiting_bytes_{0};

  mutable Mutex mutex_;
  CondVar changed_;
  CondVar pushed_;
  MessageQueue queue_ ABSL_GUARDED_BY(mutex_);
  // Whether a RunBatch() is coming.
  bool scheduled_ ABSL_GUARDED_BY(mutex_) = false;
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread::id runner_ ABSL_GUARDED_BY(mutex_);
  // Threads that wait in Next().
  uint32_t pulling_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t missed_before_next_ ABSL_GUARDED_BY(mutex_) = 0;
  Confirmed confirmed_ ABSL_GUARDED_BY(mutex_) = Confirmed::kNotYet;
  SubscriptionTerms terms_ ABSL_GUARDED_BY(mutex_);
  EndedBy stopped_by_ ABSL_GUARDED_BY(mutex_) = EndedBy::kUser;
  // How it ends, once that is known, and whether everything before that was handled.
  std::unique_ptr<SubscriptionEnd> end_ ABSL_GUARDED_BY(mutex_);
  bool end_handled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_SUBSCRIPTION_STATE_H_
