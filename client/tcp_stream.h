// A TCP connection to a server, from its name to its last byte. Internal to the client.
//
//   auto addresses = Resolve(server);                      // blocks: it asks the system's resolver
//   TcpStream stream;
//   IoResult begun = stream.StartConnect(addresses[0]);    // kOk: connected; kWouldBlock: poll for POLLOUT,
//   begun = stream.FinishConnect();                        // and then this
//
// Nothing but Resolve() blocks.
//
// Thread safety: none; owned by the I/O thread.
#ifndef SLUICE_CLIENT_TCP_STREAM_H_
#define SLUICE_CLIENT_TCP_STREAM_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/url.h"

namespace sluice::client {

struct TcpAddress {
  sockaddr_storage storage = {};
  socklen_t bytes = 0;
};

absl::StatusOr<std::vector<TcpAddress>> Resolve(const Server& server);

enum class IoStatus {
  kOk,
  kWouldBlock,
  kEof,    // reading only: the peer sends no more
  kError,  // the connection is gone, or never came to be; `error` says why
};

struct [[nodiscard]] IoResult {
  IoStatus status = IoStatus::kError;
  size_t bytes = 0;
  int error = 0;
};

// "connection reset by peer" and so on.
std::string SystemErrorText(int error);

class TcpStream {
 public:
  TcpStream() = default;
  TcpStream(const TcpStream&) = delete;
  TcpStream& operator=(const TcpStream&) = delete;
  ~TcpStream() { Close(); }

  IoResult StartConnect(const TcpAddress& address);
  IoResult FinishConnect();

  IoResult Read(std::span<char> room);
  // Fewer bytes than offered are kOk.
  IoResult Write(std::span<const iovec> pieces);
  // The peer reads what was written, then the end.
  void ShutdownWrite();
  void Close();

  int fd() const { return fd_; }
  // Bytes that the peer's system has acknowledged; nullopt when that cannot be told.
  std::optional<uint64_t> BytesAcked() const;

 private:
  bool ConnectedToItself() const;

  int fd_ = -1;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_TCP_STREAM_H_
