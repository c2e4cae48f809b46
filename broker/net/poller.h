// Epoll as a list of ready events: Wait() returns what is ready, and the caller acts on it. Nothing is called
// back. Internal to the broker.
//
//   poller.Add(socket.fd(), token, Interest::kRead);
//   for (const Event& event : poller.Wait(absl::Milliseconds(100))) {
//     Session* session = sessions.Find(event.token);  // nullptr: it ended earlier in this very list
//     if (session == nullptr) continue;
//     if (event.writable) ...
//   }
//
// Edges: kRead and kReadWrite report a change once and then keep silent, whatever the caller left undone. Who
// stops before kWouldBlock must come back by itself. Add() and Modify() report at once what is already true,
// so nothing is lost when a socket becomes writable between a full write and the Modify() that asks for it.
//
// Tokens are the caller's; they should carry a generation: an event of a list that was returned before a
// descriptor was removed still has the old token.
//
// Thread safety: none; owned by one thread. Other threads wake it through a Wakeup.
#ifndef SLUICE_BROKER_NET_POLLER_H_
#define SLUICE_BROKER_NET_POLLER_H_

#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "broker/net/file_descriptor.h"

namespace sluice::net {

enum class Interest {
  kRead,       // edges of: bytes, the end of the peer's direction
  kReadWrite,  // those, and edges of: room in the send buffer
  kReadLevel,  // as long as there is something to read: listeners and wakeups, whose reader may leave some
  kNothing,    // stays registered and is silent but for failures: a listener that pauses
};

struct Event {
  uint64_t token = 0;
  // Bytes have arrived, or the end of the stream, or an error: a read will say which.
  bool readable = false;
  // Only with kReadWrite: there is room in the send buffer (a third of it, or a write would fail).
  bool writable = false;
  // The peer sends no more. Bytes from before may still be unread.
  bool peer_closed = false;
  // The connection failed, or both directions have ended, which after our ShutdownWrite() is the orderly end
  // and may leave bytes to read.
  bool failed = false;
};

inline constexpr size_t kEventsPerWait = 256;

class Poller {
 public:
  // ResourceExhausted when the process is out of descriptors. At most `events_per_wait` (at least 1) events
  // are returned by one Wait(); the kernel hands out the others next, so that none starves.
  static absl::StatusOr<Poller> Create(size_t events_per_wait = kEventsPerWait);

  // Registers `fd`, once. Fails when the kernel has no memory for it, or a limit of epoll watches is reached.
  absl::Status Add(int fd, uint64_t token, Interest interest);

  // Changes what is reported of a registered `fd`, and by which token. With edges it reports anew what is
  // true now.
  absl::Status Modify(int fd, uint64_t token, Interest interest);

  // Forgets a registered `fd`. Closing the descriptor does the same, as long as there is no duplicate of it
  // (a child process).
  absl::Status Remove(int fd);

  // Waits until something is ready, at most `max`: zero or less looks without waiting, InfiniteDuration()
  // waits for ever. Exact to below a millisecond where the kernel can (since 5.11), otherwise rounded up to
  // the next. Empty when the time is over or a signal came. The events are valid until the next call.
  std::span<const Event> Wait(absl::Duration max);

 private:
  Poller(FileDescriptor epoll, size_t events_per_wait);

  absl::Status Control(int operation, int fd, uint64_t token, Interest interest);
  int WaitInKernel(absl::Duration max);

  FileDescriptor epoll_;
  std::vector<epoll_event> ready_;
  std::vector<Event> events_;
  enum class Timeouts { kNanoseconds, kMilliseconds } timeouts_ = Timeouts::kNanoseconds;
};

}  // namespace sluice::net

#endif  // SLUICE_BROKER_NET_POLLER_H_
