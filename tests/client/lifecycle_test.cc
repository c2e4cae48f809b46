#include "client/lifecycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace sluice::client {
namespace {

using ::testing::HasSubstr;

TEST(LifecycleTest, GoesFromConnectingToConnectedAndBack) {
  Lifecycle lifecycle;
  EXPECT_EQ(lifecycle.state(), ClientState::kConnecting);
  lifecycle.OnConnected({.address = "a:1"});
  EXPECT_EQ(lifecycle.state(), ClientState::kConnected);
  EXPECT_TRUE(lifecycle.WaitConnected(absl::InfiniteFuture()).ok());
  lifecycle.OnDisconnected();
  EXPECT_EQ(lifecycle.state(), ClientState::kConnecting);
  // The last one is still known.
  EXPECT_EQ(lifecycle.server().address, "a:1");
}

TEST(LifecycleTest, WhoWaitsForAConnectionInVainLearnsWhy) {
  Lifecycle lifecycle;
  absl::Status status = lifecycle.WaitConnected(MonotonicNow());
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  lifecycle.OnConnectFailed(absl::UnavailableError("a:1: nobody there"));
  status = lifecycle.WaitConnected(MonotonicNow() + absl::Milliseconds(1));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("a:1: nobody there"));
}

TEST(LifecycleTest, WakesThoseWhoWait) {
  Lifecycle lifecycle;
  std::thread connecting([&] { EXPECT_TRUE(lifecycle.WaitConnected(absl::InfiniteFuture()).ok()); });
  lifecycle.OnConnected({});
  connecting.join();
  std::thread closing([&] { EXPECT_EQ(lifecycle.WaitClosed().code(), absl::StatusCode::kUnavailable); });
  lifecycle.OnDisconnected();
  lifecycle.OnClosed(absl::UnavailableError("lost"));
  closing.join();
  EXPECT_EQ(lifecycle.WaitConnected(absl::InfiniteFuture()).code(), absl::StatusCode::kCancelled);
}

TEST(LifecycleTest, ALaterWishToCloseCanOnlyMakeItSooner) {
  Lifecycle lifecycle;
  EXPECT_EQ(lifecycle.close_deadline(), absl::InfiniteFuture());
  const absl::Time now = MonotonicNow();
  lifecycle.RequestClose(now + absl::Seconds(5));
  lifecycle.RequestClose(now + absl::Seconds(10));
  EXPECT_EQ(lifecycle.close_deadline(), now + absl::Seconds(5));
  lifecycle.RequestClose(now);
  EXPECT_EQ(lifecycle.close_deadline(), now);
}

}  // namespace
}  // namespace sluice::client
