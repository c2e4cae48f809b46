#include "broker/net/socket.h"

// The kernel's header: the C library's tcp_info ends before tcpi_bytes_acked.
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "broker/net/error_text.h"

namespace sluice::net {
namespace {

IoResult Failure(int error) {
  switch (error) {
    case EAGAIN:
      return {IoStatus::kWouldBlock, 0, 0};
    case ECONNRESET:
    case EPIPE:
      return {IoStatus::kReset, 0, error};
    default:
      return {IoStatus::kError, 0, error};
  }
}

msghdr MessageOf(std::span<const iovec> pieces) {
  msghdr message = {};
  // sendmsg() and recvmsg() only read the pieces; their common struct cannot say so.
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = std::min(pieces.size(), kPiecesPerCallMax);
  return message;
}

bool HasRoom(std::span<const iovec> pieces) {
  return std::any_of(pieces.begin(), pieces.end(), [](const iovec& piece) { return piece.iov_len > 0; });
}

absl::Status SetOption(int fd, int level, int option, int value, const char* name) {
  if (::setsockopt(fd, level, option, &value, sizeof value) == 0) return absl::OkStatus();
  return ErrorStatus(errno, name);
}

// TCP_CLOSE of the C library's header, which cannot stand beside the kernel's.
constexpr uint8_t kTcpStateClose = 7;

// How many bytes of the struct the kernel has filled; 0 when it cannot.
socklen_t ReadTcpInfo(int fd, tcp_info* info) {
  socklen_t bytes = sizeof *info;
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &bytes) == 0 ? bytes : 0;
}

absl::Duration Microseconds(uint64_t us) { return absl::Microseconds(static_cast<int64_t>(us)); }

int SaturatedInt(uint32_t value) {
  return static_cast<int>(std::min<uint32_t>(value, std::numeric_limits<int>::max()));
}

int MillisecondsRoundedUp(absl::Duration duration) {
  const int64_t ms = absl::ToInt64Milliseconds(absl::Ceil(duration, absl::Milliseconds(1)));
  return static_cast<int>(std::min<int64_t>(ms, std::numeric_limits<int>::max()));
}

}  // namespace

IoResult Socket::Read(std::span<const iovec> pieces) {
  msghdr message = MessageOf(pieces);
  ssize_t bytes = 0;
  do {
    bytes = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT);
  } while (bytes < 0 && errno == EINTR);
  if (bytes < 0) return Failure(errno);
  // A read without room answers 0 as well; that must not look like the end.
  if (bytes == 0) return {HasRoom(pieces) ? IoStatus::kEof : IoStatus::kOk, 0, 0};
  return {IoStatus::kOk, static_cast<size_t>(bytes), 0};
}

IoResult Socket::Write(std::span<const iovec> pieces) {
  const msghdr message = MessageOf(pieces);
  ssize_t bytes = 0;
  do {
    bytes = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (bytes < 0 && errno == EINTR);
  if (bytes < 0) return Failure(errno);
  return {IoStatus::kOk, static_cast<size_t>(bytes), 0};
}

void Socket::ShutdownWrite() { static_cast<void>(::shutdown(fd_.get(), SHUT_WR)); }

void Socket::SetLingerZero() {
  const linger at_once = {.l_onoff = 1, .l_linger = 0};
  static_cast<void>(::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
}

std::optional<uint64_t> Socket::BytesAcked() const {
  tcp_info info = {};
  const socklen_t bytes = ReadTcpInfo(fd_.get(), &info);
  // Kernels before 4.1 fill less of the struct.
  if (bytes < offsetof(tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked) return std::nullopt;
  return info.tcpi_bytes_acked;
}

std::optional<TcpProgress> Socket::Progress() const {
  tcp_info info = {};
  const socklen_t bytes = ReadTcpInfo(fd_.get(), &info);
  // The last member that is read.
  if (bytes < offsetof(tcp_info, tcpi_snd_wnd) + sizeof info.tcpi_snd_wnd) return std::nullopt;
  return TcpProgress{.busy = Microseconds(info.tcpi_busy_time),
                     .receive_window_limited = Microseconds(info.tcpi_rwnd_limited),
                     .acked_bytes = info.tcpi_bytes_acked,
                     .retransmitted_bytes = info.tcpi_bytes_retrans,
                     .delivery_bytes_per_second = info.tcpi_delivery_rate,
                     .unsent_bytes = info.tcpi_notsent_bytes,
                     .receive_window_bytes = info.tcpi_snd_wnd,
                     .segment_bytes_max = info.tcpi_snd_mss,
                     .round_trip = Microseconds(info.tcpi_rtt),
                     .round_trip_min = Microseconds(info.tcpi_min_rtt)};
}

uint64_t Socket::UnsentBytes() const {
  int bytes = 0;
  if (::ioctl(fd_.get(), SIOCOUTQ, &bytes) != 0 || bytes < 0) return 0;
  if (bytes == 0) return 0;
  // After a reset the kernel goes on reporting what was never acknowledged.
  tcp_info info = {};
  if (ReadTcpInfo(fd_.get(), &info) > 0 && info.tcpi_state == kTcpStateClose) return 0;
  return static_cast<uint64_t>(bytes);
}

absl::Status Socket::Apply(const SocketOptions& options) {
  const int fd = fd_.get();
  if (options.nodelay) {
    if (absl::Status set = SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY"); !set.ok()) return set;
  }
  if (options.notsent_lowat_bytes > 0) {
    const int value = SaturatedInt(options.notsent_lowat_bytes);
    absl::Status set = SetOption(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, value, "TCP_NOTSENT_LOWAT");
    if (!set.ok()) return set;
  }
  if (options.send_buffer_bytes > 0) {
    const int value = SaturatedInt(options.send_buffer_bytes);
    if (absl::Status set = SetOption(fd, SOL_SOCKET, SO_SNDBUF, value, "SO_SNDBUF"); !set.ok()) return set;
  }
  if (options.receive_buffer_bytes > 0) {
    const int value = SaturatedInt(options.receive_buffer_bytes);
    if (absl::Status set = SetOption(fd, SOL_SOCKET, SO_RCVBUF, value, "SO_RCVBUF"); !set.ok()) return set;
  }
  if (options.user_timeout > absl::ZeroDuration()) {
    const int value = MillisecondsRoundedUp(options.user_timeout);
    absl::Status set = SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, value, "TCP_USER_TIMEOUT");
    if (!set.ok()) return set;
  }
  return absl::OkStatus();
}

SocketAddress Socket::PeerAddress() const {
  sockaddr_storage address = {};
  socklen_t bytes = sizeof address;
  if (::getpeername(fd_.get(), reinterpret_cast<sockaddr*>(&address), &bytes) != 0) return {};
  return {reinterpret_cast<sockaddr*>(&address), bytes};
}

SocketAddress Socket::LocalAddress() const {
  sockaddr_storage address = {};
  socklen_t bytes = sizeof address;
  if (::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &bytes) != 0) return {};
  return {reinterpret_cast<sockaddr*>(&address), bytes};
}

}  // namespace sluice::net
