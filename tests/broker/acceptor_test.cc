#include "broker/acceptor.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "broker/net/error_text.h"
#include "protocol/sluice.pb.h"
#include "tests/support/frames.h"
#include "tests/support/kernel_faults.h"
#include "tests/support/socket_pair.h"

namespace sluice {
namespace {

using testing::ConnectTo;
using testing::DescriptorLimit;
using testing::ReadStream;
using testing::ReadUntilEof;

net::ListenerSocket ListenAnywhere() {
  return *net::ListenerSocket::Listen({.host = "127.0.0.1", .port = 0}, net::kBacklogDefault);
}

// The sanitizers need descriptors to check the type of an object that they see for the first time. So this is
// no fixture, and what is used without descriptors was used before.
struct AcceptorRig {
  AcceptorRig() {
    MakeAcceptor(ListenAnywhere());
    v1::ServerFrame frame;
    frame.mutable_goodbye()->set_text("text");
    log->Error("begin", {{"error", net::ErrorText(EMFILE)}, {"goodbye", testing::Encode(frame)}});
  }

  void MakeAcceptor(net::ListenerSocket listener) {
    acceptor.emplace(std::move(listener), net::SocketOptions(), &slots, &counters, log.get());
  }
  net::Socket Connect() { return ConnectTo(acceptor->address().port()); }
  std::vector<Accepted> Accept() {
    std::vector<Accepted> accepted;
    acceptor->Accept(now, &accepted);
    return accepted;
  }
  size_t LinesWith(const std::string& words) const {
    size_t found = 0;
    std::istringstream said(lines.str());
    for (std::string line; std::getline(said, line);) found += line.find(words) != std::string::npos ? 1 : 0;
    return found;
  }
  // Whether the client is told that there is no room, and nothing else.
  static void ExpectShed(net::Socket* client) {
    const testing::ReceivedStream received = ReadStream(ReadUntilEof(*client));
    ASSERT_EQ(received.frames.size(), 1u);
    EXPECT_EQ(received.frames[0].goodbye().reason(), v1::REASON_OUT_OF_RESOURCES);
    EXPECT_GT(received.frames[0].goodbye().retry_after_ms(), 0u);
    EXPECT_NE(received.frames[0].goodbye().text(), "");
  }

