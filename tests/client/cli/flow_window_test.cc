#include "client/cli/flow_window.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/eventually.h"

namespace sluice::cli {
namespace {

using ::sluice::testing::Eventually;
using Taken = FlowWindow::Taken;

TEST(FlowWindowTest, LetsSoManyBytesGoAndNoMore) {
  FlowWindow window(100, 1);
  for (int i = 0; i < 10; ++i) ASSERT_EQ(window.Take(10), Taken::kYes);
  std::atomic<bool> done = false;
  std::thread sender([&] {
    EXPECT_EQ(window.Take(10), Taken::kYes);
    done = true;
  });
  EXPECT_FALSE(done);
  window.OnReceived(0, 50);
  sender.join();
  EXPECT_TRUE(done);
}

TEST(FlowWindowTest, WaitsForTheSlowest) {
  FlowWindow window(100, 3);
  ASSERT_EQ(window.Take(100), Taken::kYes);
  std::atomic<bool> done = false;
  std::thread sender([&] {
    EXPECT_EQ(window.Take(100), Taken::kYes);
    done = true;
  });
  window.OnReceived(0, 100);
  window.OnReceived(1, 100);
  window.OnReceived(2, 99);
  EXPECT_FALSE(done);
  window.OnReceived(2, 1);
  sender.join();
}

TEST(FlowWindowTest, TheLastByteWakesTooWhereverItsGranuleEnds) {
  // Often enough that the sender is found waiting.
  for (int round = 0; round < 1000; ++round) {
    FlowWindow window(100, 1);
    ASSERT_EQ(window.Take(100), Taken::kYes);
    std::thread sender([&] { EXPECT_EQ(window.Take(100), Taken::kYes); });
    window.OnReceived(0, 99);
    window.OnReceived(0, 1);
    sender.join();
  }
}

TEST(FlowWindowTest, OneThatLeftIsNotWaitedFor) {
  FlowWindow window(100, 2);
  ASSERT_EQ(window.Take(100), Taken::kYes);
  std::thread sender([&] { EXPECT_EQ(window.Take(100), Taken::kYes); });
  window.OnReceived(0, 100);
  window.Leave(1);
  sender.join();
  window.Leave(0);
  EXPECT_EQ(window.Take(1'000'000), Taken::kYes);
}

TEST(FlowWindowTest, WithoutReceiversThereIsNobodyToWaitFor) {
  FlowWindow window(1, 0);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(window.Take(1000), Taken::kYes);
}

TEST(FlowWindowTest, AMessageLargerThanTheWindowGoesWhenNothingIsAhead) {
  FlowWindow window(10, 1);
  ASSERT_EQ(window.Take(1000), Taken::kYes);
  std::thread sender([&] { EXPECT_EQ(window.Take(1000), Taken::kYes); });
  window.OnReceived(0, 1000);
  sender.join();
}

TEST(FlowWindowTest, StopLetsEverybodyGo) {
  FlowWindow window(10, 1);
  ASSERT_EQ(window.Take(10), Taken::kYes);
  std::thread sender([&] { EXPECT_EQ(window.Take(10), Taken::kStopped); });
  window.Stop();
  sender.join();
  EXPECT_EQ(window.Take(1), Taken::kStopped);
}

// Every size against every window: whoever waits is woken, also when the window ends in the middle of a
// granule.
TEST(FlowWindowTest, NobodyWaitsForEver) {
  for (const uint64_t bytes_max : {1, 2, 7, 8, 9, 64, 100, 1000}) {
    for (const uint64_t size : {1, 2, 3, 5, 8, 13, 64, 99, 500}) {
      constexpr uint64_t kMessages = 200;
      FlowWindow window(bytes_max, 2);
      std::atomic<uint64_t> sent = 0;
      std::vector<std::thread> threads;
      for (int sender = 0; sender < 2; ++sender) {
        threads.emplace_back([&] {
          for (uint64_t i = 0; i < kMessages; ++i) {
            EXPECT_EQ(window.Take(size), Taken::kYes);
            sent.fetch_add(1);
          }
        });
      }
      for (uint32_t receiver = 0; receiver < 2; ++receiver) {
        threads.emplace_back([&, receiver] {
          for (uint64_t i = 0; i < 2 * kMessages; ++i) {
            EXPECT_TRUE(Eventually([&] { return sent.load() > i; })) << bytes_max << " " << size;
            window.OnReceived(receiver, size);
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
    }
  }
}

}  // namespace
}  // namespace sluice::cli
