// The client library beside a broker that dies, and comes back at the same address.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client/client.h"
#include "tests/support/broker_process.h"
#include "tests/support/eventually.h"

namespace sluice::testing {
namespace {

using ::testing::ElementsAre;

// What a client was told, in order.
class Told {
 public:
  void Add(std::string what) {
    const std::lock_guard lock(mutex_);
    all_.push_back(std::move(what));
  }
  std::vector<std::string> all() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> all_;
};

TEST(RestartTest, SubscriptionsAreMadeAgainAndMessagesFlowOn) {
  // An address of its own, so that nobody else is given the port while no broker has it.
  constexpr const char* kHost = "127.98.76.54:";
  std::optional<BrokerProcess> broker(std::in_place, std::vector<std::string>(), std::string(kHost) + "0");
  const std::string address = kHost + std::to_string(broker->port());
  Told told;
  Told received;
  ClientOptions options;
  options.servers = {address};
  options.reconnect_delay_max = absl::Milliseconds(200);
  options.callbacks.on_connected = [&](const ConnectedEvent&) { told.Add("connected"); };
  options.callbacks.on_disconnected = [&](const DisconnectedEvent& event) {
    told.Add(std::string(ReasonName(event.reason)));
  };
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(options);
  ASSERT_TRUE(client.ok()) << client.status();
  absl::StatusOr<Subscription> ticks = (*client)->Subscribe(
      "ticks.>", [&](const MessageView& tick) { received.Add(std::string(tick.payload)); });
  ASSERT_TRUE(ticks.ok()) << ticks.status();

  std::vector<std::string> published;
  const auto publish = [&](const std::string& payload) {
    published.push_back(payload);
    const absl::StatusOr<PublishReceipt> receipt =
        (*client)->PublishWithAck({.topic = "ticks.a", .payload = payload}, absl::Minutes(2));
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    EXPECT_EQ(receipt->queued, 1u);
  };
  publish("before");
  ASSERT_TRUE(Eventually([&] { return received.all() == published; }));
  for (const int signal : {SIGKILL, SIGTERM}) {
    broker->Signal(signal);
    (void)broker->WaitForExit();
    ASSERT_TRUE(Eventually([&] { return (*client)->state() != ClientState::kConnected; }));
    broker.reset();
    broker.emplace(std::vector<std::string>(), address);
    ASSERT_TRUE((*client)->WaitConnected(absl::Minutes(2)).ok());
    // The subscription is in force before anything that is published is taken.
    publish(std::to_string(signal));
    ASSERT_TRUE(Eventually([&] { return received.all() == published; }));
  }
  EXPECT_EQ((*client)->stats().reconnects, 2u);
  EXPECT_TRUE((*client)->Close().ok());
  const std::vector<std::string> events = told.all();
  ASSERT_GE(events.size(), 5u);
  EXPECT_EQ(events[0], "connected");
  EXPECT_EQ(events[2], "connected");
  EXPECT_THAT(std::vector<std::string>(events.begin() + 3, events.begin() + 5),
              ElementsAre("shutdown", "connected"));
}

TEST(RestartTest, WhenABrokerIsDrainedItsClientsGoToAnother) {
  BrokerProcess first({"--reconnect-spread=300ms"});
  BrokerProcess second;
  ClientOptions options;
  options.servers = {"127.0.0.1:" + std::to_string(first.port()),
                     "127.0.0.1:" + std::to_string(second.port())};
  Told received;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 3; ++i) {
    absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(options);
    ASSERT_TRUE(client.ok()) << client.status();
    EXPECT_EQ((*client)->server().address, options.servers[0]);
    clients.push_back(*std::move(client));
  }
  absl::StatusOr<Subscription> ticks = clients[0]->Subscribe(
      "ticks.>", [&](const MessageView& tick) { received.Add(std::string(tick.payload)); });
  ASSERT_TRUE(ticks.ok()) << ticks.status();
  ASSERT_TRUE(clients[0]->Flush().ok());

  first.Signal(SIGTERM);
  EXPECT_EQ(first.WaitForExit().code, 0);
  second.WaitForMetric("sluice_connections_open", 3);
  second.WaitForMetric("sluice_subscriptions", 1);
  const absl::StatusOr<PublishReceipt> receipt =
      clients[1]->PublishWithAck({.topic = "ticks.a", .payload = "moved"}, absl::Minutes(2));
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_TRUE(Eventually([&] { return received.all() == std::vector<std::string>{"moved"}; }));
  for (const auto& client : clients) {
    EXPECT_EQ(client->server().address, options.servers[1]);
    EXPECT_TRUE(client->Close().ok());
  }
}

}  // namespace
}  // namespace sluice::testing
