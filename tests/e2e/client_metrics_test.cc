// What a client shows of itself to Prometheus, with a real broker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include <memory>
#include <optional>
#include <string>

#include "client/client.h"
#include "client/prometheus.h"
#include "tests/support/broker_process.h"
#include "tests/support/eventually.h"
#include "tests/support/metrics_page.h"

namespace sluice::testing {
namespace {

class ClientMetricsTest : public ::testing::Test {
 protected:
  ClientMetricsTest() {
    ClientOptions options;
    options.servers = {"127.0.0.1:" + std::to_string(broker_.port())};
    client_ = *Client::Connect(options);
    collectable_.emplace(client_, "feed");
  }

  MetricsPage Page() const {
    return MetricsPage(prometheus::TextSerializer().Serialize(collectable_->Collect()));
  }
  double Value(const std::string& name) const {
    return Page().Value("sluice_client_" + name + "{client=\"feed\"}");
  }

  BrokerProcess broker_;
  std::shared_ptr<Client> client_;
  std::optional<ClientCollectable> collectable_;
};

TEST_F(ClientMetricsTest, AClientShowsWhatItDoes) {
  EXPECT_EQ(Value("connected"), 1);
  EXPECT_EQ(Page().Find("sluice_client_subscription_messages_received_total"), nullptr);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client_->Publish("nobody", "0123456789").ok());
  ASSERT_TRUE(client_->Flush().ok());
  EXPECT_EQ(Value("messages_published_total"), 3);
  EXPECT_GE(Value("sent_bytes_total"), 30);
  EXPECT_GE(Value("sends_total"), 1);
  EXPECT_GE(Value("receives_total"), 1);
  EXPECT_EQ(Value("outgoing_bytes"), 0);
  EXPECT_EQ(Value("reconnects_total"), 0);
  broker_.Signal(SIGKILL);
  (void)broker_.WaitForExit();
  EXPECT_TRUE(Eventually([&] { return Value("connected") == 0; }));
  ASSERT_TRUE(client_->Publish("nobody", "waits").ok());
  EXPECT_EQ(Value("outgoing_messages"), 1);
}

TEST_F(ClientMetricsTest, EachSubscriptionHasItsSeriesAsLongAsItIsThere) {
  const std::string filter = "odd.\"quoted\\\".>";
  absl::StatusOr<Subscription> pulled = client_->SubscribePull(filter);
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  absl::StatusOr<Subscription> same = client_->SubscribePull(filter);
  ASSERT_TRUE(same.ok()) << same.status();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client_->Publish("odd.\"quoted\\\".topic", "payload").ok());
  const auto value = [&](const std::string& name, const Subscription& subscription) {
    return Page().Value("sluice_client_subscription_" + name + "{client=\"feed\",subscription=\"" +
                        std::to_string(subscription.id()) + "\",filter=\"odd.\\\"quoted\\\\\\\".>\"}");
  };
  ASSERT_TRUE(pulled->Next(absl::Minutes(2)).ok());
  EXPECT_TRUE(Eventually([&] { return value("messages_received_total", *pulled) == 3; }));
  EXPECT_EQ(value("messages_handled_total", *pulled), 1);
  EXPECT_EQ(value("waiting_messages", *pulled), 2);
  EXPECT_GT(value("waiting_bytes", *pulled), 0);
  EXPECT_GT(value("window_bytes", *pulled), 0);
  EXPECT_EQ(value("messages_handled_total", *same), 0);
  same->Unsubscribe();
  EXPECT_TRUE(Eventually(
      [&] { return Page().Find("sluice_client_subscription_waiting_messages")->series.size() == 1; }));
}

}  // namespace
}  // namespace sluice::testing
