#include "tests/client/fake_broker.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "client/clock.h"
#include "protocol/frame.h"

namespace sluice {
namespace {

using client::DeadlineIn;
using client::MonotonicNow;

bool WaitReadable(int fd, absl::Time deadline) {
  for (;;) {
    const absl::Duration left = deadline - MonotonicNow();
    pollfd entry = {fd, POLLIN, 0};
    const int ready =
        ::poll(&entry, 1, static_cast<int>(std::max<int64_t>(0, absl::ToInt64Milliseconds(left))));
    if (ready != 0 || left <= absl::ZeroDuration()) return ready > 0;
  }
}

}  // namespace

// ---- session ----

std::optional<v1::ClientFrame> FakeSession::ReadWithin(absl::Duration patience) {
  const absl::Time deadline = DeadlineIn(patience);
  for (;;) {
    const std::string_view rest = std::string_view(received_).substr(taken_);
    const FramePrefix prefix = ReadFramePrefix(rest);
    if (prefix.status == FramePrefixStatus::kComplete && rest.size() >= prefix.frame_bytes()) {
      v1::ClientFrame frame;
      EXPECT_TRUE(
          frame.ParseFromArray(received_.data() + prefix.prefix_bytes, static_cast<int>(prefix.body_bytes)));
      received_.erase(0, prefix.frame_bytes());
      return frame;
    }
    if (!WaitReadable(fd_, deadline)) return std::nullopt;
    char bytes[65536];
    const ssize_t got = ::recv(fd_, bytes, sizeof bytes, 0);
    if (got <= 0) return std::nullopt;
    received_.erase(0, std::exchange(taken_, 0));
    received_.append(bytes, static_cast<size_t>(got));
  }
}

v1::ClientFrame FakeSession::Read() {
  std::optional<v1::ClientFrame> frame = ReadWithin(kPatience);
  EXPECT_TRUE(frame) << "the client sent nothing";
  return frame.value_or(v1::ClientFrame());
}

v1::ClientFrame FakeSession::ReadBusiness() {
  for (;;) {
    v1::ClientFrame frame = Read();
    if (frame.has_ping()) {
      Pong(frame.ping().id());
    } else if (!frame.has_pong()) {
      return frame;
    }
  }
}

void FakeSession::ExpectEnd() {
  for (;;) {
    const std::optional<v1::ClientFrame> frame = ReadWithin(kPatience);
    if (!frame) break;
    EXPECT_TRUE(frame->has_ping() || frame->has_pong()) << "frame " << frame->frame_case();
  }
  EXPECT_EQ(taken_, received_.size()) << "it ended in the middle of a frame";
  char byte;
  EXPECT_EQ(::recv(fd_, &byte, 1, MSG_DONTWAIT), 0) << "it has not ended";
}

void FakeSession::WriteBytes(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    ASSERT_GT(sent, 0) << "the client is gone";
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

std::string FakeSession::Bytes(const v1::ServerFrame& frame) {
  std::string bytes;
  AppendFrame(frame, &bytes);
  return bytes;
}

void FakeSession::Write(const v1::ServerFrame& frame) { WriteBytes(Bytes(frame)); }

v1::Connected FakeSession::DefaultConnected() {
  v1::Connected connected;
  connected.set_protocol_version(1);
  connected.set_session_id("session-id-bytes");
  connected.set_inbox("$inbox.me");
  connected.set_broker("fake");
  v1::ServerLimits& limits = *connected.mutable_limits();
  limits.set_payload_bytes_max(1 << 20);
  limits.set_headers_bytes_max(16 << 10);
  limits.set_subscriptions_max(100);
  limits.set_topic_bytes_max(255);
  limits.set_ping_interval_ms(30000);
  return connected;
}

v1::Connect FakeSession::Welcome(const v1::Connected& connected) {
  const v1::ClientFrame hello = Read();
  EXPECT_TRUE(hello.has_connect()) << "frame " << hello.frame_case();
  v1::ServerFrame frame;
  *frame.mutable_connected() = connected;
  Write(frame);
  return hello.connect();
}

void FakeSession::Subscribed(uint32_t subscription) {
  v1::ServerFrame frame;
  frame.mutable_subscribed()->set_subscription(subscription);
  Write(frame);
}

void FakeSession::Delivery(uint32_t subscription) {
  v1::ServerFrame frame;
  frame.mutable_delivery()->set_subscription(subscription);
  Write(frame);
}

void FakeSession::Message(std::string_view topic, std::string_view payload, std::string_view reply_to) {
  v1::ServerFrame frame;
  frame.mutable_message()->set_topic(topic.data(), topic.size());
  frame.mutable_message()->set_payload(payload.data(), payload.size());
  frame.mutable_message()->set_reply_to(reply_to.data(), reply_to.size());
  Write(frame);
}

void FakeSession::Unsubscribed(uint32_t subscription, v1::Reason reason, uint64_t offered) {
  v1::ServerFrame frame;
  frame.mutable_unsubscribed()->set_subscription(subscription);
  frame.mutable_unsubscribed()->set_reason(reason);
  frame.mutable_unsubscribed()->set_offered(offered);
  Write(frame);
}

void FakeSession::Gap(uint32_t subscription, uint64_t messages, uint64_t offered) {
  v1::ServerFrame frame;
  frame.mutable_gap()->set_subscription(subscription);
  frame.mutable_gap()->set_messages(messages);
  frame.mutable_gap()->set_bytes(10 * messages);
  frame.mutable_gap()->set_cause(v1::GAP_CAUSE_DROPPED);
  frame.mutable_gap()->set_offered(offered);
  Write(frame);
}

void FakeSession::Ack(uint64_t id, uint64_t up_to, uint64_t messages, uint64_t matched, uint64_t refused) {
  v1::ServerFrame frame;
  frame.mutable_publish_ack()->set_id(id);
  frame.mutable_publish_ack()->set_up_to(up_to);
  frame.mutable_publish_ack()->set_messages(messages);
  frame.mutable_publish_ack()->set_matched(matched);
  frame.mutable_publish_ack()->set_queued(matched);
  frame.mutable_publish_ack()->set_refused(refused);
  Write(frame);
}

void FakeSession::Pong(uint64_t id) {
  v1::ServerFrame frame;
  frame.mutable_server_pong()->set_id(id);
  Write(frame);
}

void FakeSession::Error(v1::ErrorCode code, uint32_t subscription, uint64_t publish) {
  v1::ServerFrame frame;
  frame.mutable_error()->set_code(code);
  frame.mutable_error()->set_text("says the fake");
  frame.mutable_error()->set_subscription(subscription);
  frame.mutable_error()->set_publish(publish);
  Write(frame);
}

void FakeSession::Goodbye(const v1::Goodbye& goodbye) {
  v1::ServerFrame frame;
  *frame.mutable_goodbye() = goodbye;
  Write(frame);
}

void FakeSession::Close() {
  if (fd_ < 0) return;
  // Unread bytes would turn the close into a reset.
  ::shutdown(fd_, SHUT_WR);
  char bytes[65536];
  while (::recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
  }
  ::close(fd_);
  fd_ = -1;
}

void FakeSession::Reset() {
  const linger now = {.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(fd_);
  fd_ = -1;
}

void FakeSession::ShrinkReceiveBuffer() {
  const int bytes = 64 << 10;
  EXPECT_EQ(::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
}

size_t FakeSession::UnreadBytes() {
  int bytes = 0;
  EXPECT_EQ(::ioctl(fd_, FIONREAD, &bytes), 0);
  return static_cast<size_t>(bytes);
}

// ---- broker ----

FakeBroker::FakeBroker() {
  // The port is drawn by one socket and taken by another, which names it: only so does it stay taken while
  // nobody listens, and no other process can be found behind it.
  const int draw = Bind(0);
  fd_ = Bind(PortOf(draw));
  port_ = PortOf(fd_);
  ::close(draw);
  ListenAgain();
}

FakeBroker::~FakeBroker() { ::close(fd_); }

int FakeBroker::Bind(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  EXPECT_EQ(::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

uint16_t FakeBroker::PortOf(int fd) {
  sockaddr_in address = {};
  socklen_t bytes = sizeof address;
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes), 0);
  return ntohs(address.sin_port);
}

std::string FakeBroker::url() const { return "sluice://127.0.0.1:" + std::to_string(port_); }

void FakeBroker::ListenAgain() { EXPECT_EQ(::listen(fd_, 10), 0); }

void FakeBroker::StopListening() { EXPECT_EQ(::shutdown(fd_, SHUT_RD), 0); }

std::unique_ptr<FakeSession> FakeBroker::Accept() {
  std::unique_ptr<FakeSession> session = AcceptWithin(kPatience);
  EXPECT_NE(session, nullptr) << "no client came";
  return session;
}

std::unique_ptr<FakeSession> FakeBroker::AcceptWithin(absl::Duration patience) {
  if (!WaitReadable(fd_, DeadlineIn(patience))) return nullptr;
  const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
  EXPECT_GE(fd, 0);
  return std::make_unique<FakeSession>(fd);
}

}  // namespace sluice
