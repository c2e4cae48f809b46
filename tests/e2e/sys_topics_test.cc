// What the broker publishes about slow consumers, seen by clients of a real broker; with SLUICE_TEST_SHARDS the
// watchers are on other shards than the slow one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "protocol/consumer_event.pb.h"
#include "tests/support/broker_process.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::HasSubstr;

// Connections go to the shards in turn.
constexpr int kWatchers = 2;

TEST(SysTopicsTest, EveryWatcherIsToldWhoIsSlowAndWhoIsCut) {
  BrokerProcess broker({"--max-message=16KiB", "--max-headers=1KiB", "--goodbye-timeout=100ms"});
  std::vector<std::unique_ptr<WireClient>> watchers;
  for (int i = 0; i < kWatchers; ++i) {
    watchers.push_back(std::make_unique<WireClient>(broker.port()));
    watchers.back()->Connect("watcher");
    watchers.back()->Subscribe(1, "$sys.consumer.*");
    watchers.back()->Subscribe(2, "$sys.consumer.*.protobuf");
  }
  WireClient slow(broker.port(), {.client_receive_buffer_bytes = 4 << 10});
  slow.Connect("screen");
  slow.Subscribe(3, "feed", {.pending_messages_max = 100});
  WireClient publisher(broker.port());
  publisher.Connect("publisher");
  const std::string payload(4096, 'x');
  while (broker.Metric("sluice_slow_consumer_disconnects_total{reason=\"pending_messages\"}") < 1) {
    for (int i = 0; i < 10; ++i) publisher.Publish("feed", payload);
    publisher.Ack();
  }
  for (const std::unique_ptr<WireClient>& watcher : watchers) {
    std::string lines;
    v1::ConsumerEvent event;
    while (event.kind() != v1::ConsumerEvent::KIND_DISCONNECTED ||
           lines.find("disconnected") == std::string::npos) {
      const DeliveredMessage next = watcher->NextMessage();
      if (next.subscription == 1) {
        lines += next.message.payload() + "\n";
        EXPECT_THAT(next.message.payload(), HasSubstr("\"client_name\":\"screen\""));
      } else {
        ASSERT_TRUE(event.ParseFromString(next.message.payload()));
        EXPECT_EQ(event.client_name(), "screen");
        EXPECT_EQ(event.filter(), "feed");
        EXPECT_EQ(event.subscription(), 3u);
      }
    }
    EXPECT_THAT(lines, HasSubstr("{\"event\":\"slow\""));
    EXPECT_THAT(lines, HasSubstr("{\"event\":\"disconnected\""));
    EXPECT_EQ(event.reason(), v1::REASON_PENDING_MESSAGES);
    EXPECT_EQ(event.limit_value(), 100u);
    EXPECT_EQ(event.cuts_in_a_row(), 1u);
  }
}

TEST(SysTopicsTest, ASubscriptionThatIsCutAloneIsToldOf) {
  BrokerProcess broker;
  WireClient watcher(broker.port());
  watcher.Connect("watcher");
  watcher.Subscribe(1, "$sys.consumer.disconnected.protobuf");
  WireClient slow(broker.port());
  slow.Connect("screen");
  slow.Subscribe(3, "feed", {.pending_messages_max = 10, .window_bytes = 1});
  WireClient publisher(broker.port());
  publisher.Connect("publisher");
  for (int i = 0; i < 30; ++i) publisher.Publish("feed", "x");
  v1::ConsumerEvent event;
  ASSERT_TRUE(event.ParseFromString(watcher.NextMessage().message.payload()));
  EXPECT_EQ(event.client_name(), "screen");
  EXPECT_EQ(event.subscription(), 3u);
  EXPECT_EQ(event.filter(), "feed");
  EXPECT_EQ(event.reason(), v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(event.cause(), v1::LAG_CAUSE_APPLICATION);
  EXPECT_EQ(event.retry_after_ms(), 0u);
  EXPECT_EQ(event.cuts_in_a_row(), 0u);
  slow.Ping();  // its session goes on
}

TEST(SysTopicsTest, NobodyWatchesWhereThatIsOff) {
  BrokerProcess broker({"--sys-topics=nobody"});
  WireClient client(broker.port());
  client.Connect("watcher");
  client.SendSubscribe(1, "$sys.>");
  client.ExpectError(v1::ERROR_CODE_NOT_PERMITTED);
  client.Ping();
}

}  // namespace
}  // namespace sluice::testing
