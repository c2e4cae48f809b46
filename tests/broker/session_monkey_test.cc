// Sessions whose clients do anything at any time, in every state: whatever happens, the books are right after
// every turn, and nothing is left of a session that has ended.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "broker/session.h"
#include "tests/broker/session_rig.h"

namespace sluice {
namespace {

using testing::AckRequestFrame;
using testing::ConnectFrame;
using testing::Encoded;
using testing::PingFrame;
using testing::PublishFrame;
using testing::SessionRig;
using testing::SubscribeFrame;
using testing::UnsubscribeFrame;
using Peer = SessionRig::Peer;

constexpr size_t kSessionsMax = 6;
constexpr const char* kTopics[] = {"a", "a.b", "jobs", "big"};
constexpr const char* kFilters[] = {"a", "a.*", ">", "jobs", "big", "not..valid"};

Config MonkeyConfig() {
  Config config;
  config.payload_bytes_max = 3 << 20;
  config.pending_bytes_max = 8 << 20;
  config.pending_messages_max = 200;
  config.pending_age_max = absl::Seconds(7);
  config.write_timeout = absl::Seconds(6);
  config.session_bytes_max = 12 << 20;
  config.control_bytes_max = 4 << 10;
  config.subscriptions_per_session_max = 4;
  config.ping_interval = absl::Seconds(8);
  config.frame_timeout = absl::Seconds(6);
  return config;
}

class Monkey {
 public:
  explicit Monkey(uint32_t seed) : random_(seed), rig_(MonkeyConfig()) {}

  void Run() {
    for (int step = 0; step < 250 && !::testing::Test::HasFailure(); ++step) {
      for (uint32_t i = Random(4); i > 0; --i) Act();
      PumpOutgoing();
      rig_.Turn();
      CheckBooks();
    }
    EndAll();
  }

 private:
  uint32_t Random(uint32_t below) { return random_() % below; }
  v1::OverflowPolicy RandomPolicy() { return static_cast<v1::OverflowPolicy>(Random(6)); }

