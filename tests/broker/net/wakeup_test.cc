#include "broker/net/wakeup.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <thread>
#include <utility>

#include "broker/net/poller.h"
#include "tests/support/kernel_faults.h"

namespace sluice::net {
namespace {

Wakeup NewWakeup() {
  absl::StatusOr<Wakeup> wakeup = Wakeup::Create();
  EXPECT_TRUE(wakeup.ok()) << wakeup.status();
  return *std::move(wakeup);
}

bool IsReadable(const Wakeup& wakeup) {
  pollfd ready = {.fd = wakeup.fd(), .events = POLLIN, .revents = 0};
  return ::poll(&ready, 1, 0) == 1;
}

TEST(WakeupTest, IsSilentUntilSomebodyNotifies) {
  const Wakeup wakeup = NewWakeup();
  EXPECT_FALSE(IsReadable(wakeup));
  wakeup.Notify();
  EXPECT_TRUE(IsReadable(wakeup));
}

TEST(WakeupTest, TakesAnyNumberOfNotificationsForOne) {
  Wakeup wakeup = NewWakeup();
  for (int i = 0; i < 1000; ++i) wakeup.Notify();
  wakeup.Drain();
  EXPECT_FALSE(IsReadable(wakeup));
}

TEST(WakeupTest, WakesAgainAfterADrain) {
  Wakeup wakeup = NewWakeup();
  for (int i = 0; i < 3; ++i) {
    wakeup.Notify();
    EXPECT_TRUE(IsReadable(wakeup));
    wakeup.Drain();
    EXPECT_FALSE(IsReadable(wakeup));
  }
}

TEST(WakeupTest, DrainingWithoutANotificationDoesNotBlock) {
  Wakeup wakeup = NewWakeup();
  wakeup.Drain();
  wakeup.Drain();
  EXPECT_FALSE(IsReadable(wakeup));
}

TEST(WakeupTest, ACounterThatIsFullNeitherBlocksNorLosesTheWakeup) {
  Wakeup wakeup = NewWakeup();
  const uint64_t full = UINT64_MAX - 1;
  ASSERT_EQ(::write(wakeup.fd(), &full, sizeof full), static_cast<ssize_t>(sizeof full));
  wakeup.Notify();
  EXPECT_TRUE(IsReadable(wakeup));
  wakeup.Drain();
  EXPECT_FALSE(IsReadable(wakeup));
}

TEST(WakeupTest, LeavesErrnoAsASignalHandlerMust) {
  const Wakeup wakeup = NewWakeup();
  const uint64_t full = UINT64_MAX - 1;
  ASSERT_EQ(::write(wakeup.fd(), &full, sizeof full), static_cast<ssize_t>(sizeof full));
  errno = ENOENT;
  wakeup.Notify();  // its write fails
  EXPECT_EQ(errno, ENOENT);
}

TEST(WakeupTest, EndsAnotherThreadsWaitWithoutEnd) {
  const Wakeup wakeup = NewWakeup();
  absl::StatusOr<Poller> poller = Poller::Create();
  ASSERT_TRUE(poller.ok());
  ASSERT_TRUE(poller->Add(wakeup.fd(), 17, Interest::kReadLevel).ok());
  std::thread notifier([&] { wakeup.Notify(); });
  const std::span<const Event> events = poller->Wait(absl::InfiniteDuration());
  notifier.join();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].token, 17u);
  EXPECT_TRUE(events[0].readable);
}

TEST(WakeupTest, SaysWhenThereIsNoDescriptorForIt) {
  const ::sluice::testing::DescriptorLimit limit;
  EXPECT_EQ(Wakeup::Create().status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace sluice::net
