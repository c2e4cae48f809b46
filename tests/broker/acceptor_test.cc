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

class AcceptorTest : public ::testing::Test {
 protected:
  AcceptorTest() { MakeAcceptor(ListenAnywhere()); }

  void MakeAcceptor(net::ListenerSocket listener) {
    acceptor_.emplace(std::move(listener), net::SocketOptions(), &slots_, &counters_, log_.get());
  }
  net::Socket Connect() { return ConnectTo(acceptor_->address().port()); }
  std::vector<Accepted> Accept() {
    std::vector<Accepted> accepted;
    acceptor_->Accept(now_, &accepted);
    return accepted;
  }
  size_t LinesWith(const std::string& words) const {
    size_t lines = 0;
    std::istringstream log(lines_.str());
    for (std::string line; std::getline(log, line);) lines += line.find(words) != std::string::npos ? 1 : 0;
    return lines;
  }
  // Whether the client is told that there is no room, and nothing else.
  static void ExpectShed(net::Socket* client) {
    const testing::ReceivedStream received = ReadStream(ReadUntilEof(*client));
    ASSERT_EQ(received.frames.size(), 1u);
    EXPECT_EQ(received.frames[0].goodbye().reason(), v1::REASON_OUT_OF_RESOURCES);
    EXPECT_GT(received.frames[0].goodbye().retry_after_ms(), 0u);
    EXPECT_NE(received.frames[0].goodbye().text(), "");
  }

  std::ostringstream lines_;
  std::unique_ptr<Logger> log_ = Logger::ToStream(&lines_, LogLevel::kDebug, LogFormat::kText);
  ShardCounters counters_;
  ConnectionSlots slots_{1000};
  std::optional<Acceptor> acceptor_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
};

TEST_F(AcceptorTest, TakesThoseWhoWait) {
  EXPECT_TRUE(Accept().empty());
  net::Socket one = Connect();
  net::Socket two = Connect();
  std::vector<Accepted> accepted = Accept();
  ASSERT_EQ(accepted.size(), 2u);
  EXPECT_EQ(accepted[0].peer.ToString(), one.LocalAddress().ToString());
  EXPECT_EQ(accepted[1].peer.ToString(), two.LocalAddress().ToString());
  EXPECT_TRUE(accepted[0].slot);
  EXPECT_EQ(counters_.connections_accepted.Get(), 2u);
  EXPECT_EQ(counters_.connections_refused.Get(), 0u);
  testing::WriteBytes(accepted[0].socket, "hello");
  EXPECT_EQ(testing::ReadBytes(one, 5), "hello");
  EXPECT_EQ(acceptor_->interest(), net::Interest::kReadLevel);
  EXPECT_EQ(acceptor_->paused_until(), absl::InfiniteFuture());
}

TEST_F(AcceptorTest, AppliesTheOptionsOfSockets) {
  int nodelay = 0;
  socklen_t bytes = sizeof nodelay;
  net::Socket client = Connect();
  std::vector<Accepted> accepted = Accept();
  ASSERT_EQ(::getsockopt(accepted[0].socket.fd(), IPPROTO_TCP, TCP_NODELAY, &nodelay, &bytes), 0);
  EXPECT_EQ(nodelay, 1);
}

TEST_F(AcceptorTest, TakesAtMostSoManyInOneTurn) {
  std::vector<net::Socket> clients;
  for (int i = 0; i < kAcceptsPerTurnMax + 6; ++i) clients.push_back(Connect());
  EXPECT_EQ(Accept().size(), static_cast<size_t>(kAcceptsPerTurnMax));
  EXPECT_EQ(Accept().size(), 6u);
}

