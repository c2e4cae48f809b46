// Everything at once and for long: healthy clients beside stuck, killed, churning and hostile ones. What
// leaks, drifts or is only wrong now and then shows here. SLUICE_SOAK_SECONDS says how long (60).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <random>
#include <string>

#include "tests/support/broker_process.h"
#include "tests/support/healthy_load.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using Clock = std::chrono::steady_clock;
using ::testing::Le;

constexpr SocketPairOptions kTinyWindow = {.client_receive_buffer_bytes = 4 << 10};

std::chrono::seconds SoakTime() {
  const char* seconds = std::getenv("SLUICE_SOAK_SECONDS");
  return std::chrono::seconds(seconds == nullptr ? 60 : std::atoi(seconds));
}

class SoakTest : public ::testing::Test {
 protected:
  void AddStuck() {
    stuck_.emplace_back(broker_.port(), kTinyWindow);
    stuck_.back().Connect("stuck");
    stuck_.back().Subscribe(1, random_() % 2 == 0 ? "load.>" : "load.*", {.pending_bytes_max = 128 << 10});
    // Those of before have been cut meanwhile, or are cut short here.
    if (stuck_.size() > 20) {
      if (random_() % 2 == 0) stuck_.front().Reset();
      stuck_.pop_front();
    }
  }
  void Churn() {
    WireClient client(broker_.port());
    client.Connect("churner");
    for (uint32_t id = 1; id <= 20; ++id) {
      client.SendSubscribe(id, "load." + std::to_string(random_() % 50),
                           {.queue_group = id % 3 == 0 ? "workers" : ""});
      if (id % 2 == 0) client.SendUnsubscribe(id, random_() % 3);
    }
    client.Ping();
    if (random_() % 2 == 0) client.Reset();
  }
  void Attack() {
    WireClient client(broker_.port());
    if (random_() % 2 == 0) client.Connect("attacker");
    std::string garbage(random_() % 4096, '\0');
    for (char& byte : garbage) byte = static_cast<char>(random_());
    client.TrySendRaw(garbage);
    if (random_() % 2 == 0) client.Reset();
  }

  const uint32_t seed_ = std::random_device()();
  std::mt19937 random_{seed_};
  BrokerProcess broker_{{"--max-message=16KiB", "--notsent-lowat=16KiB", "--connect-timeout=1s",
                         "--frame-timeout=1s", "--goodbye-timeout=200ms", "--ping-interval=2s"}};
  std::deque<WireClient> stuck_;
};

TEST_F(SoakTest, NothingLeaksAndTheHealthyMissNothing) {
  SCOPED_TRACE(seed_);
  HealthyLoad load(broker_.port(),
                   {.subscribers = 5, .topics = {"load.a", "load.b", "load.c"}, .filter = "load.>"});
  const uint64_t descriptors = broker_.OpenDescriptors();
  const auto begin = Clock::now();
  const auto warm = begin + SoakTime() / 3;
  const auto end = begin + SoakTime();
  uint64_t resident_bytes_warm = 0;
  for (uint64_t round = 0; Clock::now() < end || resident_bytes_warm == 0; ++round) {
    load.Step(100, random_() % (16 << 10));
    AddStuck();
    Churn();
    Attack();
    if (resident_bytes_warm == 0 && Clock::now() > warm) resident_bytes_warm = broker_.ResidentBytes();
  }
  stuck_.clear();
  broker_.WaitForMetric("sluice_connections_open", 6);
  broker_.WaitForMetric("sluice_subscriptions", 5);
  broker_.WaitForMetric("sluice_pending_bytes", 0);
  broker_.WaitForMetric("sluice_pending_messages", 0);
  broker_.WaitForMetric("sluice_retained_bytes", Le(4e6));
  EXPECT_LE(broker_.OpenDescriptors(), descriptors + 2);
  const uint64_t resident_bytes = broker_.ResidentBytes();
  if (!kSanitized) {
    EXPECT_LE(resident_bytes, resident_bytes_warm + (8 << 20));
  }
  EXPECT_GT(broker_.LogLines("slow consumer disconnected").size(), 0u);
  load.Step(100, 1000);
  std::cout << load.published() << " messages, "
            << broker_.Metric("sluice_slow_consumer_disconnects_total{reason=\"pending_bytes\"}")
            << " cut; resident bytes after a third " << resident_bytes_warm << ", at the end "
            << resident_bytes << "\n";
  load.Leave();
}

}  // namespace
}  // namespace sluice::testing
