#include "broker/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "broker/clock.h"
#include "broker/net/error_text.h"
#include "protocol/sluice.pb.h"
#include "tests/support/eventually.h"
#include "tests/support/kernel_faults.h"
#include "tests/support/wire_client.h"

namespace sluice {
namespace {

using ::testing::UnorderedElementsAre;
using testing::Eventually;
using testing::WireClient;
using Frame = v1::ServerFrame;

constexpr testing::SocketPairOptions kSmallWindow = {.client_receive_buffer_bytes = 4 << 10};

// Shards on threads of their own, as the broker runs them, but in this process.
class ShardTest : public ::testing::Test {
 protected:
  ShardTest() {
    config_.goodbye_timeout = absl::Milliseconds(200);
    config_.payload_bytes_max = 16 << 20;
    config_.pending_bytes_max = 64 << 20;
    config_.session_bytes_max = 0;
  }
  ~ShardTest() override { Stop(); }

  void Start(size_t shards = 1, uint64_t connections_max = 1000) {
    limits_ = std::make_unique<SessionLimits>(config_);
    slots_ = std::make_unique<ConnectionSlots>(connections_max);
    for (size_t i = 0; i < shards; ++i) {
      shards_.push_back(*Shard::Create({}, limits_.get(), &memory_, &records_, &episodes_, log_.get()));
    }
    if (shards > 1) {
      for (uint32_t i = 0; i < shards; ++i) shards_[i]->SetPeers(i, shards_);
    }
    net::ListenerSocket listener =
        *net::ListenerSocket::Listen({.host = "127.0.0.1", .port = 0}, net::kBacklogDefault);
    port_ = listener.port();
    net::SocketOptions options;
    options.notsent_lowat_bytes = 128 << 10;
    ASSERT_TRUE(shards_[0]->Listen(std::move(listener), options, slots_.get()).ok());
    for (const auto& shard : shards_) threads_.emplace_back([&shard] { shard->Run(); });
  }
  void Drain(absl::Duration deliver_for, absl::Duration reconnect_spread = absl::ZeroDuration()) {
    for (const auto& shard : shards_) shard->Post(DrainCommand{deliver_for, reconnect_spread});
  }
  void Join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  void Stop() {
    if (threads_.empty()) return;
    Drain(absl::ZeroDuration());
    Join();
  }
  SurveyAnswer Survey(const SurveyRequest& request) {
    const auto task = std::make_shared<SurveyTask>();
    task->request = request;
    shards_[0]->Post(SurveyCommand{task});
    return task->answer.get_future().get();
  }
  KickTask::Outcome Kick(uint64_t token) {
    const auto task = std::make_shared<KickTask>();
    task->token = token;
    shards_[0]->Post(KickCommand{task});
    return task->outcome.get_future().get();
  }
  const ShardCounters& counters(size_t shard = 0) const { return shards_[shard]->counters(); }
  int64_t OpenConnections() const {
    int64_t open = 0;
    for (const auto& shard : shards_) open += shard->counters().connections_open.Get();
    return open;
  }

