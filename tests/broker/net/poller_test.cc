#include "broker/net/poller.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/net/listener_socket.h"
#include "broker/net/socket.h"
#include "broker/net/wakeup.h"
#include "tests/support/kernel_faults.h"
#include "tests/support/socket_pair.h"

namespace sluice::net {
namespace {

using ::sluice::testing::ConnectedTcpPair;
using ::sluice::testing::ConnectTo;
using ::sluice::testing::DescriptorLimit;
using ::sluice::testing::ReadBytes;
using ::sluice::testing::Readiness;
using ::sluice::testing::RunWithFailingCall;
using ::sluice::testing::SocketPair;
using ::sluice::testing::WaitUntilReady;
using ::sluice::testing::WriteBytes;
using ::sluice::testing::WriteUntilFull;

constexpr absl::Duration kPatience = absl::Seconds(20);

Poller NewPoller(size_t events_per_wait = kEventsPerWait) {
  absl::StatusOr<Poller> poller = Poller::Create(events_per_wait);
  EXPECT_TRUE(poller.ok()) << poller.status();
  return *std::move(poller);
}

Wakeup NewWakeup() {
  absl::StatusOr<Wakeup> wakeup = Wakeup::Create();
  EXPECT_TRUE(wakeup.ok()) << wakeup.status();
  return *std::move(wakeup);
}

class PollerTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kToken = 0xfedc'ba98'7654'3210;

  PollerTest()
      : pair_(ConnectedTcpPair(
            {.server_send_buffer_bytes = 16 << 10, .client_receive_buffer_bytes = 16 << 10})) {}

  void Add(Interest interest) { EXPECT_TRUE(poller_.Add(pair_.server.fd(), kToken, interest).ok()); }
  void Modify(Interest interest) { EXPECT_TRUE(poller_.Modify(pair_.server.fd(), kToken, interest).ok()); }

  // The event that must come.
  Event Next() {
    const std::span<const Event> events = poller_.Wait(kPatience);
    EXPECT_EQ(events.size(), 1u);
    return events.empty() ? Event{} : events[0];
  }
  bool Silent() { return poller_.Wait(absl::ZeroDuration()).empty(); }

  // Reads what the server wrote until nothing is on its way, so that the server has room again.
  void DrainClient(size_t bytes) { EXPECT_EQ(ReadBytes(pair_.client, bytes).size(), bytes); }

