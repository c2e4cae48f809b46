// What the broker promises to those who behave, over real sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "protocol/topic.h"
#include "tests/support/broker_process.h"
#include "tests/support/healthy_load.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class SemanticsTest : public ::testing::Test {
 protected:
  explicit SemanticsTest(const std::vector<std::string>& flags = {"--max-message=256KiB"})
      : broker_(flags), publisher_(Connected("publisher")) {}

  WireClient Connected(std::string_view name, const SocketPairOptions& sockets = {}) {
    WireClient client(broker_.port(), sockets);
    client.Connect(name);
    return client;
  }

  BrokerProcess broker_;
  WireClient publisher_;
};

// ---- Order and completeness ----

TEST_F(SemanticsTest, TheMessagesOfEachPublisherComeInItsOrder) {
  constexpr size_t kPublishers = 20;
  std::mt19937_64 random(1);
  WireClient subscriber = Connected("subscriber");
  subscriber.Subscribe(1, "order.*");
  std::vector<WireClient> publishers;
  for (size_t i = 0; i < kPublishers; ++i) publishers.push_back(Connected("one of many"));
  std::vector<uint64_t> published(kPublishers);
  std::vector<uint64_t> received(kPublishers);
  for (int round = 0; round < 300; ++round) {
    // Frames are also torn, and go on in another round.
    const size_t who = random() % kPublishers;
    std::string frames;
    for (uint64_t i = 0; i < 1 + random() % 100; ++i) {
      frames += PublishFrame(fmt::format("order.{}", who), std::to_string(++published[who]));
    }
    const size_t torn = random() % frames.size();
    publishers[who].SendRaw(std::string_view(frames).substr(0, torn));
    publishers[(who + 1 + random() % (kPublishers - 1)) % kPublishers].Publish("elsewhere", "x");
    publishers[who].SendRaw(std::string_view(frames).substr(torn));
  }
  for (uint64_t left = std::accumulate(published.begin(), published.end(), uint64_t{0}); left > 0; --left) {
    const v1::Message message = subscriber.NextMessage().message;
    const size_t who = std::stoul(message.topic().substr(message.topic().rfind('.') + 1));
    ASSERT_EQ(message.payload(), std::to_string(++received.at(who)));
  }
  EXPECT_EQ(received, published);
}

