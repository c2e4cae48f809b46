#include "broker/net/listener_socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "tests/support/kernel_faults.h"
#include "tests/support/socket_pair.h"

namespace sluice::net {
namespace {

using ::sluice::testing::ConnectTo;
using ::sluice::testing::DescriptorLimit;
using ::sluice::testing::ReadBytes;
using ::sluice::testing::Readiness;
using ::sluice::testing::ReadUntilEof;
using ::sluice::testing::RunWithCallFailingAtFirst;
using ::sluice::testing::RunWithFailingCall;
using ::sluice::testing::WaitUntilReady;
using ::sluice::testing::WriteBytes;

ListenerSocket ListenOn(const HostPort& where) {
  absl::StatusOr<ListenerSocket> listener = ListenerSocket::Listen(where, kBacklogDefault);
  EXPECT_TRUE(listener.ok()) << listener.status();
  return *std::move(listener);
}

ListenerSocket Loopback() { return ListenOn({"127.0.0.1", 0}); }

// After the client's connect() it takes a moment until the listener has the connection.
void WaitForSomebody(const ListenerSocket& listener) {
  pollfd ready = {.fd = listener.fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&ready, 1, 120'000), 1);
}

AcceptResult AcceptSoon(ListenerSocket* listener) {
  WaitForSomebody(*listener);
  return listener->Accept();
}

// For tests that give a port up and take it again, which another process may do first.
template <typename Round>
bool SucceedsInOneOfTenRounds(Round round) {
  for (int i = 0; i < 10; ++i) {
    if (round()) return true;
  }
  return false;
}

std::string Text(const absl::Status& status) { return std::string(status.message()); }

TEST(ListenerSocketTest, SaysWhichPortTheKernelChose) {
  ListenerSocket listener = Loopback();
  EXPECT_NE(listener.port(), 0);
  EXPECT_EQ(listener.address().ToString(), fmt::format("127.0.0.1:{}", listener.port()));
  const Socket client = ConnectTo(listener.port());
  EXPECT_EQ(AcceptSoon(&listener).status, AcceptStatus::kAccepted);
}

TEST(ListenerSocketTest, TakesThePortThatWasAskedFor) {
  EXPECT_TRUE(SucceedsInOneOfTenRounds([] {
    const uint16_t port = Loopback().port();  // free again at once
    const absl::StatusOr<ListenerSocket> again = ListenerSocket::Listen({"127.0.0.1", port}, kBacklogDefault);
    return again.ok() && again->port() == port;
  }));
}

TEST(ListenerSocketTest, HandsOutConnectionsThatNeitherBlockNorLeakIntoChildren) {
  ListenerSocket listener = Loopback();
  Socket client = ConnectTo(listener.port());
  AcceptResult accepted = AcceptSoon(&listener);
  ASSERT_EQ(accepted.status, AcceptStatus::kAccepted);
  EXPECT_EQ(accepted.error, 0);
  EXPECT_TRUE(::fcntl(accepted.socket.fd(), F_GETFL) & O_NONBLOCK);
  EXPECT_TRUE(::fcntl(accepted.socket.fd(), F_GETFD) & FD_CLOEXEC);
  EXPECT_TRUE(::fcntl(listener.fd(), F_GETFD) & FD_CLOEXEC);
  WriteBytes(client, "hello");
  EXPECT_EQ(ReadBytes(accepted.socket, 5), "hello");
}

TEST(ListenerSocketTest, SaysWhoHasConnected) {
  ListenerSocket listener = Loopback();
  const Socket client = ConnectTo(listener.port());
  const AcceptResult accepted = AcceptSoon(&listener);
  EXPECT_EQ(accepted.peer.ToString(), client.LocalAddress().ToString());
  EXPECT_EQ(accepted.socket.PeerAddress().ToString(), client.LocalAddress().ToString());
  EXPECT_EQ(accepted.socket.LocalAddress().ToString(), listener.address().ToString());
}

TEST(ListenerSocketTest, SaysWhenNobodyWaits) {
  ListenerSocket listener = Loopback();
  const AcceptResult result = listener.Accept();
  EXPECT_EQ(result.status, AcceptStatus::kWouldBlock);
  EXPECT_EQ(result.error, 0);
  EXPECT_FALSE(result.socket);
}

TEST(ListenerSocketTest, HandsOutEveryoneWhoWaitsAndThenSaysThatNobodyDoes) {
  ListenerSocket listener = Loopback();
  std::vector<Socket> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(ConnectTo(listener.port()));
  for (int i = 0; i < 20; ++i) ASSERT_EQ(AcceptSoon(&listener).status, AcceptStatus::kAccepted) << i;
  EXPECT_EQ(listener.Accept().status, AcceptStatus::kWouldBlock);
}

TEST(ListenerSocketTest, RefusesAPortThatSomebodyListensOn) {
  const ListenerSocket first = Loopback();
  const absl::StatusOr<ListenerSocket> second =
      ListenerSocket::Listen({"127.0.0.1", first.port()}, kBacklogDefault);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Text(second.status()),
            fmt::format("cannot listen on 127.0.0.1:{}: address already in use", first.port()));
}

TEST(ListenerSocketTest, TakesAPortWhoseConnectionsLingerFromBefore) {
  EXPECT_TRUE(SucceedsInOneOfTenRounds([] {
    uint16_t port = 0;
    {
      ListenerSocket listener = Loopback();
      port = listener.port();
      Socket client = ConnectTo(port);
      AcceptResult accepted = AcceptSoon(&listener);
      accepted.socket.Close();  // who closes first keeps the port in TIME_WAIT
      EXPECT_EQ(ReadUntilEof(client), "");
    }
    return ListenerSocket::Listen({"127.0.0.1", port}, kBacklogDefault).ok();
  }));
}

TEST(ListenerSocketTest, RefusesAnAddressThatThisMachineDoesNotHave) {
  // A documentation address (RFC 5737): nobody has it.
  const absl::Status status = ListenerSocket::Listen({"198.51.100.77", 7584}, kBacklogDefault).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Text(status), "cannot listen on 198.51.100.77:7584: cannot assign requested address");
}

TEST(ListenerSocketTest, RefusesAHostThatDoesNotExist) {
  const absl::Status status = ListenerSocket::Listen({"no..such..host", 7584}, kBacklogDefault).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Text(status),
              ::testing::StartsWith("cannot listen on no..such..host:7584: cannot resolve no..such..host: "));
}

