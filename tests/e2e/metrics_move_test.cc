// Every metric of the list in metrics/README.md moves on a real broker: a metric that nothing can move misleads
// whoever looks at it. (That the list is complete, metrics_table_test sees to.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "tests/support/broker_process.h"
#include "tests/support/eventually.h"
#include "tests/support/http_client.h"
#include "tests/support/metrics_page.h"
#include "tests/support/stopped_thread.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::Gt;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr SocketPairOptions kTinyWindow = {.client_receive_buffer_bytes = 4 << 10};
constexpr const char* kFull = "full";

std::vector<std::string> MetricsOfTheReadme() {
  std::ifstream file(SLUICE_METRICS_README);
  std::vector<std::string> names;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("| `sluice_") || line.starts_with("| `process_")) {
      names.push_back(line.substr(3, line.find('`', 3) - 3));
    }
  }
  return names;
}

// Publishes one message again and again, as far as the kernel takes it, and goes on where it stopped.
class Flood {
 public:
  Flood(WireClient* client, size_t payload_bytes)
      : fd_(client->socket().fd()), frame_(PublishFrame(kFull, std::string(payload_bytes, 'x'))) {}

  void Push(uint64_t bytes_max) {
    for (uint64_t sent = 0; sent < bytes_max;) {
      const size_t bytes = std::min<uint64_t>(frame_.size() - at_, bytes_max - sent);
      const ssize_t taken = ::send(fd_, frame_.data() + at_, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (taken <= 0) return;
      sent += static_cast<uint64_t>(taken);
      at_ = (at_ + static_cast<size_t>(taken)) % frame_.size();
    }
  }

 private:
  const int fd_;
  const std::string frame_;
  size_t at_ = 0;
};

// Each scenario has a broker of its own.
class MetricsMoveTest : public ::testing::Test {
 protected:
  // Some metrics are about what goes from one shard to another.
  MetricsMoveTest() { ::setenv("SLUICE_TEST_SHARDS", "2", 1); }

  // Notes what is not 0 on the page; of a histogram its sum counts.
  void Look(const BrokerProcess& broker) {
    const MetricsPage page(HttpGet(broker.http_port(), "/metrics").body);
    for (const MetricsPage::Family& family : page.families()) {
      for (const std::string& series : family.series) {
        if (family.type == "histogram" && !series.starts_with(family.name + "_sum")) continue;
        if (page.Value(series) != 0) moved_.insert(family.name);
      }
    }
  }
  void LookUntilMoved(const BrokerProcess& broker, const std::vector<std::string>& names,
                      const std::function<void()>& meanwhile) {
    EXPECT_TRUE(Eventually([&] {
      Look(broker);
      const std::vector<std::string> unmoved = Unmoved(names);
      if (!unmoved.empty()) meanwhile();
      return unmoved.empty();
    })) << ::testing::PrintToString(Unmoved(names));
  }
  std::vector<std::string> Unmoved(const std::vector<std::string>& names) const {
    std::vector<std::string> unmoved;
    std::copy_if(names.begin(), names.end(), std::back_inserter(unmoved),
                 [&](const std::string& name) { return !moved_.contains(name); });
    return unmoved;
  }

  static std::vector<std::string> With(std::vector<std::string> flags) {
    for (const char* flag : {"--max-message=16KiB", "--max-headers=1KiB", "--notsent-lowat=16KiB"}) {
      flags.push_back(flag);
    }
    return flags;
  }
  static WireClient Connected(const BrokerProcess& broker, const SocketPairOptions& sockets = {}) {
    WireClient client(broker.port(), sockets);
    client.Connect("client");
    return client;
  }
  static void Publish(WireClient* publisher) {
    for (int i = 0; i < 10; ++i) publisher->Publish(kFull, std::string(1000, 'x'));
    publisher->Ack();
  }

  void TrafficAndThenAShardThatStandsStill();
  void SlowConsumersOfEveryKind();
  void LimitsThatAreOnlyObserved();
  void AFullKernel();
  void AConsumerThatBlocksItsPublisher();
  void MemoryUsedUp();
  void NoRoomAndNoTime();

  std::set<std::string> moved_;
};

void MetricsMoveTest::TrafficAndThenAShardThatStandsStill() {
  BrokerProcess broker(With({}));
  std::vector<WireClient> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(Connected(broker));
    clients.back().Subscribe(1, kFull);
  }
  LookUntilMoved(broker, {"sluice_delivery_latency_seconds", "sluice_mailbox_slices_sent_total"}, [&] {
    Publish(&clients[0]);
    for (WireClient& client : clients) client.NextMessage();
  });
  clients[0].Publish("bad..topic", "x");
  clients[0].ExpectError(v1::ERROR_CODE_BAD_TOPIC);
  WireClient cut_short = Connected(broker);
  cut_short.SendRaw(PublishFrame(kFull, "cut short").substr(0, 5));
  cut_short.EndInput();
  cut_short.ReadToEnd();

