// The life of one blocked write, followed through the log, the metrics and the wire.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "fmt/format.h"
#include "tests/support/broker_process.h"
#include "tests/support/healthy_load.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// The number behind " key=".
uint64_t FieldOf(const std::string& line, std::string_view key) {
  const size_t at = line.find(fmt::format(" {}=", key));
  return at == std::string::npos ? 0 : std::stoull(line.substr(at + key.size() + 2));
}

TEST(BlockedWriteTest, TenMegabytesToAReaderThatPausesAreResumedAtTheByte) {
  BrokerProcess broker({"--log-level=debug", "--max-message=16MiB"});
  constexpr size_t kBytes = 10 << 20;
  WireClient pausing(broker.port(), {.client_receive_buffer_bytes = 64 << 10});
  pausing.Connect("pausing");
  pausing.Subscribe(1, "large");
  WireClient publisher(broker.port());
  publisher.Connect("publisher");
  HealthyLoad load(broker.port());

  publisher.Publish("large", TestPayload(1, 1, kBytes));
  publisher.Ack();
  const std::string blocked = broker.WaitForLog("write blocked: EPOLLOUT armed");
  EXPECT_THAT(blocked, HasSubstr(" client=pausing "));
  const uint64_t whole = FieldOf(blocked, "taken_bytes") + FieldOf(blocked, "pending_bytes");
  EXPECT_GT(whole, kBytes);
  EXPECT_LT(whole, kBytes + 100);

  // It reads a piece and pauses, while somebody else is served.
  size_t received = 0;
  while (received < kBytes / 2) {
    received += pausing.ReadAvailable(512 << 10);
    load.Step(5, 1000);
  }
  EXPECT_TRUE(pausing.NextMessage().message.payload() == TestPayload(1, 1, kBytes));
  EXPECT_THAT(broker.WaitForLog("drained: EPOLLOUT removed"), HasSubstr(" client=pausing "));

  // Nothing was sent twice or skipped, by its own account: pending falls by what was taken.
  uint64_t pending = FieldOf(blocked, "pending_bytes");
  uint64_t progress = 0;
  const std::vector<std::string> resumes = broker.LogLines("write resumed");
  EXPECT_GE(resumes.size(), 3u);
  for (const std::string& line : resumes) {
    EXPECT_EQ(FieldOf(line, "pending_bytes"), pending - FieldOf(line, "taken_bytes"));
    EXPECT_GE(FieldOf(line, "progress"), progress);
    pending = FieldOf(line, "pending_bytes");
    progress = FieldOf(line, "progress");
  }
  EXPECT_EQ(pending, 0u);
  EXPECT_EQ(progress, 100u);
  EXPECT_EQ(broker.Metric("sluice_epollout_arms_total"), 1);
  EXPECT_EQ(broker.Metric("sluice_epollout_resumes_total"), static_cast<double>(resumes.size()));
  EXPECT_EQ(broker.Metric("sluice_write_stall_duration_seconds_count"), 1);
  load.Leave();
}

TEST(BlockedWriteTest, ItIsArmedAnewForEachEpisodeAndRemovedInBetween) {
  BrokerProcess broker({"--log-level=debug"});
  WireClient pausing(broker.port(), {.client_receive_buffer_bytes = 8192});
  pausing.Connect("pausing");
  pausing.Subscribe(1, "episodes");
  WireClient publisher(broker.port());
  publisher.Connect("publisher");
  for (uint64_t episode = 1; episode <= 5; ++episode) {
    for (uint64_t i = 0; i < 1000; ++i) publisher.Publish("episodes", TestPayload(episode, i, 1000));
    publisher.Ack();
    for (uint64_t i = 0; i < 1000; ++i) {
      ASSERT_TRUE(pausing.NextMessage().message.payload() == TestPayload(episode, i, 1000));
    }
    // In between it is idle, and costs no wake-up.
    broker.WaitForMetric("sluice_write_stall_duration_seconds_count", static_cast<double>(episode));
    EXPECT_EQ(broker.Metric("sluice_epollout_arms_total"), static_cast<double>(episode));
  }
  EXPECT_THAT(broker.LogLines("write blocked: EPOLLOUT armed"), SizeIs(5));
  EXPECT_THAT(broker.LogLines("drained: EPOLLOUT removed"), SizeIs(5));
  EXPECT_THAT(broker.LogLines("slow consumer"), IsEmpty());
}

}  // namespace
}  // namespace sluice::testing
