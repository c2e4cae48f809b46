// The client library's windows against the real broker: what is under way to a slow handler is bounded, and
// the other subscriptions on its socket go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"
#include "client/mutex.h"
#include "tests/support/broker_process.h"
#include "tests/support/eventually.h"

namespace sluice {
namespace {

using testing::BrokerProcess;
using testing::Eventually;
using ::testing::SizeIs;

class ClientWindowTest : public ::testing::Test {
 protected:
  std::unique_ptr<Client> Connect(ClientOptions options = {}) {
    options.servers = {"127.0.0.1:" + std::to_string(broker_.port())};
    absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(std::move(options));
    if (!client.ok()) throw std::runtime_error(std::string(client.status().message()));
    return *std::move(client);
  }
  void Publish(std::string_view topic, int messages, size_t payload_bytes) {
    const std::string payload(payload_bytes, 'x');
    for (int i = 0; i < messages; ++i) ASSERT_TRUE(publisher_->Publish(topic, payload).ok());
    ASSERT_TRUE(publisher_->Flush().ok());
  }

  BrokerProcess broker_;
  std::unique_ptr<Client> publisher_ = Connect();
};

// One subscription is not taken from at all. Without a window its messages would fill what the client may
// hold, the client would stop reading, and the other would starve.
TEST_F(ClientWindowTest, ASlowSubscriptionDoesNotHoldUpTheOther) {
  ClientOptions options;
  options.incoming_bytes_max = 1 << 20;
  const std::unique_ptr<Client> client = Connect(options);
  absl::StatusOr<Subscription> slow = client->SubscribePull("feed");
  ASSERT_TRUE(slow.ok()) << slow.status();
  std::atomic<int> handled{0};
  absl::StatusOr<Subscription> other = client->Subscribe("feed", [&](const MessageView&) { ++handled; });
  ASSERT_TRUE(other.ok()) << other.status();
  Publish("feed", 4000, 1000);
  EXPECT_TRUE(Eventually([&] { return handled == 4000; }));
  EXPECT_LE(slow->stats().waiting_bytes, (256u << 10) + 2000);
  EXPECT_EQ(client->stats().reading_pauses, 0u);
  for (int i = 0; i < 4000; ++i) ASSERT_TRUE(slow->Next(absl::Minutes(1)).ok()) << i;
}

TEST_F(ClientWindowTest, TheWindowGrowsWhileTheHandlerKeepsUpAndNotBeyondItsMost) {
  const std::unique_ptr<Client> client = Connect();
  std::atomic<int> handled{0};
  SubscribeOptions options;
  options.window_bytes = 16 << 10;
  options.window_bytes_max = 128 << 10;
  absl::StatusOr<Subscription> subscription = client->Subscribe(
      "feed", [&](const MessageView&) { ++handled; }, options);
  ASSERT_TRUE(subscription.ok()) << subscription.status();
  int published = 0;
  EXPECT_TRUE(Eventually([&] {
    Publish("feed", 500, 1000);
    published += 500;
    return subscription->stats().window_bytes == options.window_bytes_max;
  }));
  EXPECT_TRUE(Eventually([&] { return handled == published; }));
}

TEST_F(ClientWindowTest, AFixedWindowStays) {
  const std::unique_ptr<Client> client = Connect();
  std::atomic<int> handled{0};
  SubscribeOptions options;
  options.window_bytes = options.window_bytes_max = 5000;
  absl::StatusOr<Subscription> subscription = client->Subscribe(
      "feed", [&](const MessageView&) { ++handled; }, options);
  ASSERT_TRUE(subscription.ok()) << subscription.status();
  Publish("feed", 1000, 1000);
  EXPECT_TRUE(Eventually([&] { return handled == 1000; }));
  EXPECT_EQ(subscription->stats().window_bytes, 5000u);
}

TEST_F(ClientWindowTest, WithoutAWindowTheClientIsWhatHoldsItBack) {
  ClientOptions client_options;
  client_options.incoming_bytes_max = 1 << 20;
  const std::unique_ptr<Client> client = Connect(client_options);
  SubscribeOptions options;
  options.window_bytes = options.window_bytes_max = 0;
  absl::StatusOr<Subscription> slow = client->SubscribePull("feed", options);
  ASSERT_TRUE(slow.ok()) << slow.status();
  Publish("feed", 4000, 1000);
  EXPECT_TRUE(Eventually([&] { return client->stats().reading_pauses > 0; }));
  EXPECT_EQ(slow->stats().window_bytes, 0u);
  for (int i = 0; i < 4000; ++i) ASSERT_TRUE(slow->Next(absl::Minutes(1)).ok()) << i;
}

TEST_F(ClientWindowTest, OneThatIsEndedForItsLimitIsToldTheNumbersAndTheOtherGoesOn) {
  const std::unique_ptr<Client> client = Connect();
  SubscribeOptions options;
  options.window_bytes = options.window_bytes_max = 10'000;
  options.limits.pending_messages_max = 100;
  client::Mutex mutex;
  std::optional<SubscriptionEnd> end;
  options.on_end = [&](const SubscriptionEnd& ended) {
    client::MutexLock lock(&mutex);
    end = ended;
  };
  absl::StatusOr<Subscription> slow = client->SubscribePull("feed", options);
  ASSERT_TRUE(slow.ok()) << slow.status();
  EXPECT_EQ(slow->terms().limits.pending_messages_max, 100u);
  EXPECT_EQ(slow->terms().overflow, OverflowPolicy::kDisconnect);
  std::atomic<int> handled{0};
  absl::StatusOr<Subscription> other = client->Subscribe("feed", [&](const MessageView&) { ++handled; });
  ASSERT_TRUE(other.ok()) << other.status();
  Publish("feed", 500, 1000);
  EXPECT_TRUE(Eventually([&] {
    client::MutexLock lock(&mutex);
    return end.has_value();
  }));
  EXPECT_EQ(end->reason, Reason::kPendingMessages);
  EXPECT_FALSE(end->status.ok());
  EXPECT_EQ(end->limit, 100u);
  EXPECT_GT(end->value, 100u);
  EXPECT_EQ(end->received + end->told_missing, end->offered);
  EXPECT_TRUE(Eventually([&] { return handled == 500; }));
  EXPECT_EQ(client->state(), ClientState::kConnected);
  EXPECT_THAT(broker_.LogLines("slow consumer disconnected"), SizeIs(0));
  // What had come is still there, and then its end.
  for (uint64_t i = 0; i < end->received; ++i) ASSERT_TRUE(slow->Next(absl::Minutes(1)).ok());
  EXPECT_FALSE(slow->Next(absl::Minutes(1)).ok());
}

TEST_F(ClientWindowTest, DrainGetsWhatWaitsForCredit) {
  const std::unique_ptr<Client> client = Connect();
  std::atomic<int> handled{0};
  SubscribeOptions options;
  options.window_bytes = options.window_bytes_max = 1000;
  absl::StatusOr<Subscription> subscription = client->Subscribe(
      "feed", [&](const MessageView&) { ++handled; }, options);
  ASSERT_TRUE(subscription.ok()) << subscription.status();
  Publish("feed", 500, 1000);
  EXPECT_TRUE(subscription->Drain(absl::Minutes(1)).ok());
  EXPECT_EQ(handled, 500);
}

}  // namespace
}  // namespace sluice