  Poller poller_ = NewPoller();
  SocketPair pair_;
};

TEST_F(PollerTest, ReportsAnEdgeOnceWhateverIsLeftUnread) {
  Add(Interest::kRead);
  EXPECT_TRUE(Silent());
  WriteBytes(pair_.client, "hello");
  const Event event = Next();
  EXPECT_EQ(event.token, kToken);
  EXPECT_TRUE(event.readable);
  EXPECT_FALSE(event.writable);
  EXPECT_FALSE(event.peer_closed);
  EXPECT_FALSE(event.failed);
  EXPECT_TRUE(Silent());
  EXPECT_EQ(ReadBytes(pair_.server, 1), "h");
  EXPECT_TRUE(Silent());
}

TEST_F(PollerTest, ReportsEveryArrivalAsANewEdge) {
  Add(Interest::kRead);
  for (int i = 0; i < 3; ++i) {
    WriteBytes(pair_.client, "hello");
    EXPECT_TRUE(Next().readable) << i;
    EXPECT_TRUE(Silent());
  }
}

TEST_F(PollerTest, AddReportsWhatIsAlreadyTrue) {
  WriteBytes(pair_.client, "hello");
  ASSERT_TRUE(WaitUntilReady(pair_.server, Readiness::kReadable));
  Add(Interest::kReadWrite);
  const Event event = Next();
  EXPECT_TRUE(event.readable);
  EXPECT_TRUE(event.writable);
  EXPECT_TRUE(Silent());
}

TEST_F(PollerTest, ModifyReportsAnewWhatIsTrue) {
  Add(Interest::kRead);
  WriteBytes(pair_.client, "hello");
  EXPECT_TRUE(Next().readable);
  for (int i = 0; i < 3; ++i) {
    Modify(Interest::kRead);
    EXPECT_TRUE(Next().readable) << i;
    EXPECT_TRUE(Silent());
  }
  EXPECT_EQ(ReadBytes(pair_.server, 5), "hello");
  Modify(Interest::kRead);
  EXPECT_TRUE(Silent());
}

TEST_F(PollerTest, SaysNothingOfRoomToWhoDoesNotAskForIt) {
  Add(Interest::kRead);
  EXPECT_TRUE(Silent());  // there is room all the time
  const size_t taken = WriteUntilFull(pair_.server);
  DrainClient(taken);
  ASSERT_TRUE(WaitUntilReady(pair_.server, Readiness::kWritable));
  EXPECT_TRUE(Silent());
}

TEST_F(PollerTest, ReportsRoomOnceThePeerHasRead) {
  Add(Interest::kRead);
  const size_t taken = WriteUntilFull(pair_.server);
  Modify(Interest::kReadWrite);
  EXPECT_TRUE(Silent());  // full
  DrainClient(taken);
  const Event event = Next();
  EXPECT_TRUE(event.writable);
  EXPECT_FALSE(event.readable);
}

TEST_F(PollerTest, LosesNoEdgeThatComesBetweenAFullWriteAndTheModify) {
  Add(Interest::kRead);
  for (int round = 0; round < 10; ++round) {
    const size_t taken = WriteUntilFull(pair_.server);
    DrainClient(taken);
    ASSERT_TRUE(WaitUntilReady(pair_.server, Readiness::kWritable));
    Modify(Interest::kReadWrite);  // too late to see the socket become writable
    EXPECT_TRUE(Next().writable) << round;
    Modify(Interest::kRead);
    EXPECT_TRUE(Silent());
  }
}

TEST_F(PollerTest, FallsSilentAboutRoomAfterTheModifyThatGivesItUp) {
  Add(Interest::kReadWrite);
  EXPECT_TRUE(Next().writable);
  Modify(Interest::kRead);
  DrainClient(WriteUntilFull(pair_.server));
  ASSERT_TRUE(WaitUntilReady(pair_.server, Readiness::kWritable));
  EXPECT_TRUE(Silent());
}

TEST_F(PollerTest, SaysThatThePeerSendsNoMoreEvenBeforeItsBytesAreRead) {
  Add(Interest::kRead);
  WriteBytes(pair_.client, "last words");
  pair_.client.ShutdownWrite();
  Event event;
  while (!event.peer_closed) {
    event = Next();
    ASSERT_TRUE(event.readable);
    ASSERT_FALSE(event.failed);
  }
  EXPECT_EQ(ReadBytes(pair_.server, 100), "last words");
}

TEST_F(PollerTest, SaysThatBothDirectionsHaveEnded) {
  Add(Interest::kRead);
  pair_.client.ShutdownWrite();
  EXPECT_FALSE(Next().failed);
  pair_.server.ShutdownWrite();
  const Event event = Next();
  EXPECT_TRUE(event.failed);
  EXPECT_TRUE(event.peer_closed);
  EXPECT_TRUE(event.readable);
}

TEST_F(PollerTest, SaysThatTheConnectionFailed) {
  Add(Interest::kRead);
  pair_.client.SetLingerZero();
  pair_.client.Close();
  const Event event = Next();
  EXPECT_TRUE(event.failed);
  EXPECT_TRUE(event.readable);
  EXPECT_TRUE(event.peer_closed);
  EXPECT_TRUE(Silent());
}

TEST_F(PollerTest, LevelsRepeatUntilEverythingIsRead) {
  Add(Interest::kReadLevel);
  WriteBytes(pair_.client, "hi");
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Next().readable);
  EXPECT_EQ(ReadBytes(pair_.server, 1), "h");
  EXPECT_TRUE(Next().readable);
  EXPECT_EQ(ReadBytes(pair_.server, 1), "i");
  EXPECT_TRUE(Silent());
}

TEST_F(PollerTest, AListenerRepeatsUntilEverybodyIsAccepted) {
  absl::StatusOr<ListenerSocket> listener = ListenerSocket::Listen({"127.0.0.1", 0}, kBacklogDefault);
  ASSERT_TRUE(listener.ok());
  ASSERT_TRUE(poller_.Add(listener->fd(), 5, Interest::kReadLevel).ok());
  const Socket first = ConnectTo(listener->port());
  const Socket second = ConnectTo(listener->port());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Next().token, 5u);
    EXPECT_EQ(listener->Accept().status, AcceptStatus::kAccepted);
  }
  EXPECT_TRUE(Silent());
}

