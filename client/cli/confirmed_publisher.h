// Publishes, and knows in the end what became of all of it.
//
//   ConfirmedPublisher publisher(client.get(), &notices, &console, /*patience=*/absl::Seconds(30));
//   for (…) {
//     if (absl::Status status = publisher.Publish(message); !status.ok()) break;
//   }
//   const PublishOutcome outcome = publisher.Finish();
//
// Receipts are asked for along the way, and no more than about a megabyte is ever without one: a lost
// connection leaves little in doubt.
//
// Thread safety: one thread uses it.
#ifndef SLUICE_CLIENT_CLI_CONFIRMED_PUBLISHER_H_
#define SLUICE_CLIENT_CLI_CONFIRMED_PUBLISHER_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cli/console.h"
#include "client/cli/event.h"
#include "client/cli/notices.h"
#include "client/client.h"
#include "client/mutex.h"

namespace sluice::cli {

struct PublishOutcome {
  uint64_t published = 0;
  // What the broker said about those that it said anything about.
  PublishReceipt receipt;
  // Told by an error each.
  uint64_t refused = 0;
  // The broker may or may not have them.
  uint64_t unknown = 0;
  // Still with us: certainly not published.
  uint64_t unsent = 0;
  // OK when the broker has them all. DeadlineExceeded: it did not say so in time. FailedPrecondition: some
  // were refused. Unavailable: of some it is not known. The text says how many.
  absl::Status status;
};

class ConfirmedPublisher {
 public:
  // Sets what a client must have to be used here.
  static void Prepare(ClientOptions* options);

  // All outlive it; `notices` are those of `client`. `patience`: for how long the broker may take nothing and
  // confirm nothing.
  ConfirmedPublisher(Client* client, const Notices* notices, Console* console, absl::Duration patience);

  // Waits while the broker is behind. InvalidArgument: this message was refused at once. Cancelled: a signal
  // came. DeadlineExceeded: the broker took nothing for `patience`. Other errors are the end, too.
  absl::Status Publish(const MessageView& message);

  // Waits until the broker has said what it has. After a signal for no more than a few seconds.
  PublishOutcome Finish();

  uint64_t published() const { return published_; }
  uint64_t published_bytes() const { return published_bytes_; }

 private:
  // Where receipts arrive; the callbacks share it, so that a late one finds it.
  struct Receipts {
    client::Mutex mutex;
    Event changed;
    PublishReceipt sum ABSL_GUARDED_BY(mutex);
    uint64_t outstanding ABSL_GUARDED_BY(mutex) = 0;
    uint64_t failed ABSL_GUARDED_BY(mutex) = 0;

    void On(const absl::StatusOr<PublishReceipt>& receipt);
  };

  absl::Status AskForReceipt();
  // Waits until no more than `outstanding_max` are outstanding, after a signal for no longer than given.
  // DeadlineExceeded: the broker took nothing for `patience`.
  absl::Status WaitForReceipts(uint64_t outstanding_max, absl::Duration patience_after_signal);
  absl::Status TookNothing() const;
  // Whether nothing has moved for `patience`.
  bool IsStuck();
  absl::Status Verdict(const PublishOutcome& outcome, uint64_t outstanding) const;

  Client& client_;
  const Notices& notices_;
  Console& console_;
  const absl::Duration patience_;
  const std::shared_ptr<Receipts> receipts_ = std::make_shared<Receipts>();

  uint64_t published_ = 0;
  uint64_t published_bytes_ = 0;
  uint64_t unasked_messages_ = 0;
  uint64_t unasked_bytes_ = 0;
  // Messages that have left or were confirmed when that last changed, and when.
  uint64_t moved_ = 0;
  absl::Time moved_at_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_CONFIRMED_PUBLISHER_H_
