#include "client/tcp_stream.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "tests/client/fake_broker.h"

namespace sluice::client {
namespace {

using ::testing::HasSubstr;

TcpAddress Loopback(uint16_t port) {
  const absl::StatusOr<std::vector<TcpAddress>> addresses = Resolve({.host = "127.0.0.1", .port = port});
  EXPECT_TRUE(addresses.ok()) << addresses.status();
  return addresses->front();
}

IoResult Connect(TcpStream* stream, const TcpAddress& address) {
  const IoResult begun = stream->StartConnect(address);
  if (begun.status != IoStatus::kWouldBlock) return begun;
  pollfd ready = {stream->fd(), POLLOUT, 0};
  EXPECT_EQ(::poll(&ready, 1, 60000), 1);
  return stream->FinishConnect();
}

void WaitFor(const TcpStream& stream, short events) {
  pollfd ready = {stream.fd(), events, 0};
  EXPECT_EQ(::poll(&ready, 1, 60000), 1);
}

TEST(TcpStreamTest, MovesBytesBothWaysAndSeesTheEnd) {
  FakeBroker server;
  TcpStream stream;
  ASSERT_EQ(Connect(&stream, Loopback(server.port())).status, IoStatus::kOk);
  const std::unique_ptr<FakeSession> session = server.Accept();

  char room[100];
  EXPECT_EQ(stream.Read(room).status, IoStatus::kWouldBlock);
  session->WriteBytes("hello");
  WaitFor(stream, POLLIN);
  const IoResult got = stream.Read(room);
  ASSERT_EQ(got.status, IoStatus::kOk);
  EXPECT_EQ(std::string(room, got.bytes), "hello");

  // An empty ClientFrame, in two pieces.
  char bytes[] = "\x02\x32\x00";
  const iovec pieces[] = {{bytes, 1}, {bytes + 1, 2}};
  const IoResult sent = stream.Write(pieces);
  ASSERT_EQ(sent.status, IoStatus::kOk);
  EXPECT_EQ(sent.bytes, 3u);
  EXPECT_TRUE(session->Read().has_ping());
  EXPECT_GE(stream.BytesAcked().value_or(0), 0u);

  stream.ShutdownWrite();
  session->ExpectEnd();
  session->Close();
  WaitFor(stream, POLLIN);
  EXPECT_EQ(stream.Read(room).status, IoStatus::kEof);
}

TEST(TcpStreamTest, TakesWhatTheKernelTakesAndSaysWhenThatIsNothing) {
  FakeBroker server;
  TcpStream stream;
  ASSERT_EQ(Connect(&stream, Loopback(server.port())).status, IoStatus::kOk);
  const std::unique_ptr<FakeSession> session = server.Accept();
  std::string bytes(16 << 20, 'x');
  const iovec piece = {bytes.data(), bytes.size()};
  IoResult result = stream.Write({&piece, 1});
  ASSERT_EQ(result.status, IoStatus::kOk);
  EXPECT_LT(result.bytes, bytes.size());
  while (result.status == IoStatus::kOk) result = stream.Write({&piece, 1});
  EXPECT_EQ(result.status, IoStatus::kWouldBlock);
}

TEST(TcpStreamTest, SaysThatThePeerIsGone) {
  FakeBroker server;
  TcpStream stream;
  ASSERT_EQ(Connect(&stream, Loopback(server.port())).status, IoStatus::kOk);
  server.Accept()->Reset();
  WaitFor(stream, POLLIN);
  char room[10];
  const IoResult read = stream.Read(room);
  EXPECT_EQ(read.status, IoStatus::kError);
  EXPECT_EQ(read.error, ECONNRESET);
  // Without a signal.
  const iovec piece = {room, sizeof room};
  EXPECT_EQ(stream.Write({&piece, 1}).status, IoStatus::kError);
}

TEST(TcpStreamTest, SaysThatNobodyListens) {
  FakeBroker server;
  server.StopListening();
  TcpStream stream;
  const IoResult result = Connect(&stream, Loopback(server.port()));
  EXPECT_EQ(result.status, IoStatus::kError);
  EXPECT_EQ(result.error, ECONNREFUSED);
}

TEST(TcpStreamTest, SaysThatThereIsNoSuchHost) {
  const absl::Status status = Resolve({.host = "no-such-host.invalid", .port = 1}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no-such-host.invalid:1: cannot find the host"));
}

TEST(TcpStreamTest, NeverConnectsToItself) {
  // A port from which the system makes outgoing connections; in time it draws it for our end, too.
  uint16_t port = 0;
  {
    FakeBroker server;
    TcpStream stream;
    ASSERT_EQ(Connect(&stream, Loopback(server.port())).status, IoStatus::kOk);
    const std::unique_ptr<FakeSession> session = server.Accept();
    sockaddr_in own = {};
    socklen_t bytes = sizeof own;
    ASSERT_EQ(::getsockname(stream.fd(), reinterpret_cast<sockaddr*>(&own), &bytes), 0);
    port = ntohs(own.sin_port);
    session->Reset();
  }
  const TcpAddress address = Loopback(port);
  for (int i = 0; i < 40000; ++i) {
    TcpStream stream;
    ASSERT_EQ(Connect(&stream, address).status, IoStatus::kError);
  }
}

}  // namespace
}  // namespace sluice::client