TEST_F(AcceptorTest, ThoseOverTheMaximumComeWithoutASlot) {
  ConnectionSlots slots(2);
  acceptor_.emplace(ListenAnywhere(), net::SocketOptions(), &slots, &counters_, log_.get());
  std::vector<net::Socket> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(Connect());
  std::vector<Accepted> accepted = Accept();
  ASSERT_EQ(accepted.size(), 3u);
  EXPECT_TRUE(accepted[0].slot);
  EXPECT_TRUE(accepted[1].slot);
  EXPECT_FALSE(accepted[2].slot);
  EXPECT_EQ(counters_.connections_refused.Get(), 1u);
  accepted.erase(accepted.begin());  // its place is free
  clients.push_back(Connect());
  std::vector<Accepted> next = Accept();
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

TEST_F(AcceptorTest, OutOfDescriptorsItTellsEverybodyAndGoesOn) {
  std::vector<net::Socket> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(Connect());
  {
    DescriptorLimit limit;
    EXPECT_TRUE(Accept().empty());
    EXPECT_EQ(acceptor_->interest(), net::Interest::kReadLevel);  // nothing to pause for
    EXPECT_TRUE(Accept().empty());
  }
  for (net::Socket& client : clients) ExpectShed(&client);
  EXPECT_EQ(counters_.connections_refused.Get(), 5u);
  EXPECT_GE(counters_.accept_errors.Get(), 5u);
  EXPECT_EQ(counters_.connections_accepted.Get(), 0u);
  EXPECT_EQ(LinesWith("out of file descriptors"), 1u);

  net::Socket client = Connect();
  EXPECT_EQ(Accept().size(), 1u);
}

TEST_F(AcceptorTest, TakesAsManyAsThereAreDescriptorsAndTellsTheOthers) {
  std::vector<net::Socket> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(Connect());
  std::vector<Accepted> accepted;
  {
    DescriptorLimit limit(2);
    accepted = Accept();
  }
  EXPECT_EQ(accepted.size(), 2u);
  EXPECT_EQ(counters_.connections_refused.Get(), 3u);
  for (size_t i = 2; i < clients.size(); ++i) ExpectShed(&clients[i]);
}

TEST_F(AcceptorTest, EveryEpisodeIsSaidOnceInTheLog) {
  for (size_t episode = 1; episode <= 3; ++episode) {
    std::vector<net::Socket> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(Connect());
    {
      DescriptorLimit limit;
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(Accept().empty());
    }
    EXPECT_EQ(LinesWith("out of file descriptors"), episode);
    net::Socket client = Connect();
    EXPECT_EQ(Accept().size(), 1u);
  }
}

TEST_F(AcceptorTest, PausesWhenNotEvenTheSpareIsThere) {
  net::ListenerSocket listener = ListenAnywhere();
  net::Socket client = ConnectTo(listener.address().port());
  acceptor_.reset();  // or its descriptors would be free to take
  {
    DescriptorLimit limit;
    MakeAcceptor(std::move(listener));  // finds no descriptor for its spare
    EXPECT_TRUE(Accept().empty());
    EXPECT_EQ(acceptor_->interest(), net::Interest::kNothing);
    EXPECT_GT(acceptor_->paused_until(), now_);
    EXPECT_LE(acceptor_->paused_until(), now_ + absl::Seconds(1));
    acceptor_->Resume();
    EXPECT_EQ(acceptor_->interest(), net::Interest::kReadLevel);
    EXPECT_EQ(acceptor_->paused_until(), absl::InfiniteFuture());
    EXPECT_TRUE(Accept().empty());
    EXPECT_EQ(acceptor_->interest(), net::Interest::kNothing);
  }
  EXPECT_EQ(LinesWith(" error "), 1u);
  // The client waits in the backlog and gets its place; the spare is there for the next time.
  acceptor_->Resume();
  EXPECT_EQ(Accept().size(), 1u);
  net::Socket other = Connect();
  {
    DescriptorLimit limit;
    EXPECT_TRUE(Accept().empty());
    EXPECT_EQ(acceptor_->interest(), net::Interest::kReadLevel);
  }
  ExpectShed(&other);
}

TEST_F(AcceptorTest, PausesWhenTheKernelHasNoMemory) {
  net::Socket client = Connect();
  testing::RunWithFailingCall(SYS_accept4, ENOMEM, [&] {
    EXPECT_TRUE(Accept().empty());
    EXPECT_EQ(acceptor_->interest(), net::Interest::kNothing);
    acceptor_->Resume();
    EXPECT_TRUE(Accept().empty());
  });
  EXPECT_EQ(acceptor_->paused_until(), now_ + absl::Milliseconds(100));
  EXPECT_EQ(counters_.accept_errors.Get(), 2u);
  EXPECT_EQ(LinesWith("cannot accept connections"), 1u);
  acceptor_->Resume();
  EXPECT_EQ(Accept().size(), 1u);
}

TEST_F(AcceptorTest, PassesOverConnectionsThatAreGoneAlready) {
  net::Socket client = Connect();
  std::vector<Accepted> accepted;
  testing::RunWithCallFailingAtFirst(SYS_accept4, ECONNABORTED, 3, [&] { accepted = Accept(); });
  EXPECT_EQ(accepted.size(), 1u);
  EXPECT_EQ(counters_.accept_errors.Get(), 0u);
  EXPECT_EQ(acceptor_->interest(), net::Interest::kReadLevel);
}

TEST_F(AcceptorTest, ABacklogOfGoneConnectionsDoesNotHoldUpTheTurn) {
  int calls = testing::RunWithCallFailingAtFirst(SYS_accept4, ECONNABORTED, 1'000'000,
                                                 [&] { EXPECT_TRUE(Accept().empty()); });
  EXPECT_EQ(calls, kAcceptsPerTurnMax);
}

}  // namespace
}  // namespace sluice
