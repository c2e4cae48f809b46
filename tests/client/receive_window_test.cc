#include "client/receive_window.h"

#include <gtest/gtest.h>

namespace sluice::client {
namespace {

using Grant = ReceiveWindow::Grant;

class ReceiveWindowTest : public ::testing::Test {
 protected:
  // What is granted when so many bytes have come and were handled.
  uint64_t Handle(uint64_t bytes) {
    window_.OnReceived(bytes);
    return window_.OnHandled(bytes) == Grant::kDue ? window_.TakeGrant(now_) : 0;
  }

  absl::Time now_ = absl::FromUnixSeconds(1000);
  ReceiveWindow window_{1000, 4000};
};

TEST_F(ReceiveWindowTest, GrantsWhenHalfWasHandledAndNotMerelyReceived) {
  window_.Begin(1000, now_);
  now_ += absl::Seconds(1);
  window_.OnReceived(1000);
  EXPECT_EQ(window_.TakeGrant(now_), 0u);
  EXPECT_EQ(window_.OnHandled(499), Grant::kNotYet);
  EXPECT_EQ(window_.OnHandled(1), Grant::kDue);
  EXPECT_EQ(window_.TakeGrant(now_), 1500u);
  EXPECT_EQ(window_.TakeGrant(now_), 0u);
  EXPECT_EQ(window_.OnHandled(500), Grant::kDue);
  EXPECT_EQ(window_.TakeGrant(now_ + absl::Seconds(1)), 2000u);
}

TEST_F(ReceiveWindowTest, GrowsToItsMostWhileTheApplicationKeepsUp) {
  window_.Begin(1000, now_);
  EXPECT_EQ(Handle(500), 2500u);  // 500 handled, and a window of 2000
  EXPECT_EQ(Handle(500), 0u);
  EXPECT_EQ(Handle(500), 5500u);
  for (int i = 0; i < 20; ++i) Handle(2000);
  EXPECT_EQ(window_.bytes(), 4000u);
}

TEST_F(ReceiveWindowTest, DoesNotGrowForOneThatIsBehind) {
  window_.Begin(1000, now_);
  window_.OnReceived(1000);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(window_.OnHandled(500), Grant::kDue);
    window_.OnReceived(500);  // what it had is replaced before it has caught up
    if (i == 0) window_.OnReceived(100);
    EXPECT_GT(window_.TakeGrant(now_), 0u);
  }
  EXPECT_EQ(window_.bytes(), 1000u);
}

TEST_F(ReceiveWindowTest, DoesNotGrowWhereAHalfLastsLong) {
  window_.Begin(1000, now_);
  for (int i = 0; i < 20; ++i) {
    now_ += ReceiveWindow::kGrowsWithin + absl::Milliseconds(1);
    EXPECT_GT(Handle(500), 0u);
  }
  EXPECT_EQ(window_.bytes(), 1000u);
}

// What the broker sends beyond the credit (less than a message) is counted on both sides.
TEST_F(ReceiveWindowTest, AMessageLargerThanTheWindowIsGrantedFor) {
  window_.Begin(1000, now_);
  now_ += absl::Seconds(1);
  EXPECT_EQ(Handle(50'000), 51'000u);
}

TEST_F(ReceiveWindowTest, WithoutAWindowInForceNothingIsGranted) {
  EXPECT_EQ(Handle(5000), 0u);
  window_.Begin(0, now_);
  EXPECT_EQ(Handle(5000), 0u);
  ReceiveWindow none(0, 4000);
  none.Begin(0, now_);
  none.OnReceived(1);
  EXPECT_EQ(none.OnHandled(1), Grant::kNotYet);
}

TEST_F(ReceiveWindowTest, WhatIsLeftOfAnEarlierSessionCountsNothingInTheNext) {
  window_.Begin(1000, now_);
  window_.OnReceived(1000);
  EXPECT_EQ(window_.OnHandled(100), Grant::kNotYet);
  window_.EndSession();
  now_ += absl::Seconds(1);
  window_.Begin(1000, now_);
  now_ += absl::Seconds(1);
  window_.OnReceived(600);
  EXPECT_EQ(window_.OnHandled(900), Grant::kNotYet);
  EXPECT_EQ(window_.OnHandled(499), Grant::kNotYet);
  EXPECT_EQ(window_.OnHandled(1), Grant::kDue);
  EXPECT_EQ(window_.TakeGrant(now_), 1500u);
}

}  // namespace
}  // namespace sluice::client
