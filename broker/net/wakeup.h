// Wakes a thread that waits in a Poller. Internal to the broker.
//
//   poller.Add(wakeup.fd(), kWakeupToken, Interest::kReadLevel);
//   ...                                   // another thread: mailbox.Push(entry); wakeup.Notify();
//   wakeup.Drain();                       // the owner, at the event: first drain,
//   while (mailbox.Pop(&entry)) ...       // then look, so that what comes in between wakes it again
//
// Thread safety: Notify() from any thread and from signal handlers; the rest by the owner.
#ifndef SLUICE_BROKER_NET_WAKEUP_H_
#define SLUICE_BROKER_NET_WAKEUP_H_

#include <utility>

#include "absl/status/statusor.h"
#include "broker/net/file_descriptor.h"

namespace sluice::net {

class Wakeup {
 public:
  // ResourceExhausted when the process is out of descriptors.
  static absl::StatusOr<Wakeup> Create();

  // Makes fd() readable. Any number of calls before a Drain() count as one. Never blocks, cannot fail.
  void Notify() const;

  // Makes fd() unreadable until the next Notify().
  void Drain();

  int fd() const { return fd_.get(); }

 private:
  explicit Wakeup(FileDescriptor fd) : fd_(std::move(fd)) {}

  FileDescriptor fd_;
};

}  // namespace sluice::net

#endif  // SLUICE_BROKER_NET_WAKEUP_H_
