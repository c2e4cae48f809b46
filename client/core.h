// The inside of a Client: all its parts, and what its methods do with them. Internal to the client.
//
// Subscriptions that outlive their Client keep the core alive; its threads have ended then.
//
// Thread safety: all methods from any thread; client.h says which wait.
#ifndef SLUICE_CLIENT_CORE_H_
#define SLUICE_CLIENT_CORE_H_

#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/connection.h"
#include "client/counters.h"
#include "client/dispatcher.h"
#include "client/event_sink.h"
#include "client/incoming_budget.h"
#include "client/lifecycle.h"
#include "client/mutex.h"
#include "client/outbox.h"
#include "client/requests.h"
#include "client/subscription_table.h"
#include "client/wakeup.h"

namespace sluice::client {

class Core : public std::enable_shared_from_this<Core> {
 public:
  static absl::StatusOr<std::shared_ptr<Core>> Connect(ClientOptions options);
  Core(ClientOptions options, std::vector<Server> servers);

  absl::Status Publish(const MessageView& message, WhenFull when_full);
  absl::StatusOr<PublishReceipt> PublishWithAck(const MessageView& message, absl::Duration timeout);
  absl::Status PublishWithAck(const MessageView& message, AckCallback done);
  absl::StatusOr<PublishReceipt> Confirm(absl::Duration timeout);
  absl::Status Confirm(AckCallback done);
  absl::Status Ping(PingKind kind, absl::Duration timeout);

  absl::StatusOr<Subscription> Subscribe(std::string_view filter, MessageHandler handler,
                                         SubscribeOptions options);

  absl::StatusOr<ReceivedMessage> Request(const MessageView& message, absl::Duration timeout);
  absl::Status Request(const MessageView& message, absl::Duration timeout, ReplyCallback done);

  absl::Status WaitConnected(absl::Duration timeout);
  absl::Status Drain(absl::Duration timeout);
  absl::Status Close(absl::Duration timeout);
  absl::Duration close_timeout() const { return options_.close_timeout; }

  ClientState state() const { return lifecycle_.state(); }
  ServerInfo server() const { return lifecycle_.server(); }
  ClientStats stats() const;
  std::vector<SubscriptionInfo> subscriptions() const;

 private:
  absl::Status Start();
  // FailedPrecondition on the thread that would wait for itself.
  absl::Status CheckMayWait() const;
  bool InsideCallback() const;
  AckCallback OnDispatcher(AckCallback done);
  absl::Status PublishRequest(const MessageView& message, const InboxAddress& inbox, uint64_t id,
                              const PublishOptions& options);

  // Constant.
  const ClientOptions options_;

  // In the order in which they use each other.
  Wakeup wakeup_;
  Lifecycle lifecycle_;
  Counters counters_;
  Dispatcher dispatcher_;
  EventSink events_;
  IncomingBudget budget_;
  Requests requests_;
  Outbox outbox_;
  SubscriptionTable table_;
  Connection connection_;

  Mutex joining_;
  std::thread io_thread_ ABSL_GUARDED_BY(joining_);
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_CORE_H_