  Config config_;
  std::unique_ptr<SessionLimits> limits_;
  MemoryAccount memory_;
  SessionRecords records_;
  Episodes episodes_;
  std::ostringstream log_lines_;
  std::unique_ptr<Logger> log_ = Logger::ToStream(&log_lines_, LogLevel::kWarn, LogFormat::kText);
  std::unique_ptr<ConnectionSlots> slots_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::thread> threads_;
  uint16_t port_ = 0;
};

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

TEST_F(ShardTest, ServesUntilItHasDrained) {
  Start();
  WireClient subscriber(port_);
  subscriber.Connect("subscriber");
  subscriber.Subscribe(1, "a.*");
  WireClient publisher(port_);
  publisher.Connect("publisher");
  for (int i = 0; i < 1000; ++i) publisher.Publish("a.b", std::to_string(i));
  EXPECT_EQ(publisher.Ack().matched(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(subscriber.NextMessage().message.payload(), std::to_string(i));
  EXPECT_EQ(counters().connections_open.Get(), 2);
  EXPECT_EQ(counters().subscriptions.Get(), 1);

  Drain(absl::Seconds(10));
  subscriber.ExpectGoodbye(v1::REASON_SHUTDOWN);
  publisher.ExpectGoodbye(v1::REASON_SHUTDOWN);
  subscriber.Close();
  publisher.Close();
  Join();
  EXPECT_EQ(counters().connections_open.Get(), 0);
  EXPECT_EQ(counters().subscriptions.Get(), 0);
  EXPECT_EQ(counters().pending_bytes.Get(), 0);
  EXPECT_EQ(counters().sessions_ended[v1::REASON_SHUTDOWN].Get(), 2u);
  EXPECT_THROW(WireClient{port_}, std::runtime_error);  // nobody listens any more
}

TEST_F(ShardTest, ADrainDeliversWhatIsQueued) {
  Start();
  WireClient slow(port_, kSmallWindow);
  slow.Connect("slow");
  slow.Subscribe(1, "a");
  WireClient publisher(port_);
  publisher.Connect("publisher");
  for (int i = 0; i < 8; ++i) publisher.Publish("a", std::string(1 << 20, 'x'));
  publisher.Ack();
  EXPECT_GT(counters().pending_messages.Get(), 0);
  Drain(absl::Seconds(20));
  for (int i = 0; i < 8; ++i) EXPECT_EQ(slow.NextMessage().message.payload().size(), size_t{1} << 20);
  slow.ExpectGoodbye(v1::REASON_SHUTDOWN);
  slow.Close();
  publisher.Close();
  Join();
  EXPECT_EQ(counters().messages_dropped.Get(), 0u);
}

TEST_F(ShardTest, ADrainAsksItsClientsToComeBackOneAfterTheOther) {
  Start();
  std::vector<WireClient> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back(port_);
    clients.back().Connect("client");
  }
  Drain(absl::Seconds(20), absl::Seconds(2));
  std::vector<uint64_t> retry_after_ms;
  for (WireClient& client : clients) {
    retry_after_ms.push_back(client.ExpectGoodbye(v1::REASON_SHUTDOWN).retry_after_ms());
    client.Close();
  }
  Join();
  EXPECT_THAT(retry_after_ms, UnorderedElementsAre(0, 500, 1000, 1500));
}

TEST_F(ShardTest, ADrainDoesNotWaitForThoseWhoDoNotRead) {
  Start();
  WireClient stuck(port_, kSmallWindow);
  stuck.Connect("stuck");
  stuck.Subscribe(1, "a");
  WireClient publisher(port_);
  publisher.Connect("publisher");
  for (int i = 0; i < 8; ++i) publisher.Publish("a", std::string(1 << 20, 'x'));
  publisher.Ack();
  const absl::Time before = MonotonicNow();
  Drain(absl::Milliseconds(300));
  Join();
  EXPECT_GE(MonotonicNow() - before, absl::Milliseconds(300));
  EXPECT_GT(counters().messages_dropped.Get(), 0u);
  EXPECT_EQ(counters().pending_bytes.Get(), 0);
}

TEST_F(ShardTest, ArmsForABlockedWriteResumesAndDisarms) {
  Start();
  WireClient slow(port_, kSmallWindow);
  slow.Connect("slow");
  slow.Subscribe(1, "a");
  WireClient publisher(port_);
  publisher.Connect("publisher");
  publisher.Publish("a", std::string(10 << 20, 'x'));
  publisher.Ack();
  ASSERT_TRUE(Eventually([&] { return counters().epollout_arms.Get() == 1; }));
  EXPECT_EQ(slow.NextMessage().message.payload(), std::string(10 << 20, 'x'));
  EXPECT_GT(counters().epollout_resumes.Get(), 1u);
  EXPECT_EQ(counters().epollout_arms.Get(), 1u);
  // The client may have the last byte before the shard has booked it.
  EXPECT_TRUE(Eventually([&] { return counters().pending_bytes.Get() == 0; }));
  // Disarmed: what follows is written at once, and another block arms anew.
  const uint64_t resumes = counters().epollout_resumes.Get();
  publisher.Publish("a", "small");
  EXPECT_EQ(slow.NextMessage().message.payload(), "small");
  EXPECT_EQ(counters().epollout_resumes.Get(), resumes);
  EXPECT_EQ(counters().epollout_arms.Get(), 1u);
  publisher.Publish("a", std::string(10 << 20, 'x'));
  EXPECT_EQ(slow.NextMessage().message.payload().size(), size_t{10} << 20);
  EXPECT_EQ(counters().epollout_arms.Get(), 2u);
}

// Idle, with a socket that is full, and with one whose client has ended its direction: the shard sleeps.
TEST_F(ShardTest, DoesNotSpin) {
  Start();
  WireClient stuck(port_, kSmallWindow);
  stuck.Connect("stuck");
  stuck.Subscribe(1, "a");
  WireClient publisher(port_);
  publisher.Connect("publisher");
  publisher.Publish("a", std::string(10 << 20, 'x'));
  publisher.Ack();
  publisher.EndInput();
  publisher.ExpectGoodbye(v1::REASON_CLIENT_CLOSED);
  ASSERT_TRUE(Eventually([&] { return OpenConnections() == 1; }));
  const uint64_t turns = counters().turns.Get();
  const absl::Time before = MonotonicNow();
  // A check of the stuck clock and the housekeeping come once a second each.
  ASSERT_TRUE(Eventually([&] { return counters().turns.Get() >= turns + 6; }));
  EXPECT_GE(MonotonicNow() - before, absl::Milliseconds(1500));
}

// Over the limit, the flood stops filling its queue at once, not at its next deadline.
TEST_F(ShardTest, ASlowConsumerIsCutInTheTurnThatTakesItOverItsLimit) {
  config_.payload_bytes_max = 1 << 20;
  config_.pending_bytes_max = 8 << 20;
  config_.write_timeout = absl::Hours(1);
  Start();
  WireClient slow(port_, kSmallWindow);
  slow.Connect("slow");
  slow.Subscribe(1, "a");
  std::vector<std::unique_ptr<WireClient>> publishers;
  for (int i = 0; i < 3; ++i) {
    publishers.push_back(std::make_unique<WireClient>(port_));
    publishers.back()->Connect("publisher");
  }
  int64_t most = 0;
  for (int i = 0; i < 100; ++i) {
    for (const auto& publisher : publishers) publisher->Publish("a", std::string(100'000, 'x'));
    most = std::max(most, counters().pending_bytes.Get());
  }
  for (const auto& publisher : publishers) publisher->Ack();
  EXPECT_EQ(counters().sessions_ended[v1::REASON_PENDING_BYTES].Get(), 1u);
  EXPECT_LE(most, (8 << 20) + (4 << 20));  // what a few turns read
}

TEST_F(ShardTest, OneWhoTalksLittleIsServedBesideThoseWhoFlood) {
  Start();
  std::vector<std::thread> floods;
  std::atomic<bool> stop{false};
  for (int i = 0; i < 3; ++i) {
    floods.emplace_back([this, &stop] {
      WireClient flood(port_);
      flood.Connect("flood");
      const std::string frame = testing::PublishFrame("nobody", std::string(1000, 'x'));
      std::string many;
      for (int j = 0; j < 500; ++j) many += frame;
      while (!stop) flood.SendRaw(many);
    });
  }
  WireClient quiet(port_);
  quiet.Connect("quiet");
  quiet.Subscribe(1, "mine");
  for (int i = 0; i < 50; ++i) {
    quiet.Publish("mine", std::to_string(i));
    EXPECT_EQ(quiet.NextMessage().message.payload(), std::to_string(i));
  }
  stop = true;
  for (std::thread& flood : floods) flood.join();
}

TEST_F(ShardTest, ConnectionsThatComeAndGoLeaveNothingBehind) {
  Start();
  {
    WireClient first(port_);
    first.Connect("first");
  }
  ASSERT_TRUE(Eventually([&] { return OpenConnections() == 0; }));
  const size_t descriptors = OpenDescriptors();
  std::vector<std::thread> users;
  for (int user = 0; user < 4; ++user) {
    users.emplace_back([this, user] {
      for (int i = 0; i < 60; ++i) {
        WireClient client(port_);
        client.Connect("client");
        client.Subscribe(1, "a.>");
        client.Publish("a." + std::to_string(user), "x");
        switch (i % 4) {
          case 0:
            client.Reset();
            break;
          case 1:
            client.EndInput();
            client.ExpectGoodbye(v1::REASON_CLIENT_CLOSED);
            break;
          case 2:
            client.SendRaw(std::string("\x80\x00", 2));
            client.ExpectGoodbye(v1::REASON_PROTOCOL_ERROR);
            break;
          default:
            client.Close();
        }
      }
    });
  }
  for (std::thread& user : users) user.join();
  ASSERT_TRUE(Eventually([&] { return OpenConnections() == 0; }));
  EXPECT_EQ(counters().connections_accepted.Get(), 241u);
  EXPECT_EQ(counters().subscriptions.Get(), 0);
  EXPECT_EQ(counters().pending_bytes.Get(), 0);
  EXPECT_EQ(counters().pending_messages.Get(), 0);
  EXPECT_EQ(OpenDescriptors(), descriptors);
}

TEST_F(ShardTest, TurnsAwayThoseOverTheMaximumAndTakesThemWhenThereIsRoom) {
  Start(1, 2);
  WireClient one(port_);
  one.Connect("one");
  WireClient two(port_);
  two.Connect("two");
  WireClient three(port_);
  three.ExpectGoodbye(v1::REASON_TOO_MANY_CONNECTIONS);
  EXPECT_EQ(counters().connections_refused.Get(), 1u);
  one.Close();
  ASSERT_TRUE(Eventually([&] { return counters().connections_open.Get() <= 2; }));
  three.Close();
  ASSERT_TRUE(Eventually([&] { return counters().connections_open.Get() == 1; }));
  WireClient four(port_);
  four.Connect("four");
}

TEST_F(ShardTest, OutOfDescriptorsItServesOnAndRecovers) {
  Start();
  WireClient served(port_);
  served.Connect("served");
  served.Subscribe(1, "a");
  // A sanitizer needs descriptors when it meets a class for the first time, so everything is done once
  // before.
  served.Publish("a", "before");
  EXPECT_EQ(served.NextMessage().message.payload(), "before");
  WireClient refused(port_);
  refused.SendRaw(std::string("\x80\x00", 2));
  refused.ExpectGoodbye(v1::REASON_PROTOCOL_ERROR);
  log_->Error("begin", {{"error", net::ErrorText(EMFILE)}});
  {
    testing::DescriptorLimit limit(1);  // the client's own
    WireClient shed(port_);
    shed.ExpectGoodbye(v1::REASON_OUT_OF_RESOURCES);
    served.Publish("a", "meanwhile");
    EXPECT_EQ(served.NextMessage().message.payload(), "meanwhile");
  }
  WireClient later(port_);
  later.Connect("later");
  EXPECT_GE(counters().accept_errors.Get(), 1u);
}

TEST_F(ShardTest, DeadlinesAreKeptWithoutAnyEvent) {
  config_.connect_timeout = absl::Milliseconds(100);
  Start();
  const absl::Time before = MonotonicNow();
  WireClient silent(port_);
  silent.ExpectGoodbye(v1::REASON_CONNECT_TIMEOUT);
  EXPECT_GE(MonotonicNow() - before, absl::Milliseconds(100));
}

TEST_F(ShardTest, AnswersHowWhatIsPendingIsSpread) {
  Start();
  WireClient stuck(port_, kSmallWindow);
  stuck.Connect("stuck");
  stuck.Subscribe(1, "a");
  stuck.Subscribe(2, "b");
  WireClient publisher(port_);
  publisher.Connect("publisher");
  for (int i = 0; i < 4; ++i) publisher.Publish("a", std::string(1 << 20, 'x'));
  publisher.Ack();
  const SurveyAnswer answer = Survey({.consumers_max = 1});
  EXPECT_EQ(answer.distributions.pending_bytes.BucketCount(0), 1u);  // nothing for "b"
  EXPECT_GT(answer.distributions.pending_bytes.Sum(), uint64_t{1} << 20);
  EXPECT_GE(answer.distributions.pending_messages.Sum(), 2u);
  EXPECT_EQ(answer.distributions.subscriptions, 2u);
  ASSERT_EQ(answer.consumers.size(), 1u);
  EXPECT_EQ(answer.consumers[0].consumer.client_name(), "stuck");
  EXPECT_EQ(answer.consumers[0].consumer.filter(), "a");
}

// More sessions than one turn looks at.
TEST_F(ShardTest, ASurveyTakesTurnsAndTrafficGoesOnBetweenThem) {
  Start();
  std::vector<std::unique_ptr<WireClient>> clients;
  for (uint32_t i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<WireClient>(port_));
    clients.back()->Connect("client");
    for (uint32_t id = 1; id <= 400; ++id) clients.back()->Subscribe(id, "a." + std::to_string(id));
  }
  const uint64_t turns_before = shards_[0]->counters().turns.Get();
  const SurveyAnswer answer = Survey({.consumers_max = 10'000, .topic = "a.7"});
  EXPECT_EQ(answer.distributions.subscriptions, 3200u);
  EXPECT_EQ(answer.consumers.size(), 8u);
  EXPECT_GE(shards_[0]->counters().turns.Get() - turns_before, 1u);
}

TEST_F(ShardTest, AnOperatorDisconnectsASession) {
  Start();
  WireClient client(port_);
  client.Connect("client");
  client.Subscribe(1, "a");
  const SurveyAnswer answer = Survey({.consumers_max = 1});
  ASSERT_EQ(answer.consumers.size(), 1u);
  const std::optional<ConsumerName> name = ConsumerName::Parse(answer.consumers[0].consumer.id());
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(Kick(name->session.token + 1), KickTask::Outcome::kNotFound);
  EXPECT_EQ(Kick(name->session.token), KickTask::Outcome::kKicked);
  client.ExpectGoodbye(v1::REASON_KICKED);
}

// ---- Several shards ----

TEST_F(ShardTest, ShardsServeEachOthersSubscribers) {
  Start(3);
  std::vector<std::unique_ptr<WireClient>> clients;
  for (int i = 0; i < 6; ++i) {  // dealt out in turn: two on each
    clients.push_back(std::make_unique<WireClient>(port_));
    clients.back()->Connect("client");
    clients.back()->Subscribe(1, "a.>");
  }
  ASSERT_TRUE(Eventually([&] { return OpenConnections() == 6; }));
  for (const auto& shard : shards_) EXPECT_EQ(shard->counters().connections_open.Get(), 2);
  for (size_t i = 0; i < clients.size(); ++i) {
    for (int j = 0; j < 50; ++j) clients[i]->Publish("a.b", std::to_string(i) + ":" + std::to_string(j));
    const v1::PublishAck ack = clients[i]->Ack();
    EXPECT_EQ(ack.matched(), 50u * clients.size());
    EXPECT_EQ(ack.queued(), 50u * clients.size());
  }
  for (const auto& client : clients) {
    std::map<std::string, int> next;
    for (size_t i = 0; i < 50 * clients.size(); ++i) {
      const std::string payload = client->NextMessage().message.payload();
      const size_t colon = payload.find(':');
      EXPECT_EQ(payload.substr(colon + 1), std::to_string(next[payload.substr(0, colon)]++));
    }
  }
  Drain(absl::Seconds(1));
  for (const auto& client : clients) {
    client->ExpectGoodbye(v1::REASON_SHUTDOWN);
    client->Close();
  }
  Join();
  EXPECT_EQ(OpenConnections(), 0);
}

// Whoever saw Subscribed misses nothing that is published after it, wherever.
TEST_F(ShardTest, NothingIsMissedOnAnyShardAfterSubscribed) {
  Start(2);
  WireClient one(port_);
  one.Connect("one");
  WireClient two(port_);
  two.Connect("two");
  for (uint32_t i = 1; i <= 200; ++i) {
    const std::string topic = i % 2 == 0 ? "t." + std::to_string(i) : "u." + std::to_string(i) + ".x";
    one.Subscribe(i, i % 2 == 0 ? topic : "u." + std::to_string(i) + ".*");
    two.Publish(topic, std::to_string(i));
    const testing::DeliveredMessage message = one.NextMessage();
    ASSERT_EQ(message.subscription, i);
    ASSERT_EQ(message.message.payload(), std::to_string(i));
    one.SendUnsubscribe(i);
    EXPECT_EQ(one.NextOf(Frame::kUnsubscribed).unsubscribed().offered(), 1u);
  }
}

TEST_F(ShardTest, AQueueGroupOverSeveralShardsGetsEachMessageOnce) {
  Start(2);
  std::vector<std::unique_ptr<WireClient>> workers;
  for (int i = 0; i < 4; ++i) {
    workers.push_back(std::make_unique<WireClient>(port_));
    workers.back()->Connect("worker");
    workers.back()->Subscribe(1, "jobs", {.queue_group = "workers"});
  }
  std::vector<std::unique_ptr<WireClient>> publishers;
  for (int i = 0; i < 2; ++i) {
    publishers.push_back(std::make_unique<WireClient>(port_));
    publishers.back()->Connect("publisher");
  }
  for (int i = 0; i < 400; ++i) publishers[i % 2]->Publish("jobs", std::to_string(i));
  for (const auto& publisher : publishers) EXPECT_EQ(publisher->Ack().matched(), 200u);
  std::multiset<std::string> got;
  for (const auto& worker : workers) {
    worker->Ping();  // a pong says that everything published before it is queued
    worker->EndInput();
    size_t here = 0;
    while (const std::optional<Frame> frame = worker->NextFrame()) {
      if (!frame->has_message()) continue;
      got.insert(frame->message().payload());
      ++here;
    }
    EXPECT_GT(here, 0u);
  }
  EXPECT_EQ(got.size(), 400u);
  EXPECT_EQ(std::set<std::string>(got.begin(), got.end()).size(), 400u);
}

}  // namespace
}  // namespace sluice