  std::ostringstream lines;
  std::unique_ptr<Logger> log = Logger::ToStream(&lines, LogLevel::kDebug, LogFormat::kText);
  ShardCounters counters;
  ConnectionSlots slots{1000};
  std::optional<Acceptor> acceptor;
  absl::Time now = absl::FromUnixSeconds(1000);
};

TEST(AcceptorTest, TakesThoseWhoWait) {
  AcceptorRig rig;
  EXPECT_TRUE(rig.Accept().empty());
  net::Socket one = rig.Connect();
  net::Socket two = rig.Connect();
  std::vector<Accepted> accepted = rig.Accept();
  ASSERT_EQ(accepted.size(), 2u);
  EXPECT_EQ(accepted[0].peer.ToString(), one.LocalAddress().ToString());
  EXPECT_EQ(accepted[1].peer.ToString(), two.LocalAddress().ToString());
  EXPECT_TRUE(accepted[0].slot);
  EXPECT_EQ(rig.counters.connections_accepted.Get(), 2u);
  EXPECT_EQ(rig.counters.connections_refused.Get(), 0u);
  testing::WriteBytes(accepted[0].socket, "hello");
  EXPECT_EQ(testing::ReadBytes(one, 5), "hello");
  EXPECT_EQ(rig.acceptor->interest(), net::Interest::kReadLevel);
  EXPECT_EQ(rig.acceptor->paused_until(), absl::InfiniteFuture());
}

TEST(AcceptorTest, AppliesTheOptionsOfSockets) {
  AcceptorRig rig;
  int nodelay = 0;
  socklen_t bytes = sizeof nodelay;
  net::Socket client = rig.Connect();
  std::vector<Accepted> accepted = rig.Accept();
  ASSERT_EQ(::getsockopt(accepted[0].socket.fd(), IPPROTO_TCP, TCP_NODELAY, &nodelay, &bytes), 0);
  EXPECT_EQ(nodelay, 1);
}

TEST(AcceptorTest, TakesAtMostSoManyInOneTurn) {
  AcceptorRig rig;
  std::vector<net::Socket> clients;
  for (int i = 0; i < kAcceptsPerTurnMax + 6; ++i) clients.push_back(rig.Connect());
  EXPECT_EQ(rig.Accept().size(), static_cast<size_t>(kAcceptsPerTurnMax));
  EXPECT_EQ(rig.Accept().size(), 6u);
}

TEST(AcceptorTest, ThoseOverTheMaximumComeWithoutASlot) {
  AcceptorRig rig;
  ConnectionSlots slots(2);
  rig.acceptor.emplace(ListenAnywhere(), net::SocketOptions(), &slots, &rig.counters, rig.log.get());
  std::vector<net::Socket> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(rig.Connect());
  std::vector<Accepted> accepted = rig.Accept();
  ASSERT_EQ(accepted.size(), 3u);
  EXPECT_TRUE(accepted[0].slot);
  EXPECT_TRUE(accepted[1].slot);
  EXPECT_FALSE(accepted[2].slot);
  EXPECT_EQ(rig.counters.connections_refused.Get(), 1u);
  accepted.erase(accepted.begin());  // its place is free
  clients.push_back(rig.Connect());
  std::vector<Accepted> next = rig.Accept();
  ASSERT_EQ(next.size(), 1u);
  EXPECT_TRUE(next[0].slot);
}

TEST(ConnectionSlotsTest, ASlotIsGivenBackOnceHoweverItIsMoved) {
  ConnectionSlots slots(1);
  EXPECT_EQ(slots.slots_max(), 1u);
  ConnectionSlots::Slot held = slots.Take();
  EXPECT_TRUE(held);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(slots.Take());
  ConnectionSlots::Slot moved = std::move(held);
  EXPECT_TRUE(moved);
  EXPECT_FALSE(slots.Take());
  moved = ConnectionSlots::Slot();
  {
    ConnectionSlots::Slot again = slots.Take();
    EXPECT_TRUE(again);
    EXPECT_FALSE(slots.Take());
  }
  EXPECT_TRUE(slots.Take());
}

TEST(AcceptorTest, OutOfDescriptorsItTellsEverybodyAndGoesOn) {
  AcceptorRig rig;
  std::vector<net::Socket> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(rig.Connect());
  {
    DescriptorLimit limit;
    EXPECT_TRUE(rig.Accept().empty());
    EXPECT_EQ(rig.acceptor->interest(), net::Interest::kReadLevel);  // nothing to pause for
    EXPECT_TRUE(rig.Accept().empty());
  }
  for (net::Socket& client : clients) AcceptorRig::ExpectShed(&client);
  EXPECT_EQ(rig.counters.connections_refused.Get(), 5u);
  EXPECT_EQ(rig.counters.accept_errors.Get(), 5u + 2u);  // and one each to find that nobody waits any more
  EXPECT_EQ(rig.counters.connections_accepted.Get(), 0u);
  EXPECT_EQ(rig.LinesWith("out of file descriptors"), 1u);

  net::Socket client = rig.Connect();
  EXPECT_EQ(rig.Accept().size(), 1u);
}

TEST(AcceptorTest, TakesAsManyAsThereAreDescriptorsAndTellsTheOthers) {
  AcceptorRig rig;
  std::vector<net::Socket> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(rig.Connect());
  std::vector<Accepted> accepted;
  {
    DescriptorLimit limit(2);
    accepted = rig.Accept();
  }
  EXPECT_EQ(accepted.size(), 2u);
  EXPECT_EQ(rig.counters.connections_refused.Get(), 3u);
  for (size_t i = 2; i < clients.size(); ++i) AcceptorRig::ExpectShed(&clients[i]);
}

TEST(AcceptorTest, EveryEpisodeIsSaidOnceInTheLog) {
  AcceptorRig rig;
  for (size_t episode = 1; episode <= 3; ++episode) {
    std::vector<net::Socket> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(rig.Connect());
    {
      DescriptorLimit limit;
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(rig.Accept().empty());
    }
    EXPECT_EQ(rig.LinesWith("out of file descriptors"), episode);
    net::Socket client = rig.Connect();
    EXPECT_EQ(rig.Accept().size(), 1u);
  }
}

TEST(AcceptorTest, PausesWhenNotEvenTheSpareIsThere) {
  AcceptorRig rig;
  net::ListenerSocket listener = ListenAnywhere();
  net::Socket client = ConnectTo(listener.address().port());
  rig.acceptor.reset();  // or its descriptors would be free to take
  {
    DescriptorLimit limit;
    rig.MakeAcceptor(std::move(listener));  // finds no descriptor for its spare
    EXPECT_TRUE(rig.Accept().empty());
    EXPECT_EQ(rig.acceptor->interest(), net::Interest::kNothing);
    EXPECT_GT(rig.acceptor->paused_until(), rig.now);
    EXPECT_LE(rig.acceptor->paused_until(), rig.now + absl::Seconds(1));
    rig.acceptor->Resume();
    EXPECT_EQ(rig.acceptor->interest(), net::Interest::kReadLevel);
    EXPECT_EQ(rig.acceptor->paused_until(), absl::InfiniteFuture());
    EXPECT_TRUE(rig.Accept().empty());
    EXPECT_EQ(rig.acceptor->interest(), net::Interest::kNothing);
  }
  EXPECT_EQ(rig.LinesWith("out of file descriptors"), 1u);
  EXPECT_EQ(rig.LinesWith("cannot accept"), 0u);
  // The client waits in the backlog and gets its place; the spare is there for the next time.
  rig.acceptor->Resume();
  EXPECT_EQ(rig.Accept().size(), 1u);
  net::Socket other = rig.Connect();
  {
    DescriptorLimit limit;
    EXPECT_TRUE(rig.Accept().empty());
    EXPECT_EQ(rig.acceptor->interest(), net::Interest::kReadLevel);
  }
  AcceptorRig::ExpectShed(&other);
}

TEST(AcceptorTest, PausesWhenTheKernelHasNoMemory) {
  AcceptorRig rig;
  net::Socket client = rig.Connect();
  testing::RunWithFailingCall(SYS_accept4, ENOMEM, [&] {
    EXPECT_TRUE(rig.Accept().empty());
    EXPECT_EQ(rig.acceptor->interest(), net::Interest::kNothing);
    rig.acceptor->Resume();
    EXPECT_TRUE(rig.Accept().empty());
  });
  EXPECT_EQ(rig.acceptor->paused_until(), rig.now + absl::Milliseconds(100));
  EXPECT_EQ(rig.counters.accept_errors.Get(), 2u);
  EXPECT_EQ(rig.LinesWith("cannot accept connections"), 1u);
  rig.acceptor->Resume();
  EXPECT_EQ(rig.Accept().size(), 1u);
}

TEST(AcceptorTest, PassesOverConnectionsThatAreGoneAlready) {
  AcceptorRig rig;
  net::Socket client = rig.Connect();
  std::vector<Accepted> accepted;
  testing::RunWithCallFailingAtFirst(SYS_accept4, ECONNABORTED, 3, [&] { accepted = rig.Accept(); });
  EXPECT_EQ(accepted.size(), 1u);
  EXPECT_EQ(rig.counters.accept_errors.Get(), 0u);
  EXPECT_EQ(rig.acceptor->interest(), net::Interest::kReadLevel);
}

TEST(AcceptorTest, ABacklogOfGoneConnectionsDoesNotHoldUpTheTurn) {
  AcceptorRig rig;
  int calls = testing::RunWithCallFailingAtFirst(SYS_accept4, ECONNABORTED, 1'000'000,
                                                 [&] { EXPECT_TRUE(rig.Accept().empty()); });
  EXPECT_EQ(calls, kAcceptsPerTurnMax);
}

}  // namespace
}  // namespace sluice
