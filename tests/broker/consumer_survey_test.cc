#include "broker/consumer_survey.h"

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
using Sort = SurveyRequest::Sort;

constexpr uint32_t kShard = 3;
// A session that blocks after a few kilobytes.
constexpr testing::SocketPairOptions kSmallBuffers = {.server_send_buffer_bytes = 8 << 10,
                                                      .client_receive_buffer_bytes = 4 << 10};

Config TestConfig() {
  Config config;
  config.payload_bytes_max = 8 << 20;
  config.pending_bytes_max = 64 << 20;
  config.session_bytes_max = 128 << 20;
  config.pending_messages_max = 20;
  return config;
}

class ConsumerSurveyTest : public ::testing::Test {
 protected:
  void Subscribe(Peer* peer, uint32_t id, std::string_view filter,
                 v1::OverflowPolicy policy = v1::OVERFLOW_POLICY_DISCONNECT) {
    v1::ClientFrame frame = SubscribeFrame(id, filter);
    frame.mutable_subscribe()->set_overflow(policy);
    rig_.Send(peer, frame);
    rig_.Await(peer, v1::ServerFrame::kSubscribed);
  }
  void Publish(std::string_view topic, std::string_view payload, int times = 1) {
    if (feeder_ == nullptr) feeder_ = rig_.ConnectAs("feeder");
    for (int i = 0; i < times; ++i) rig_.Send(feeder_, PublishFrame(topic, payload));
    rig_.Barrier(feeder_);
  }
  // Its socket is full of a message on the filter, which is its first.
  Peer* Blocked(std::string_view name, std::string_view filter,
                v1::OverflowPolicy policy = v1::OVERFLOW_POLICY_DISCONNECT) {
    Peer* peer = rig_.ConnectAs(name, kSmallBuffers);
    Subscribe(peer, 1, filter, policy);
    Publish(filter, std::string(500'000, 'x'));
    rig_.Until([&] { return peer->session->subscriber().blocked(); });
    return peer;
  }

  SubscriptionDistributions Distributions() {
    ConsumerSurvey survey({}, kShard);
    for (const auto& peer : rig_.peers) {
      if (peer->session != nullptr) (void)survey.Look(*peer->session, rig_.now);
    }
    return survey.distributions();
  }
  std::vector<admin::Consumer> Survey(const SurveyRequest& request) {
    ConsumerSurvey survey(request, kShard);
    for (const auto& peer : rig_.peers) {
      if (peer->session != nullptr) (void)survey.Look(*peer->session, rig_.now);
    }
    std::vector<admin::Consumer> consumers;
    for (const ConsumerSurvey::Found& found : survey.TakeFirst()) {
      const Session& session = *rig_.peers[found.token]->session;
      consumers.push_back(DescribeConsumer(session, *session.subscriber().Find(found.subscription), kShard,
                                           rig_.now, absl::Now()));
    }
    return consumers;
  }
  std::vector<std::string> Names(const SurveyRequest& request) {
    std::vector<std::string> names;
    for (const admin::Consumer& one : Survey(request)) {
      names.push_back(one.client_name() + " " + one.filter());
    }
    return names;
  }

  SessionRig rig_{TestConfig()};

 private:
  Peer* feeder_ = nullptr;
};

TEST_F(ConsumerSurveyTest, SpreadsAllSubscriptions) {
  Peer* healthy = rig_.ConnectAs("healthy");
  for (uint32_t id = 1; id <= 5; ++id) Subscribe(healthy, id, "quiet");
  Peer* slow = Blocked("slow", "big");
  Publish("big", "behind", 9);
  rig_.now += absl::Seconds(3);
  const SubscriptionDistributions all = Distributions();
  EXPECT_EQ(all.subscriptions, 6u);
  EXPECT_EQ(all.pending_bytes.BucketCount(0), 5u);
  EXPECT_EQ(all.pending_bytes.Sum(), slow->session->subscriber().pending_bytes());
  EXPECT_EQ(all.pending_messages.Sum(), slow->session->subscriber().pending_messages());
  EXPECT_NEAR(all.limit_share.Sum(), 9.0 / 20, 0.06);  // the message in flight need not count
  EXPECT_GE(all.oldest_age_seconds_max, 3);
  EXPECT_GE(all.oldest_age_ms.Sum(), 3000u);
}

TEST_F(ConsumerSurveyTest, PutsTheLargestFirst) {
  Peer* healthy = rig_.ConnectAs("healthy");
  Subscribe(healthy, 1, "quiet");
  Blocked("older", "a");
  rig_.now += absl::Seconds(1);
  Blocked("larger", "b");
  Publish("b", std::string(50'000, 'x'), 5);
  rig_.now += absl::Seconds(1);
  EXPECT_THAT(Names({.sort = Sort::kPending, .consumers_max = 10}),
              ElementsAre("larger b", "older a", "healthy quiet"));
  EXPECT_THAT(Names({.sort = Sort::kAge, .consumers_max = 10}),
              ElementsAre("older a", "larger b", "healthy quiet"));
  EXPECT_THAT(Names({.sort = Sort::kStalled, .consumers_max = 1}), ElementsAre("older a"));
  EXPECT_THAT(Names({.sort = Sort::kPending, .consumers_max = 1}), ElementsAre("larger b"));
  EXPECT_THAT(Names({.sort = Sort::kPending, .consumers_max = 0}), ElementsAre());
}

TEST_F(ConsumerSurveyTest, FindsWhoLostMost) {
  Blocked("loses little", "a", v1::OVERFLOW_POLICY_DROP_OLDEST);
  Blocked("loses much", "b", v1::OVERFLOW_POLICY_DROP_NEWEST);
  Peer* healthy = rig_.ConnectAs("healthy");
  Subscribe(healthy, 1, "quiet");
  Publish("a", "x", 30);
  Publish("b", "x", 90);
  const std::vector<admin::Consumer> found = Survey({.sort = Sort::kDropped, .consumers_max = 10});
  ASSERT_THAT(found, SizeIs(3));
  EXPECT_EQ(found[0].client_name(), "loses much");
  EXPECT_EQ(found[0].policy(), "drop_newest");
  EXPECT_GE(found[0].dropped(), 60);
  EXPECT_GE(found[0].gaps(), 1);
  EXPECT_EQ(found[0].state(), "shedding");
  EXPECT_EQ(found[1].client_name(), "loses little");
  EXPECT_GE(found[1].dropped(), 10);
  for (const admin::Consumer& one : found) {
    EXPECT_EQ(one.matched(), one.delivered() + one.dropped() + one.conflated() + one.pending_messages());
  }
}

TEST_F(ConsumerSurveyTest, KeepsToATopicOrToOne) {
  Peer* peer = rig_.ConnectAs("peer");
  Subscribe(peer, 1, "a.*");
  Subscribe(peer, 2, "a.b");
  Subscribe(peer, 3, "b.>");
  Blocked("slow", "c");
  SurveyRequest request = {.consumers_max = 10, .topic = "a.b"};
  EXPECT_THAT(Names(request), ::testing::UnorderedElementsAre("peer a.*", "peer a.b"));
  request = {.consumers_max = 10};
  request.only = {{kShard, peer->index}, 3};
  EXPECT_THAT(Names(request), ElementsAre("peer b.>"));
  request.only->subscription = std::nullopt;
  EXPECT_THAT(Names(request), SizeIs(3));
  request.only->session.shard = kShard + 1;
  EXPECT_THAT(Names(request), SizeIs(0)) << "the same number on another shard";
}

TEST_F(ConsumerSurveyTest, ANameOfOneFindsItBehindOthersThatHaveMore) {
  Peer* slow = Blocked("slow", "a");
  Subscribe(slow, 2, "quiet");
  SurveyRequest request = {.consumers_max = 1};
  request.only = {{kShard, slow->index}, 2};
  EXPECT_THAT(Names(request), ElementsAre("slow quiet"));
}

TEST_F(ConsumerSurveyTest, DescribesASlowOneInFull) {
  Peer* slow = Blocked("slow", "big");
  Publish("big", "behind", 17);
  rig_.Turn();
  rig_.now += absl::Seconds(2);
  const std::vector<admin::Consumer> found = Survey({.consumers_max = 1});
  ASSERT_THAT(found, SizeIs(1));
  const admin::Consumer& one = found[0];
  EXPECT_EQ(one.id(), "3-" + std::to_string(slow->index) + ".1");
  EXPECT_EQ(one.session(), "3-" + std::to_string(slow->index));
  EXPECT_EQ(one.subscription(), 1);
  EXPECT_EQ(one.address(), slow->session->address());
  EXPECT_EQ(one.filter(), "big");
  EXPECT_EQ(one.policy(), "disconnect");
  EXPECT_EQ(one.state(), "lagging");
  EXPECT_EQ(one.nearest_limit(), "pending_messages");
  EXPECT_EQ(one.nearest_limit_value(), 20);
  EXPECT_GE(one.limit_share(), 0.75);
  EXPECT_EQ(one.limits().pending_messages_max(), 20);
  EXPECT_EQ(one.limits().pending_age_max_seconds(), 60);
  EXPECT_GE(one.pending_messages(), 17);
  EXPECT_GE(one.oldest_age_seconds(), 2);
  EXPECT_GT(one.kernel_bytes(), 0);
  EXPECT_EQ(one.matched(), 18);
  EXPECT_EQ(one.matched(), one.delivered() + one.pending_messages());
  EXPECT_TRUE(one.has_stalled_since());
  EXPECT_TRUE(one.has_lagging_since());
  EXPECT_LE(one.connected_since().seconds(), one.stalled_since().seconds());
  EXPECT_LE(one.stalled_since().seconds(), one.lagging_since().seconds());
}

TEST_F(ConsumerSurveyTest, SaysOfAHealthyOneThatItIsWell) {
  Peer* healthy = rig_.ConnectAs("healthy");
  rig_.Send(healthy, SubscribeFrame(1, "a", "workers"));
  rig_.Await(healthy, v1::ServerFrame::kSubscribed);
  Publish("a", "x", 3);
  const std::vector<admin::Consumer> found = Survey({.consumers_max = 1});
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].state(), "ok");
  EXPECT_EQ(found[0].queue_group(), "workers");
  EXPECT_EQ(found[0].delivered(), 3);
  EXPECT_EQ(found[0].limit_share(), 0);
  EXPECT_EQ(found[0].cause(), "");
  EXPECT_FALSE(found[0].has_stalled_since());
  EXPECT_FALSE(found[0].has_lagging_since());
  EXPECT_FALSE(found[0].has_time_to_limit_seconds());
}

}  // namespace
}  // namespace sluice