TEST(ListenerSocketTest, SaysWhenItIsNotPermitted) {
  RunWithFailingCall(SYS_bind, EACCES, [] {
    const absl::Status status = ListenerSocket::Listen({"127.0.0.1", 80}, kBacklogDefault).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(Text(status), "cannot listen on 127.0.0.1:80: permission denied");
  });
}

TEST(ListenerSocketTest, SaysWhenThereIsNoDescriptorForIt) {
  const DescriptorLimit limit;
  EXPECT_EQ(ListenerSocket::Listen({"127.0.0.1", 0}, kBacklogDefault).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(ListenerSocketTest, TriesTheNextAddressOfAHostWhoseFirstThisMachineDoesNotHave) {
  // A machine without IPv6: the first socket of its kind is refused. What matters is that this is not final.
  const int calls = RunWithCallFailingAtFirst(SYS_bind, EADDRNOTAVAIL, 1, [] {
    const absl::StatusOr<std::vector<SocketAddress>> addresses = Resolve({"localhost", 0});
    ASSERT_TRUE(addresses.ok());
    const absl::StatusOr<ListenerSocket> listener = ListenerSocket::Listen({"localhost", 0}, kBacklogDefault);
    EXPECT_EQ(listener.ok(), addresses->size() > 1);
  });
  EXPECT_GE(calls, 1);
}

TEST(ListenerSocketTest, ListensForBothFamiliesOnTheUnspecifiedIpv6Address) {
  const absl::StatusOr<ListenerSocket> ipv6 = ListenerSocket::Listen({"::1", 0}, kBacklogDefault);
  if (!ipv6.ok()) GTEST_SKIP() << "no IPv6 here: " << ipv6.status();
  EXPECT_EQ(ipv6->address().ToString(), fmt::format("[::1]:{}", ipv6->port()));

  ListenerSocket listener = ListenOn({"::", 0});
  const Socket client = ConnectTo(listener.port());
  const AcceptResult accepted = AcceptSoon(&listener);
  ASSERT_EQ(accepted.status, AcceptStatus::kAccepted);
  EXPECT_EQ(accepted.peer.ToString(), client.LocalAddress().ToString());
}

TEST(ListenerSocketTest, SortsTheKernelsErrors) {
  const struct {
    int error;
    AcceptStatus status;
  } cases[] = {
      {ECONNABORTED, AcceptStatus::kAborted},
      {EPROTO, AcceptStatus::kAborted},
      {EPERM, AcceptStatus::kAborted},
      {ENETDOWN, AcceptStatus::kAborted},
      {EHOSTUNREACH, AcceptStatus::kAborted},
      {ETIMEDOUT, AcceptStatus::kAborted},
      {EMFILE, AcceptStatus::kOutOfDescriptors},
      {ENFILE, AcceptStatus::kOutOfDescriptors},
      {ENOMEM, AcceptStatus::kOutOfMemory},
      {ENOBUFS, AcceptStatus::kOutOfMemory},
      {EBADF, AcceptStatus::kError},
      {EINVAL, AcceptStatus::kError},
  };
  ListenerSocket listener = Loopback();
  for (const auto& expected : cases) {
    RunWithFailingCall(SYS_accept4, expected.error, [&] {
      const AcceptResult result = listener.Accept();
      EXPECT_EQ(result.status, expected.status) << expected.error;
      EXPECT_EQ(result.error, expected.error);
      EXPECT_FALSE(result.socket);
    });
  }
  // None of them has spoilt anything.
  const Socket client = ConnectTo(listener.port());
  EXPECT_EQ(AcceptSoon(&listener).status, AcceptStatus::kAccepted);
}

TEST(ListenerSocketTest, TriesAgainWhenASignalComes) {
  ListenerSocket listener = Loopback();
  const int calls = RunWithCallFailingAtFirst(
      SYS_accept4, EINTR, 3, [&] { EXPECT_EQ(listener.Accept().status, AcceptStatus::kWouldBlock); });
  EXPECT_EQ(calls, 4);
}

TEST(ListenerSocketTest, SurvivesAClientThatIsGoneBeforeItIsAccepted) {
  ListenerSocket listener = Loopback();
  {
    Socket client = ConnectTo(listener.port());
    client.SetLingerZero();
  }
  const Socket next = ConnectTo(listener.port());
  // Linux hands out the dead one, whose first read says so; others would abort it.
  AcceptResult first = AcceptSoon(&listener);
  ASSERT_EQ(first.status, AcceptStatus::kAccepted);
  ASSERT_TRUE(WaitUntilReady(first.socket, Readiness::kReadable));
  char byte = 0;
  const iovec room = {&byte, 1};
  EXPECT_EQ(first.socket.Read({&room, 1}).status, IoStatus::kReset);
  EXPECT_EQ(AcceptSoon(&listener).peer.ToString(), next.LocalAddress().ToString());
}

class OutOfDescriptorsTest : public ::testing::Test {
 protected:
  ListenerSocket listener_ = Loopback();
  SpareDescriptor spare_;
};

TEST_F(OutOfDescriptorsTest, TheSpareLetsOneConnectionInToBeToldSo) {
  ASSERT_EQ(spare_.Refill(), SpareState::kHeld);
  Socket client = ConnectTo(listener_.port());
  WaitForSomebody(listener_);
  const DescriptorLimit limit;

  for (int round = 0; round < 3; ++round) {
    AcceptResult accepted = listener_.Accept();
    ASSERT_EQ(accepted.status, AcceptStatus::kOutOfDescriptors);
    EXPECT_EQ(accepted.error, EMFILE);
    ASSERT_EQ(spare_.Refill(), SpareState::kHeld);
    spare_.Release();
    EXPECT_EQ(spare_.state(), SpareState::kMissing);
    accepted = listener_.Accept();
    if (round == 0) {
      ASSERT_EQ(accepted.status, AcceptStatus::kAccepted);
      WriteBytes(accepted.socket, "full");
    } else {
      EXPECT_EQ(accepted.status, AcceptStatus::kWouldBlock);  // EMFILE is said even if nobody waits
    }
    accepted.socket.Close();
    ASSERT_EQ(spare_.Refill(), SpareState::kHeld);
  }
  EXPECT_EQ(ReadUntilEof(client), "full");
}

TEST_F(OutOfDescriptorsTest, SaysSoAgainWhenSomebodyElseTakesTheFreedPlace) {
  ASSERT_EQ(spare_.Refill(), SpareState::kHeld);
  const Socket client = ConnectTo(listener_.port());
  WaitForSomebody(listener_);
  const DescriptorLimit limit;
  spare_.Release();
  const FileDescriptor taken(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(taken);
  EXPECT_EQ(listener_.Accept().status, AcceptStatus::kOutOfDescriptors);
  EXPECT_EQ(spare_.Refill(), SpareState::kMissing);
}

TEST_F(OutOfDescriptorsTest, WhoWaitedIsAcceptedOnceThereAreDescriptorsAgain) {
  const Socket client = ConnectTo(listener_.port());
  {
    const DescriptorLimit limit;
    EXPECT_EQ(listener_.Accept().status, AcceptStatus::kOutOfDescriptors);
  }
  EXPECT_EQ(AcceptSoon(&listener_).status, AcceptStatus::kAccepted);
}

TEST_F(OutOfDescriptorsTest, TheSpareIsMissingUntilItCanBeOpened) {
  EXPECT_EQ(spare_.state(), SpareState::kMissing);
  {
    const DescriptorLimit limit;
    EXPECT_EQ(spare_.Refill(), SpareState::kMissing);
  }
  EXPECT_EQ(spare_.Refill(), SpareState::kHeld);
  EXPECT_EQ(spare_.state(), SpareState::kHeld);
}

}  // namespace
}  // namespace sluice::net
