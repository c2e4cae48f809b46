// The memory for messages has a budget, whatever stuck consumers wait for: those that keep the most alive are
// shed, by their policy or by a cut, and when nothing is left to shed publishers wait.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/broker_process.h"
#include "tests/support/eventually.h"
#include "tests/support/healthy_load.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kCutLine = "slow consumer disconnected";
constexpr std::string_view kShedLine = "memory over its budget: queues shed";
constexpr uint64_t kBudgetBytes = 32 << 20;
constexpr const char* kSheds = "sluice_memory_sheds_total";
constexpr const char* kCuts = "sluice_slow_consumer_disconnects_total{reason=\"memory_budget\"}";

class MemoryBudgetTest : public ::testing::Test {
 protected:
  MemoryBudgetTest()
      : broker_({"--memory-budget=32MiB", "--pending-bytes-max=0", "--pending-messages-max=0",
                 "--pending-age-max=0", "--session-bytes-max=0", "--notsent-lowat=16KiB",
                 "--goodbye-timeout=100ms"}),
        load_(broker_.port()),
        publisher_(broker_.port()) {
    publisher_.Connect("publisher");
    load_.Step(1000, 1000);
    resident_before_ = broker_.ResidentBytes();
  }

  // Each of them with a topic of its own, of which it reads nothing.
  void AddStuck(size_t count, v1::OverflowPolicy policy) {
    for (size_t i = 0; i < count; ++i) {
      stuck_.emplace_back(broker_.port(), SocketPairOptions{.client_receive_buffer_bytes = 4096});
      stuck_.back().Connect("stuck");
      stuck_.back().Subscribe(1, TopicOf(stuck_.size() - 1), {.overflow = policy});
    }
  }
  static std::string TopicOf(size_t stuck) { return "stuck." + std::to_string(stuck); }

  // A message for each of them, and some for the healthy ones.
  void Round(size_t payload_bytes) {
    for (size_t i = 0; i < stuck_.size(); ++i)
      publisher_.Publish(TopicOf(i), std::string(payload_bytes, 'x'));
    publisher_.Ack();
    load_.Step(20, 1000);
    retained_max_ = std::max(retained_max_, broker_.Metric("sluice_retained_bytes"));
    if (!kSanitized) {
      const uint64_t resident = broker_.ResidentBytes();
      growth_max_ = std::max(growth_max_, resident - std::min(resident, resident_before_));
    }
  }

  // What one turn may take in before the broker looks, and a chunk per stuck group.
  void ExpectHeld() const {
    EXPECT_LE(retained_max_, kBudgetBytes + (4e6 + 4096.0 * static_cast<double>(stuck_.size())));
    EXPECT_LE(growth_max_, kBudgetBytes + (32u << 20));
  }

  BrokerProcess broker_;
  HealthyLoad load_;
  WireClient publisher_;
  std::vector<WireClient> stuck_;
  uint64_t resident_before_ = 0;
  uint64_t growth_max_ = 0;
  double retained_max_ = 0;
};

TEST_F(MemoryBudgetTest, ThousandsOfStuckConsumersOfThousandsOfTopicsAreCutAndNobodyElse) {
  AddStuck(kSanitized ? 200 : 2000, v1::OVERFLOW_POLICY_DISCONNECT);
  while (broker_.Metric(kCuts) < static_cast<double>(stuck_.size()) / 2) Round(kSanitized ? 10'000 : 1000);
  ExpectHeld();
  EXPECT_THAT(broker_.WaitForLog(kCutLine), HasSubstr("reason=memory_budget"));
  EXPECT_THAT(broker_.WaitForLog(kShedLine), HasSubstr("budget_bytes=33554432"));
  load_.Step(1000, 1000);
  load_.Leave();
}

TEST_F(MemoryBudgetTest, ThoseThatDropAreShedAndKept) {
  AddStuck(100, v1::OVERFLOW_POLICY_DROP_OLDEST);
  AddStuck(1, v1::OVERFLOW_POLICY_DISCONNECT);
  while (broker_.Metric(kSheds) < 5) Round(10'000);
  ExpectHeld();
  EXPECT_THAT(broker_.LogLines(kCutLine), IsEmpty());
  EXPECT_GE(broker_.Metric("sluice_messages_dropped_total"), 1000);
  load_.Leave();
}

TEST_F(MemoryBudgetTest, WhoKeepsTheMostAliveGoesFirst) {
  AddStuck(20, v1::OVERFLOW_POLICY_DISCONNECT);
  // As many bytes wait for each of these, and they share them.
  for (int i = 0; i < 20; ++i) {
    stuck_.emplace_back(broker_.port(), SocketPairOptions{.client_receive_buffer_bytes = 4096});
    stuck_.back().Connect("sharing");
    stuck_.back().Subscribe(1, "stuck.0.shared");
  }
  while (broker_.Metric(kCuts) == 0) {
    publisher_.Publish("stuck.0.shared", std::string(10'000, 'x'));
    Round(10'000);
  }
  for (const std::string& line : broker_.LogLines(kCutLine)) EXPECT_THAT(line, HasSubstr("client=stuck"));
  load_.Leave();
}

TEST_F(MemoryBudgetTest, WhenNothingIsLeftToShedPublishersWaitAndAreTold) {
  publisher_.Publish("never", "so that it counts as a publisher");
  publisher_.Ack();
  // Large frames that are begun and not ended keep memory alive that no queue can give back.
  std::vector<WireClient> begun;
  const std::string frame = PublishFrame("never", std::string(1'000'000, 'x'));
  for (int i = 0; i < 40; ++i) {
    begun.emplace_back(broker_.port());
    begun.back().Connect("begun");
    begun.back().Publish("never", "so that it counts as a publisher");
    begun.back().SendRaw(std::string_view(frame).substr(0, frame.size() - 1));
  }
  broker_.WaitForLog("memory used up: publishers wait");
  EXPECT_THAT(broker_.Get("/readyz"), AllOf(HasSubstr(" 503 "), HasSubstr("budget is used up")));
  EXPECT_THAT(broker_.Get("/healthz"), HasSubstr(" 200 "));
  publisher_.Publish("never", "waits");
  EXPECT_EQ(publisher_.NextOf(v1::ServerFrame::kPaused).paused().cause(), v1::Paused::CAUSE_MEMORY);
  EXPECT_THAT(broker_.LogLines(kCutLine), IsEmpty());
  for (WireClient& client : begun) client.Reset();
  broker_.WaitForLog("memory is enough again: publishers go on");
  EXPECT_TRUE(Eventually([&] { return broker_.Get("/readyz").find(" 200 ") != std::string::npos; }));
  (void)publisher_.NextOf(v1::ServerFrame::kResumed);
  publisher_.Ack();
  load_.Leave();
}

}  // namespace
}  // namespace sluice::testing
