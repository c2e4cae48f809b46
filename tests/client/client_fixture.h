// What tests of a whole client against a scripted broker have in common.
#ifndef SLUICE_TESTS_CLIENT_CLIENT_FIXTURE_H_
#define SLUICE_TESTS_CLIENT_CLIENT_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"
#include "client/mutex.h"
#include "tests/client/fake_broker.h"

namespace sluice {

// Lines that callbacks write and the test waits for. Thread-safe.
class EventLog {
 public:
  void Add(std::string line) {
    client::MutexLock lock(&mutex_);
    lines_.push_back(std::move(line));
    changed_.SignalAll();
  }

  // The lines so far, once there are at least `count`; taken out of the log.
  std::vector<std::string> Take(size_t count) {
    const absl::Time deadline = client::DeadlineIn(kPatience);
    client::MutexLock lock(&mutex_);
    while (lines_.size() < count && client::MonotonicNow() < deadline) changed_.WaitUntil(&mutex_, deadline);
    EXPECT_GE(lines_.size(), count) << "not so many lines came";
    return std::exchange(lines_, {});
  }
  std::string TakeOne() {
    const std::vector<std::string> lines = Take(1);
    EXPECT_EQ(lines.size(), 1u);
    return lines.empty() ? "" : lines.front();
  }
  size_t size() const {
    client::MutexLock lock(&mutex_);
    return lines_.size();
  }

 private:
  mutable client::Mutex mutex_;
  client::CondVar changed_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mutex_);
};

// Polls until `condition` holds.
inline void Await(const std::function<bool()>& condition, const char* what) {
  const absl::Time deadline = client::DeadlineIn(kPatience);
  while (!condition()) {
    ASSERT_LT(client::MonotonicNow(), deadline) << what;
    absl::SleepFor(absl::Milliseconds(1));
  }
}

// What the broker said of the cause; empty: nothing.
inline std::string WhyOf(const SlowConsumerEvent& event) {
  if (event.cause == LagCause::kUnknown) return "";
  return " " + std::string(LagCauseName(event.cause)) + " " + std::to_string(event.drain_bytes_per_second) +
         "/" + std::to_string(event.feed_bytes_per_second) + " until " +
         absl::FormatDuration(event.time_to_limit);
}

class ClientFixture : public ::testing::Test {
 protected:
  // Returns from Connect() at once, so that the test can play the broker, and comes back fast.
  ClientOptions Options() {
    ClientOptions options;
    options.servers = {broker_.url()};
    options.initial_connect = InitialConnect::kKeepTrying;
    options.reconnect_delay_first = absl::Milliseconds(1);
    options.reconnect_delay_max = absl::Milliseconds(5);
    options.connect_timeout = kPatience;
    options.close_timeout = absl::Milliseconds(1);
    options.seed = 1;
    options.callbacks.on_connected = [this](const ConnectedEvent& event) { OnConnected(event); };
    options.callbacks.on_disconnected = [this](const DisconnectedEvent& event) { OnDisconnected(event); };
    options.callbacks.on_slow_consumer = [this](const SlowConsumerEvent& event) {
      log_.Add("slow " + event.filter + " " + std::string(ReasonName(event.limit)) +
               (event.state == SlowConsumerEvent::State::kRaised ? " raised " : " cleared ") +
               std::to_string(event.value) + "/" + std::to_string(event.limit_value) + WhyOf(event));
    };
    options.callbacks.on_gap = [this](const GapEvent& event) {
      log_.Add("gap " + event.filter + " " + std::to_string(event.messages) + " messages " +
               std::to_string(event.bytes) + " bytes");
    };
    options.callbacks.on_error = [this](const ErrorEvent& event) {
      log_.Add("error " + absl::StatusCodeToString(event.status.code()) + " subscription " +
               std::to_string(event.subscription) + " publish " + std::to_string(event.publish));
    };
    options.callbacks.on_paused = [this](const PausedEvent& event) {
      log_.Add(event.state == PausedEvent::State::kPaused ? "paused " + event.cause : "resumed");
    };
    return options;
  }

  // Starts a client, and the session that it opens.
  void Start(ClientOptions options, const v1::Connected& connected = FakeSession::DefaultConnected()) {
    absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(std::move(options));
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
    session_ = broker_.Accept();
    ASSERT_NE(session_, nullptr);
    session_->Welcome(connected);
    ASSERT_TRUE(client_->WaitConnected(kPatience).ok());
    EXPECT_EQ(log_.TakeOne(), "connected 0");
  }
  void Start() { Start(Options()); }

  // The next session, after the last one was lost.
  v1::Connect Restart(const v1::Connected& connected = FakeSession::DefaultConnected()) {
    session_ = broker_.Accept();
    return session_ == nullptr ? v1::Connect() : session_->Welcome(connected);
  }

  // A subscription that the broker has confirmed; its handler writes "<topic> <payload>" to messages_.
  Subscription Subscribe(const std::string& filter, SubscribeOptions options = {}) {
    return Confirmed(client_->Subscribe(filter, LogMessages(), NoWait(std::move(options))));
  }
  Subscription SubscribePull(const std::string& filter, SubscribeOptions options = {}) {
    return Confirmed(client_->SubscribePull(filter, NoWait(std::move(options))));
  }
  MessageHandler LogMessages() {
    return [this](const MessageView& message) {
      messages_.Add(std::string(message.topic) + " " + std::string(message.payload));
    };
  }

  FakeBroker broker_;
  std::unique_ptr<FakeSession> session_;
  EventLog log_;
  EventLog messages_;
  std::unique_ptr<Client> client_;

 private:
  static SubscribeOptions NoWait(SubscribeOptions options) {
    options.confirmation = Confirmation::kDoNotWait;
    return options;
  }
  Subscription Confirmed(absl::StatusOr<Subscription> subscription) {
    EXPECT_TRUE(subscription.ok()) << subscription.status();
    if (!subscription.ok()) return Subscription();
    const v1::ClientFrame frame = session_->ReadBusiness();
    EXPECT_EQ(frame.subscribe().filter(), subscription->filter());
    EXPECT_EQ(frame.subscribe().subscription(), subscription->id());
    session_->Subscribed(subscription->id());
    return *std::move(subscription);
  }
  void OnConnected(const ConnectedEvent& event) {
    std::string line = "connected " + std::to_string(event.reconnects);
    if (event.previous) {
      line += " previous " + std::string(ReasonName(event.previous->reason)) + " cuts " +
              std::to_string(event.previous->cuts_in_a_row) + Losses(event.previous->losses);
    }
    log_.Add(line);
  }
  void OnDisconnected(const DisconnectedEvent& event) {
    std::string line = "disconnected " + std::string(ReasonName(event.reason)) + " unknown " +
                       std::to_string(event.publishes_unknown) +
                       (event.books == Books::kExact ? " exact" : " inexact") + Losses(event.losses);
    if (event.retry == Retry::kGaveUp) line += " for good";
    log_.Add(line);
  }
  static std::string Losses(const std::vector<SubscriptionLoss>& losses) {
    std::string text;
    for (const SubscriptionLoss& loss : losses) {
      text += " [" + loss.filter + " offered " + std::to_string(loss.offered) + " received " +
              std::to_string(loss.received) + " told " + std::to_string(loss.told_missing) + " lost " +
              std::to_string(loss.lost) + "]";
    }
    return text;
  }
};

}  // namespace sluice

#endif  // SLUICE_TESTS_CLIENT_CLIENT_FIXTURE_H_
