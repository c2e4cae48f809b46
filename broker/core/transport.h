// The seam between what is sent and how: the one thing that core needs of a socket. Plain TCP now; TLS would
// be a second implementation. Internal to the broker.
#ifndef SLUICE_BROKER_CORE_TRANSPORT_H_
#define SLUICE_BROKER_CORE_TRANSPORT_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

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

class Transport {
 public:
  virtual ~Transport() = default;

  virtual WriteResult Write(std::span<const iovec> pieces) = 0;

  // Bytes that the peer's kernel has acknowledged since the connection began; nullopt when that cannot be
  // told.
  virtual std::optional<uint64_t> BytesAcked() = 0;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_TRANSPORT_H_
