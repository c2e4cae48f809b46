#include "broker/episodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "tests/broker/session_rig.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using testing::PublishFrame;
using testing::SessionRig;
using ::testing::SizeIs;
using testing::SubscribeFrame;
using Peer = SessionRig::Peer;

const absl::Time kNow = absl::FromUnixSeconds(1000);
const absl::Time kWall = absl::FromUnixSeconds(1'700'000'000);

EpisodeOf Who(uint32_t subscription, absl::Time since = kNow) {
  return {.consumer = {{0, 7}, subscription},
          .client_name = "dash",
          .address = "a:1",
          .filter = "f",
          .since = since};
}

TEST(EpisodesTest, GoesOnAndEnds) {
  Episodes episodes;
  LagExtent extent = {
      .pending_bytes_peak = 10, .limit_share_peak = 0.75, .nearest_limit = v1::REASON_PENDING_BYTES};
  episodes.Raise(Who(1), extent, v1::LAG_CAUSE_UNSPECIFIED,
                 {.topics = {{"a", 0.9}, {"b", 0.1}}, .publishers = {{"p", 1}}});
  admin::EpisodeList list = episodes.List(10, kNow + absl::Seconds(2), kWall);
  ASSERT_THAT(list.episodes(), SizeIs(1));
  EXPECT_EQ(list.episodes(0).outcome(), "going_on");
  EXPECT_EQ(list.episodes(0).duration_seconds(), 2);
  EXPECT_EQ(list.episodes(0).began().seconds(), absl::ToUnixSeconds(kWall) - 2);
  EXPECT_EQ(list.episodes(0).cause(), "");
  EXPECT_EQ(list.episodes(0).nearest_limit(), "pending_bytes");
  ASSERT_THAT(list.episodes(0).topics(), SizeIs(2));
  EXPECT_EQ(list.episodes(0).topics(0).name(), "a");

  // Its cause is found: the same episode.
  extent.pending_bytes_peak = 20;
  episodes.Raise(Who(1), extent, v1::LAG_CAUSE_APPLICATION, {});
  EXPECT_EQ(episodes.List(10, kNow, kWall).episodes(0).cause(), "application");
  EXPECT_EQ(episodes.List(10, kNow, kWall).episodes(0).topics_size(), 2);
  EXPECT_EQ(episodes.List(10, kNow, kWall).episodes_total(), 1);

  extent.dropped = 4;
  episodes.Update(Who(1).consumer, extent);
  EXPECT_EQ(episodes.List(10, kNow, kWall).episodes(0).dropped(), 4);
  EXPECT_EQ(episodes.List(10, kNow, kWall).episodes(0).cause(), "application") << "what was known stays";
  episodes.Update(Who(2).consumer, extent);
  EXPECT_EQ(episodes.List(10, kNow, kWall).episodes_size(), 1) << "it does not begin one";

  extent.dropped = 5;
  episodes.End(Who(1), extent, v1::LAG_CAUSE_UNSPECIFIED, EpisodeOutcome::kDisconnected,
               v1::REASON_PENDING_BYTES, kNow + absl::Seconds(3));
  list = episodes.List(10, kNow + absl::Hours(1), kWall);
  ASSERT_THAT(list.episodes(), SizeIs(1));
  EXPECT_EQ(list.episodes(0).outcome(), "disconnected");
  EXPECT_EQ(list.episodes(0).reason(), "pending_bytes");
  EXPECT_EQ(list.episodes(0).cause(), "application") << "what was known stays";
  EXPECT_EQ(list.episodes(0).pending_bytes_peak(), 20);
  EXPECT_EQ(list.episodes(0).dropped(), 5);
  EXPECT_EQ(list.episodes(0).duration_seconds(), 3);
}

TEST(EpisodesTest, ThoseThatGoOnStandInFrontAndTheNewestFirst) {
  Episodes episodes;
  for (uint32_t id = 1; id <= 4; ++id) {
    episodes.Raise(Who(id, kNow + absl::Seconds(id)), {}, v1::LAG_CAUSE_UNSPECIFIED, {});
  }
  for (const uint32_t id : {3, 1}) {
    episodes.End(Who(id), {}, v1::LAG_CAUSE_UNSPECIFIED, EpisodeOutcome::kRecovered, v1::REASON_UNSPECIFIED,
                 kNow);
  }
  std::vector<double> order;
  const admin::EpisodeList list = episodes.List(10, kNow, kWall);
  for (const admin::Episode& one : list.episodes()) order.push_back(one.subscription());
  EXPECT_THAT(order, ElementsAre(4, 2, 1, 3));
  EXPECT_EQ(episodes.List(3, kNow, kWall).episodes_size(), 3);
}

TEST(EpisodesTest, KeepsTheLast) {
  Episodes episodes;
  for (uint32_t id = 1; id <= kEpisodesKeptMax + 5; ++id) {
    episodes.End(Who(id), {}, v1::LAG_CAUSE_UNSPECIFIED, EpisodeOutcome::kEnded, v1::REASON_CLIENT_CLOSED,
                 kNow);
  }
  const admin::EpisodeList list = episodes.List(1'000'000, kNow, kWall);
  EXPECT_THAT(list.episodes(), SizeIs(kEpisodesKeptMax));
  EXPECT_EQ(list.episodes(0).subscription(), kEpisodesKeptMax + 5);
  EXPECT_EQ(list.episodes_total(), kEpisodesKeptMax + 5);
}

TEST(EpisodesTest, DescribesOnlySoManyThatGoOn) {
  Episodes episodes;
  for (uint32_t id = 1; id <= kEpisodesGoingOnMax + 5; ++id) {
    episodes.Raise(Who(id), {}, v1::LAG_CAUSE_UNSPECIFIED, {});
  }
  const admin::EpisodeList list = episodes.List(1'000'000, kNow, kWall);
  EXPECT_THAT(list.episodes(), SizeIs(kEpisodesGoingOnMax));
  EXPECT_EQ(list.episodes_total(), kEpisodesGoingOnMax + 5);
}

// ---- What sessions note ----

class SessionEpisodesTest : public ::testing::Test {
 protected:
  static Config TestConfig() {
    Config config;
    config.payload_bytes_max = 8 << 20;
    config.pending_bytes_max = 64 << 20;
    config.session_bytes_max = 128 << 20;
    config.pending_messages_max = 20;
    config.write_timeout = absl::Seconds(10);
    return config;
  }
  void Publish(std::string_view topic, std::string_view payload, int times = 1) {
    if (feeder_ == nullptr) feeder_ = rig_.ConnectAs("feeder");
    for (int i = 0; i < times; ++i) rig_.Send(feeder_, PublishFrame(topic, payload));
    rig_.Barrier(feeder_);
  }
  // Its socket is full of a large message.
  Peer* Blocked(std::string_view filter, v1::OverflowPolicy policy = v1::OVERFLOW_POLICY_DISCONNECT) {
    Peer* peer =
        rig_.ConnectAs("slow", {.server_send_buffer_bytes = 8 << 10, .client_receive_buffer_bytes = 4 << 10});
    v1::ClientFrame frame = SubscribeFrame(1, filter);
    frame.mutable_subscribe()->set_overflow(policy);
    rig_.Send(peer, frame);
    rig_.Await(peer, v1::ServerFrame::kSubscribed);
    Publish("big", std::string(500'000, 'x'));
    rig_.Until([&] { return peer->session->subscriber().blocked(); });
    return peer;
  }
  admin::EpisodeList List() { return rig_.episodes.List(100, rig_.now, absl::Now()); }

  SessionRig rig_{TestConfig()};

 private:
  Peer* feeder_ = nullptr;
};

TEST_F(SessionEpisodesTest, OneThatRecovers) {
  Peer* slow = Blocked("*");
  Publish("a", "x", 4);
  Publish("b", "x", 12);
  rig_.Turn();
  ASSERT_EQ(List().episodes_size(), 1);
  const admin::Episode begun = List().episodes(0);
  EXPECT_EQ(begun.outcome(), "going_on");
  EXPECT_EQ(begun.client_name(), "slow");
  EXPECT_EQ(begun.filter(), "*");
  EXPECT_EQ(begun.nearest_limit(), "pending_messages");
  EXPECT_GE(begun.limit_share_peak(), 0.75);
  ASSERT_THAT(begun.topics(), SizeIs(2));
  EXPECT_EQ(begun.topics(0).name(), "b");
  EXPECT_GT(begun.topics(0).share(), 0.6);

  Publish("a", "x", 2);
  rig_.now += absl::Seconds(3);
  rig_.Until([&] {
    rig_.Receive(slow);
    return slow->session->subscriber().pending_messages() == 0;
  });
  rig_.Turn();
  ASSERT_EQ(List().episodes_size(), 1);
  const admin::Episode ended = List().episodes(0);
  EXPECT_EQ(ended.outcome(), "recovered");
  EXPECT_GE(ended.pending_messages_peak(), 18);
  EXPECT_GT(ended.limit_share_peak(), begun.limit_share_peak());
  EXPECT_GE(ended.duration_seconds(), 3);
  EXPECT_EQ(ended.dropped(), 0);
}

TEST_F(SessionEpisodesTest, OneThatGoesOnIsShownAsItIs) {
  Blocked("*", v1::OVERFLOW_POLICY_DROP_OLDEST);
  Publish("a", "x", 16);
  Publish("a", "x", 100);
  rig_.now += absl::Seconds(2);
  rig_.Turn();
  ASSERT_EQ(List().episodes_size(), 1);
  EXPECT_EQ(List().episodes(0).outcome(), "going_on");
  EXPECT_GE(List().episodes(0).dropped(), 60);
}

TEST_F(SessionEpisodesTest, OneThatIsCut) {
  Blocked("*");
  Publish("a", "x", 30);
  rig_.Until([&] { return rig_.ended(v1::REASON_PENDING_MESSAGES) == 1; });
  ASSERT_EQ(List().episodes_size(), 1);
  const admin::Episode episode = List().episodes(0);
  EXPECT_EQ(episode.outcome(), "disconnected");
  EXPECT_EQ(episode.reason(), "pending_messages");
  EXPECT_GE(episode.limit_share_peak(), 1);
  EXPECT_GE(episode.dropped(), 20) << "what waited is lost";
  EXPECT_EQ(List().episodes_total(), 1);
}

TEST_F(SessionEpisodesTest, OneThatIsCutBeforeItLags) {
  Peer* slow = Blocked("*");
  rig_.Until([&] {
    rig_.now += absl::Seconds(10);
    rig_.Turn();
    return slow->session == nullptr;
  });
  ASSERT_EQ(List().episodes_size(), 1);
  EXPECT_EQ(List().episodes(0).outcome(), "disconnected");
  EXPECT_EQ(List().episodes(0).reason(), "write_timeout");
  EXPECT_EQ(List().episodes(0).subscription(), 1);
}

TEST_F(SessionEpisodesTest, OneThatDropsSaysHowMuch) {
  Peer* slow = Blocked("*", v1::OVERFLOW_POLICY_DROP_OLDEST);
  Publish("a", "x", 16);
  Publish("a", "x", 100);
  rig_.Until([&] {
    rig_.Receive(slow);
    return slow->session->subscriber().pending_messages() == 0;
  });
  rig_.Turn();
  ASSERT_EQ(List().episodes_size(), 1);
  EXPECT_EQ(List().episodes(0).outcome(), "recovered");
  EXPECT_EQ(List().episodes(0).policy(), "drop_oldest");
  EXPECT_GE(List().episodes(0).dropped(), 60);
  // Another one counts its own.
  Publish("big", std::string(500'000, 'x'));
  rig_.Until([&] { return slow->session->subscriber().blocked(); });
  Publish("a", "x", 16);
  rig_.Turn();
  ASSERT_EQ(List().episodes_size(), 2);
  EXPECT_EQ(List().episodes(0).outcome(), "going_on");
  EXPECT_EQ(List().episodes(0).dropped(), 0);
}

TEST_F(SessionEpisodesTest, OneWhoseClientGoes) {
  Peer* slow = Blocked("*");
  Publish("a", "x", 16);
  rig_.Turn();
  SessionRig::Reset(slow);
  rig_.UntilEnded(slow);
  ASSERT_EQ(List().episodes_size(), 1);
  EXPECT_EQ(List().episodes(0).outcome(), "ended");
  EXPECT_EQ(List().episodes(0).reason(), "client_reset");
}

}  // namespace
}  // namespace sluice