TEST_F(PollerTest, NothingIsSilentAndComesBack) {
  Add(Interest::kNothing);
  WriteBytes(pair_.client, "hello");
  pair_.client.ShutdownWrite();
  ASSERT_TRUE(WaitUntilReady(pair_.server, Readiness::kReadable));
  EXPECT_TRUE(Silent());
  Modify(Interest::kRead);
  EXPECT_TRUE(Next().readable);
  Modify(Interest::kNothing);
  EXPECT_TRUE(Silent());
}

TEST_F(PollerTest, NothingStillSaysThatTheConnectionFailed) {
  Add(Interest::kNothing);
  pair_.client.SetLingerZero();
  pair_.client.Close();
  EXPECT_TRUE(Next().failed);
}

TEST_F(PollerTest, ReportsByTheTokenOfTheLastModify) {
  Add(Interest::kRead);
  WriteBytes(pair_.client, "hello");
  EXPECT_EQ(Next().token, kToken);
  ASSERT_TRUE(poller_.Modify(pair_.server.fd(), 17, Interest::kRead).ok());
  EXPECT_EQ(Next().token, 17u);
}

TEST_F(PollerTest, ForgetsWhatIsRemovedOrClosed) {
  Add(Interest::kReadLevel);
  WriteBytes(pair_.client, "hello");
  EXPECT_TRUE(Next().readable);
  EXPECT_TRUE(poller_.Remove(pair_.server.fd()).ok());
  EXPECT_TRUE(Silent());
  Add(Interest::kReadLevel);
  EXPECT_TRUE(Next().readable);
  pair_.server.Close();
  EXPECT_TRUE(Silent());
}

