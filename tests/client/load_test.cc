// Many clients, threads and lost connections at the same time, against a broker that counts: order, no
// message twice, and books that add up.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "client/dispatcher.h"
#include "tests/client/client_fixture.h"
#include "tests/client/mini_broker.h"

namespace sluice {
namespace {

std::unique_ptr<Client> Connected(const MiniBroker& broker, ClientCallbacks callbacks = {}) {
  ClientOptions options;
  options.servers = {broker.url()};
  options.reconnect_delay_first = absl::Milliseconds(1);
  options.reconnect_delay_max = absl::Milliseconds(10);
  options.close_timeout = kPatience;
  options.callbacks = std::move(callbacks);
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(std::move(options));
  EXPECT_TRUE(client.ok()) << client.status();
  return client.ok() ? *std::move(client) : nullptr;
}

// What one subscription saw. Written by one handler at a time.
struct Seen {
  void Take(const MessageView& message) {
    const std::string publisher(message.topic.substr(message.topic.rfind('.') + 1));
    const uint64_t number = std::stoull(std::string(message.payload));
    auto [at, first] = last.try_emplace(publisher, 0);
    if (number <= at->second) ++backwards;
    at->second = number;
    ++count;
  }
  std::map<std::string, uint64_t> last;
  uint64_t backwards = 0;
  std::atomic<uint64_t> count{0};
};

TEST(LoadTest, EveryPublisherAndSubscriberSeesEverythingInOrder) {
  MiniBroker broker;
  constexpr int kPublishers = 3;
  constexpr uint64_t kEach = 20000;
  const auto subscriber = Connected(broker);
  ASSERT_NE(subscriber, nullptr);
  Seen dispatched;
  Seen inlined;
  Seen executed;
  Seen pulled;
  std::vector<Subscription> subscriptions;
  const auto subscribe = [&](Seen* seen, SubscribeOptions options) {
    absl::StatusOr<Subscription> subscription = subscriber->Subscribe(
        "load.*", [seen](const MessageView& message) { seen->Take(message); }, options);
    ASSERT_TRUE(subscription.ok()) << subscription.status();
    subscriptions.push_back(*std::move(subscription));
  };
  subscribe(&dispatched, {});
  subscribe(&inlined, {.run = Run::kInline});
  // An executor of one thread, as an application might have.
  client::Dispatcher executor;
  executor.Start();
  SubscribeOptions on_executor;
  on_executor.executor = [&executor](std::function<void()> task) { executor.Post(std::move(task)); };
  subscribe(&executed, on_executor);
  absl::StatusOr<Subscription> pull = subscriber->SubscribePull("load.*");
  ASSERT_TRUE(pull.ok());
  std::thread pulling([&] {
    while (pulled.count < kPublishers * kEach) {
      const absl::StatusOr<ReceivedMessage> message = pull->Next(kPatience);
      ASSERT_TRUE(message.ok()) << message.status();
      pulled.Take(message->view());
    }
  });
  std::vector<std::thread> publishers;
  const auto publisher = Connected(broker);
  ASSERT_NE(publisher, nullptr);
  for (int p = 0; p < kPublishers; ++p) {
    publishers.emplace_back([&publisher, p] {
      const std::string topic = "load." + std::to_string(p);
      for (uint64_t i = 1; i <= kEach; ++i) ASSERT_TRUE(publisher->Publish(topic, std::to_string(i)).ok());
      EXPECT_TRUE(publisher->Flush(kPatience).ok());
    });
  }
  for (std::thread& thread : publishers) thread.join();
  pulling.join();
  EXPECT_TRUE(subscriber->Drain(kPatience).ok());
  executor.Stop();
  for (const Seen* seen : {&dispatched, &inlined, &executed, &pulled}) {
    EXPECT_EQ(seen->count, kPublishers * kEach);
    EXPECT_EQ(seen->backwards, 0u);
  }
}

TEST(LoadTest, TheBooksAddUpThroughManyLostConnections) {
  std::random_device seeds;
  const uint32_t seed = seeds();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  MiniBroker broker;
  // What events said was lost, of the one subscription.
  std::atomic<uint64_t> lost{0};
  std::atomic<uint64_t> offered{0};
  const auto add = [&](const std::vector<SubscriptionLoss>& losses) {
    for (const SubscriptionLoss& loss : losses) {
      EXPECT_EQ(loss.received + loss.told_missing + loss.lost, loss.offered);
      lost += loss.lost;
      offered += loss.offered;
    }
  };
  ClientCallbacks callbacks;
  callbacks.on_disconnected = [&](const DisconnectedEvent& event) { add(event.losses); };
  callbacks.on_connected = [&](const ConnectedEvent& event) {
    if (event.previous) add(event.previous->losses);
  };
  const auto subscriber = Connected(broker, callbacks);
  ASSERT_NE(subscriber, nullptr);
  Seen seen;
  std::atomic<uint64_t> end_offered{0};
  SubscribeOptions options;
  options.on_end = [&](const SubscriptionEnd& end) { end_offered = end.offered; };
  absl::StatusOr<Subscription> subscription = subscriber->Subscribe(
      "load.*", [&seen](const MessageView& message) { seen.Take(message); }, options);
  ASSERT_TRUE(subscription.ok());

  std::atomic<uint64_t> unknown{0};
  ClientCallbacks publisher_callbacks;
  publisher_callbacks.on_disconnected = [&](const DisconnectedEvent& event) {
    unknown += event.publishes_unknown;
  };
  const auto publisher = Connected(broker, publisher_callbacks);
  ASSERT_NE(publisher, nullptr);
  uint64_t published = 0;
  for (uint64_t round = 0; round < 15; ++round) {
    for (uint32_t i = random() % 20000; i > 0; --i) {
      ASSERT_TRUE(publisher->Publish("load.p", std::to_string(++published)).ok());
    }
    // Both came back while the first publishes of this round were waiting.
    Await([&] { return publisher->stats().reconnects + subscriber->stats().reconnects == 2u * round; },
          "no one comes");
    broker.ResetAll();
    Await([&] { return broker.resets() == round + 1; }, "no reset");
  }
  // Whatever is still under way comes in; publishes that were lost are said to be unknown.
  static_cast<void>(publisher->Flush(kPatience));
  Await([&] { return subscriber->stats().reconnects == 15; }, "it does not come back");
  EXPECT_TRUE(subscriber->Flush(kPatience).ok());
  ASSERT_TRUE(subscription->Drain(kPatience).ok());
  // No callback is still to come.
  EXPECT_TRUE(subscriber->Close(kPatience).ok());
  EXPECT_TRUE(publisher->Close(kPatience).ok());
  EXPECT_EQ(seen.backwards, 0u);
  EXPECT_EQ(seen.count, subscription->stats().received);
  // Of all that the broker offered in all sessions, each message came or is said to be lost.
  EXPECT_EQ(offered + end_offered, seen.count + lost);
  EXPECT_EQ(subscription->stats().lost, lost);
  EXPECT_GT(seen.count, 0u);
  // Nothing was published twice, and what did not arrive was said to be unknown.
  EXPECT_LE(broker.publishes(), published);
  EXPECT_GE(broker.publishes() + unknown, published);
  EXPECT_EQ(publisher->stats().publishes_unknown, unknown);
}

TEST(LoadTest, SubscriptionsComeAndGoUnderLoad) {
  MiniBroker broker;
  const auto client = Connected(broker);
  ASSERT_NE(client, nullptr);
  std::atomic<bool> stop{false};
  std::thread publishing([&] {
    for (uint64_t i = 1; !stop; ++i) {
      ASSERT_TRUE(client->Publish("churn.t", std::to_string(i)).ok());
      // The mini broker has no bound of its own.
      if (i % 200 == 0) {
        ASSERT_TRUE(client->Flush(kPatience).ok());
      }
    }
  });
  std::vector<std::thread> churning;
  for (int t = 0; t < 3; ++t) {
    churning.emplace_back([&client, t] {
      std::mt19937 random(static_cast<uint32_t>(t));
      for (int i = 0; i < 40; ++i) {
        Seen seen;
        SubscribeOptions options;
        options.run = i % 2 == 0 ? Run::kInline : Run::kOnDispatchThread;
        if (i % 4 == 3) options.messages_max = 1 + random() % 50;
        absl::StatusOr<Subscription> subscription = client->Subscribe(
            "churn.>", [&seen](const MessageView& message) { seen.Take(message); }, options);
        ASSERT_TRUE(subscription.ok()) << subscription.status();
        if (options.messages_max > 0) {
          const absl::StatusOr<SubscriptionEnd> end = subscription->WaitEnd(kPatience);
          ASSERT_TRUE(end.ok()) << end.status();
          ASSERT_EQ(seen.count, options.messages_max);
        } else if (i % 4 == 1) {
          ASSERT_TRUE(subscription->Drain(kPatience).ok());
        } else {
          subscription->Unsubscribe();
        }
        const uint64_t count = seen.count;
        ASSERT_EQ(seen.backwards, 0u);
        ASSERT_EQ(seen.count, count);
      }
    });
  }
  for (std::thread& thread : churning) thread.join();
  stop = true;
  publishing.join();
  EXPECT_TRUE(client->Close(kPatience).ok());
  EXPECT_EQ(client->stats().incoming_bytes, 0u);
}

TEST(LoadTest, RequestsOfManyThreadsFindTheirReplies) {
  MiniBroker broker;
  const auto client = Connected(broker);
  const auto service = Connected(broker);
  ASSERT_TRUE(client != nullptr && service != nullptr);
  SubscribeOptions options;
  options.queue_group = "workers";
  std::vector<Subscription> workers;
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<Subscription> worker = service->Subscribe(
        "double",
        [&](const MessageView& request) {
          const std::string answer = std::to_string(2 * std::stoi(std::string(request.payload)));
          EXPECT_TRUE(service->Reply(request, answer).ok());
        },
        options);
    ASSERT_TRUE(worker.ok());
    workers.push_back(*std::move(worker));
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&client, t] {
      for (int i = 0; i < 300; ++i) {
        const int number = 1000 * t + i;
        const std::string payload = std::to_string(number);
        const absl::StatusOr<ReceivedMessage> reply =
            client->Request({.topic = "double", .payload = payload}, kPatience);
        ASSERT_TRUE(reply.ok()) << reply.status();
        ASSERT_EQ(reply->payload(), std::to_string(2 * number));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  workers.clear();
  EXPECT_TRUE(service->Flush(kPatience).ok());
  EXPECT_EQ(client->Request({.topic = "double", .payload = "1"}, kPatience).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace sluice
