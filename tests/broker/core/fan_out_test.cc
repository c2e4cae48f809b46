#include "broker/core/fan_out.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/core/filter_index.h"
#include "protocol/frame.h"
#include "protocol/sluice.pb.h"
#include "tests/support/frames.h"
#include "tests/support/scripted_transport.h"

namespace sluice {
namespace {

using testing::MessageFrame;
using testing::ReadStream;
using testing::ScriptedTransport;

constexpr uint32_t kChunkBytes = 256 << 10;
constexpr QueueLimits kNoLimits = {};

// One session as the fan-out sees it, with a socket that takes everything until it is told otherwise.
struct Peer {
  Peer(uint64_t token, const SubscriberLimits* limits) : subscriber(token, limits, &account) {}

  // Payloads that arrived for the subscription, in order.
  std::vector<std::string> Payloads(uint32_t subscription) const {
    return ReadStream(transport.stream()).payloads[subscription];
  }

  MemoryAccount account;
  Subscriber subscriber;
  ScriptedTransport transport;
};

class FanOutTest : public ::testing::Test {
 protected:
  Peer* AddPeer() {
    peers_.push_back(std::make_unique<Peer>(peers_.size(), &limits_));
    return peers_.back().get();
  }
  Subscription* Subscribe(Peer* peer, uint32_t id, std::string_view filter, std::string_view queue_group = "",
                          const QueueLimits& limits = kNoLimits) {
    Subscription* subscription = peer->subscriber.Add(id, limits, v1::OVERFLOW_POLICY_DISCONNECT);
    subscription->told = Subscription::Told::kYes;
    FilterGroup* group = index_.FindOrCreate(filter, queue_group);
    fan_out_.Settle(group, now_);
    index_.Attach(subscription, group);
    return subscription;
  }
  void Unsubscribe(Subscription* subscription) {
    fan_out_.Settle(subscription->group, now_);
    index_.Detach(subscription);
    subscription->subscriber->End(subscription, v1::REASON_UNSUBSCRIBED);
  }
  void Publish(std::string_view topic, std::string_view payload, PublishTally* tally = nullptr) {
    const std::string frame = MessageFrame(topic, payload);
    const uint32_t offset = read_.Append(frame);
    fan_out_.Take(index_.Match(topic), read_.chunk(), offset, static_cast<uint32_t>(frame.size()),
                  tally == nullptr ? &tally_ : tally);
  }
  // A topic nobody wants lies between the messages that are wanted.
  void PublishScattered(std::string_view topic, std::string_view payload) {
    Publish(topic, payload);
    read_.Append("noise");
  }
  Peer* PeerOf(const Subscriber* subscriber) { return peers_[subscriber->token()].get(); }
  void Flush(Subscriber* subscriber) {
    (void)subscriber->Flush(&PeerOf(subscriber)->transport, scratch_.get(), 1 << 30, now_);
  }
  // The rest of a turn. Returns who was to be flushed, in order.
  std::vector<Peer*> Turn() {
    std::vector<Peer*> flushed;
    while (Subscriber* subscriber = fan_out_.Next(now_)) {
      flushed.push_back(PeerOf(subscriber));
      Flush(subscriber);
    }
    for (Subscription* ended : fan_out_.TakeEnded()) {
      if (ended->group == nullptr) continue;
      index_.Detach(ended);
      ended->subscriber->RemoveEnded();
    }
    EXPECT_TRUE(fan_out_.idle());
    return flushed;
  }
  void Block(Peer* peer) {
    peer->transport.AfterwardsTakes(0);
    peer->subscriber.QueueControl(testing::ServerPong(1));
    Flush(&peer->subscriber);
    ASSERT_TRUE(peer->subscriber.blocked());
  }
  void Unblock(Peer* peer) {
    peer->transport.AfterwardsTakes(ScriptedTransport::kEverything);
    peer->subscriber.BecameWritable();
    Flush(&peer->subscriber);
    ASSERT_TRUE(peer->subscriber.writer().empty());
  }

