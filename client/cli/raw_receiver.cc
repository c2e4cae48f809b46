#include "client/cli/raw_receiver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <system_error>
#include <utility>

#include "client/cli/event.h"
#include "client/clock.h"
#include "protocol/frame.h"
#include "protocol/names.h"

namespace sluice::cli {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr size_t kReadBytes = 64 << 10;
constexpr uint32_t kSubscription = 1;

absl::Status ErrorStatus(const char* what) {
  return absl::UnavailableError(fmt::format("{}: {}", what, std::generic_category().message(errno)));
}

absl::StatusOr<sockaddr_in> ParseAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in parsed = {};
  parsed.sin_family = AF_INET;
  uint16_t port = 0;
  const char* end = address.data() + address.size();
  if (colon == std::string::npos ||
      ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &parsed.sin_addr) != 1 ||
      std::from_chars(address.data() + colon + 1, end, port).ptr != end) {
    return absl::InvalidArgumentError(fmt::format("'{}' is not IP:PORT", address));
  }
  parsed.sin_port = htons(port);
  return parsed;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RawReceiver>> RawReceiver::Connect(const std::string& address,
                                                                  const std::string& name,
                                                                  int receive_buffer_bytes) {
  const absl::StatusOr<sockaddr_in> to = ParseAddress(address);
  if (!to.ok()) return to.status();
  Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return ErrorStatus("cannot create a socket");
  // Before connecting: the window that the other side sees is agreed on then.
  if (receive_buffer_bytes > 0) {
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
  }
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*to), sizeof *to) != 0) {
    return ErrorStatus("cannot connect");
  }
  ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  std::unique_ptr<RawReceiver> receiver(new RawReceiver(std::move(socket)));
  v1::ClientFrame frame;
  frame.mutable_connect()->set_protocol_version(kProtocolVersion);
  frame.mutable_connect()->set_client_name(name);
  frame.mutable_connect()->set_client_library("sluice demo");
  absl::Status status = receiver->Send(frame);
  if (status.ok()) status = receiver->ReadUntil([&] { return receiver->connected_; }, "Connected");
  if (!status.ok()) return status;
  return receiver;
}

absl::Status RawReceiver::Subscribe(v1::Subscribe subscribe) {
  v1::ClientFrame frame;
  subscribe.set_subscription(kSubscription);
  *frame.mutable_subscribe() = std::move(subscribe);
  absl::Status status = Send(frame);
  return status.ok() ? ReadUntil([this] { return subscribed_; }, "Subscribed") : status;
}

absl::Status RawReceiver::Unsubscribe() {
  v1::ClientFrame frame;
  frame.mutable_unsubscribe()->set_subscription(kSubscription);
  return Send(frame);
}

absl::Status RawReceiver::Send(const v1::ClientFrame& frame) {
  std::string bytes;
  AppendFrame(frame, &bytes);
  // A few bytes into an empty send buffer: they fit.
  const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  return sent == static_cast<ssize_t>(bytes.size()) ? absl::OkStatus() : ErrorStatus("cannot send");
}

template <typename Arrived>
absl::Status RawReceiver::ReadUntil(Arrived arrived, const char* what) {
  const absl::Time deadline = client::DeadlineIn(kPatience);
  while (!arrived()) {
    if (ended_) return absl::UnavailableError(fmt::format("the broker closed before it said {}", what));
    if (WaitFor({socket_.get()}, deadline).none()) {
      return absl::DeadlineExceededError(fmt::format("the broker did not say {} in time", what));
    }
    if (const absl::StatusOr<uint64_t> read = Read(kReadBytes); !read.ok()) return read.status();
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> RawReceiver::Read(uint64_t bytes_max) {
  std::array<char, kReadBytes> buffer;
  uint64_t total = 0;
  while (total < bytes_max && !ended_) {
    const size_t wanted = std::min<uint64_t>(buffer.size(), bytes_max - total);
    const ssize_t got = ::recv(socket_.get(), buffer.data(), wanted, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    // After it has cut us, the broker may reset what it still had to say.
    if (got < 0 && errno != ECONNRESET) return ErrorStatus("cannot read");
    if (got <= 0) {
      ended_ = true;
      break;
    }
    total += static_cast<uint64_t>(got);
    received_.append(buffer.data(), static_cast<size_t>(got));
  }
  bytes_read_ += total;
  if (absl::Status status = TakeFrames(); !status.ok()) return status;
  return total;
}

absl::Status RawReceiver::TakeFrames() {
  size_t taken = 0;
  for (;;) {
    const std::string_view rest = std::string_view(received_).substr(taken);
    const FramePrefix prefix = ReadFramePrefix(rest);
    if (prefix.status == FramePrefixStatus::kBad)
      return absl::DataLossError("the broker sent what is no frame");
    if (prefix.status == FramePrefixStatus::kIncomplete || rest.size() < prefix.frame_bytes()) break;
    if (absl::Status status = TakeFrame(rest.substr(prefix.prefix_bytes, prefix.body_bytes)); !status.ok())
      return status;
    taken += prefix.frame_bytes();
  }
  received_.erase(0, taken);
  return absl::OkStatus();
}

absl::Status RawReceiver::TakeFrame(std::string_view body) {
  v1::ServerFrame frame;
  if (!frame.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return absl::DataLossError("the broker sent what is no frame of this protocol");
  }
  switch (frame.frame_case()) {
    case v1::ServerFrame::kConnected:
      connected_ = true;
      break;
    case v1::ServerFrame::kSubscribed:
      subscribed_ = true;
      break;
    case v1::ServerFrame::kMessage:
    case v1::ServerFrame::kGap:
      stream_.push_back(std::move(frame));
      break;
    case v1::ServerFrame::kUnsubscribed:
      unsubscribed_ = frame.unsubscribed();
      break;
    case v1::ServerFrame::kError:
      return absl::FailedPreconditionError(frame.error().text());
    case v1::ServerFrame::kGoodbye:
      goodbye_ = frame.goodbye();
      break;
    case v1::ServerFrame::kServerPing: {
      v1::ClientFrame pong;
      pong.mutable_pong()->set_id(frame.server_ping().id());
      return Send(pong);
    }
    default:
      break;
  }
  return absl::OkStatus();
}

}  // namespace sluice::cli