  // Some of them are on the shard that stands still.
  std::vector<Flood> floods;
  for (WireClient& client : clients) floods.emplace_back(&client, 16'000);
  const StoppedThread stopped(broker.pid(), "shard-1");
  LookUntilMoved(
      broker, {"sluice_scrape_shards_missing", "sluice_mailbox_bytes", "sluice_mailbox_pauses_total"}, [&] {
        for (size_t i = 0; i < clients.size(); ++i) {
          floods[i].Push(1 << 20);
          (void)clients[i].ReadAvailable(4 << 20);
        }
      });
}

void MetricsMoveTest::SlowConsumersOfEveryKind() {
  BrokerProcess broker(With({"--write-timeout=1h"}));
  WireClient events = Connected(broker);
  events.Subscribe(1, "$sys.consumer.*");
  WireClient publisher = Connected(broker);
  std::vector<WireClient> slow;
  for (const SubscribeOptions& options :
       {SubscribeOptions{.pending_messages_max = 50, .overflow = v1::OVERFLOW_POLICY_DROP_OLDEST},
        SubscribeOptions{.pending_messages_max = 50, .overflow = v1::OVERFLOW_POLICY_CONFLATE},
        SubscribeOptions{.pending_messages_max = 50, .window_bytes = 1},
        SubscribeOptions{.pending_messages_max = 50}}) {
    slow.push_back(Connected(broker, kTinyWindow));
    slow.back().Subscribe(1, kFull, options);
  }
  LookUntilMoved(
      broker,
      {"sluice_messages_dropped_total", "sluice_messages_conflated_total", "sluice_gaps_sent_total",
       "sluice_subscriptions_cut_total", "sluice_slow_consumer_disconnects_total",
       "sluice_lagging_subscriptions", "sluice_lagging_causes_total",
       "sluice_subscription_oldest_age_seconds", "sluice_top_consumer_oldest_age_seconds"},
      [&] { Publish(&publisher); });
  LookUntilMoved(broker, {"sluice_write_stall_duration_seconds", "sluice_epollout_resumes_total"},
                 [&] { (void)slow[0].ReadAvailable(1 << 20); });
}

void MetricsMoveTest::LimitsThatAreOnlyObserved() {
  BrokerProcess broker(With({"--on-overflow=observe"}));
  WireClient slow = Connected(broker, kTinyWindow);
  slow.Subscribe(1, kFull, {.pending_messages_max = 50});
  WireClient publisher = Connected(broker);
  LookUntilMoved(broker, {"sluice_observed_overflows_total", "sluice_observed_messages_total"},
                 [&] { Publish(&publisher); });
}

// Just behind a message, or inside of one.
void MetricsMoveTest::AFullKernel() {
  BrokerProcess broker(With({"--write-timeout=1h"}));
  WireClient publisher = Connected(broker);
  LookUntilMoved(broker, {"sluice_writes_blocked_total", "sluice_partial_writes_total"}, [&] {
    WireClient slow = Connected(broker, kTinyWindow);
    slow.Subscribe(1, kFull);
    const double armed = broker.Metric("sluice_epollout_arms_total");
    for (size_t bytes = 100; broker.Metric("sluice_epollout_arms_total") == armed; bytes += 100) {
      publisher.Publish(kFull, std::string(bytes, 'x'));
      publisher.Ack();
    }
  });
}

void MetricsMoveTest::AConsumerThatBlocksItsPublisher() {
  BrokerProcess broker(With({}));
  WireClient slow = Connected(broker, kTinyWindow);
  slow.Subscribe(1, kFull, {.pending_messages_max = 50, .overflow = v1::OVERFLOW_POLICY_BLOCK});
  WireClient publisher = Connected(broker);
  Flood flood(&publisher, 1000);
  LookUntilMoved(broker, {"sluice_blocking_subscriptions", "sluice_blocked_publishers"},
                 [&] { flood.Push(10'000); });
  LookUntilMoved(broker, {"sluice_publisher_blocked_seconds_total"},
                 [&] { (void)slow.ReadAvailable(1 << 20); });
}

// First by what waits for a consumer, then by frames that are begun and not ended.
void MetricsMoveTest::MemoryUsedUp() {
  BrokerProcess broker({"--memory-budget=16MiB", "--notsent-lowat=16KiB", "--session-bytes-max=0",
                        "--pending-bytes-max=0", "--frame-timeout=1h"});
  WireClient slow = Connected(broker, kTinyWindow);
  slow.Subscribe(1, kFull);
  std::vector<WireClient> publishers;
  std::vector<Flood> floods;
  for (int i = 0; i < 30; ++i) {
    publishers.push_back(Connected(broker));
    floods.emplace_back(&publishers.back(), 1'000'000);
  }
  LookUntilMoved(broker, {"sluice_memory_sheds_total"}, [&] {
    for (Flood& flood : floods) flood.Push(900'000);
  });
  LookUntilMoved(broker, {"sluice_memory_pauses_total"}, [&] {
    for (Flood& flood : floods) flood.Push(900'000);
  });
}

void MetricsMoveTest::NoRoomAndNoTime() {
  BrokerProcess broker({"--connections-max=3"});
  std::vector<WireClient> clients;
  for (int i = 0; i < 5; ++i) clients.emplace_back(broker.port());
  LookUntilMoved(broker, {"sluice_connections_refused_total"}, [] {});
  clients.clear();
  LookUntilMoved(broker, {"sluice_loop_late_turns_total", "sluice_loop_lateness_seconds_total"}, [&] {
    broker.Stop();
    ::poll(nullptr, 0, 1500);
    broker.Continue();
  });
  broker.WaitForMetric("sluice_connections_open", 0);
  broker.LimitDescriptors(broker.OpenDescriptors() + 1);
  LookUntilMoved(broker, {"sluice_accept_errors_total"}, [&] { clients.emplace_back(broker.port()); });
}

TEST_F(MetricsMoveTest, EveryOne) {
  TrafficAndThenAShardThatStandsStill();
  SlowConsumersOfEveryKind();
  LimitsThatAreOnlyObserved();
  AFullKernel();
  AConsumerThatBlocksItsPublisher();
  MemoryUsedUp();
  NoRoomAndNoTime();
  const std::vector<std::string> all = MetricsOfTheReadme();
  ASSERT_THAT(all, SizeIs(Gt(70u)));
  EXPECT_THAT(Unmoved(all), IsEmpty());
}

}  // namespace
}  // namespace sluice::testing
