// The seam between what is sent and how: the one thing that core needs of a socket. Plain TCP now; TLS would
// be a second implementation. Internal to the broker.
#ifndef SLUICE_BROKER_CORE_TRANSPORT_H_
#define SLUICE_BROKER_CORE_TRANSPORT_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/time/time.h"

namespace sluice {

enum class WriteStatus {
  kTaken,       // `bytes` of them, at least one; fewer than offered means that the socket is full now
  kWouldBlock,  // none
  kBroken,      // the connection is gone
};

struct WriteResult {
  WriteStatus status = WriteStatus::kBroken;
  size_t bytes = 0;
};

// What a connection has done since it began, and how it stands.
struct TransportSample {
  // Times in which there was something under way, and in which only the peer's full receive buffer kept the
  // kernel from sending more.
  absl::Duration busy;
  absl::Duration receive_window_limited;
  uint64_t acked_bytes = 0;
  uint64_t retransmitted_bytes = 0;
  // As the kernel measured it of late.
  uint64_t delivery_bytes_per_second = 0;
  // Taken from us and not sent yet.
  uint64_t unsent_bytes = 0;
  // What the peer has room for, and the most that one segment brings.
  uint64_t receive_window_bytes = 0;
  uint64_t segment_bytes_max = 0;
  // Of late, and the shortest ever.
  absl::Duration round_trip;
  absl::Duration round_trip_min;
};

class Transport {
 public:
  virtual ~Transport() = default;

  virtual WriteResult Write(std::span<const iovec> pieces) = 0;

  // Bytes that the peer's kernel has acknowledged since the connection began; nullopt when that cannot be
  // told.
  virtual std::optional<uint64_t> BytesAcked() = 0;

  // In one call, BytesAcked() included; nullopt when not all of it can be told.
  virtual std::optional<TransportSample> Sample() = 0;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_TRANSPORT_H_
