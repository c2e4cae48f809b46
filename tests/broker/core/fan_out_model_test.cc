// Random turns of publishers, subscriptions that come, go, count and deal, sockets that fill and empty, and
// sessions that are cut, against the plain reference: who was in force when a message was published.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/core/fan_out.h"
#include "broker/core/filter_index.h"
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
constexpr size_t kPeers = 8;
constexpr size_t kPublishers = 3;
constexpr const char* kTopics[] = {"a", "b", "c.x", "c.y", "c.x.z"};
constexpr const char* kFilters[] = {"a", "b", "c.x", "c.*", "c.>", ">", "*"};
constexpr const char* kQueueGroups[] = {"", "", "", "q", "r"};

struct Peer {
  Peer(uint64_t token, const SubscriberLimits* limits) : subscriber(token, limits, &account) {}
  MemoryAccount account;
  Subscriber subscriber;
  ScriptedTransport transport;
  enum class Life { kUp, kCut } life = Life::kUp;
};

// What the reference knows of a subscription.
struct Expected {
  size_t peer;
  uint32_t id;
  std::string filter;
  std::string queue_group;
  uint64_t offered_max = UINT64_MAX;
  enum class Force { kYes, kNo } force = Force::kYes;
  // Of a shared group.
  std::vector<std::string> payloads;
};

// What the reference knows of a queue group.
struct ExpectedGroup {
  std::set<std::string> payloads;
  uint64_t lost = 0;  // nobody was left when its member was cut
  enum class Order { kAsPublished, kDealtAgain } order = Order::kAsPublished;
};

class World {
 public:
  explicit World(uint32_t seed) : random_(seed) {
    for (size_t i = 0; i < kPeers; ++i) peers_.push_back(std::make_unique<Peer>(i, &limits_));
    for (size_t i = 0; i < kPublishers; ++i) tallies_.push_back(std::make_unique<PublishTally>());
    expected_tallies_.resize(kPublishers);
  }

  void Run() {
    for (int turn = 0; turn < 60 && !::testing::Test::HasFailure(); ++turn) {
      now_ += absl::Milliseconds(random_() % 20);
      for (size_t i = random_() % 12; i > 0; --i) Step();
      FinishTurn();
      if (Random(25) == 0) Cut();
      if (Random(50) == 0) Cut();  // sometimes two in one turn
    }
    FinishTurn();  // what was dealt again at the end
    for (const auto& peer : peers_) {
      peer->transport.AfterwardsTakes(ScriptedTransport::kEverything);
      while (!peer->subscriber.writer().empty()) {
        peer->subscriber.BecameWritable();
        Flush(peer.get());
      }
    }
    Compare();
    LeaveAll();
  }

  // Everything that the messages were kept in.
  int64_t kept_bytes() const { return account_.bytes(); }

 private:
  uint32_t Random(uint32_t below) { return random_() % below; }

  void Step() {
    switch (Random(10)) {
      case 0:
        return Subscribe();
      case 1:
        return Unsubscribe();
      case 2:
        read_.Append(std::string(Random(2000), 'n'));
        return;
      case 3: {
        Peer* peer = peers_[Random(kPeers)].get();
        const size_t takes[] = {0, 0, 1 + Random(300), ScriptedTransport::kEverything};
        peer->transport.AfterwardsTakes(takes[Random(4)]);
        return;
      }
      default:
        return Publish();
    }
  }

