// The books, whatever happens: random publishers, many subscriptions under every overflow policy, writes that
// end at any byte, sockets that stay full, sessions that are cut for whatever limit and come back, with their
// last frames arrived or lost. What a client received, what it was told that is missing and what it finds
// lost at the end are always exactly what was published and matched.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/core/fan_out.h"
#include "broker/core/filter_index.h"
#include "broker/core/subscriber.h"
#include "protocol/sluice.pb.h"
#include "protocol/topic.h"
#include "tests/support/frames.h"
#include "tests/support/scripted_transport.h"

namespace sluice {
namespace {

using testing::MessageFrame;
using testing::ReadStream;
using testing::ReceivedStream;
using testing::ScriptedTransport;

constexpr uint32_t kChunkBytes = 64 << 10;
constexpr size_t kClients = 5;
constexpr const char* kTopics[] = {"a", "b", "c.x", "c.y", "c.z", "d.1.x", "d.2.x", "d.3.y"};
constexpr const char* kFilters[] = {"a", "b", "c.*", "c.x", "d.>", "d.*.x", ">", "*"};
constexpr v1::OverflowPolicy kPolicies[] = {v1::OVERFLOW_POLICY_DISCONNECT, v1::OVERFLOW_POLICY_DROP_OLDEST,
                                            v1::OVERFLOW_POLICY_DROP_NEWEST, v1::OVERFLOW_POLICY_CONFLATE,
                                            v1::OVERFLOW_POLICY_BLOCK};
const QueueLimits kLimits[] = {
    {},
    {.pending_bytes_max = 20'000},
    {.pending_messages_max = 30},
    {.pending_age_max = absl::Seconds(2)},
    {.pending_messages_soft = 10, .pending_age_soft = absl::Seconds(1), .soft_time = absl::Seconds(1)}};

// What the reference knows of a subscription.
struct Expected {
  std::string filter;
  v1::OverflowPolicy policy = v1::OVERFLOW_POLICY_DISCONNECT;
  // Numbers of the messages that matched while it was in force, in order.
  std::vector<uint64_t> matched;
  enum class Force { kYes, kNo } force = Force::kYes;
};

// One session of a client, from its subscriptions to its last byte.
struct Connection {
  Connection(uint64_t token, const SubscriberLimits* limits, MemoryAccount* account)
      : subscriber(token, limits, account) {}

  Subscriber subscriber;
  ScriptedTransport transport;
  std::map<uint32_t, Expected> expected;
  uint32_t last_id = 0;
};

// What a Goodbye, or the record, says of one subscription.
struct LastNumbers {
  uint64_t offered = 0;
  LeftOut left_out;
  uint64_t pending = 0;
  // Of these: not begun to leave.
  uint64_t waiting = 0;
};

// What a client makes of its stream.
struct Book {
  std::vector<uint64_t> received;
  uint64_t told = 0;
  enum class Ended { kNo, kYes } ended = Ended::kNo;
};

// Whether the last frames of a cut session arrive.
enum class Farewell { kArrives, kIsLost };

// What happened in a run, so that a test notices when it tests nothing any more.
struct Tally {
  std::set<v1::Reason> cuts;
  uint64_t received = 0;
  uint64_t dropped = 0;
  uint64_t conflated = 0;
  uint64_t told_at_end = 0;
  uint64_t lost = 0;
  uint64_t unsubscribed = 0;
  uint64_t blocks = 0;
};

class World {
 public:
  World(uint32_t seed, Tally* tally) : random_(seed), tally_(*tally) {
    limits_.session_bytes_max = Random(2) == 0 ? 60'000 : 0;
    limits_.control_bytes_max = 4000;
    limits_.write_timeout = Random(2) == 0 ? absl::Milliseconds(300) : absl::ZeroDuration();
    if (Random(2) == 0) limits_.block_timeout = absl::Milliseconds(500);
    for (size_t i = 0; i < kClients; ++i) Connect(i);
  }

  void Run() {
    for (int turn = 0; turn < 250 && !::testing::Test::HasFailure(); ++turn) {
      now_ += absl::Milliseconds(Random(60));
      for (uint32_t i = Random(10); i > 0; --i) Step();
      FinishTurn();
    }
    for (size_t i = 0; i < kClients; ++i) DrainAndLeave(i);
    clients_.clear();
    fan_out_.ReleaseKept();
  }

  int64_t kept_bytes() const { return account_.bytes(); }

 private:
  uint32_t Random(uint32_t below) { return random_() % below; }

  void Connect(size_t client) {
    if (clients_.size() <= client) clients_.resize(client + 1);
    clients_[client] = std::make_unique<Connection>(client, &limits_, &account_);
    for (uint32_t i = 1 + Random(12); i > 0; --i) Subscribe(client);
  }

  void Step() {
    const size_t client = Random(kClients);
    switch (Random(16)) {
      case 0:
        return Subscribe(client);
      case 1:
        return Unsubscribe(client);
      case 2:
      case 3: {
        const size_t takes[] = {0, 0, Random(40), Random(3000), ScriptedTransport::kEverything};
        clients_[client]->transport.AfterwardsTakes(takes[Random(5)]);
        return;
      }
      case 4:
        if (Random(20) == 0) {
          for (int i = 0; i < 1000; ++i) clients_[client]->subscriber.QueueControl(testing::ServerPong(1));
        }
        return;
      default:
        for (uint32_t i = 1 + Random(6); i > 0; --i) Publish();
    }
  }

  void Publish() {
    const std::string topic = kTopics[Random(std::size(kTopics))];
    const size_t sizes[] = {Random(30), Random(30), Random(300), Random(3000)};
    const uint64_t number = ++published_;
    const std::string frame =
        MessageFrame(topic, std::to_string(number) + "." + std::string(sizes[Random(4)], 'x'));
    const uint32_t offset = read_.Append(frame);
    fan_out_.Take(index_.Match(topic), read_.chunk(), offset, static_cast<uint32_t>(frame.size()),
                  publisher_.get());
    for (const auto& client : clients_) {
      for (auto& [id, one] : client->expected) {
        if (one.force == Expected::Force::kYes && FilterMatches(one.filter, topic)) {
          one.matched.push_back(number);
        }
      }
    }
  }

  void Subscribe(size_t client) {
    Connection* connection = clients_[client].get();
    if (connection->expected.size() == 40) return;
    const uint32_t id = ++connection->last_id;
    Expected& one = connection->expected[id];
    one.filter = kFilters[Random(std::size(kFilters))];
    one.policy = kPolicies[Random(std::size(kPolicies))];
    Subscription* subscription =
        connection->subscriber.Add(id, kLimits[Random(std::size(kLimits))], one.policy);
    subscription->told = Subscription::Told::kYes;
    FilterGroup* group = index_.FindOrCreate(one.filter, "");
    fan_out_.Settle(group, now_);
    index_.Attach(subscription, group);
  }

  void Unsubscribe(size_t client) {
    Connection* connection = clients_[client].get();
    const uint32_t id = 1 + Random(connection->last_id);
    Expected& one = connection->expected[id];
    if (one.force == Expected::Force::kNo) return;
    Subscription* subscription = connection->subscriber.Find(id);
    fan_out_.Settle(subscription->group, now_);
    index_.Detach(subscription);
    connection->subscriber.End(subscription, v1::REASON_UNSUBSCRIBED);
    one.force = Expected::Force::kNo;
    if (connection->subscriber.wants_flush()) Flush(connection);
  }

  void Flush(Connection* connection) {
    (void)connection->subscriber.Flush(&connection->transport, scratch_.get(), 1 << 20, now_);
  }

  void FinishTurn() {
    while (Subscriber* subscriber = fan_out_.Next(now_)) Flush(clients_[subscriber->token()].get());
    for (size_t i = 0; i < kClients; ++i) {
      Connection* connection = clients_[i].get();
      Subscriber& subscriber = connection->subscriber;
      if (subscriber.blocked() && Random(3) == 0) subscriber.BecameWritable();
      if (subscriber.wants_flush()) Flush(connection);
      if (now_ >= subscriber.NextCheck()) subscriber.Check(&connection->transport, now_);
      (void)subscriber.TakeLosses();
      (void)subscriber.TakeLagReport();
      tally_.blocks += subscriber.TakeBlockNews().size();
      if (!subscriber.over().has_value()) continue;
      tally_.cuts.insert(subscriber.over()->reason);
      Cut(i);
      Connect(i);
    }
    index_.RemoveEmptyGroups();
    if (Random(5) == 0) fan_out_.ReleaseKept();
  }

  // As Session::SayGoodbye does.
  std::map<uint32_t, LastNumbers> LeaveGroups(Connection* connection) {
    Subscriber& subscriber = connection->subscriber;
    std::map<uint32_t, LastNumbers> numbers;
    subscriber.ForEachSubscription([&](Subscription* subscription) {
      if (subscription->group == nullptr) return;
      fan_out_.Settle(subscription->group, now_);
      index_.Detach(subscription);
      fan_out_.Forget(subscription);
    });
    subscriber.ForEachSubscription([&](const Subscription* subscription) {
      LastNumbers& one = numbers[subscription->id];
      one.offered = subscription->offered;
      one.left_out = subscriber.left_out().Of(subscription->id);
      one.pending = subscription->queue().pending_messages();
      const Ring<Slice>& slices = subscription->queue().slices();
      for (size_t i = 0; i < slices.size(); ++i) one.waiting += slices[i].messages;
    });
    fan_out_.Forget(&subscriber);
    return numbers;
  }

  void Cut(size_t client) {
    Connection* connection = clients_[client].get();
    const std::map<uint32_t, LastNumbers> numbers = LeaveGroups(connection);
    (void)connection->subscriber.Close(Subscriber::ControlFrames::kDrop);
    std::string_view arrived;
    const Farewell farewell = Random(2) == 0 ? Farewell::kArrives : Farewell::kIsLost;
    if (farewell == Farewell::kArrives) {
      FlushAll(connection);
      arrived = connection->transport.stream();
      ASSERT_EQ(ReadStream(arrived).unfinished_bytes, 0u);
    } else {
      // Anything may have been under way.
      const size_t taken = connection->transport.stream().size();
      arrived = std::string_view(connection->transport.stream()).substr(0, taken - random_() % (taken + 1));
    }
    const std::map<uint32_t, Book> books = ReadBooks(*connection, arrived);
    for (const auto& [id, last] : numbers) {
      SCOPED_TRACE(id);
      const auto found = books.find(id);
      Settle(connection->expected[id], last, found == books.end() ? Book() : found->second, farewell);
    }
  }

  // It closes in order: its queues drain, whatever they hold.
  void DrainAndLeave(size_t client) {
    Connection* connection = clients_[client].get();
    const std::map<uint32_t, LastNumbers> numbers = LeaveGroups(connection);
    FlushAll(connection);
    const std::map<uint32_t, Book> books = ReadBooks(*connection, connection->transport.stream());
    for (const auto& [id, last] : numbers) {
      SCOPED_TRACE(id);
      const auto found = books.find(id);
      const Book book = found == books.end() ? Book() : found->second;
      EXPECT_EQ(last.offered, connection->expected[id].matched.size());
      EXPECT_EQ(book.received.size() + book.told, last.offered);
      EXPECT_EQ(book.told, last.left_out.dropped + last.left_out.conflated);
    }
  }

  void FlushAll(Connection* connection) {
    connection->transport.AfterwardsTakes(ScriptedTransport::kEverything);
    while (!connection->subscriber.writer().empty()) {
      connection->transport.Takes(1 + Random(500));
      connection->subscriber.BecameWritable();
      Flush(connection);
    }
  }

  // Reads as a client does; each Gap and Unsubscribed must fit to what came before it.
  std::map<uint32_t, Book> ReadBooks(const Connection& connection, std::string_view stream) {
    std::map<uint32_t, Book> books;
    const ReceivedStream received = ReadStream(stream);
    EXPECT_EQ(received.state, ReceivedStream::State::kWhole);
    uint32_t current = 0;
    for (const v1::ServerFrame& frame : received.frames) {
      if (frame.has_delivery()) current = frame.delivery().subscription();
      if (frame.has_message()) {
        books[current].received.push_back(std::stoull(frame.message().payload()));
        EXPECT_EQ(books[current].ended, Book::Ended::kNo);
      }
      if (frame.has_gap()) {
        Book& book = books[frame.gap().subscription()];
        EXPECT_GT(frame.gap().messages(), 0u);
        book.told += frame.gap().messages();
        EXPECT_EQ(book.received.size() + book.told, frame.gap().offered());
      }
      if (frame.has_unsubscribed()) {
        const uint32_t id = frame.unsubscribed().subscription();
        Book& book = books[id];
        book.ended = Book::Ended::kYes;
        EXPECT_EQ(book.received.size() + book.told, frame.unsubscribed().offered());
        EXPECT_EQ(frame.unsubscribed().offered(), connection.expected.at(id).matched.size());
        ++tally_.unsubscribed;
      }
    }
    for (const auto& [id, book] : books) {
      SCOPED_TRACE(id);
      tally_.received += book.received.size();
      ExpectOnlyWhatMatched(connection.expected.at(id), book.received);
    }
    return books;
  }

  // Each once, and in the order published, but for those that conflate: these keep it per topic only.
  static void ExpectOnlyWhatMatched(const Expected& expected, std::vector<uint64_t> received) {
    if (expected.policy == v1::OVERFLOW_POLICY_CONFLATE) std::sort(received.begin(), received.end());
    EXPECT_TRUE(std::is_sorted(received.begin(), received.end()));
    EXPECT_TRUE(std::adjacent_find(received.begin(), received.end()) == received.end());
    EXPECT_TRUE(
        std::includes(expected.matched.begin(), expected.matched.end(), received.begin(), received.end()));
  }

  // What the client library makes of the end of a session.
  void Settle(const Expected& expected, const LastNumbers& last, const Book& book, Farewell farewell) {
    EXPECT_EQ(last.offered, expected.matched.size());
    const uint64_t left_out = last.left_out.dropped + last.left_out.conflated;
    // The Gaps say no more than the last numbers, which tell the rest.
    ASSERT_LE(book.told, left_out);
    ASSERT_LE(book.received.size() + left_out, last.offered);
    const uint64_t lost = last.offered - book.received.size() - left_out;
    if (farewell == Farewell::kArrives) {
      EXPECT_EQ(lost, last.waiting);
    } else {
      EXPECT_GE(lost, last.waiting);
    }
    EXPECT_LE(last.waiting, last.pending);
    EXPECT_LE(last.pending, last.waiting + 1);
    EXPECT_TRUE(Drops(expected.policy) || last.left_out.dropped == 0);
    EXPECT_TRUE(expected.policy == v1::OVERFLOW_POLICY_CONFLATE || last.left_out.conflated == 0);
    tally_.dropped += last.left_out.dropped;
    tally_.conflated += last.left_out.conflated;
    tally_.told_at_end += left_out - book.told;
    tally_.lost += lost;
  }

  std::mt19937 random_;
  Tally& tally_;
  MemoryAccount account_;
  ChunkPool pool_{kChunkBytes, &account_, 2};
  OpenChunk read_{&pool_};
  FilterIndex index_{1000};
  FanOut fan_out_{&pool_};
  SubscriberLimits limits_;
  std::unique_ptr<WriteScratch> scratch_ = std::make_unique<WriteScratch>();
  std::shared_ptr<PublishTally> publisher_ = std::make_shared<PublishTally>();
  std::vector<std::unique_ptr<Connection>> clients_;
  uint64_t published_ = 0;
  absl::Time now_ = absl::FromUnixSeconds(1000);
};

TEST(BooksModelTest, ReceivedToldAndLostAreWhatWasPublishedAndMatched) {
  Tally tally;
  for (uint32_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed, &tally);
    world.Run();
    // The pool's two, the open one and the assembly chunk.
    EXPECT_LE(world.kept_bytes(), 4 * kChunkBytes);
    if (::testing::Test::HasFailure()) return;
  }
  // All of it did happen.
  for (const v1::Reason reason : {v1::REASON_PENDING_BYTES, v1::REASON_PENDING_MESSAGES,
                                  v1::REASON_PENDING_AGE, v1::REASON_SESSION_BYTES, v1::REASON_WRITE_TIMEOUT,
                                  v1::REASON_CONTROL_BYTES, v1::REASON_BLOCK_TIMEOUT}) {
    EXPECT_TRUE(tally.cuts.contains(reason)) << reason;
  }
  EXPECT_GT(tally.received, 0u);
  EXPECT_GT(tally.dropped, 0u);
  EXPECT_GT(tally.conflated, 0u);
  EXPECT_GT(tally.told_at_end, 0u);
  EXPECT_GT(tally.lost, 0u);
  EXPECT_GT(tally.unsubscribed, 0u);
  EXPECT_GT(tally.blocks, 0u);
}

}  // namespace
}  // namespace sluice