  void Act() {
    std::vector<Peer*> live;
    for (const auto& peer : rig_.peers) {
      if (peer->session != nullptr) live.push_back(peer.get());
    }
    if (live.size() < kSessionsMax && (live.empty() || Random(6) == 0)) return Open();
    Peer* peer = live[Random(static_cast<uint32_t>(live.size()))];
    switch (Random(24)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        v1::ClientFrame frame =
            SubscribeFrame(Random(6), kFilters[Random(std::size(kFilters))], Random(3) == 0 ? "workers" : "");
        frame.mutable_subscribe()->set_overflow(RandomPolicy());
        if (Random(4) == 0) {
          frame.mutable_subscribe()->mutable_limits()->set_pending_messages_max(1 + Random(200));
        }
        return Say(peer, frame);
      }
      case 4:
        return Say(peer, UnsubscribeFrame(Random(6), Random(2) * Random(10)));
      case 5:
      case 6:
      case 7:
      case 8:
      case 9:
      case 10: {
        const size_t sizes[] = {Random(50), Random(2000), Random(100'000), Random(3 << 20)};
        const uint32_t kind = Random(20);
        const std::string payload(sizes[kind < 12 ? 0 : kind < 17 ? 1 : kind < 19 ? 2 : 3], 'x');
        for (uint32_t i = 1 + Random(payload.size() < 2000 ? 20 : 2); i > 0; --i) {
          Say(peer, PublishFrame(kTopics[Random(std::size(kTopics))], payload));
        }
        return;
      }
      case 11:
        for (uint32_t i = Random(6) == 0 ? Random(3000) : 1; i > 0; --i) Say(peer, PingFrame(Random(100)));
        return;
      case 12:
        return Say(peer, AckRequestFrame(Random(100)));
      case 13:
        if (Random(12) == 0) Say(peer, ConnectFrame("again"));
        return;
      case 14:
        // The beginning of a frame, and whatever comes next as its rest.
        if (Random(8) == 0) outgoing_[peer] += Encoded(PublishFrame("a", "xyz")).substr(0, 1 + Random(6));
        return;
      case 15:
        if (Random(12) == 0) outgoing_[peer] += std::string("\x80\x00", 2);
        return;
      case 16:
        if (Random(6) != 0 || !peer->client) return;
        peer->client.ShutdownWrite();
        shut_.insert(peer);
        return;
      case 17:
        if (Random(6) == 0) peer->client.Close();
        return;
      case 18:
        if (Random(6) == 0 && peer->client) SessionRig::Reset(peer);
        return;
      case 19:
        rig_.now += absl::Milliseconds(Random(Random(5) == 0 ? 12'000 : 1500));
        return;
      case 20:
        if (Random(2) == 0) {
          peer->session->PauseReads();
          peer->session->TellPaused(v1::Paused::CAUSE_SHARD_BUSY);
        } else {
          peer->session->ResumeReads(rig_.now);
        }
        return;
      case 21:
        rig_.other_shards = Random(2) == 0 ? SessionRig::OtherShards::kDone : SessionRig::OtherShards::kBusy;
        return;
      case 22:
        if (Random(8) == 0)
          peer->session->Drain(rig_.now, rig_.now + absl::Milliseconds(Random(3000)), absl::ZeroDuration());
        return;
      default:
        return Hear(peer, Random(3) != 0 ? Random(20'000) : SIZE_MAX);
    }
  }

  void Open() {
    testing::SocketPairOptions options;
    if (Random(2) == 0) {
      options = {.server_send_buffer_bytes = 8 << 10, .client_receive_buffer_bytes = 4 << 10};
    }
    Peer* peer = rig_.Connect(options);
    ++opened_;
    if (Random(10) == 0) return;
    if (Random(10) == 0) {
      peer->session->TurnAway(v1::REASON_TOO_MANY_CONNECTIONS, "full");
      return;
    }
    std::string previous;
    if (!session_ids_.empty() && Random(2) == 0) {
      previous = session_ids_[Random(static_cast<uint32_t>(session_ids_.size()))];
    }
    Say(peer, ConnectFrame("monkey", previous));
    v1::ClientFrame subscribe = SubscribeFrame(1, kFilters[Random(5)], Random(3) == 0 ? "workers" : "");
    subscribe.mutable_subscribe()->set_overflow(RandomPolicy());
    Say(peer, subscribe);
  }

  void Say(Peer* peer, const v1::ClientFrame& frame) {
    if (outgoing_[peer].size() < (8 << 20)) outgoing_[peer] += Encoded(frame);
  }

  void PumpOutgoing() {
    for (auto& [peer, bytes] : outgoing_) {
      if (bytes.empty() || !peer->client || shut_.contains(peer)) continue;
      const iovec piece = {bytes.data(), bytes.size()};
      const net::IoResult result = peer->client.Write({&piece, 1});
      if (result.status == net::IoStatus::kOk) {
        bytes.erase(0, result.bytes);
      } else if (result.status != net::IoStatus::kWouldBlock) {
        bytes.clear();
      }
    }
  }

  void Hear(Peer* peer, size_t bytes_max) {
    if (!peer->client) return;
    rig_.Receive(peer, bytes_max);  // throws when the stream is torn
    for (const v1::ServerFrame& frame : peer->frames) {
      if (frame.has_connected()) session_ids_.push_back(frame.connected().session_id());
      if (frame.has_goodbye()) {
        EXPECT_NE(frame.goodbye().reason(), v1::REASON_UNSPECIFIED);
        EXPECT_FALSE(said_goodbye_.contains(peer));
        said_goodbye_.insert(peer);
      } else {
        EXPECT_FALSE(said_goodbye_.contains(peer)) << "a frame behind the Goodbye";
      }
    }
    peer->frames.clear();
  }

  void CheckBooks() {
    int64_t open = 0;
    int64_t subscriptions = 0;
    int64_t pending_bytes = 0;
    int64_t pending_messages = 0;
    int64_t lagging = 0;
    for (const auto& peer : rig_.peers) {
      if (peer->session == nullptr) continue;
      ++open;
      EXPECT_GT(peer->session->NextDeadline(), rig_.now) << "would spin";
      const Subscriber& subscriber = peer->session->subscriber();
      pending_bytes += static_cast<int64_t>(subscriber.pending_bytes());
      pending_messages += static_cast<int64_t>(subscriber.pending_messages());
      subscriber.ForEachSubscription([&](const Subscription* subscription) {
        subscriptions += subscription->group != nullptr ? 1 : 0;
        lagging += subscription->lagging == Subscription::Lagging::kYes ? 1 : 0;
      });
    }
    const ShardCounters& counters = rig_.counters;
    EXPECT_EQ(counters.connections_open.Get(), open);
    EXPECT_EQ(counters.subscriptions.Get(), subscriptions);
    EXPECT_EQ(counters.pending_bytes.Get(), pending_bytes);
    EXPECT_EQ(counters.pending_messages.Get(), pending_messages);
    EXPECT_EQ(counters.lagging_subscriptions.Get(), lagging);
    EXPECT_LE(rig_.ended_total(), opened_);
  }

  void EndAll() {
    rig_.other_shards = SessionRig::OtherShards::kDone;
    for (const auto& peer : rig_.peers) {
      if (peer->session == nullptr) continue;
      peer->session->ResumeReads(rig_.now);
      peer->session->Drain(rig_.now, rig_.now + absl::Seconds(1), absl::ZeroDuration());
    }
    for (int i = 0; i < 20; ++i) {
      for (const auto& peer : rig_.peers) {
        if (Random(2) == 0) Hear(peer.get(), Random(200'000));
      }
      rig_.Turn();
      CheckBooks();
      rig_.now += absl::Milliseconds(250);
    }
    for (const auto& peer : rig_.peers) EXPECT_EQ(peer->session, nullptr) << "never ended";
    EXPECT_EQ(rig_.ended_total(), opened_);
    EXPECT_EQ(rig_.counters.connections_open.Get(), 0);
    EXPECT_EQ(rig_.counters.subscriptions.Get(), 0);
    EXPECT_EQ(rig_.index.group_count(), 0u);
    for (const std::string& id : session_ids_) {
      EXPECT_TRUE(rig_.records.Find(id, rig_.now).has_value());
    }
    rig_.Turn();
    EXPECT_TRUE(rig_.fan_out.idle());
    rig_.fan_out.ReleaseKept();
    // The pool's own chunks, the open one, the assembly chunk.
    EXPECT_LE(rig_.memory.bytes(), 10 * (256 << 10));
  }

  std::mt19937 random_;
  SessionRig rig_;
  uint64_t opened_ = 0;
  std::map<Peer*, std::string> outgoing_;
  std::set<Peer*> shut_;
  std::set<Peer*> said_goodbye_;
  std::vector<std::string> session_ids_;
};

TEST(SessionMonkeyTest, WhateverClientsDoTheBooksAreRightAndNothingIsLeft) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Monkey(seed).Run();
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace sluice
