// The client library beside a real broker that cuts it, for each limit and under each overflow policy, with
// Goodbye and without: after it has come back it knows of every message that matched. What it received, what
// it was told that was left out and what it reports as lost are exactly what the publisher was told that
// matched.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "client/client.h"
#include "tests/support/broker_process.h"
#include "tests/support/eventually.h"

namespace sluice::testing {
namespace {

constexpr std::string_view kCutLine = "slow consumer disconnected";
constexpr absl::Duration kPatience = absl::Minutes(2);

// Does it get its Goodbye?
enum class Farewell { kGoodbye, kReset };

struct Cut {
  std::string name;
  Reason reason;
  OverflowPolicy overflow = OverflowPolicy::kDisconnect;
  SubscriptionLimits limits = {};
  std::vector<std::string> flags = {};
  // Limits of time need no more than that it is behind; others would be reached before them.
  enum class Load { kUntilCut, kUntilBehind } load = Load::kUntilCut;
  // Whether it asks, too, and does not read the answers.
  enum class Asks { kNo, kYes } asks = Asks::kNo;
  // Topics of each of its two subscriptions.
  uint64_t topics = 1;
};

// For the words of a failure.
void PrintTo(const Cut& cut, std::ostream* out) { *out << cut.name; }

const Cut kCuts[] = {
    {.name = "PendingBytes", .reason = Reason::kPendingBytes, .limits = {.pending_bytes_max = 50'000}},
    {.name = "PendingMessages", .reason = Reason::kPendingMessages, .limits = {.pending_messages_max = 20}},
    {.name = "PendingAge",
     .reason = Reason::kPendingAge,
     .limits = {.pending_age_max = absl::Milliseconds(200)},
     .load = Cut::Load::kUntilBehind},
    {.name = "SoftMessages",
     .reason = Reason::kPendingMessages,
     .limits = {.pending_messages_soft = 20, .soft_time = absl::Milliseconds(200)},
     .load = Cut::Load::kUntilBehind},
    {.name = "SessionBytes",
     .reason = Reason::kSessionBytes,
     .flags = {"--pending-bytes-max=64KiB", "--session-bytes-max=64KiB"}},
    {.name = "WriteTimeout",
     .reason = Reason::kWriteTimeout,
     .flags = {"--write-timeout=3s"},
     .load = Cut::Load::kUntilBehind},
    {.name = "ControlBytes",
     .reason = Reason::kControlBytes,
     .flags = {"--control-bytes-max=16KiB"},
     .load = Cut::Load::kUntilBehind,
     .asks = Cut::Asks::kYes},
    {.name = "MemoryBudget",
     .reason = Reason::kMemoryBudget,
     .flags = {"--memory-budget=16MiB", "--pending-bytes-max=64MiB"}},
    {.name = "DropOldest",
     .reason = Reason::kWriteTimeout,
     .overflow = OverflowPolicy::kDropOldest,
     .limits = {.pending_messages_max = 20},
     .flags = {"--write-timeout=3s"},
     .load = Cut::Load::kUntilBehind},
    {.name = "DropNewest",
     .reason = Reason::kWriteTimeout,
     .overflow = OverflowPolicy::kDropNewest,
     .limits = {.pending_messages_max = 20},
     .flags = {"--write-timeout=3s"},
     .load = Cut::Load::kUntilBehind},
    {.name = "Conflate",
     .reason = Reason::kWriteTimeout,
     .overflow = OverflowPolicy::kConflate,
     .limits = {.pending_messages_max = 200},
     .flags = {"--write-timeout=3s"},
     .load = Cut::Load::kUntilBehind,
     .topics = 5},
    {.name = "ConflateTooManyTopics",
     .reason = Reason::kPendingMessages,
     .overflow = OverflowPolicy::kConflate,
     .limits = {.pending_messages_max = 20},
     .topics = 100},
};

bool LeavesOut(OverflowPolicy policy) { return policy != OverflowPolicy::kDisconnect; }

// What the consumer was told, over all its sessions.
class Told {
 public:
  ClientCallbacks callbacks() {
    ClientCallbacks callbacks;
    callbacks.on_gap = [this](const GapEvent& event) {
      const std::lock_guard lock(mutex_);
      told_missing_ += event.messages;
    };
    callbacks.on_disconnected = [this](const DisconnectedEvent& event) {
      const std::lock_guard lock(mutex_);
      if (!first_end_.has_value()) first_end_ = event;
      Add(event.losses);
    };
    callbacks.on_connected = [this](const ConnectedEvent& event) {
      const std::lock_guard lock(mutex_);
      if (!event.previous.has_value()) return;
      if (!previous_.has_value()) previous_ = event.previous;
      Add(event.previous->losses);
    };
    return callbacks;
  }

  uint64_t told_missing() const {
    const std::lock_guard lock(mutex_);
    return told_missing_;
  }
  uint64_t lost() const {
    const std::lock_guard lock(mutex_);
    return lost_;
  }
  std::optional<DisconnectedEvent> first_end() const {
    const std::lock_guard lock(mutex_);
    return first_end_;
  }
  std::optional<PreviousSession> previous() const {
    const std::lock_guard lock(mutex_);
    return previous_;
  }

 private:
  void Add(const std::vector<SubscriptionLoss>& losses) {
    for (const SubscriptionLoss& loss : losses) {
      EXPECT_EQ(loss.received + loss.told_missing + loss.lost, loss.offered);
      EXPECT_LE(loss.told_at_end, loss.told_missing);
      EXPECT_LE(loss.never_sent, loss.lost);
      told_missing_ += loss.told_at_end;
      lost_ += loss.lost;
    }
  }

  mutable std::mutex mutex_;
  uint64_t told_missing_ = 0;
  uint64_t lost_ = 0;
  std::optional<DisconnectedEvent> first_end_;
  std::optional<PreviousSession> previous_;
};

// A handler stands at it until it is opened.
class Gate {
 public:
  void Pass() {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [this] { return open_; });
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

// However the test ends, no handler may be left standing.
struct Opener {
  ~Opener() { gate->Open(); }
  Gate* gate;
};

class CutBooksTest : public ::testing::TestWithParam<std::tuple<Cut, Farewell>> {
 protected:
  const Cut& cut() const { return std::get<0>(GetParam()); }
  bool says_goodbye() const { return std::get<1>(GetParam()) == Farewell::kGoodbye; }

  std::vector<std::string> Flags() const {
    std::vector<std::string> flags = {"--max-message=16KiB", "--max-headers=1KiB", "--notsent-lowat=16KiB",
                                      "--retry-after=100ms",
                                      says_goodbye() ? "--goodbye-timeout=20s" : "--goodbye-timeout=10ms"};
    flags.insert(flags.end(), cut().flags.begin(), cut().flags.end());
    return flags;
  }
  std::unique_ptr<Client> Connect(const BrokerProcess& broker, ClientOptions options) {
    options.servers = {"127.0.0.1:" + std::to_string(broker.port())};
    options.reconnect_delay_max = absl::Milliseconds(200);
    absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(std::move(options));
    EXPECT_TRUE(client.ok()) << client.status();
    return client.ok() ? *std::move(client) : nullptr;
  }
  bool Behind(const BrokerProcess& broker) const {
    if (!LeavesOut(cut().overflow)) return broker.Metric("sluice_pending_messages") >= 100;
    return broker.Metric("sluice_messages_dropped_total") + broker.Metric("sluice_messages_conflated_total") >
           0;
  }
  // Publishes, in turn to both subscriptions, and counts what matched.
  void Publish(Client* publisher, int messages) {
    for (int i = 0; i < messages; ++i, ++published_) {
      // Squares: some topics come more often than others.
      const uint64_t number = published_ / 2;
      const std::string topic =
          fmt::format("books.{}.{}", "ab"[published_ % 2], number * number % cut().topics);
      ASSERT_TRUE(publisher->Publish(topic, std::string(4000, 'x')).ok());
    }
    const absl::StatusOr<PublishReceipt> receipt = publisher->Confirm(kPatience);
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    matched_ += receipt->matched;
  }

  uint64_t published_ = 0;
  uint64_t matched_ = 0;
};

TEST_P(CutBooksTest, EveryMessageThatMatchedIsReceivedToldOrReportedAsLost) {
  BrokerProcess broker(Flags());
  Gate gate;
  Told told;
  std::unique_ptr<Client> publisher = Connect(broker, {.name = "publisher"});
  std::unique_ptr<Client> consumer =
      Connect(broker, {.name = "consumer", .incoming_bytes_max = 32 << 10, .callbacks = told.callbacks()});
  ASSERT_NE(publisher, nullptr);
  ASSERT_NE(consumer, nullptr);
  std::atomic<uint64_t> handled = 0;
  std::vector<Subscription> subscriptions;
  for (const char* filter : {"books.a.>", "books.b.>"}) {
    SubscribeOptions options;
    options.overflow = cut().overflow;
    options.limits = cut().limits;
    options.window_bytes = 0;  // it is the session that is to be cut
    absl::StatusOr<Subscription> subscription = consumer->Subscribe(
        filter,
        [&](const MessageView&) {
          gate.Pass();
          ++handled;
        },
        options);
    ASSERT_TRUE(subscription.ok()) << subscription.status();
    subscriptions.push_back(*std::move(subscription));
  }
  const Opener at_the_end{&gate};

  // It stops reading, and then the kernels take no more: no Goodbye gets through any more either. In steps so
  // small that nothing waits before that.
  Publish(publisher.get(), 12);
  ASSERT_TRUE(Eventually([&] { return consumer->stats().reading == Reading::kPausedBufferFull; }));
  while (broker.Metric("sluice_pending_messages") < 5 && broker.LogLines(kCutLine).empty() && !HasFailure()) {
    Publish(publisher.get(), 2);
  }

  while (broker.LogLines(kCutLine).empty() && !HasFailure()) {
    if (cut().load == Cut::Load::kUntilCut || !Behind(broker)) Publish(publisher.get(), 10);
    for (int i = 0; i < 1000 && cut().asks == Cut::Asks::kYes; ++i) {
      // Answered, or not, when it is cut.
      (void)consumer->Confirm([](const absl::StatusOr<PublishReceipt>&) {});
    }
  }
  // Without Goodbye the connection is reset before it reads again.
  if (!says_goodbye()) broker.WaitForMetric("sluice_connections_open", 1);
  gate.Open();

  // It is back, and both of its subscriptions are.
  uint64_t matched_before = matched_;
  ASSERT_TRUE(Eventually([&] {
    matched_before = matched_;
    Publish(publisher.get(), 2);
    return HasFailure() || matched_ == matched_before + 2;
  }));
  Publish(publisher.get(), 10);
  const auto sum = [&] {
    uint64_t known = 0;
    for (const Subscription& subscription : subscriptions) {
      const SubscriptionStats stats = subscription.stats();
      known += stats.handled + stats.told_missing + stats.lost;
    }
    return known;
  };
  EXPECT_TRUE(Eventually([&] { return sum() >= matched_; }));
  EXPECT_EQ(sum(), matched_);

  // The events say the same as the statistics.
  EXPECT_TRUE(Eventually([&] { return handled + told.told_missing() + told.lost() >= matched_; }));
  EXPECT_EQ(handled + told.told_missing() + told.lost(), matched_);
  EXPECT_EQ(told.told_missing() > 0, LeavesOut(cut().overflow));
  EXPECT_GT(told.lost(), 0u);

  // The reason and the numbers of the cut, in the Goodbye or, when that was not said, in the record.
  const std::optional<DisconnectedEvent> end = told.first_end();
  const std::optional<PreviousSession> previous = told.previous();
  ASSERT_TRUE(end.has_value());
  ASSERT_TRUE(previous.has_value());
  EXPECT_EQ(end->books, says_goodbye() ? Books::kExact : Books::kUnknown);
  EXPECT_EQ(previous->losses.empty(), says_goodbye());
  EXPECT_EQ(ReasonName(previous->reason), ReasonName(cut().reason));
  EXPECT_EQ(previous->cuts_in_a_row, 1u);
  EXPECT_GE(previous->value, previous->limit);
  EXPECT_GT(previous->counts.pending_messages, 0u);
  if (cut().reason == Reason::kPendingAge) {
    EXPECT_GE(previous->counts.oldest_age, cut().limits.pending_age_max);
  }
  EXPECT_EQ(previous->counts.dropped_messages + previous->counts.conflated_messages, told.told_missing());
  if (says_goodbye()) {
    EXPECT_EQ(ReasonName(end->reason), ReasonName(cut().reason));
    EXPECT_EQ(end->retry_after, absl::Milliseconds(100));
    EXPECT_EQ(end->counts.pending_messages, previous->counts.pending_messages);
  }
  const std::string line = broker.WaitForLog(kCutLine);
  EXPECT_THAT(line, ::testing::HasSubstr(fmt::format(" dropped_messages={} conflated_messages={} ",
                                                     previous->counts.dropped_messages,
                                                     previous->counts.conflated_messages)));
}

std::string NameOf(const ::testing::TestParamInfo<CutBooksTest::ParamType>& info) {
  return std::get<0>(info.param).name +
         (std::get<1>(info.param) == Farewell::kGoodbye ? "WithGoodbye" : "WithAReset");
}

INSTANTIATE_TEST_SUITE_P(Cuts, CutBooksTest,
                         ::testing::Combine(::testing::ValuesIn(kCuts),
                                            ::testing::Values(Farewell::kGoodbye, Farewell::kReset)),
                         NameOf);

}  // namespace

}  // namespace sluice::testing
