// All subscriptions of a client, and what the broker has been told about each. Internal to the client.
//
// The table and the outbox change together: a subscription that is added while a session is on goes out at
// once; one that is added without goes out, with all others, in the prologue of the next. The table's lock is
// held over both, so that none is told twice or never.
//
// Thread safety: the methods of the I/O thread are marked; the others from any thread.
#ifndef SLUICE_CLIENT_SUBSCRIPTION_TABLE_H_
#define SLUICE_CLIENT_SUBSCRIPTION_TABLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/mutex.h"
#include "client/outbox.h"
#include "client/subscription_state.h"

namespace sluice::client {

// A subscription's count at the end of a session that said no numbers.
struct UnsettledBooks {
  uint32_t subscription = 0;
  std::string filter;
  SessionBooks books;
};

// Where replies come in.
struct InboxAddress {
  // The session it is valid in; 0: there is none.
  uint64_t session = 0;
  std::string topic;
};

class SubscriptionTable {
 public:
  // `outbox` outlives the table.
  explicit SubscriptionTable(Outbox* outbox) : outbox_(outbox) {}

  // Makes it and tells the broker, now or when there is a session. Cancelled: closed.
  absl::StatusOr<std::shared_ptr<SubscriptionState>> Add(const std::string& filter, SubscribeOptions options,
                                                         MessageHandler handler, SubscriptionHost host);
  // Ends it; what the broker had queued still comes. Without a session it has ended at once.
  void Drain(SubscriptionState* state);
  // Ends it and throws away what comes.
  void Discard(SubscriptionState* state);
  // Ends it when it has received so many in all.
  void EndAfter(SubscriptionState* state, uint64_t messages);
  // Tells the broker what it may send from now on, if that is due.
  void Grant(SubscriptionState* state);
  std::vector<std::shared_ptr<SubscriptionState>> All() const;
  // Stops all of them; none is added after it.
  void Close(WaitForCall wait);

  // Where replies are to be sent; subscribes there with the first call.
  InboxAddress Inbox();

  // The I/O thread from here on.
  // nullptr: not (or no longer) known.
  std::shared_ptr<SubscriptionState> Find(uint32_t id) const;
  // Whether the id is that of the inbox.
  enum class IsInbox { kNo, kYes };
  IsInbox CheckInbox(uint32_t id) const;

  std::vector<Outbox::Dropped> BeginSession(std::string inbox_topic, const PublishLimits& limits);
  // Its last frame came. Returns it, if it was known.
  std::shared_ptr<SubscriptionState> OnUnsubscribed(uint32_t id, SubscriptionEnd end);
  // The broker refused something about it. Whether the subscription has ended by that, without its user being
  // told by the return of Subscribe().
  enum class Refusal { kEndedUntold, kEndedTold, kGoesOn };
  Refusal OnRefused(uint32_t id, const absl::Status& why);
  // Ends those that wanted to end, and returns the counts of all.
  std::vector<UnsettledBooks> EndSession();

 private:
  enum class Wish { kStay, kEnd };
  struct Entry {
    std::shared_ptr<SubscriptionState> state;
    Wish wish = Wish::kStay;
    // End after so many received in all; 0: never.
    uint64_t messages_max = 0;
    // Received in sessions before the present one.
    uint64_t received_before = 0;
    // Whether the broker ever confirmed it.
    bool was_in_force = false;
  };

  static v1::ClientFrame SubscribeFrame(const SubscriptionState& state);
  static v1::ClientFrame UnsubscribeFrame(uint32_t id, uint64_t after_messages);
  v1::ClientFrame InboxFrame() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Tell(const Entry& entry, std::string* frames) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AskToEnd(uint32_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Outbox* const outbox_;

  mutable Mutex mutex_;
  std::map<uint32_t, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  uint32_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  // The session that the broker has been told of all entries in; 0: none now.
  uint64_t session_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string inbox_topic_ ABSL_GUARDED_BY(mutex_);
  // 0: not wanted yet.
  uint32_t inbox_id_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_SUBSCRIPTION_TABLE_H_