  MemoryAccount account_;
  ChunkPool pool_{kChunkBytes, &account_};
  OpenChunk read_{&pool_};
  FilterIndex index_{1000};
  FanOut fan_out_{&pool_};
  SubscriberLimits limits_;
  std::unique_ptr<WriteScratch> scratch_ = std::make_unique<WriteScratch>();
  std::vector<std::unique_ptr<Peer>> peers_;
  PublishTally tally_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
};

// ---- Assembling ----

TEST_F(FanOutTest, AGroupThatTakesEverythingGetsItWhereItLies) {
  Subscription* subscription = Subscribe(AddPeer(), 1, "a");
  (void)read_.Room(1000);
  const uint32_t begin = read_.offset();
  for (const char* payload : {"one", "two", "three"}) Publish("a", payload);
  ASSERT_EQ(fan_out_.Next(now_), subscription->subscriber);
  ASSERT_EQ(subscription->queue().slices().size(), 1u);
  const Slice& slice = subscription->queue().slices()[0];
  EXPECT_EQ(slice.chunk, read_.chunk());
  EXPECT_EQ(slice.offset, begin);
  EXPECT_EQ(slice.bytes, read_.offset() - begin);
  EXPECT_EQ(slice.messages, 3u);
  EXPECT_EQ(slice.enqueued_at, now_);
  EXPECT_EQ(account_.bytes(), kChunkBytes);
  Flush(subscription->subscriber);
  EXPECT_EQ(peers_[0]->Payloads(1), (std::vector<std::string>{"one", "two", "three"}));
}

TEST_F(FanOutTest, ASliceInPlaceSpansThePublishersWhoseMessagesLieSideBySide) {
  Subscription* subscription = Subscribe(AddPeer(), 1, "a");
  PublishTally other;
  Publish("a", "one");
  Publish("a", "two", &other);
  Publish("a", "three");
  ASSERT_EQ(fan_out_.Next(now_), subscription->subscriber);
  EXPECT_EQ(subscription->queue().slices().size(), 1u);
  EXPECT_EQ(subscription->queue().slices()[0].chunk, read_.chunk());
  EXPECT_EQ(fan_out_.Next(now_), nullptr);
  EXPECT_EQ(tally_.matched, 2u);
  EXPECT_EQ(other.matched, 1u);
}

TEST_F(FanOutTest, ScatteredMessagesAreAssembledOnceForAllMembers) {
  std::vector<Subscription*> members;
  for (uint32_t i = 0; i < 100; ++i) members.push_back(Subscribe(AddPeer(), 1, "a"));
  std::vector<std::string> expected;
  for (int i = 0; i < 50; ++i) {
    expected.push_back(std::to_string(i) + std::string(1000, 'p'));
    PublishScattered("a", expected.back());
  }
  const int64_t before = account_.bytes();
  ASSERT_NE(fan_out_.Next(now_), nullptr);
  const Slice assembled = members[0]->queue().slices()[0];
  EXPECT_FALSE(assembled.chunk == read_.chunk());
  EXPECT_EQ(assembled.messages, 50u);
  while (fan_out_.Next(now_) != nullptr) {
  }
  for (const Subscription* member : members) {
    ASSERT_EQ(member->queue().slices().size(), 1u);
    EXPECT_EQ(member->queue().slices()[0].chunk, assembled.chunk);
    EXPECT_EQ(member->queue().slices()[0].offset, assembled.offset);
    EXPECT_EQ(member->queue().slices()[0].bytes, assembled.bytes);
  }
  EXPECT_EQ(account_.bytes(), before + kChunkBytes);  // one assembly chunk
  for (const auto& peer : peers_) {
    Flush(&peer->subscriber);
    EXPECT_EQ(peer->Payloads(1), expected);
  }
}

TEST_F(FanOutTest, PiecesOf2KiBAndMoreAreNotCopied) {
  const auto payload_for = [](uint32_t frame_bytes) {
    const size_t extra = MessageFrame("a", std::string(frame_bytes, 'x')).size() - frame_bytes;
    return std::string(frame_bytes - extra, 'x');
  };
  Subscription* subscription = Subscribe(AddPeer(), 1, "a");
  PublishScattered("a", payload_for(kAssembleBytesMax - 1));
  PublishScattered("a", payload_for(kAssembleBytesMax));
  PublishScattered("a", "small");
  // Two small ones side by side make one large piece.
  Publish("a", payload_for(1500));
  PublishScattered("a", payload_for(1500));
  ASSERT_NE(fan_out_.Next(now_), nullptr);
  const Ring<Slice>& slices = subscription->queue().slices();
  ASSERT_EQ(slices.size(), 4u);
  EXPECT_FALSE(slices[0].chunk == read_.chunk());
  EXPECT_EQ(slices[1].chunk, read_.chunk());
  EXPECT_EQ(slices[1].bytes, kAssembleBytesMax);
  EXPECT_EQ(slices[2].chunk, slices[0].chunk);
  EXPECT_EQ(slices[3].chunk, read_.chunk());
  EXPECT_EQ(slices[3].messages, 2u);
}

TEST_F(FanOutTest, MessagesOfSeveralChunksKeepTheirOrder) {
  Peer* peer = AddPeer();
  Subscribe(peer, 1, "a");
  std::vector<std::string> expected;
  for (int i = 0; i < 100; ++i) {
    expected.push_back(std::to_string(i) + std::string(i % 7 == 0 ? 100'000 : 100, 'p'));
    PublishScattered("a", expected.back());
  }
  Turn();
  EXPECT_EQ(peer->Payloads(1), expected);
}

// ---- Who is flushed when ----

TEST_F(FanOutTest, ASubscriberOfOneGroupIsReturnedRightAfterItAndOneOfSeveralAfterTheLast) {
  Peer* both = AddPeer();
  Peer* only_a = AddPeer();
  Peer* only_b = AddPeer();
  Subscribe(both, 1, "a");
  Subscription* both_b = Subscribe(both, 2, "b");
  Subscription* a = Subscribe(only_a, 1, "a");
  Subscription* b = Subscribe(only_b, 1, "b");
  Publish("a", "x");
  Publish("b", "y");
  ASSERT_EQ(fan_out_.Next(now_), &only_a->subscriber);
  EXPECT_EQ(a->offered, 1u);
  EXPECT_EQ(b->offered, 0u);
  EXPECT_EQ(both_b->offered, 0u);
  Flush(&only_a->subscriber);
  const std::vector<Peer*> flushed = Turn();
  EXPECT_EQ(flushed.size(), 2u);
  EXPECT_EQ(std::count(flushed.begin(), flushed.end(), both), 1);
  EXPECT_EQ(std::count(flushed.begin(), flushed.end(), only_b), 1);
  EXPECT_EQ(both->Payloads(1), (std::vector<std::string>{"x"}));
  EXPECT_EQ(both->Payloads(2), (std::vector<std::string>{"y"}));
}

TEST_F(FanOutTest, ASubscriberOfManyGroupsIsFlushedOnce) {
  Peer* peer = AddPeer();
  for (uint32_t id = 1; id <= 20; ++id) Subscribe(peer, id, id % 2 == 0 ? "a" : "t" + std::to_string(id));
  Publish("a", "x");
  for (uint32_t id = 1; id <= 20; id += 2) Publish("t" + std::to_string(id), "y");
  EXPECT_EQ(Turn(), (std::vector<Peer*>{peer}));
  EXPECT_EQ(peer->transport.calls().size(), 1u);
}

TEST_F(FanOutTest, TheFirstMemberRotates) {
  for (int i = 0; i < 3; ++i) Subscribe(AddPeer(), 1, "a");
  std::vector<std::vector<Peer*>> turns;
  for (int i = 0; i < 4; ++i) {
    Publish("a", "x");
    turns.push_back(Turn());
  }
  Peer* const p0 = peers_[0].get();
  Peer* const p1 = peers_[1].get();
  Peer* const p2 = peers_[2].get();
  EXPECT_EQ(turns, (std::vector<std::vector<Peer*>>{{p0, p1, p2}, {p1, p2, p0}, {p2, p0, p1}, {p0, p1, p2}}));
}

TEST_F(FanOutTest, ABlockedSubscriberIsOfferedToButNotReturned) {
  Peer* blocked = AddPeer();
  Peer* healthy = AddPeer();
  Subscribe(blocked, 1, "a");
  Subscribe(healthy, 1, "a");
  Block(blocked);
  Publish("a", "x");
  EXPECT_EQ(Turn(), (std::vector<Peer*>{healthy}));
  EXPECT_EQ(blocked->subscriber.pending_messages(), 1u);
}

// The caller cuts it in the same turn: until it looks by itself, a flood would go on filling its queue.
TEST_F(FanOutTest, ABlockedSubscriberThatGoesOverALimitIsReturned) {
  Peer* blocked = AddPeer();
  Subscribe(blocked, 1, "a", "", {.pending_messages_max = 10});
  Block(blocked);
  for (int i = 0; i < 5; ++i) Publish("a", "x");
  EXPECT_TRUE(Turn().empty());
  for (int i = 0; i < 6; ++i) Publish("a", "x");
  EXPECT_EQ(Turn(), (std::vector<Peer*>{blocked}));
  EXPECT_TRUE(blocked->subscriber.over().has_value());
}

TEST_F(FanOutTest, IsIdleWhenItHasNothingToOfferOrToReturn) {
  Peer* peer = AddPeer();
  Subscribe(peer, 1, "a");
  EXPECT_TRUE(fan_out_.idle());
  Publish("nobody", "x");
  EXPECT_TRUE(fan_out_.idle());
  Publish("a", "x");
  EXPECT_FALSE(fan_out_.idle());
  fan_out_.Settle(index_.FindOrCreate("a", ""), now_);
  EXPECT_FALSE(fan_out_.idle());  // somebody is to be flushed
  EXPECT_EQ(Turn(), (std::vector<Peer*>{peer}));
  EXPECT_TRUE(fan_out_.idle());
}

// ---- Blocked members ----

TEST_F(FanOutTest, BlockedMembersShareOneCopyAndTheOthersGetItInPlace) {
  std::vector<Subscription*> members;
  for (int i = 0; i < 10; ++i) members.push_back(Subscribe(AddPeer(), 1, "a"));
  for (int i = 0; i < 10; i += 2) Block(peers_[i].get());
  Publish("a", "small");
  while (fan_out_.Next(now_) != nullptr) {
  }
  const ChunkRef kept = members[0]->queue().slices()[0].chunk;
  EXPECT_FALSE(kept == read_.chunk());
  EXPECT_LE(kept->capacity(), 4096u);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(members[i]->queue().slices()[0].chunk, i % 2 == 0 ? kept : read_.chunk());
  }
}

TEST_F(FanOutTest, APieceThatFillsAnEighthOfItsChunkIsNotCopiedForBlockedMembers) {
  Subscription* subscription = Subscribe(AddPeer(), 1, "a");
  Block(peers_[0].get());
  Publish("a", std::string(kChunkBytes / 8, 'x'));
  Turn();
  EXPECT_EQ(subscription->queue().slices()[0].chunk, read_.chunk());
  const int64_t before = account_.bytes();
  Publish("a", std::string(kChunkBytes / 8 - 100, 'x'));
  Turn();
  EXPECT_EQ(subscription->queue().slices().size(), 2u);
  EXPECT_FALSE(subscription->queue().slices()[1].chunk == read_.chunk());
  EXPECT_GT(account_.bytes(), before);
}

// What the chunks of a group's backlog hold alive, beside those that the pool keeps for itself.
TEST_F(FanOutTest, AHundredStuckMembersKeepNoMoreThanEightTimesTheirOneBacklog) {
  constexpr int64_t kPoolKeeps = 10 * kChunkBytes;
  struct Case {
    const char* name;
    uint32_t payload_bytes_max;
    int64_t factor;
  };
  for (const Case& one : {Case{"sparse small messages", 300, 2}, Case{"messages of all sizes", 60'000, 8}}) {
    SCOPED_TRACE(one.name);
    std::mt19937 random(7);
    peers_.clear();
    std::vector<Subscription*> members;
    for (int i = 0; i < 100; ++i) {
      Peer* peer = AddPeer();
      members.push_back(Subscribe(peer, 1, one.name[0] == 's' ? "a" : "b"));
      Block(peer);
    }
    int64_t distinct = 0;
    for (int turn = 0; turn < 400; ++turn) {
      const std::string payload(random() % one.payload_bytes_max, 'x');
      Publish(one.name[0] == 's' ? "a" : "b", payload);
      distinct += static_cast<int64_t>(MessageFrame("a", payload).size());
      // The chunks turn over with what others publish.
      read_.Append(std::string(kChunkBytes - 70'000, 'n'));
      Turn();
      ASSERT_LE(account_.bytes(), one.factor * distinct + kPoolKeeps + (64 << 10)) << "turn " << turn;
    }
    for (const Subscription* member : members) {
      EXPECT_EQ(member->queue().pending_bytes(), static_cast<uint64_t>(distinct));
    }
    for (Subscription* member : members) index_.Detach(member);
  }
}

TEST_F(FanOutTest, ThousandsOfSparseGroupsKeepSmallChunks) {
  Peer* peer = AddPeer();
  for (uint32_t id = 1; id <= 1000; ++id) Subscribe(peer, id, "t" + std::to_string(id));
  Block(peer);
  for (uint32_t id = 1; id <= 1000; ++id) Publish("t" + std::to_string(id), "a message");
  Turn();
  EXPECT_LE(account_.bytes(), 1000 * 4096 + 3 * kChunkBytes);
}

TEST_F(FanOutTest, ReleaseKeptFreesWhatNobodyWaitsIn) {
  Peer* peer = AddPeer();
  Subscribe(peer, 1, "a");
  Turn();
  read_.Room(kChunkBytes);
  const int64_t before = account_.bytes();
  Block(peer);
  Publish("a", "x");
  Turn();
  EXPECT_GT(account_.bytes(), before);
  fan_out_.ReleaseKept();
  EXPECT_GT(account_.bytes(), before);  // still waited in
  Unblock(peer);
  fan_out_.ReleaseKept();
  EXPECT_EQ(account_.bytes(), before);
  EXPECT_EQ(peer->Payloads(1), (std::vector<std::string>{"x"}));
}

TEST_F(FanOutTest, AKeptChunkIsFilledAnewWhenItsReadersAreThrough) {
  Peer* peer = AddPeer();
  Subscribe(peer, 1, "a");
  std::vector<std::string> expected;
  int64_t after_first = 0;
  for (int round = 0; round < 50; ++round) {
    Block(peer);
    for (int i = 0; i < 5; ++i) {
      expected.push_back(std::to_string(round) + std::string(300, static_cast<char>('a' + i)));
      Publish("a", expected.back());
      Turn();
    }
    if (round == 0) after_first = account_.bytes();
    EXPECT_EQ(account_.bytes(), after_first);
    Unblock(peer);
  }
  EXPECT_EQ(peer->Payloads(1), expected);
}

TEST_F(FanOutTest, OneStuckReaderKeepsItsBytesWhileAnotherIsFedFromTheSameChunk) {
  Peer* stuck = AddPeer();
  Peer* flapping = AddPeer();
  Subscribe(stuck, 1, "a");
  Subscribe(flapping, 1, "a");
  std::vector<std::string> expected;
  Block(stuck);
  for (int i = 0; i < 200; ++i) {
    Block(flapping);
    expected.push_back(std::to_string(i) + std::string(static_cast<size_t>(i), 'x'));
    Publish("a", expected.back());
    Turn();
    Unblock(flapping);
    if (i % 10 == 0) fan_out_.ReleaseKept();
  }
  Unblock(stuck);
  EXPECT_EQ(stuck->Payloads(1), expected);
  EXPECT_EQ(flapping->Payloads(1), expected);
}

// ---- Coming, going, counting ----

TEST_F(FanOutTest, WhoComesInMidTurnGetsWhatFollowsAndWhoLeavesWhatCameBefore) {
  Peer* stays = AddPeer();
  Peer* leaves = AddPeer();
  Peer* comes = AddPeer();
  Subscribe(stays, 1, "a");
  Subscription* leaving = Subscribe(leaves, 1, "a");
  Publish("a", "first");
  Unsubscribe(leaving);
  Publish("a", "second");
  Subscribe(comes, 1, "a");
  Publish("a", "third");
  Turn();
  EXPECT_EQ(stays->Payloads(1), (std::vector<std::string>{"first", "second", "third"}));
  EXPECT_EQ(leaves->Payloads(1), (std::vector<std::string>{"first"}));
  EXPECT_EQ(comes->Payloads(1), (std::vector<std::string>{"third"}));
  EXPECT_EQ(ReadStream(leaves->transport.stream()).frames.back().unsubscribed().offered(), 1u);
  EXPECT_EQ(tally_.matched, 2u + 1u + 2u);
}

TEST_F(FanOutTest, WhoWasSettledIsFlushedAtTheLatestAtTheEndOfTheTurn) {
  Peer* peer = AddPeer();
  Subscription* subscription = Subscribe(peer, 1, "a");
  Publish("a", "x");
  Unsubscribe(subscription);  // its group takes nothing more in this turn
  EXPECT_EQ(Turn(), (std::vector<Peer*>{peer}));
  EXPECT_EQ(peer->Payloads(1), (std::vector<std::string>{"x"}));
}

TEST_F(FanOutTest, ACountEndsTheSubscriptionInTheTurnThatReachesIt) {
  for (uint64_t count = 1; count <= 4; ++count) {
    SCOPED_TRACE(count);
    tally_ = PublishTally();
    Peer* counted = AddPeer();
    Peer* other = AddPeer();
    Subscription* subscription = Subscribe(counted, 1, "a");
    subscription->offered_max = count;
    Subscription* rest = Subscribe(other, 1, "a");
    for (const char* payload : {"1", "2", "3", "4", "5"}) PublishScattered("a", payload);
    Turn();
    EXPECT_EQ(counted->Payloads(1).size(), count);
    EXPECT_EQ(other->Payloads(1).size(), 5u);
    const v1::ServerFrame last = ReadStream(counted->transport.stream()).frames.back();
    EXPECT_EQ(last.unsubscribed().reason(), v1::REASON_COUNT_REACHED);
    EXPECT_EQ(last.unsubscribed().offered(), count);
    EXPECT_EQ(counted->subscriber.Find(1), nullptr);
    EXPECT_EQ(tally_.matched, 5u + count);
    EXPECT_EQ(tally_.dropped, 0u);
    Publish("a", "6");
    Turn();
    EXPECT_EQ(counted->Payloads(1).size(), count);
    index_.Detach(rest);
  }
}

TEST_F(FanOutTest, TakeEndedNamesEachOnceAndNotThoseThatWereForgotten) {
  Peer* one = AddPeer();
  Peer* two = AddPeer();
  Subscription* first = Subscribe(one, 1, "a");
  Subscription* second = Subscribe(two, 1, "a");
  Subscription* third = Subscribe(two, 2, "a");
  for (Subscription* subscription : {first, second, third}) subscription->offered_max = 1;
  Publish("a", "x");
  while (fan_out_.Next(now_) != nullptr) {
  }
  index_.Detach(second);
  fan_out_.Forget(second);
  std::vector<Subscription*> ended = fan_out_.TakeEnded();
  std::sort(ended.begin(), ended.end());
  std::vector<Subscription*> expected = {first, third};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(ended, expected);
  EXPECT_TRUE(fan_out_.TakeEnded().empty());
}

TEST_F(FanOutTest, AForgottenSubscriberIsNotReturnedAnyMore) {
  Peer* goes = AddPeer();
  Peer* stays = AddPeer();
  Subscription* subscription = Subscribe(goes, 1, "a");
  subscription->offered_max = 1;
  Subscribe(stays, 1, "a");
  Publish("a", "x");
  fan_out_.Settle(subscription->group, now_);
  index_.Detach(subscription);
  fan_out_.Forget(&goes->subscriber);
  EXPECT_TRUE(fan_out_.TakeEnded().empty());
  EXPECT_EQ(Turn(), (std::vector<Peer*>{stays}));
}

TEST_F(FanOutTest, TalliesAndReportCountWhatMatchedWasQueuedAndWasDropped) {
  Peer* healthy = AddPeer();
  Peer* closed = AddPeer();
  Peer* counted = AddPeer();
  Subscribe(healthy, 1, "a");
  Subscribe(healthy, 2, ">");
  Subscribe(closed, 1, "a");
  (void)closed->subscriber.Close(Subscriber::ControlFrames::kDrop);
  Subscribe(counted, 1, "a")->offered_max = 3;
  PublishTally other;
  for (int i = 0; i < 2; ++i) Publish("a", "x");
  for (int i = 0; i < 2; ++i) Publish("a", "y", &other);
  Publish("b", "z");
  const uint64_t bytes = MessageFrame("a", "x").size();
  Turn();
  // Per message of "a": two of the healthy one, the closed one, and the counted one for three of four.
  EXPECT_EQ(tally_.matched, 2u * 3u + 2u + 1u);
  EXPECT_EQ(tally_.dropped, 2u);
  EXPECT_EQ(other.matched, 2u * 3u + 1u);
  EXPECT_EQ(other.dropped, 2u);
  const FanOut::Report report = fan_out_.TakeReport();
  EXPECT_EQ(report.queued_messages, 4u + 5u + 3u);
  EXPECT_EQ(report.queued_bytes, (4u + 5u + 3u) * bytes);
  EXPECT_EQ(report.dropped_messages, 4u);
  EXPECT_EQ(fan_out_.TakeReport().queued_messages, 0u);
}

// ---- Queue groups ----

TEST_F(FanOutTest, AQueueGroupDealsInTurnAndGoesOnWhereItStopped) {
  for (int i = 0; i < 3; ++i) Subscribe(AddPeer(), 1, "a", "q");
  std::vector<std::vector<std::string>> expected(3);
  for (int i = 0; i < 20; ++i) {
    Publish("a", std::to_string(i));
    expected[i % 3].push_back(std::to_string(i));
    if (i % 7 == 6) Turn();
  }
  Turn();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(peers_[i]->Payloads(1), expected[i]);
  EXPECT_EQ(tally_.matched, 20u);
}

TEST_F(FanOutTest, WhatAMemberIsDealtIsOneAssembledPiece) {
  std::vector<Subscription*> members;
  for (int i = 0; i < 3; ++i) members.push_back(Subscribe(AddPeer(), 1, "a", "q"));
  for (int i = 0; i < 30; ++i) Publish("a", std::to_string(i));
  while (fan_out_.Next(now_) != nullptr) {
  }
  for (const Subscription* member : members) {
    ASSERT_EQ(member->queue().slices().size(), 1u);
    EXPECT_EQ(member->queue().slices()[0].messages, 10u);
  }
}

TEST_F(FanOutTest, QueueGroupsOfOneFilterAndSubscribersWithoutOneDoNotShareMessages) {
  Peer* plain = AddPeer();
  Peer* first = AddPeer();
  Peer* second = AddPeer();
  Subscribe(plain, 1, "a");
  Subscribe(first, 1, "a", "q");
  Subscribe(second, 1, "a", "r");
  for (int i = 0; i < 3; ++i) Publish("a", "x");
  Turn();
  for (Peer* peer : {plain, first, second}) EXPECT_EQ(peer->Payloads(1).size(), 3u);
  EXPECT_EQ(tally_.matched, 9u);
}

TEST_F(FanOutTest, ABlockedMemberIsPassedOverWhileAnotherIsNot) {
  std::vector<Subscription*> members;
  for (int i = 0; i < 3; ++i) members.push_back(Subscribe(AddPeer(), 1, "a", "q"));
  Block(peers_[1].get());
  for (int i = 0; i < 10; ++i) Publish("a", "x");
  Turn();
  EXPECT_EQ(members[0]->offered, 5u);
  EXPECT_EQ(members[1]->offered, 0u);
  EXPECT_EQ(members[2]->offered, 5u);
}

TEST_F(FanOutTest, WhenAllAreBlockedTheOneWithTheFewestPendingBytesGetsIt) {
  std::vector<Subscription*> members;
  for (int i = 0; i < 3; ++i) {
    Peer* peer = AddPeer();
    members.push_back(Subscribe(peer, 1, "a", "q"));
    Subscribe(peer, 2, "only" + std::to_string(i));
    Block(peer);
  }
  for (int i = 0; i < 3; ++i) {  // 3,000, 2,000 and 1,000 bytes for this subscription itself
    const Slice slice = testing::SliceOf(MessageFrame("a", std::string(3000 - 1000 * i, 'x')), &account_);
    (void)members[i]->subscriber->Offer(members[i], {&slice, 1}, now_);
  }
  const auto offered = [&] {
    return std::vector<uint64_t>{members[0]->offered, members[1]->offered, members[2]->offered};
  };
  Publish("a", std::string(500, 'x'));
  Turn();
  EXPECT_EQ(offered(), (std::vector<uint64_t>{1, 1, 2}));
  for (int i = 0; i < 3; ++i) Publish("a", std::string(500, 'x'));  // what was dealt in this turn counts too
  Turn();
  EXPECT_EQ(offered(), (std::vector<uint64_t>{1, 2, 4}));
}

TEST_F(FanOutTest, AMemberAtItsCountIsPassedOver) {
  std::vector<Subscription*> members;
  for (int i = 0; i < 3; ++i) members.push_back(Subscribe(AddPeer(), 1, "a", "q"));
  members[0]->offered_max = 1;
  members[1]->offered_max = 2;
  for (int i = 0; i < 12; ++i) Publish("a", "x");
  Turn();
  EXPECT_EQ(peers_[0]->Payloads(1).size(), 1u);
  EXPECT_EQ(peers_[1]->Payloads(1).size(), 2u);
  EXPECT_EQ(peers_[2]->Payloads(1).size(), 9u);
  EXPECT_EQ(tally_.matched, 12u);
  EXPECT_EQ(tally_.dropped, 0u);
}

TEST_F(FanOutTest, WhatIsBeyondTheCountsOfAllMembersMatchesNobody) {
  Subscription* member = Subscribe(AddPeer(), 1, "a", "q");
  member->offered_max = 2;
  for (int i = 0; i < 5; ++i) Publish("a", "x");
  Turn();
  EXPECT_EQ(peers_[0]->Payloads(1).size(), 2u);
  EXPECT_EQ(tally_.matched, 2u);
  EXPECT_EQ(tally_.dropped, 0u);
}

TEST_F(FanOutTest, DealAgainGivesTheOthersWhatAMemberLeavesBehind) {
  Peer* cut = AddPeer();
  Subscription* leaving = Subscribe(cut, 1, "a", "q");
  cut->transport.Takes(20);  // the header and the beginning of the first message
  cut->transport.AfterwardsTakes(0);
  std::vector<std::string> expected;
  for (int i = 0; i < 10; ++i) {
    expected.push_back(std::to_string(i) + std::string(100, 'x'));
    Publish("a", expected.back());
    Turn();
  }
  ASSERT_GT(cut->subscriber.writer().frame_in_flight_bytes(), 0u);
  Peer* first = AddPeer();
  Peer* second = AddPeer();
  Subscribe(first, 1, "a", "q");
  Subscribe(second, 1, "a", "q");
  EXPECT_EQ(tally_.matched, 10u);

  FilterGroup* group = leaving->group;
  fan_out_.Settle(group, now_);
  index_.Detach(leaving);
  EXPECT_EQ(fan_out_.DealAgain(group, leaving), 9u);  // not the one in flight
  (void)cut->subscriber.Close(Subscriber::ControlFrames::kDrop);
  EXPECT_FALSE(fan_out_.idle());
  Turn();
  std::vector<std::string> got = first->Payloads(1);
  for (const std::string& payload : second->Payloads(1)) got.push_back(payload);
  std::sort(got.begin(), got.end());
  expected.erase(expected.begin());
  EXPECT_EQ(got, expected);
  EXPECT_GE(first->Payloads(1).size(), 4u);
  EXPECT_GE(second->Payloads(1).size(), 4u);
  EXPECT_EQ(tally_.matched, 10u);  // counted when they were published
}

TEST_F(FanOutTest, DealAgainLeavesOutWhatIsNoMessage) {
  Peer* cut = AddPeer();
  Subscription* leaving = Subscribe(cut, 1, "a", "q");
  Block(cut);
  Publish("a", "x");
  Turn();
  Peer* other = AddPeer();
  Subscribe(other, 1, "a", "q");
  FilterGroup* group = leaving->group;
  index_.Detach(leaving);
  cut->subscriber.End(leaving, v1::REASON_COUNT_REACHED);
  EXPECT_EQ(fan_out_.DealAgain(group, leaving), 1u);
  Turn();
  const testing::ReceivedStream received = ReadStream(other->transport.stream());
  EXPECT_TRUE(received.unsubscribed.empty());
  EXPECT_EQ(other->Payloads(1), (std::vector<std::string>{"x"}));
}

TEST_F(FanOutTest, DealAgainKeepsNothingWhenNobodyIsLeft) {
  Peer* cut = AddPeer();
  Subscription* leaving = Subscribe(cut, 1, "a", "q");
  Block(cut);
  Publish("a", "x");
  Turn();
  FilterGroup* group = leaving->group;
  index_.Detach(leaving);
  EXPECT_EQ(fan_out_.DealAgain(group, leaving), 0u);
  EXPECT_TRUE(fan_out_.idle());
}

TEST_F(FanOutTest, DealAgainKeepsNothingWhenThoseWhoAreLeftHaveTheirLastMessage) {
  Peer* cut = AddPeer();
  Subscription* leaving = Subscribe(cut, 1, "a", "q");
  Block(cut);
  Publish("a", "x");
  Turn();
  Subscription* counted = Subscribe(AddPeer(), 1, "a", "q");
  counted->offered_max = 1;
  Publish("a", "y");
  FilterGroup* group = leaving->group;
  fan_out_.Settle(group, now_);
  index_.Detach(leaving);
  ASSERT_EQ(counted->ended, v1::REASON_COUNT_REACHED);
  EXPECT_EQ(fan_out_.DealAgain(group, leaving), 0u);
  // Nothing is left behind in a group that now goes.
  for (Subscription* ended : fan_out_.TakeEnded()) index_.Detach(ended);
  index_.RemoveEmptyGroups();
  while (Subscriber* subscriber = fan_out_.Next(now_)) Flush(subscriber);
  EXPECT_TRUE(fan_out_.idle());
}

TEST_F(FanOutTest, ADealtMessageIsNotHeldWhenItHasLeft) {
  Subscribe(AddPeer(), 1, "a", "q");
  Turn();
  read_.Room(kChunkBytes);
  const int64_t before = account_.bytes();
  {
    const Slice large = testing::SliceOf(MessageFrame("a", std::string(1'000'000, 'x')), &account_);
    fan_out_.Take(index_.Match("a"), large.chunk, 0, large.bytes, &tally_);
  }
  EXPECT_GT(account_.bytes(), before + 1'000'000);
  Turn();
  EXPECT_EQ(peers_[0]->Payloads(1).size(), 1u);
  EXPECT_EQ(account_.bytes(), before);
}

}  // namespace
}  // namespace sluice
