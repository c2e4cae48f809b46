// A connected TCP socket that never blocks. Internal to the broker.
//
//   iovec room = {buffer, sizeof buffer};
//   IoResult result = socket.Read({&room, 1});
//   switch (result.status) {
//     case IoStatus::kOk:         // result.bytes arrived; there may be more
//     case IoStatus::kWouldBlock: // wait for Event::readable
//     case IoStatus::kEof:        // the peer sends no more; it may still read
//     case IoStatus::kReset:      // the connection is gone
//     case IoStatus::kError:      // so it is here, and ErrorText(result.error) says why
//   }
//
// Thread safety: none; owned by one thread.
#ifndef SLUICE_BROKER_NET_SOCKET_H_
#define SLUICE_BROKER_NET_SOCKET_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "broker/net/address.h"
#include "broker/net/file_descriptor.h"

namespace sluice::net {

enum class IoStatus {
  kOk,          // `bytes` were moved, at least one
  kWouldBlock,  // none now: nothing has arrived, or the send buffer is full
  kEof,         // reading only: the peer has ended its direction, and every byte before that was read
  kReset,       // the peer has torn the connection down, or we write after it did
  kError,       // anything else, by `error`: timed out, unreachable, no memory
};

struct [[nodiscard]] IoResult {
  IoStatus status = IoStatus::kError;
  size_t bytes = 0;
  int error = 0;  // errno of kReset and kError
};

// More pieces than this in one call are left for the next (the kernel's IOV_MAX).
inline constexpr size_t kPiecesPerCallMax = 1024;

// 0 leaves a number as the kernel has it.
struct SocketOptions {
  // Send at once instead of waiting for the acknowledgement of what is under way: we gather ourselves.
  bool nodelay = true;
  // TCP_NOTSENT_LOWAT: how many bytes that were not sent yet the kernel takes. Bounds what a peer that does
  // not read hides from us, without a bound on what a long path holds in flight.
  uint32_t notsent_lowat_bytes = 0;
  // SO_SNDBUF and SO_RCVBUF. The kernel doubles the number for its own bookkeeping, stops tuning the buffer
  // by itself, and goes up to net.core.{w,r}mem_max without saying so.
  uint32_t send_buffer_bytes = 0;
  uint32_t receive_buffer_bytes = 0;
  // TCP_USER_TIMEOUT: how long sent bytes may stay unacknowledged before the kernel gives up (kError with
  // ETIMEDOUT). Counted in milliseconds, rounded up.
  absl::Duration user_timeout = absl::ZeroDuration();
};

// What the kernel knows about how the peer takes what was written. Counts and times since the connection
// began.
struct TcpProgress {
  absl::Duration busy;  // with something unsent or unacknowledged
  absl::Duration receive_window_limited;
  uint64_t acked_bytes = 0;
  uint64_t retransmitted_bytes = 0;
  uint64_t delivery_bytes_per_second = 0;  // as measured of late
  uint64_t unsent_bytes = 0;
  uint64_t receive_window_bytes = 0;  // the peer's, as it said last
  uint64_t segment_bytes_max = 0;
  // Of late, and the shortest ever.
  absl::Duration round_trip;
  absl::Duration round_trip_min;
};

class Socket {
 public:
  // Not connected; only good for being assigned to.
  Socket() = default;
  // `fd` must be a stream socket with O_NONBLOCK.
  explicit Socket(FileDescriptor fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }

  // Fills the pieces in their order with what has arrived, in one system call. They must hold room for a byte
  // at least. Fewer bytes than there was room for do not mean that nothing is left: only kWouldBlock does.
  IoResult Read(std::span<const iovec> pieces);

  // Hands the pieces to the kernel in their order, in one system call, without SIGPIPE. They must hold a byte
  // at least. Fewer bytes than offered are kOk: the send buffer is full now, as it is with kWouldBlock.
  // (Pieces beyond kPiecesPerCallMax are not offered.)
  IoResult Write(std::span<const iovec> pieces);

  // Ends our direction: the peer reads what was written, then EOF. Nothing can be written after it. An error
  // is of no use to anybody: the connection is gone, which the next Read() says.
  void ShutdownWrite();

  // From now on closing frees what the kernel still holds for the peer, and the peer gets a reset. Without it
  // the kernel keeps those bytes and tries for minutes after we are through.
  void SetLingerZero();

  // Closes now instead of at destruction.
  void Close() { fd_.reset(); }

  // Bytes that the peer's kernel has acknowledged since the connection began; nullopt when that cannot be
  // told.
  std::optional<uint64_t> BytesAcked() const;

  // In one system call; nullopt when the kernel does not tell all of it (before 5.4).
  std::optional<TcpProgress> Progress() const;

  // Bytes that were written and that the peer's kernel has not acknowledged: under way, or not sent at all.
  // 0 when that cannot be told, or the connection is gone. Our end of the stream (ShutdownWrite) counts as
  // one until it is acknowledged.
  uint64_t UnsentBytes() const;

  // Sets what is not 0. The first option that the kernel refuses is named by the error; those before it are
  // set.
  absl::Status Apply(const SocketOptions& options);

  // Empty when the connection is gone: take it for the log when the socket is new.
  SocketAddress PeerAddress() const;
  SocketAddress LocalAddress() const;

 private:
  FileDescriptor fd_;
};

}  // namespace sluice::net

#endif  // SLUICE_BROKER_NET_SOCKET_H_
