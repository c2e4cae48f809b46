#include "broker/net/socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/eventually.h"
#include "tests/support/kernel_faults.h"
#include "tests/support/socket_pair.h"

namespace sluice::net {
namespace {

using ::sluice::testing::ConnectedTcpPair;
using ::sluice::testing::Eventually;
using ::sluice::testing::ReadBytes;
using ::sluice::testing::Readiness;
using ::sluice::testing::ReadUntilEof;
using ::sluice::testing::RunWithCallFailingAtFirst;
using ::sluice::testing::RunWithFailingCall;
using ::sluice::testing::SocketPair;
using ::sluice::testing::SocketPairOptions;
using ::sluice::testing::WaitUntilReady;
using ::sluice::testing::WriteBytes;
using ::sluice::testing::WriteUntilFull;

IoResult Write(Socket* socket, std::string_view bytes) {
  const iovec piece = {const_cast<char*>(bytes.data()), bytes.size()};
  return socket->Write({&piece, 1});
}

struct ReadResult {
  IoResult io;
  std::string bytes;
};

ReadResult Read(Socket* socket, size_t room) {
  std::string bytes(room, '\0');
  const iovec piece = {bytes.data(), bytes.size()};
  const IoResult io = socket->Read({&piece, 1});
  bytes.resize(io.bytes);
  return {io, bytes};
}

std::string Pattern(size_t bytes) {
  std::string pattern(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) pattern[i] = static_cast<char>(i * 7 + i / 251);
  return pattern;
}

// Resets the connection from the client's side, and waits until the server's kernel knows.
void ResetByClient(SocketPair* pair) {
  pair->client.SetLingerZero();
  pair->client.Close();
  ASSERT_TRUE(WaitUntilReady(pair->server, Readiness::kReadable));
}

constexpr SocketPairOptions kSmall = {.server_send_buffer_bytes = 16 << 10,
                                      .client_receive_buffer_bytes = 16 << 10};

TEST(SocketReadTest, SaysWhenNothingHasArrived) {
  SocketPair pair = ConnectedTcpPair();
  const ReadResult result = Read(&pair.server, 10);
  EXPECT_EQ(result.io.status, IoStatus::kWouldBlock);
  EXPECT_EQ(result.io.bytes, 0u);
  EXPECT_EQ(result.io.error, 0);
}

TEST(SocketReadTest, FillsThePiecesInTheirOrder) {
  SocketPair pair = ConnectedTcpPair();
  WriteBytes(pair.client, "one, two, three");
  ASSERT_TRUE(WaitUntilReady(pair.server, Readiness::kReadable));
  std::string first(5, '\0');
  std::string second(100, '\0');
  const iovec pieces[] = {{first.data(), first.size()}, {nullptr, 0}, {second.data(), second.size()}};
  const IoResult result = pair.server.Read(pieces);
  EXPECT_EQ(result.status, IoStatus::kOk);
  EXPECT_EQ(result.bytes, 15u);
  EXPECT_EQ(first, "one, ");
  EXPECT_EQ(second.substr(0, 10), "two, three");
}

TEST(SocketReadTest, TheEndComesAfterEveryByteBeforeItAndStays) {
  SocketPair pair = ConnectedTcpPair();
  WriteBytes(pair.client, "last words");
  pair.client.ShutdownWrite();
  EXPECT_EQ(ReadBytes(pair.server, 10), "last words");
  ASSERT_TRUE(WaitUntilReady(pair.server, Readiness::kReadable));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Read(&pair.server, 10).io.status, IoStatus::kEof);
}

TEST(SocketReadTest, TheOtherDirectionOutlivesTheEndOfOne) {
  SocketPair pair = ConnectedTcpPair();
  pair.client.ShutdownWrite();
  EXPECT_EQ(ReadUntilEof(pair.server), "");
  WriteBytes(pair.server, "still here");
  EXPECT_EQ(ReadBytes(pair.client, 10), "still here");
}

TEST(SocketReadTest, AReadWithoutRoomIsNotTheEnd) {
  SocketPair pair = ConnectedTcpPair();
  pair.client.ShutdownWrite();
  ASSERT_TRUE(WaitUntilReady(pair.server, Readiness::kReadable));
  EXPECT_EQ(Read(&pair.server, 0).io.status, IoStatus::kOk);
  EXPECT_EQ(pair.server.Read({}).status, IoStatus::kOk);
  EXPECT_EQ(Read(&pair.server, 1).io.status, IoStatus::kEof);
}

TEST(SocketReadTest, TellsAResetFromAnEnd) {
  SocketPair pair = ConnectedTcpPair();
  ResetByClient(&pair);
  const ReadResult result = Read(&pair.server, 10);
  EXPECT_EQ(result.io.status, IoStatus::kReset);
  EXPECT_EQ(result.io.error, ECONNRESET);
}

TEST(SocketReadTest, TriesAgainWhenASignalComes) {
  SocketPair pair = ConnectedTcpPair();
  WriteBytes(pair.client, "hello");
  ASSERT_TRUE(WaitUntilReady(pair.server, Readiness::kReadable));
  const int calls = RunWithCallFailingAtFirst(SYS_recvmsg, EINTR, 3,
                                              [&] { EXPECT_EQ(Read(&pair.server, 10).bytes, "hello"); });
  EXPECT_EQ(calls, 4);
}

TEST(SocketReadTest, HandsOnOtherErrorsByTheirNumber) {
  SocketPair pair = ConnectedTcpPair();
  for (const int error : {ETIMEDOUT, EHOSTUNREACH, ENOMEM}) {
    RunWithFailingCall(SYS_recvmsg, error, [&] {
      const ReadResult result = Read(&pair.server, 10);
      EXPECT_EQ(result.io.status, IoStatus::kError);
      EXPECT_EQ(result.io.error, error);
    });
  }
}

TEST(SocketReadTest, LeavesPiecesBeyondTheKernelsNumberForTheNextCall) {
  SocketPair pair = ConnectedTcpPair();
  constexpr size_t kCount = kPiecesPerCallMax + 500;
  const std::string sent = Pattern(kCount);
  WriteBytes(pair.client, sent);
  // All of it has arrived once as many bytes can be peeked at.
  std::string peeked(kCount, '\0');
  ASSERT_TRUE(Eventually([&] {
    return ::recv(pair.server.fd(), peeked.data(), kCount, MSG_PEEK) == static_cast<ssize_t>(kCount);
  }));
  std::string received(kCount, '\0');
  std::vector<iovec> pieces;
  for (char& byte : received) pieces.push_back({&byte, 1});
  EXPECT_EQ(pair.server.Read(pieces).bytes, kPiecesPerCallMax);
  EXPECT_EQ(pair.server.Read(std::span(pieces).subspan(kPiecesPerCallMax)).bytes, 500u);
  EXPECT_EQ(received, sent);
}

TEST(SocketWriteTest, HandsOverThePiecesInTheirOrder) {
  SocketPair pair = ConnectedTcpPair();
  std::string texts[] = {"one, ", "", "two, ", "three"};
  std::vector<iovec> pieces;
  for (std::string& text : texts) pieces.push_back({text.data(), text.size()});
  const IoResult result = pair.server.Write(pieces);
  EXPECT_EQ(result.status, IoStatus::kOk);
  EXPECT_EQ(result.bytes, 15u);
  EXPECT_EQ(ReadBytes(pair.client, 15), "one, two, three");
}

TEST(SocketWriteTest, TakesWhatThereIsRoomForAndThenSaysThatItIsFull) {
  SocketPair pair = ConnectedTcpPair(kSmall);
  const std::string large = Pattern(1 << 20);
  const IoResult first = Write(&pair.server, large);
  EXPECT_EQ(first.status, IoStatus::kOk);
  EXPECT_GT(first.bytes, 0u);
  EXPECT_LT(first.bytes, large.size());
  const IoResult second = Write(&pair.server, std::string_view(large).substr(first.bytes));
  if (second.status == IoStatus::kOk) {  // the peer's window moved what the first had filled
    EXPECT_LT(first.bytes + second.bytes, large.size());
  } else {
    EXPECT_EQ(second.status, IoStatus::kWouldBlock);
    EXPECT_EQ(second.bytes, 0u);
    EXPECT_EQ(second.error, 0);
  }
}

TEST(SocketWriteTest, EveryByteArrivesOnceWhenWritesGoOnWhereTheKernelStopped) {
  SocketPair pair = ConnectedTcpPair(kSmall);
  const std::string large = Pattern(3 << 20);
  std::string received;
  std::thread reader([&] { received = ReadUntilEof(pair.client); });
  size_t sent = 0;
  size_t partial_writes = 0;
  while (sent < large.size()) {
    const IoResult result = Write(&pair.server, std::string_view(large).substr(sent));
    if (result.status == IoStatus::kWouldBlock) {
      if (!WaitUntilReady(pair.server, Readiness::kWritable)) break;
      continue;
    }
    if (result.status != IoStatus::kOk) break;
    sent += result.bytes;
    if (sent < large.size()) ++partial_writes;
  }
  pair.server.ShutdownWrite();
  reader.join();
  EXPECT_EQ(sent, large.size());
  EXPECT_GT(partial_writes, 0u);
  EXPECT_TRUE(received == large);
}

TEST(SocketWriteTest, LeavesPiecesBeyondTheKernelsNumberForTheNextCall) {
  SocketPair pair = ConnectedTcpPair();
  std::string sent = Pattern(3 * (kPiecesPerCallMax + 500));
  std::vector<iovec> pieces;
  for (size_t i = 0; i < sent.size(); i += 3) pieces.push_back({sent.data() + i, 3});
  const IoResult first = pair.server.Write(pieces);
  EXPECT_EQ(first.status, IoStatus::kOk);
  EXPECT_EQ(first.bytes, 3 * kPiecesPerCallMax);
  const IoResult second = pair.server.Write(std::span(pieces).subspan(kPiecesPerCallMax));
  EXPECT_EQ(second.bytes, 3 * 500u);
  EXPECT_EQ(ReadBytes(pair.client, sent.size()), sent);
}

TEST(SocketWriteTest, AfterAResetItFailsWithoutASignal) {
  ASSERT_EQ(std::signal(SIGPIPE, SIG_DFL), SIG_DFL);  // it would end this test
  SocketPair pair = ConnectedTcpPair();
  ResetByClient(&pair);
  for (int i = 0; i < 3; ++i) {
    const IoResult result = Write(&pair.server, "hello");
    EXPECT_EQ(result.status, IoStatus::kReset) << i;
    EXPECT_EQ(result.error, i == 0 ? ECONNRESET : EPIPE) << i;
  }
}

TEST(SocketWriteTest, TriesAgainWhenASignalComes) {
  SocketPair pair = ConnectedTcpPair();
  const int calls = RunWithCallFailingAtFirst(SYS_sendmsg, EINTR, 3,
                                              [&] { EXPECT_EQ(Write(&pair.server, "hello").bytes, 5u); });
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(ReadBytes(pair.client, 5), "hello");
}

TEST(SocketWriteTest, HandsOnOtherErrorsByTheirNumber) {
  SocketPair pair = ConnectedTcpPair();
  for (const int error : {ETIMEDOUT, ENOBUFS, EHOSTUNREACH}) {
    RunWithFailingCall(SYS_sendmsg, error, [&] {
      const IoResult result = Write(&pair.server, "hello");
      EXPECT_EQ(result.status, IoStatus::kError);
      EXPECT_EQ(result.error, error);
    });
  }
}

TEST(SocketTest, WithoutADescriptorEverythingFailsQuietly) {
  Socket nothing;
  EXPECT_FALSE(nothing);
  EXPECT_EQ(Write(&nothing, "x").status, IoStatus::kError);
  EXPECT_EQ(Read(&nothing, 1).io.error, EBADF);
  EXPECT_EQ(nothing.BytesAcked(), std::nullopt);
  EXPECT_FALSE(nothing.Progress().has_value());
  EXPECT_EQ(nothing.UnsentBytes(), 0u);
  EXPECT_EQ(nothing.PeerAddress().ToString(), "unknown");
  EXPECT_EQ(nothing.LocalAddress().ToString(), "unknown");
  nothing.ShutdownWrite();
  nothing.SetLingerZero();
  nothing.Close();
}

TEST(SocketTest, ForgetsThePeersAddressWhenTheConnectionIsGone) {
  SocketPair pair = ConnectedTcpPair();
  EXPECT_EQ(pair.server.PeerAddress().ToString(), pair.client.LocalAddress().ToString());
  ResetByClient(&pair);
  EXPECT_EQ(pair.server.PeerAddress().ToString(), "unknown");
}

// What the client's kernel has received, read by the client or not.
uint64_t Arrived(const SocketPair& pair, uint64_t read) {
  int waiting = 0;
  EXPECT_EQ(::ioctl(pair.client.fd(), FIONREAD, &waiting), 0);
  return read + static_cast<uint64_t>(waiting);
}

TEST(SocketProgressTest, TheBytesAcknowledgedFollowWhatThePeerMakesRoomFor) {
  // Ours holds many times what the peer's does.
  SocketPair pair =
      ConnectedTcpPair({.server_send_buffer_bytes = 128 << 10, .client_receive_buffer_bytes = 16 << 10});
  ASSERT_EQ(pair.server.BytesAcked(), 0u);
  const uint64_t written = WriteUntilFull(pair.server);
  // What the peer's buffer does not hold can only be acknowledged after the peer has read.
  ASSERT_TRUE(Eventually([&] { return pair.server.BytesAcked() > uint64_t{0}; }));
  uint64_t acked = *pair.server.BytesAcked();
  EXPECT_LE(acked, Arrived(pair, 0));
  EXPECT_LT(acked, written);
  uint64_t read = 0;
  while (read < written) {
    read += ReadBytes(pair.client, std::min<uint64_t>(4096, written - read)).size();
    const uint64_t now_acked = *pair.server.BytesAcked();
    EXPECT_GE(now_acked, acked);
    EXPECT_LE(now_acked, Arrived(pair, read));  // never ahead of what was received
    acked = now_acked;
  }
  EXPECT_TRUE(Eventually([&] { return pair.server.BytesAcked() == written; }));
}

TEST(SocketProgressTest, SaysThatThePeersWindowIsTheLimit) {
  SocketPair pair =
      ConnectedTcpPair({.server_send_buffer_bytes = 128 << 10, .client_receive_buffer_bytes = 16 << 10});
  std::optional<TcpProgress> progress = pair.server.Progress();
  ASSERT_TRUE(progress.has_value());  // or the kernel is older than 5.4
  EXPECT_EQ(progress->acked_bytes, 0u);
  EXPECT_EQ(progress->unsent_bytes, 0u);
  EXPECT_EQ(progress->receive_window_limited, absl::ZeroDuration());
  EXPECT_GT(progress->receive_window_bytes, 0u);
  EXPECT_GT(progress->segment_bytes_max, 0u);
  const uint64_t written = WriteUntilFull(pair.server);
  ASSERT_TRUE(
      Eventually([&] { return pair.server.Progress()->receive_window_limited > absl::Milliseconds(50); }));
  progress = pair.server.Progress();
  EXPECT_GE(progress->busy, progress->receive_window_limited);
  EXPECT_GT(progress->unsent_bytes, 0u);
  EXPECT_LT(progress->receive_window_bytes, progress->segment_bytes_max);
  EXPECT_EQ(progress->acked_bytes, *pair.server.BytesAcked());
  EXPECT_LE(progress->acked_bytes + progress->unsent_bytes, written);
}

TEST(SocketProgressTest, UnsentIsWhatWasWrittenAndNotAcknowledged) {
  SocketPair pair = ConnectedTcpPair();
  EXPECT_EQ(pair.server.UnsentBytes(), 0u);
  const uint64_t written = WriteUntilFull(pair.server);
  for (int i = 0; i < 100; ++i) {  // acknowledgements come in between
    const uint64_t acked_before = *pair.server.BytesAcked();
    const uint64_t unsent = pair.server.UnsentBytes();
    EXPECT_LE(unsent, written - acked_before);
    EXPECT_GE(unsent, written - *pair.server.BytesAcked());
  }
  EXPECT_EQ(ReadBytes(pair.client, written).size(), written);
  EXPECT_TRUE(Eventually([&] { return pair.server.UnsentBytes() == 0; }));
}

TEST(SocketProgressTest, OurEndCountsAsOneByteUntilItIsAcknowledged) {
  SocketPair pair = ConnectedTcpPair(kSmall);
  const uint64_t written = WriteUntilFull(pair.server);
  pair.server.ShutdownWrite();
  EXPECT_TRUE(
      Eventually([&] { return pair.server.UnsentBytes() == written + 1 - *pair.server.BytesAcked(); }));
  EXPECT_EQ(ReadUntilEof(pair.client).size(), written);
  EXPECT_TRUE(Eventually([&] { return pair.server.UnsentBytes() == 0; }));
}

TEST(SocketProgressTest, NothingIsUnsentToAPeerThatHasReset) {
  SocketPair pair = ConnectedTcpPair(kSmall);
  WriteUntilFull(pair.server);
  ASSERT_GT(pair.server.UnsentBytes(), 1u);
  ResetByClient(&pair);
  EXPECT_EQ(pair.server.UnsentBytes(), 0u);
}

// How the stream ends for a client that reads on: the bytes before it do not matter.
IoStatus EndOf(Socket* socket) {
  for (;;) {
    const ReadResult result = Read(socket, 64 << 10);
    if (result.io.status == IoStatus::kOk) continue;
    if (result.io.status != IoStatus::kWouldBlock) return result.io.status;
    if (!WaitUntilReady(*socket, Readiness::kReadable)) return IoStatus::kWouldBlock;
  }
}

TEST(SocketCloseTest, WithoutLingerTheKernelDeliversWhatWasWritten) {
  SocketPair pair = ConnectedTcpPair(kSmall);
  const size_t written = WriteUntilFull(pair.server);
  pair.server.Close();
  EXPECT_EQ(ReadBytes(pair.client, written).size(), written);
  EXPECT_EQ(EndOf(&pair.client), IoStatus::kEof);
}

TEST(SocketCloseTest, LingerZeroGivesThePeerAReset) {
  SocketPair pair = ConnectedTcpPair(kSmall);
  WriteUntilFull(pair.server);
  pair.server.SetLingerZero();
  pair.server.Close();
  EXPECT_EQ(EndOf(&pair.client), IoStatus::kReset);
}

int Option(const Socket& socket, int level, int option) {
  int value = -1;
  socklen_t bytes = sizeof value;
  EXPECT_EQ(::getsockopt(socket.fd(), level, option, &value, &bytes), 0);
  return value;
}

TEST(SocketOptionsTest, SetsWhatIsAskedFor) {
  SocketPair pair = ConnectedTcpPair();
  const absl::Status applied = pair.server.Apply({.nodelay = true,
                                                  .notsent_lowat_bytes = 200'000,
                                                  .send_buffer_bytes = 100'000,
                                                  .receive_buffer_bytes = 90'000,
                                                  .user_timeout = absl::Milliseconds(7500)});
  ASSERT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(Option(pair.server, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(Option(pair.server, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 200'000);
  EXPECT_EQ(Option(pair.server, SOL_SOCKET, SO_SNDBUF), 2 * 100'000);
  EXPECT_EQ(Option(pair.server, SOL_SOCKET, SO_RCVBUF), 2 * 90'000);
  EXPECT_EQ(Option(pair.server, IPPROTO_TCP, TCP_USER_TIMEOUT), 7500);
}

TEST(SocketOptionsTest, LeavesWhatIsNotAskedForAsTheKernelHasIt) {
  SocketPair pair = ConnectedTcpPair();
  const SocketPair untouched = ConnectedTcpPair();
  ASSERT_TRUE(pair.server.Apply({.nodelay = false}).ok());
  const struct {
    int level;
    int option;
  } options[] = {{IPPROTO_TCP, TCP_NODELAY},
                 {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
                 {SOL_SOCKET, SO_SNDBUF},
                 {SOL_SOCKET, SO_RCVBUF},
                 {IPPROTO_TCP, TCP_USER_TIMEOUT}};
  for (const auto& [level, option] : options) {
    EXPECT_EQ(Option(pair.server, level, option), Option(untouched.server, level, option)) << option;
  }
  EXPECT_EQ(Option(pair.server, IPPROTO_TCP, TCP_NODELAY), 0);
  ASSERT_TRUE(pair.server.Apply({}).ok());
  EXPECT_EQ(Option(pair.server, IPPROTO_TCP, TCP_NODELAY), 1);
}

TEST(SocketOptionsTest, RoundsTheTimeoutUpSoThatAShortOneIsNotNone) {
  SocketPair pair = ConnectedTcpPair();
  ASSERT_TRUE(pair.server.Apply({.user_timeout = absl::Microseconds(1200)}).ok());
  EXPECT_EQ(Option(pair.server, IPPROTO_TCP, TCP_USER_TIMEOUT), 2);
  ASSERT_TRUE(pair.server.Apply({.user_timeout = absl::Nanoseconds(1)}).ok());
  EXPECT_EQ(Option(pair.server, IPPROTO_TCP, TCP_USER_TIMEOUT), 1);
  ASSERT_TRUE(pair.server.Apply({.user_timeout = absl::InfiniteDuration()}).ok());
  EXPECT_EQ(Option(pair.server, IPPROTO_TCP, TCP_USER_TIMEOUT), std::numeric_limits<int>::max());
}

TEST(SocketOptionsTest, TakesTheLargestNumberForWhatTheKernelCannotCount) {
  SocketPair pair = ConnectedTcpPair();
  ASSERT_TRUE(pair.server.Apply({.notsent_lowat_bytes = std::numeric_limits<uint32_t>::max()}).ok());
  EXPECT_EQ(Option(pair.server, IPPROTO_TCP, TCP_NOTSENT_LOWAT), std::numeric_limits<int>::max());
}

TEST(SocketOptionsTest, NamesTheOptionThatTheKernelRefuses) {
  int pair[2] = {-1, -1};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
  Socket local{FileDescriptor(pair[0])};
  const FileDescriptor peer(pair[1]);
  const struct {
    SocketOptions options;
    const char* name;
  } cases[] = {{{.nodelay = true}, "TCP_NODELAY: "},
               {{.nodelay = false, .notsent_lowat_bytes = 1}, "TCP_NOTSENT_LOWAT: "},
               {{.nodelay = false, .user_timeout = absl::Seconds(1)}, "TCP_USER_TIMEOUT: "}};
  for (const auto& [options, name] : cases) {
    EXPECT_THAT(std::string(local.Apply(options).message()), ::testing::StartsWith(name));
  }
  Socket nothing;
  EXPECT_THAT(std::string(nothing.Apply({.nodelay = false, .send_buffer_bytes = 1}).message()),
              ::testing::StartsWith("SO_SNDBUF: "));
  EXPECT_THAT(std::string(nothing.Apply({.nodelay = false, .receive_buffer_bytes = 1}).message()),
              ::testing::StartsWith("SO_RCVBUF: "));
}

struct Hidden {
  size_t bytes = 0;  // taken by the kernels for a peer that does not read, before ours said that it is full
  int unsent_bytes = 0;  // of these, not on the way yet
};

Hidden HiddenBytes(uint32_t notsent_lowat_bytes) {
  SocketPair pair = ConnectedTcpPair();
  EXPECT_TRUE(pair.server.Apply({.notsent_lowat_bytes = notsent_lowat_bytes}).ok());
  Hidden hidden = {.bytes = WriteUntilFull(pair.server), .unsent_bytes = 0};
  EXPECT_EQ(::ioctl(pair.server.fd(), SIOCOUTQNSD, &hidden.unsent_bytes), 0);
  return hidden;
}

TEST(SocketOptionsTest, AnUnsentLimitBoundsWhatAPeerThatDoesNotReadHides) {
  const Hidden by_default = HiddenBytes(0);
  const Hidden with_256_kib = HiddenBytes(256 << 10);
  const Hidden with_128_kib = HiddenBytes(128 << 10);
  RecordProperty("hidden_by_default", std::to_string(by_default.bytes));
  RecordProperty("hidden_with_256_kib", std::to_string(with_256_kib.bytes));
  RecordProperty("hidden_with_128_kib", std::to_string(with_128_kib.bytes));
  EXPECT_GE(with_128_kib.bytes, 128u << 10);
  EXPECT_LT(with_128_kib.bytes, with_256_kib.bytes);
  EXPECT_LT(with_256_kib.bytes, by_default.bytes);
  // The kernel looks before it takes another packet's worth (at most 64 KiB).
  EXPECT_LE(with_256_kib.unsent_bytes, 320 << 10);
  EXPECT_LE(with_128_kib.unsent_bytes, 192 << 10);
}

}  // namespace
}  // namespace sluice::net