TEST_F(SemanticsTest, FiftySubscribersGetEveryByteOfMessagesOfEverySize) {
  constexpr size_t kMax = 256 << 10;
  std::mt19937_64 random(2);
  std::vector<WireClient> subscribers;
  for (int i = 0; i < 50; ++i) {
    subscribers.push_back(Connected("one of fifty"));
    subscribers.back().Subscribe(1, i % 2 == 0 ? "sizes" : "*");
  }
  std::vector<size_t> sizes = {0, 1, 2, 511, 512, 513, 2047, 2048, 16'383, 16'384, 65'536, kMax - 1, kMax};
  while (sizes.size() < 300) {  // every order of magnitude equally often
    sizes.push_back(std::min<size_t>(kMax, (uint64_t{1} << random() % 19) + random() % 1000));
  }
  uint64_t published = 0;
  while (published < sizes.size()) {
    // Up to a megabyte at once, so that nobody falls behind by more.
    const uint64_t first = published;
    std::string frames;
    while (published < sizes.size() && frames.size() < 1 << 20) {
      frames += PublishFrame("sizes", TestPayload(2, published, sizes[published]));
      ++published;
    }
    publisher_.SendRaw(frames);
    for (WireClient& subscriber : subscribers) {
      for (uint64_t number = first; number < published; ++number) {
        // Not EXPECT_EQ: nobody wants to see that difference.
        ASSERT_TRUE(subscriber.NextMessage().message.payload() == TestPayload(2, number, sizes[number]));
      }
    }
  }
  EXPECT_EQ(publisher_.Ack().queued(), 50 * sizes.size());
}

// ---- Filters ----

std::string RandomTokens(std::mt19937_64* random, std::string_view alphabet) {
  std::string text;
  for (uint64_t token = 0; token < 1 + (*random)() % 4; ++token) {
    if (token > 0) text += '.';
    text += alphabet[(*random)() % alphabet.size()];
  }
  return text;
}

TEST_F(SemanticsTest, FiltersMatchAsTheReferenceSays) {
  std::mt19937_64 random(3);
  WireClient subscriber = Connected("subscriber");
  std::map<uint32_t, std::string> filters;
  uint32_t next_id = 1;
  for (int round = 0; round < 3000; ++round) {
    // They come and go all the time.
    if (filters.size() < 40 || random() % 4 == 0) {
      std::string filter = RandomTokens(&random, "abc**");
      if (random() % 3 == 0) filter += random() % 2 == 0 ? ".>" : ".x";
      if (random() % 20 == 0) filter = ">";
      subscriber.SendSubscribe(next_id, filter);
      filters.emplace(next_id++, filter);
    }
    if (filters.size() > 30 && random() % 4 == 0) {
      const auto gone = std::next(filters.begin(), static_cast<ptrdiff_t>(random() % filters.size()));
      subscriber.SendUnsubscribe(gone->first);
      filters.erase(gone);
    }
    subscriber.Ping();
    std::string topic = RandomTokens(&random, "abc");
    if (random() % 4 == 0) topic += ".x";
    std::multiset<uint32_t> expected;
    for (const auto& [id, filter] : filters) {
      if (FilterMatches(filter, topic)) expected.insert(id);
    }
    publisher_.Publish(topic, std::to_string(round));
    ASSERT_EQ(publisher_.Ack().matched(), expected.size()) << topic;
    std::multiset<uint32_t> came;
    while (came.size() < expected.size()) {
      const DeliveredMessage delivered = subscriber.NextMessage();
      ASSERT_EQ(delivered.message.payload(), std::to_string(round));
      came.insert(delivered.subscription);
    }
    ASSERT_EQ(came, expected) << topic;
  }
}

// ---- The books ----

// A client that subscribes and unsubscribes all the time, and keeps books.
class Churning {
 public:
  explicit Churning(WireClient client) : client_(std::move(client)) {}

  void Subscribe(std::string_view topic) {
    client_.SendSubscribe(next_id_, topic);
    books_[next_id_++].topic = topic;
  }

  // One that is not on its way out already; false when there is none.
  bool UnsubscribeOne() {
    for (auto& [id, books] : books_) {
      if (books.leaving) continue;
      books.leaving = true;
      client_.SendUnsubscribe(id);
      return true;
    }
    return false;
  }

  // What has come, at most `frames_max`.
  void Read(uint64_t frames_max) {
    for (uint64_t i = 0; i < frames_max; ++i) {
      const std::optional<v1::ServerFrame> frame = client_.PollFrame();
      if (!frame.has_value()) return;
      Book(*frame);
    }
  }

  void ReadUntilAllHaveEnded() {
    while (!books_.empty()) {
      const std::optional<v1::ServerFrame> frame = client_.NextFrame();
      ASSERT_TRUE(frame.has_value());
      Book(*frame);
    }
  }

  size_t open() const { return books_.size(); }
  // Of all that have ended.
  uint64_t offered() const { return offered_; }

 private:
  struct Books {
    std::string topic;
    uint64_t received = 0;
    uint64_t last = 0;
    bool leaving = false;
  };

  void Book(const v1::ServerFrame& frame) {
    EXPECT_FALSE(frame.has_error()) << frame.error().text();
    EXPECT_FALSE(frame.has_goodbye()) << frame.goodbye().text();
    if (frame.has_delivery()) current_ = frame.delivery().subscription();
    if (frame.has_message()) {
      Books& books = books_.at(current_);
      const uint64_t number = std::stoull(frame.message().payload());
      EXPECT_EQ(frame.message().topic(), books.topic);
      // The first is whichever came after it was in force; from then on none is missing.
      if (books.received > 0) {
        EXPECT_EQ(number, books.last + 1);
      }
      books.last = number;
      ++books.received;
    }
    if (frame.has_unsubscribed()) {
      const uint32_t id = frame.unsubscribed().subscription();
      EXPECT_EQ(frame.unsubscribed().offered(), books_.at(id).received);
      offered_ += frame.unsubscribed().offered();
      books_.erase(id);
    }
  }

  WireClient client_;
  std::map<uint32_t, Books> books_;
  uint32_t next_id_ = 1;
  uint32_t current_ = 0;
  uint64_t offered_ = 0;
};

TEST_F(SemanticsTest, TheBooksAgreeThroughChurnUnderLoad) {
  std::mt19937_64 random(4);
  const auto topic = [&] { return fmt::format("churn.{}", random() % 3); };
  std::vector<Churning> clients;
  for (int i = 0; i < 10; ++i)
    clients.emplace_back(Connected("churning", {.client_receive_buffer_bytes = 8192}));
  std::map<std::string, uint64_t> published;
  for (int round = 0; round < 5000; ++round) {
    std::string frames;
    for (uint64_t i = 0; i < random() % 30; ++i) {
      const std::string to = topic();
      frames += PublishFrame(to, std::to_string(++published[to]));
    }
    publisher_.SendRaw(frames);
    Churning& client = clients[random() % clients.size()];
    if (client.open() < 6) client.Subscribe(topic());
    if (random() % 3 == 0) client.UnsubscribeOne();
    client.Read(random() % 200);
  }
  uint64_t offered = 0;
  for (Churning& client : clients) {
    while (client.UnsubscribeOne()) {
    }
    client.ReadUntilAllHaveEnded();
    offered += client.offered();
  }
  // And so does the publisher's account of them.
  const v1::PublishAck ack = publisher_.Ack();
  EXPECT_EQ(ack.matched(), offered);
  EXPECT_EQ(ack.queued(), offered);
  EXPECT_GT(offered, 10'000u);
  EXPECT_EQ(broker_.Metric("sluice_subscriptions"), 0);
}

// ---- Unsubscribe after so many ----

class UnsubscribeAfterTest : public SemanticsTest {
 protected:
  UnsubscribeAfterTest() : subscriber_(Connected("subscriber")) {}

  void Publish(int from, int to) {
    for (int i = from; i <= to; ++i) publisher_.Publish("count", std::to_string(i));
    publisher_.Ack();
  }

  // Reads `messages` of them, which must be the first ones, and then this end.
  void ExpectFirstAndEnd(uint32_t id, int messages, v1::Reason reason) {
    for (int i = 1; i <= messages; ++i) {
      const DeliveredMessage delivered = subscriber_.NextMessage();
      EXPECT_EQ(delivered.subscription, id);
      EXPECT_EQ(delivered.message.payload(), std::to_string(i));
    }
    ExpectEnd(id, static_cast<uint64_t>(messages), reason);
  }

  // As the very next frame.
  void ExpectEnd(uint32_t id, uint64_t offered, v1::Reason reason) {
    const std::optional<v1::ServerFrame> frame = subscriber_.NextFrame();
    ASSERT_TRUE(frame.has_value() && frame->has_unsubscribed());
    EXPECT_EQ(frame->unsubscribed().subscription(), id);
    EXPECT_EQ(frame->unsubscribed().offered(), offered);
    EXPECT_EQ(frame->unsubscribed().reason(), reason);
  }

  WireClient subscriber_;
};

TEST_F(UnsubscribeAfterTest, ItEndsWithTheLastOfSoMany) {
  subscriber_.Subscribe(1, "count");
  Publish(1, 3);
  subscriber_.SendUnsubscribe(1, 5);
  subscriber_.Ping();
  Publish(4, 20);
  ExpectFirstAndEnd(1, 5, v1::REASON_COUNT_REACHED);
  // The id is free.
  subscriber_.Subscribe(1, "count");
  subscriber_.SendUnsubscribe(1);
  ExpectEnd(1, 0, v1::REASON_UNSUBSCRIBED);
}

TEST_F(UnsubscribeAfterTest, AtOnceWhenSoManyHaveBeen) {
  subscriber_.Subscribe(1, "count");
  subscriber_.Subscribe(2, "count");
  Publish(1, 10);
  for (int i = 0; i < 20; ++i) subscriber_.NextMessage();
  subscriber_.SendUnsubscribe(1, 4);
  ExpectEnd(1, 10, v1::REASON_COUNT_REACHED);
  subscriber_.SendUnsubscribe(2, 10);
  ExpectEnd(2, 10, v1::REASON_COUNT_REACHED);
}

TEST_F(UnsubscribeAfterTest, ALaterOneReplacesAnEarlierOne) {
  subscriber_.Subscribe(1, "count");
  subscriber_.SendUnsubscribe(1, 2);
  subscriber_.SendUnsubscribe(1, 4);
  subscriber_.Ping();
  Publish(1, 10);
  ExpectFirstAndEnd(1, 4, v1::REASON_COUNT_REACHED);
  subscriber_.Subscribe(2, "count");
  subscriber_.SendUnsubscribe(2, 100);
  subscriber_.SendUnsubscribe(2);
  ExpectEnd(2, 0, v1::REASON_UNSUBSCRIBED);
}

TEST_F(UnsubscribeAfterTest, AlsoWhenEverythingComesInOneRead) {
  v1::ClientFrame subscribe;
  subscribe.mutable_subscribe()->set_subscription(1);
  subscribe.mutable_subscribe()->set_filter("count");
  v1::ClientFrame unsubscribe;
  unsubscribe.mutable_unsubscribe()->set_subscription(1);
  unsubscribe.mutable_unsubscribe()->set_after_messages(3);
  std::string frames = Encode(subscribe) + Encode(unsubscribe);
  for (int i = 1; i <= 5; ++i) frames += PublishFrame("count", std::to_string(i));
  subscriber_.SendRaw(frames);
  subscriber_.NextOf(v1::ServerFrame::kSubscribed);
  ExpectFirstAndEnd(1, 3, v1::REASON_COUNT_REACHED);
  EXPECT_EQ(subscriber_.Ack().matched(), 3u);
}

TEST_F(UnsubscribeAfterTest, ManyOfOneFilterEachByItsOwnCount) {
  std::vector<WireClient> clients;
  for (uint64_t i = 1; i <= 20; ++i) {
    clients.push_back(Connected("counting"));
    clients.back().Subscribe(7, "count");
    clients.back().SendUnsubscribe(7, 3 * i);
    clients.back().Ping();
  }
  std::string frames;
  for (int i = 1; i <= 100; ++i) frames += PublishFrame("count", std::to_string(i));
  publisher_.SendRaw(frames);
  uint64_t matched = 0;
  for (uint64_t i = 1; i <= 20; ++i) {
    for (uint64_t number = 1; number <= 3 * i; ++number) {
      ASSERT_EQ(clients[i - 1].NextMessage().message.payload(), std::to_string(number));
    }
    const std::optional<v1::ServerFrame> frame = clients[i - 1].NextFrame();
    ASSERT_TRUE(frame.has_value() && frame->has_unsubscribed());
    EXPECT_EQ(frame->unsubscribed().offered(), 3 * i);
    matched += 3 * i;
  }
  EXPECT_EQ(publisher_.Ack().matched(), matched);
}

// ---- Queue groups ----

class QueueGroupTest : public SemanticsTest {
 protected:
  QueueGroupTest() : SemanticsTest({"--notsent-lowat=16KiB", "--goodbye-timeout=100ms"}) {}

  WireClient Member(std::string_view group, const SocketPairOptions& sockets = {}) {
    WireClient member = Connected("member", sockets);
    member.Subscribe(1, "tasks", {.queue_group = std::string(group)});
    return member;
  }

  // Connections go to the shards in turn: the next one comes to the shard of the last.
  void PassOverOtherShards() {
    for (int i = 1; i < broker_.shards(); ++i) others_.emplace_back(broker_.port());
  }

  void Publish(uint64_t messages) {
    for (uint64_t i = 0; i < messages; ++i) publisher_.Publish("tasks", Task(published_++));
    EXPECT_EQ(publisher_.Ack().refused(), 0u);
  }

  // Publishes until so many wait in the broker; how many the kernel takes before is its own affair.
  double PublishUntilPending(double messages) {
    double pending = 0;
    while ((pending = broker_.Metric("sluice_pending_messages")) < messages) Publish(100);
    return pending;
  }

  static std::string Task(uint64_t number) { return fmt::format("{:06}", number) + std::string(1000, '.'); }

  // Ends the membership and takes the rest; how many there were.
  uint64_t TakeAll(WireClient* member) {
    member->SendUnsubscribe(1);
    uint64_t taken = 0;
    for (;;) {
      const std::optional<v1::ServerFrame> frame = member->NextFrame();
      if (!frame.has_value()) throw std::runtime_error("a member was disconnected");
      if (frame->has_unsubscribed()) return taken;
      if (!frame->has_message()) continue;
      const uint64_t number = std::stoull(frame->message().payload());
      EXPECT_TRUE(done_.insert(number).second) << number << " came twice";
      ++taken;
    }
  }

  static constexpr SocketPairOptions kTinyWindow = {.client_receive_buffer_bytes = 8192};
  std::vector<WireClient> others_;
  uint64_t published_ = 0;
  std::set<uint64_t> done_;
};

TEST_F(QueueGroupTest, EachMessageGoesToOneOfThem) {
  std::vector<WireClient> members;
  for (int i = 0; i < 5; ++i) members.push_back(Member("workers"));
  WireClient beside = Connected("beside");
  beside.Subscribe(1, "tasks");
  WireClient other_group = Member("auditors");
  for (uint64_t i = 0; i < 1000; ++i) publisher_.Publish("tasks", Task(published_++));
  EXPECT_EQ(publisher_.Ack().matched(), 3000u);  // a group counts once
  for (uint64_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(beside.NextMessage().message.payload(), Task(i));
    ASSERT_EQ(other_group.NextMessage().message.payload(), Task(i));
  }
  // In turn, but for those whose socket is full for a while.
  for (WireClient& member : members) EXPECT_THAT(TakeAll(&member), Ge(1u));
  EXPECT_THAT(done_, SizeIs(1000));
}

TEST_F(QueueGroupTest, OneThatIsStuckIsPassedOver) {
  // Only members of the same shard are passed over for one another.
  WireClient stuck = Member("workers", kTinyWindow);
  std::vector<WireClient> members;
  for (int i = 0; i < 2; ++i) {
    PassOverOtherShards();
    members.push_back(Member("workers"));
  }
  for (int round = 0; round < 100; ++round) {
    Publish(30);
    for (WireClient& member : members) member.Ping();
  }
  const uint64_t by_others = TakeAll(&members[0]) + TakeAll(&members[1]);
  const uint64_t by_stuck = TakeAll(&stuck);
  EXPECT_THAT(done_, SizeIs(3000));
  EXPECT_EQ(by_others + by_stuck, 3000u);
  EXPECT_LE(by_stuck, 300u);  // what its kernel took
}

TEST_F(QueueGroupTest, WhatAMemberHadQueuedWhenItEndedIsDealtAgain) {
  // Both are stuck, so both have a queue.
  WireClient doomed = Member("workers", kTinyWindow);
  WireClient survivor = Member("workers", kTinyWindow);
  const double queued = PublishUntilPending(250);
  doomed.Reset();
  broker_.WaitForMetric("sluice_connections_open", 2);
  const uint64_t by_survivor = TakeAll(&survivor);
  // Nothing is lost but what the kernel had taken for the doomed one, and the message in flight to it.
  broker_.WaitForMetric("sluice_pending_messages", 0);
  EXPECT_LE(broker_.Metric("sluice_messages_dropped_total"), 1);
  EXPECT_EQ(
      broker_.Metric("sluice_messages_delivered_total") + broker_.Metric("sluice_messages_dropped_total"),
      static_cast<double>(published_));
  EXPECT_GE(static_cast<double>(by_survivor), queued - 1);
}

TEST_F(QueueGroupTest, NothingIsLostWhileMembersComeAndGo) {
  std::mt19937_64 random(5);
  WireClient permanent = Connected("permanent");
  permanent.Subscribe(1, "tasks", {.queue_group = "workers"});
  std::vector<WireClient> passing;
  for (int i = 0; i < 6; ++i) passing.push_back(Connected("passing"));
  std::vector<bool> joined(passing.size());
  for (int round = 0; round < 3000; ++round) {
    std::string frames;
    for (uint64_t i = 0; i < random() % 10; ++i) frames += PublishFrame("tasks", Task(published_++));
    publisher_.SendRaw(frames);
    const size_t who = random() % passing.size();
    if (joined[who]) {
      passing[who].SendUnsubscribe(1);
      passing[who].NextOf(v1::ServerFrame::kUnsubscribed);
    } else {
      passing[who].Subscribe(1, "tasks", {.queue_group = "workers"});
    }
    joined[who] = !joined[who];
  }
  const v1::PublishAck ack = publisher_.Ack();
  EXPECT_EQ(ack.matched(), published_);
  EXPECT_EQ(ack.queued(), published_);
  for (size_t who = 0; who < passing.size(); ++who) {
    passing[who].EndInput();
    for (std::optional<v1::ServerFrame> frame; (frame = passing[who].NextFrame());) {
      if (!frame->has_message()) continue;
      EXPECT_TRUE(done_.insert(std::stoull(frame->message().payload())).second);
    }
  }
  TakeAll(&permanent);
  EXPECT_THAT(done_, SizeIs(published_));
}

TEST_F(QueueGroupTest, MembersThatEndTogetherWhileAnotherReachesItsCountHurtNobody) {
  for (int round = 0; round < 10; ++round) {
    std::vector<WireClient> doomed;
    for (int i = 0; i < 3; ++i) doomed.push_back(Member("workers", kTinyWindow));
    WireClient counting = Member("workers", kTinyWindow);
    const uint64_t published_before = published_;
    PublishUntilPending(250);
    // A few more than it was dealt until now.
    const uint64_t count = (published_ - published_before) / 4 + 20;
    counting.SendUnsubscribe(1, count);
    counting.Ping();
    broker_.Stop();
    for (WireClient& client : doomed) client.Reset();
    broker_.Continue();
    broker_.WaitForMetric("sluice_connections_open", 2);
    uint64_t received = 0;
    for (;;) {
      const std::optional<v1::ServerFrame> frame = counting.NextFrame();
      ASSERT_TRUE(frame.has_value());
      if (frame->has_message()) ++received;
      if (frame->has_unsubscribed()) {
        EXPECT_EQ(frame->unsubscribed().offered(), received);
        EXPECT_GE(received, count - 20);
        break;
      }
    }
    counting.Close();
    broker_.WaitForMetric("sluice_connections_open", 1);
  }
  EXPECT_EQ(broker_.Metric("sluice_pending_messages"), 0);
  EXPECT_EQ(broker_.Metric("sluice_subscriptions"), 0);
}

// ---- Request and reply ----

TEST_F(SemanticsTest, ARequestIsAnsweredThroughTheInbox) {
  WireClient service = Connected("service");
  service.Subscribe(1, "service.double", {.queue_group = "services"});
  WireClient asking = Connected("asking");
  const std::string inbox = asking.connected().inbox();
  EXPECT_THAT(inbox, ::testing::StartsWith("$inbox."));
  EXPECT_NE(inbox, service.connected().inbox());
  asking.Subscribe(1, inbox + ".>");
  for (int i = 1; i <= 50; ++i) {
    asking.Publish("service.double", std::to_string(i), fmt::format("{}.{}", inbox, i));
    const v1::Message request = service.NextMessage().message;
    service.Publish(request.reply_to(), std::to_string(2 * std::stoi(request.payload())));
    const v1::Message reply = asking.NextMessage().message;
    EXPECT_EQ(reply.topic(), fmt::format("{}.{}", inbox, i));
    EXPECT_EQ(reply.payload(), std::to_string(2 * i));
  }
}

TEST_F(SemanticsTest, ARequestThatNobodyHearsIsAnsweredAtOnce) {
  WireClient asking = Connected("asking");
  asking.Publish("service.nobody", "nobody need answer");
  asking.Publish("service.nobody", "hello?", asking.connected().inbox() + ".1");
  const v1::Error error = asking.ExpectError(v1::ERROR_CODE_NO_SUBSCRIBERS);
  EXPECT_EQ(error.publish(), 2u);
  EXPECT_THAT(error.text(), HasSubstr("service.nobody"));
  const v1::PublishAck ack = asking.Ack();
  EXPECT_EQ(ack.messages(), 2u);
  EXPECT_EQ(ack.refused(), 0u);
  EXPECT_EQ(ack.matched(), 0u);

  // Also when the last one has just left, and not when one has just come.
  WireClient service = Connected("service");
  service.Subscribe(1, "service.*", {.queue_group = "services"});
  asking.Publish("service.nobody", "hello?", asking.connected().inbox() + ".2");
  EXPECT_EQ(service.NextMessage().message.payload(), "hello?");
  service.SendUnsubscribe(1);
  service.NextOf(v1::ServerFrame::kUnsubscribed);
  asking.Publish("service.nobody", "hello?", asking.connected().inbox() + ".3");
  EXPECT_EQ(asking.ExpectError(v1::ERROR_CODE_NO_SUBSCRIBERS).publish(), 4u);
}

// ---- Messages ----

TEST_F(SemanticsTest, EverythingInAMessageArrivesAsItWasSent) {
  WireClient subscriber = Connected("subscriber");
  subscriber.Subscribe(1, "größe.✓");
  v1::ClientFrame frame;
  v1::Message* message = frame.mutable_message();
  message->set_topic("größe.✓");
  message->set_reply_to("answer.here");
  for (int byte = 0; byte < 256; ++byte) message->mutable_payload()->push_back(static_cast<char>(byte));
  for (const auto& [name, value] : {std::pair("unit", "USD"), std::pair("größe", "€"),
                                    std::pair("unit", "again"), std::pair("empty", "")}) {
    v1::Header* header = message->add_headers();
    header->set_name(name);
    header->set_value(value);
  }
  publisher_.Send(frame);
  EXPECT_EQ(subscriber.NextMessage().message.SerializeAsString(), message->SerializeAsString());
  // The smallest there is.
  subscriber.Subscribe(2, "x");
  publisher_.Publish("x", "");
  const DeliveredMessage smallest = subscriber.NextMessage();
  EXPECT_EQ(smallest.subscription, 2u);
  EXPECT_EQ(smallest.message.payload(), "");
}

TEST_F(SemanticsTest, ASessionHearsItselfAndIsToldWhoseAMessageIsOnlyWhenThatChanges) {
  WireClient client = Connected("both");
  client.Subscribe(1, "both");
  for (int i = 0; i < 3; ++i) client.Publish("both", "x");
  EXPECT_EQ(client.Ack().matched(), 3u);
  client.Subscribe(2, "other");
  client.Publish("other", "y");
  client.Ping();
  client.Publish("both", "x");
  client.Ping();
  std::vector<v1::ServerFrame::FrameCase> cases;
  while (cases.size() < 8) {
    const std::optional<v1::ServerFrame> frame = client.NextFrame();
    ASSERT_TRUE(frame.has_value());
    cases.push_back(frame->frame_case());
  }
  EXPECT_THAT(cases,
              ElementsAre(v1::ServerFrame::kDelivery, v1::ServerFrame::kMessage, v1::ServerFrame::kMessage,
                          v1::ServerFrame::kMessage, v1::ServerFrame::kDelivery, v1::ServerFrame::kMessage,
                          v1::ServerFrame::kDelivery, v1::ServerFrame::kMessage));
}

// ---- Acknowledgements and barriers ----

TEST_F(SemanticsTest, AcksCountWhatBecameOfThePublishesSinceTheLast) {
  WireClient subscriber = Connected("subscriber");
  subscriber.Subscribe(1, "acks.a");
  subscriber.Subscribe(2, "acks.*");
  const auto expect_ack = [&](uint64_t id, uint64_t up_to, uint64_t messages, uint64_t matched,
                              uint64_t refused) {
    const v1::PublishAck ack = publisher_.NextOf(v1::ServerFrame::kPublishAck).publish_ack();
    EXPECT_EQ(ack.id(), id);
    EXPECT_EQ(ack.up_to(), up_to);
    EXPECT_EQ(ack.messages(), messages);
    EXPECT_EQ(ack.matched(), matched);
    EXPECT_EQ(ack.queued(), matched);
    EXPECT_EQ(ack.dropped(), 0u);
    EXPECT_EQ(ack.refused(), refused);
  };
  // All under way at once; they are answered in order.
  publisher_.SendAckRequest(11);
  publisher_.Publish("acks.a", "x");
  publisher_.SendAckRequest(12);
  publisher_.SendAckRequest(13);
  publisher_.Publish("acks.b", "x");
  publisher_.Publish("not a topic", "x");
  publisher_.Publish("acks.c.d", "x");
  publisher_.SendAckRequest(12);
  for (int i = 0; i < 10'000; ++i) publisher_.Publish("acks.a", "x");
  publisher_.SendAckRequest(~uint64_t{0});
  expect_ack(11, 0, 0, 0, 0);
  expect_ack(12, 1, 1, 2, 0);
  expect_ack(13, 1, 0, 0, 0);
  expect_ack(12, 4, 3, 1, 1);
  expect_ack(~uint64_t{0}, 10'004, 10'000, 20'000, 0);
  EXPECT_EQ(publisher_.ExpectError(v1::ERROR_CODE_BAD_TOPIC).publish(), 3u);
}

TEST_F(SemanticsTest, APongSaysThatEverythingBeforeItWasDone) {
  std::vector<WireClient> subscribers;
  for (int i = 0; i < 10; ++i) subscribers.push_back(Connected("subscriber"));
  for (int round = 1; round <= 30; ++round) {
    for (WireClient& subscriber : subscribers) {
      subscriber.SendSubscribe(1, "pong");
      subscriber.Ping();  // in force
    }
    for (int i = 0; i < 100; ++i) publisher_.Publish("pong", std::to_string(i));
    publisher_.Ping();  // queued everywhere
    for (WireClient& subscriber : subscribers) {
      subscriber.SendUnsubscribe(1);
      EXPECT_EQ(subscriber.NextOf(v1::ServerFrame::kUnsubscribed).unsubscribed().offered(), 100u);
      for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(subscriber.NextMessage().message.payload(), std::to_string(i));
      }
    }
  }
}

TEST_F(SemanticsTest, NothingComesBeforeSubscribedAndNothingPublishedAfterItIsMissed) {
  for (int round = 0; round < 200; ++round) {
    WireClient subscriber = Connected("subscriber");
    subscriber.SendSubscribe(1, "race");
    publisher_.Publish("race", "perhaps");
    const std::optional<v1::ServerFrame> first = subscriber.NextFrame();
    ASSERT_TRUE(first.has_value() && first->has_subscribed());
    publisher_.Publish("race", "certainly");
    std::string payload = subscriber.NextMessage().message.payload();
    if (payload == "perhaps") payload = subscriber.NextMessage().message.payload();
    EXPECT_EQ(payload, "certainly");
  }
}

TEST_F(SemanticsTest, ConnectedTellsTheLimitsAndASecret) {
  WireClient client(broker_.port());
  const v1::Connected connected = client.Connect("curious");
  EXPECT_EQ(connected.protocol_version(), 1u);
  EXPECT_THAT(connected.session_id(), SizeIs(16));
  EXPECT_NE(connected.session_id(), publisher_.connected().session_id());
  EXPECT_THAT(connected.broker(), HasSubstr("sluiced"));
  EXPECT_EQ(connected.limits().payload_bytes_max(), 256u << 10);
  EXPECT_EQ(connected.limits().headers_bytes_max(), 16u << 10);
  EXPECT_EQ(connected.limits().subscriptions_max(), 10'000u);
  EXPECT_EQ(connected.limits().topic_bytes_max(), kTopicBytesMax);
  EXPECT_EQ(connected.limits().ping_interval_ms(), 30'000u);
  EXPECT_EQ(connected.limits().default_limits().pending_bytes_max(), 8u << 20);
  EXPECT_EQ(connected.limits().default_limits().pending_messages_max(), 131'072u);
  EXPECT_EQ(connected.limits().default_limits().pending_age_max_ms(), 60'000u);
  EXPECT_FALSE(connected.has_previous_session());
}

TEST_F(SemanticsTest, ThousandsOfSubscriptionsInOneSessionShareItsSocketFairly) {
  WireClient subscriber = Connected("subscriber");
  constexpr uint32_t kSubscriptions = 5000;
  for (uint32_t id = 1; id <= kSubscriptions; ++id) subscriber.SendSubscribe(id, fmt::format("many.{}", id));
  for (uint32_t id = 1; id <= kSubscriptions; ++id) {
    EXPECT_EQ(subscriber.NextOf(v1::ServerFrame::kSubscribed).subscribed().subscription(), id);
  }
  for (uint32_t round = 0; round < 3; ++round) {
    for (uint32_t id = 1; id <= kSubscriptions; ++id) publisher_.Publish(fmt::format("many.{}", id), "x");
    publisher_.Ping();
  }
  std::map<uint32_t, uint32_t> came;
  for (uint32_t i = 0; i < 3 * kSubscriptions; ++i) {
    const DeliveredMessage delivered = subscriber.NextMessage();
    ASSERT_EQ(delivered.message.topic(), fmt::format("many.{}", delivered.subscription));
    ++came[delivered.subscription];
  }
  EXPECT_THAT(came, SizeIs(kSubscriptions));
  for (const auto& [id, messages] : came) EXPECT_EQ(messages, 3u);
}

}  // namespace
}  // namespace sluice::testing