  void Publish() {
    const std::string topic = kTopics[Random(std::size(kTopics))];
    const size_t sizes[] = {Random(30), Random(30), Random(1000), Random(5000), Random(20'000)};
    const std::string payload = std::to_string(++published_) + std::string(sizes[Random(5)], '.');
    const std::string frame = MessageFrame(topic, payload);
    const size_t publisher = Random(kPublishers);
    const uint32_t offset = read_.Append(frame);
    fan_out_.Take(index_.Match(topic), read_.chunk(), offset, static_cast<uint32_t>(frame.size()),
                  tallies_[publisher].get());

    std::set<std::pair<std::string, std::string>> dealt_to;
    for (Expected& one : subscriptions_) {
      if (one.force == Expected::Force::kNo || !FilterMatches(one.filter, topic)) continue;
      if (!one.queue_group.empty()) {
        dealt_to.emplace(one.filter, one.queue_group);
        continue;
      }
      one.payloads.push_back(payload);
      ++expected_tallies_[publisher];
      if (one.payloads.size() == one.offered_max) one.force = Expected::Force::kNo;
    }
    for (const auto& group : dealt_to) {
      groups_[group].payloads.insert(payload);
      ++expected_tallies_[publisher];
    }
  }

  void Subscribe() {
    const size_t at = Random(kPeers);
    Peer* peer = peers_[at].get();
    if (peer->life == Peer::Life::kCut) return;
    Expected one;
    one.peer = at;
    one.id = ++last_id_;
    one.filter = kFilters[Random(std::size(kFilters))];
    one.queue_group = kQueueGroups[Random(std::size(kQueueGroups))];
    if (one.queue_group.empty() && Random(3) == 0) one.offered_max = 1 + Random(20);
    Subscription* subscription = peer->subscriber.Add(one.id, {}, v1::OVERFLOW_POLICY_DISCONNECT);
    subscription->told = Subscription::Told::kYes;
    subscription->offered_max = one.offered_max;
    FilterGroup* group = index_.FindOrCreate(one.filter, one.queue_group);
    fan_out_.Settle(group, now_);
    index_.Attach(subscription, group);
    subscriptions_.push_back(std::move(one));
  }

  void Unsubscribe() {
    if (subscriptions_.empty()) return;
    Expected& one = subscriptions_[Random(static_cast<uint32_t>(subscriptions_.size()))];
    Peer* peer = peers_[one.peer].get();
    if (one.force == Expected::Force::kNo) return;
    Subscription* subscription = peer->subscriber.Find(one.id);
    fan_out_.Settle(subscription->group, now_);
    EXPECT_EQ(subscription->ended, v1::REASON_UNSPECIFIED);
    index_.Detach(subscription);
    peer->subscriber.End(subscription, v1::REASON_UNSUBSCRIBED);
    one.force = Expected::Force::kNo;
    asked_.insert(peer);
  }

  // Messages that have not begun to leave.
  static uint64_t Waiting(const Subscription& subscription) {
    uint64_t waiting = 0;
    const Ring<Slice>& slices = subscription.queue().slices();
    for (size_t i = 0; i < slices.size(); ++i) waiting += slices[i].messages;
    return waiting;
  }

  // As a session does that is cut.
  void Cut() {
    Peer* peer = peers_[Random(kPeers)].get();
    if (peer->life == Peer::Life::kCut) return;
    peer->life = Peer::Life::kCut;
    std::vector<std::pair<FilterGroup*, Subscription*>> dealt;
    peer->subscriber.ForEachSubscription([&](Subscription* subscription) {
      if (subscription->group == nullptr) {
        // It has unsubscribed: what it had still to get goes with it.
        const Expected& one = subscriptions_[subscription->id - 1];
        if (!one.queue_group.empty()) groups_[{one.filter, one.queue_group}].lost += Waiting(*subscription);
        return;
      }
      if (subscription->group->kind() == GroupKind::kDealt) {
        dealt.emplace_back(subscription->group, subscription);
      }
      fan_out_.Settle(subscription->group, now_);
      index_.Detach(subscription);
      fan_out_.Forget(subscription);
    });
    for (Expected& one : subscriptions_) {
      if (peers_[one.peer].get() == peer) one.force = Expected::Force::kNo;
    }
    for (const auto& [group, subscription] : dealt) {
      const uint64_t waiting = Waiting(*subscription);
      const uint64_t again = fan_out_.DealAgain(group, subscription);
      EXPECT_EQ(again, group->members.empty() ? 0 : waiting);
      ExpectedGroup& expected = groups_[{std::string(group->filter()), std::string(group->queue_group())}];
      expected.lost += waiting - again;
      if (again > 0) expected.order = ExpectedGroup::Order::kDealtAgain;
    }
    const Missing dropped = peer->subscriber.Close(Subscriber::ControlFrames::kDrop);
    pending_messages_ -= dropped.messages;
    pending_bytes_ -= dropped.bytes;
  }

  void Flush(Peer* peer) {
    const FlushResult result = peer->subscriber.Flush(&peer->transport, scratch_.get(), 1 << 30, now_);
    pending_messages_ -= result.messages_sent;
    pending_bytes_ -= result.message_bytes_sent;
  }

  void FinishTurn() {
    std::map<const Subscriber*, int> returned;
    while (Subscriber* subscriber = fan_out_.Next(now_)) {
      EXPECT_EQ(subscriber->offers_to_come, 0u);
      EXPECT_EQ(++returned[subscriber], 1);
      Flush(peers_[subscriber->token()].get());
    }
    EXPECT_TRUE(fan_out_.idle());
    for (Subscription* ended : fan_out_.TakeEnded()) {
      ASSERT_NE(ended->group, nullptr);
      index_.Detach(ended);
      ended->subscriber->RemoveEnded();
    }
    for (const auto& peer : peers_) {
      if (asked_.contains(peer.get()) && peer->subscriber.wants_flush()) Flush(peer.get());
      EXPECT_FALSE(peer->subscriber.wants_flush()) << "forgotten by the turn";
      if (Random(3) != 0 || !peer->subscriber.blocked()) continue;
      peer->subscriber.BecameWritable();
      Flush(peer.get());
    }
    asked_.clear();
    const FanOut::Report report = fan_out_.TakeReport();
    EXPECT_EQ(report.dropped_messages, 0u);
    pending_messages_ += report.queued_messages;
    pending_bytes_ += report.queued_bytes;
    uint64_t messages = 0;
    uint64_t bytes = 0;
    for (const auto& peer : peers_) {
      messages += peer->subscriber.pending_messages();
      bytes += peer->subscriber.pending_bytes();
    }
    EXPECT_EQ(pending_messages_, messages);
    EXPECT_EQ(pending_bytes_, bytes);
    for (size_t i = 0; i < kPublishers; ++i) {
      EXPECT_EQ(tallies_[i]->matched, expected_tallies_[i]);
      EXPECT_EQ(tallies_[i]->dropped, 0u);
    }
    index_.RemoveEmptyGroups();
    if (Random(5) == 0) fan_out_.ReleaseKept();
  }

  void Compare() {
    std::vector<ReceivedStream> received;
    for (const auto& peer : peers_) received.push_back(ReadStream(peer->transport.stream()));
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> dealt;
    for (const Expected& one : subscriptions_) {
      ASSERT_EQ(received[one.peer].state, ReceivedStream::State::kWhole);
      ASSERT_EQ(received[one.peer].unfinished_bytes, 0u);
      const std::vector<std::string>& got = received[one.peer].payloads[one.id];
      if (!one.queue_group.empty()) {
        std::vector<std::string>& all = dealt[{one.filter, one.queue_group}];
        all.insert(all.end(), got.begin(), got.end());
        if (groups_[{one.filter, one.queue_group}].order == ExpectedGroup::Order::kAsPublished) {
          EXPECT_TRUE(std::is_sorted(got.begin(), got.end(), [](const std::string& a, const std::string& b) {
            return std::stoul(a) < std::stoul(b);
          }));
        }
        continue;
      }
      if (peers_[one.peer]->life == Peer::Life::kCut) {
        ASSERT_LE(got.size(), one.payloads.size());
        EXPECT_TRUE(std::equal(got.begin(), got.end(), one.payloads.begin())) << "subscription " << one.id;
        continue;
      }
      EXPECT_TRUE(got == one.payloads) << "subscription " << one.id << " of " << one.filter << " got "
                                       << got.size() << " of " << one.payloads.size();
    }
    for (const auto& stream : received) {
      for (const v1::ServerFrame& frame : stream.frames) {
        if (!frame.has_unsubscribed()) continue;
        const Expected& one = subscriptions_[frame.unsubscribed().subscription() - 1];
        if (!one.queue_group.empty()) continue;
        EXPECT_EQ(frame.unsubscribed().offered(), one.payloads.size());
        EXPECT_EQ(frame.unsubscribed().reason(), one.payloads.size() == one.offered_max
                                                     ? v1::REASON_COUNT_REACHED
                                                     : v1::REASON_UNSUBSCRIBED);
      }
    }
    for (auto& [name, group] : groups_) {
      std::vector<std::string>& got = dealt[name];
      std::sort(got.begin(), got.end());
      EXPECT_TRUE(std::adjacent_find(got.begin(), got.end()) == got.end()) << "dealt twice";
      EXPECT_EQ(got.size() + group.lost, group.payloads.size()) << name.first << " " << name.second;
      EXPECT_TRUE(std::includes(group.payloads.begin(), group.payloads.end(), got.begin(), got.end()));
    }
  }

  void LeaveAll() {
    for (const auto& peer : peers_) {
      peer->subscriber.ForEachSubscription([&](Subscription* subscription) { index_.Detach(subscription); });
      fan_out_.Forget(&peer->subscriber);
    }
    peers_.clear();
    fan_out_.ReleaseKept();
  }

  std::mt19937 random_;
  MemoryAccount account_;
  ChunkPool pool_{kChunkBytes, &account_, 2};
  OpenChunk read_{&pool_};
  FilterIndex index_{1000};
  FanOut fan_out_{&pool_};
  SubscriberLimits limits_;
  std::unique_ptr<WriteScratch> scratch_ = std::make_unique<WriteScratch>();
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<std::unique_ptr<PublishTally>> tallies_;
  absl::Time now_ = absl::FromUnixSeconds(1000);

  // Those whose session has something to say in this turn besides messages.
  std::set<const Peer*> asked_;
  uint64_t published_ = 0;
  uint32_t last_id_ = 0;
  std::vector<Expected> subscriptions_;  // by id - 1
  std::map<std::pair<std::string, std::string>, ExpectedGroup> groups_;
  std::vector<uint64_t> expected_tallies_;
  uint64_t pending_messages_ = 0;
  uint64_t pending_bytes_ = 0;
};

TEST(FanOutModelTest, EverySubscriptionIsOfferedWhatWasPublishedWhileItWasInForce) {
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    world.Run();
    // The pool's two, the open one and the assembly chunk.
    EXPECT_LE(world.kept_bytes(), 4 * kChunkBytes);
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace sluice
