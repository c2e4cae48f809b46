// A socket that accepts connections, and the descriptor kept for when there are no more. Internal to the
// broker.
//
//   absl::StatusOr<ListenerSocket> listener = ListenerSocket::Listen(where, kBacklogDefault);
//   poller.Add(listener->fd(), kListenerToken, Interest::kReadLevel);
//   ...
//   AcceptResult accepted = listener->Accept();  // at the event, until kWouldBlock or a bound of the turn
//
// Thread safety: none; owned by one thread.
#ifndef SLUICE_BROKER_NET_LISTENER_SOCKET_H_
#define SLUICE_BROKER_NET_LISTENER_SOCKET_H_

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "broker/net/address.h"
#include "broker/net/file_descriptor.h"
#include "broker/net/socket.h"

namespace sluice::net {

enum class AcceptStatus {
  kAccepted,          // `socket` is connected to `peer`
  kWouldBlock,        // nobody waits
  kAborted,           // one that waited is gone, or a firewall forbade it: try again at once
  kOutOfDescriptors,  // the process or the machine has no more: see SpareDescriptor. Said even if nobody
                      // waits
  kOutOfMemory,       // the kernel has none for it: pause the listener (Interest::kNothing) and try later
  kError,             // our bug
};

struct [[nodiscard]] AcceptResult {
  AcceptStatus status = AcceptStatus::kError;
  Socket socket;
  SocketAddress peer;
  int error = 0;  // errno of everything but kAccepted and kWouldBlock
};

// Connections that wait for Accept(); the kernel cuts it at net.core.somaxconn.
inline constexpr int kBacklogDefault = 4096;

class ListenerSocket {
 public:
  // Listens on the first address of `where` that this machine has. A port whose connections linger from
  // before can be taken (SO_REUSEADDR), one that somebody listens on cannot. [::] takes IPv4 connections too.
  // The error is a sentence for an operator ("cannot listen on 127.0.0.1:7584: address already in use"):
  // AlreadyExists, PermissionDenied, NotFound (no such host, or not an address of this machine), or another
  // code.
  static absl::StatusOr<ListenerSocket> Listen(const HostPort& where, int backlog);

  // The next connection: non-blocking, closed on exec.
  AcceptResult Accept();

  // Where it listens in fact, also when port 0 was asked for.
  const SocketAddress& address() const { return address_; }
  uint16_t port() const { return address_.port(); }

  int fd() const { return fd_.get(); }

 private:
  ListenerSocket(FileDescriptor fd, const SocketAddress& address) : fd_(std::move(fd)), address_(address) {}

  FileDescriptor fd_;
  SocketAddress address_;
};

enum class SpareState { kHeld, kMissing };

// A descriptor held open for nothing, so that a process that has no more can still take a connection, say
// "full" and close it. Otherwise the connection stays in the backlog: its client waits without an answer, and
// the listener's event comes back at once, for ever. The dance:
//
//   AcceptResult accepted = listener.Accept();
//   if (accepted.status == AcceptStatus::kOutOfDescriptors && spare.Refill() == SpareState::kHeld) {
//     spare.Release();
//     accepted = listener.Accept();  // kWouldBlock: nobody waited, after all
//     if (accepted.status == AcceptStatus::kAccepted) ...say "full"...
//     accepted.socket.Close();       // before the refill, which needs its place
//     spare.Refill();
//   }
//
// Another thread can take the freed place between two of these steps. Then Accept() says kOutOfDescriptors
// again or Refill() kMissing: pause the listener for a moment (Interest::kNothing).
class SpareDescriptor {
 public:
  // Holds nothing until the first Refill().
  SpareDescriptor() = default;

  // Opens the spare unless it is held already.
  SpareState Refill();

  // Frees its place for the next descriptor that this process opens.
  void Release() { fd_.reset(); }

  SpareState state() const { return fd_ ? SpareState::kHeld : SpareState::kMissing; }

 private:
  FileDescriptor fd_;
};

}  // namespace sluice::net

#endif  // SLUICE_BROKER_NET_LISTENER_SOCKET_H_