TEST_F(PollerTest, NamesADescriptorThatItCannotWatch) {
  Add(Interest::kRead);
  const int fd = pair_.server.fd();
  const absl::Status again = poller_.Add(fd, 1, Interest::kRead);
  EXPECT_EQ(again.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(std::string(again.message()),
            "cannot add descriptor " + std::to_string(fd) + " in epoll: file exists");
  EXPECT_EQ(poller_.Modify(pair_.client.fd(), 1, Interest::kRead).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(poller_.Remove(pair_.client.fd()).code(), absl::StatusCode::kNotFound);
}

TEST_F(PollerTest, SaysWhenTheKernelHasNoRoomForIt) {
  for (const int error : {ENOSPC, ENOMEM}) {
    RunWithFailingCall(SYS_epoll_ctl, error, [&] {
      EXPECT_EQ(poller_.Add(pair_.server.fd(), 1, Interest::kRead).code(),
                absl::StatusCode::kResourceExhausted);
    });
  }
  const DescriptorLimit limit;
  EXPECT_EQ(Poller::Create().status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(PollerBoundTest, HandsOutEverythingAlthoughOneWaitReturnsFew) {
  constexpr size_t kCount = 9;
  for (const Interest interest : {Interest::kRead, Interest::kReadLevel}) {
    Poller poller = NewPoller(/*events_per_wait=*/2);
    std::vector<Wakeup> wakeups;
    for (uint64_t token = 0; token < kCount; ++token) {
      wakeups.push_back(NewWakeup());
      ASSERT_TRUE(poller.Add(wakeups.back().fd(), token, interest).ok());
      wakeups.back().Notify();
    }
    std::set<uint64_t> seen;
    for (size_t waits = 0; waits < (kCount + 1) / 2; ++waits) {
      const std::span<const Event> events = poller.Wait(kPatience);
      ASSERT_LE(events.size(), 2u);
      for (const Event& event : events) seen.insert(event.token);
    }
    EXPECT_EQ(seen.size(), kCount);
    EXPECT_EQ(poller.Wait(absl::ZeroDuration()).empty(), interest == Interest::kRead);
  }
}

TEST(PollerBoundTest, TakesNoneForOne) {
  Poller poller = NewPoller(/*events_per_wait=*/0);
  const Wakeup wakeup = NewWakeup();
  ASSERT_TRUE(poller.Add(wakeup.fd(), 1, Interest::kRead).ok());
  wakeup.Notify();
  EXPECT_EQ(poller.Wait(kPatience).size(), 1u);
}

absl::Duration TimeOf(const std::function<void()>& work) {
  const auto before = std::chrono::steady_clock::now();
  work();
  return absl::FromChrono(std::chrono::steady_clock::now() - before);
}

// Both ways to wait: in nanoseconds, and what is left where the kernel, or a container's filter, refuses
// that.
class PollerWaitTest : public ::testing::TestWithParam<std::optional<int>> {
 protected:
  void Run(const std::function<void()>& work) {
    if (!GetParam().has_value()) return work();
    RunWithFailingCall(SYS_epoll_pwait2, *GetParam(), work);
  }
};

TEST_P(PollerWaitTest, ReturnsEventsAtOnce) {
  Run([] {
    Poller poller = NewPoller();
    const Wakeup wakeup = NewWakeup();
    ASSERT_TRUE(poller.Add(wakeup.fd(), 1, Interest::kReadLevel).ok());
    for (const absl::Duration max : {-absl::Seconds(1), absl::ZeroDuration(), absl::Nanoseconds(1), kPatience,
                                     absl::Hours(24 * 365 * 100), absl::InfiniteDuration()}) {
      EXPECT_LT(TimeOf([&] { EXPECT_TRUE(poller.Wait(absl::ZeroDuration()).empty()); }), kPatience / 2);
      wakeup.Notify();
      EXPECT_LT(TimeOf([&] { EXPECT_EQ(poller.Wait(max).size(), 1u) << max; }), kPatience / 2);
      uint64_t count = 0;
      EXPECT_EQ(::read(wakeup.fd(), &count, sizeof count), static_cast<ssize_t>(sizeof count));
    }
  });
}

TEST_P(PollerWaitTest, WaitsAtLeastAsLongAsItWasTold) {
  Run([] {
    Poller poller = NewPoller();
    for (const absl::Duration max :
         {absl::Microseconds(300), absl::Microseconds(2500), absl::Milliseconds(20)}) {
      EXPECT_GE(TimeOf([&] { EXPECT_TRUE(poller.Wait(max).empty()); }), max);
    }
  });
}

TEST_P(PollerWaitTest, LooksWithoutWaitingWhenThereIsNoTime) {
  Run([] {
    Poller poller = NewPoller();
    EXPECT_LT(TimeOf([&] { EXPECT_TRUE(poller.Wait(-absl::Hours(1)).empty()); }), kPatience / 2);
    EXPECT_LT(TimeOf([&] { EXPECT_TRUE(poller.Wait(-absl::InfiniteDuration()).empty()); }), kPatience / 2);
  });
}

TEST_P(PollerWaitTest, WaitsForEverUntilSomethingComes) {
  Run([] {
    Poller poller = NewPoller();
    const FileDescriptor timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    ASSERT_TRUE(timer);
    ASSERT_TRUE(poller.Add(timer.get(), 3, Interest::kReadLevel).ok());
    // The second is 49 days, and nothing at all in the low half of its milliseconds.
    for (const absl::Duration max : {absl::InfiniteDuration(), absl::Milliseconds(int64_t{1} << 32)}) {
      const itimerspec in_30_ms = {.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 30'000'000}};
      ASSERT_EQ(::timerfd_settime(timer.get(), 0, &in_30_ms, nullptr), 0);
      const std::span<const Event> events = poller.Wait(max);
      ASSERT_EQ(events.size(), 1u);
      EXPECT_EQ(events[0].token, 3u);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(, PollerWaitTest, ::testing::Values(std::nullopt, ENOSYS, EPERM),
                         [](const auto& way) {
                           if (!way.param.has_value()) return std::string("InNanoseconds");
                           return std::string(*way.param == ENOSYS ? "OnAnOldKernel" : "UnderAnOldFilter");
                         });

TEST(PollerSignalTest, ASignalEndsTheWaitWithoutEvents) {
  Poller poller = NewPoller();
  RunWithFailingCall(SYS_epoll_pwait2, EINTR,
                     [&] { EXPECT_TRUE(poller.Wait(absl::InfiniteDuration()).empty()); });
}

TEST(PollerDeathTest, EndsTheProcessWhenItsDescriptorIsNotEpollsAnyMore) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  Poller poller = NewPoller();
  EXPECT_DEATH(RunWithFailingCall(SYS_epoll_pwait2, EBADF,
                                  [&] { static_cast<void>(poller.Wait(absl::ZeroDuration())); }),
               "sluice: epoll: bad file descriptor");
}

}  // namespace
}  // namespace sluice::net
