#include "broker/consumer_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/broker/session_rig.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::PublishFrame;
using testing::SessionRig;
using ::testing::SizeIs;
using testing::SubscribeFrame;
using testing::UnsubscribeFrame;
using Json = nlohmann::json;
using Peer = SessionRig::Peer;
using Frame = v1::ServerFrame;

TEST(ConsumerEventTest, IsShownAsOneLineOfJsonWithoutWhatIsEmpty) {
  v1::ConsumerEvent event;
  event.set_kind(v1::ConsumerEvent::KIND_SLOW);
  event.set_client_name("a \"quoted\\ name\"\n");
  event.set_address("[::1]:5");
  event.set_session(uint64_t{1} << 40);
  event.set_limit(v1::REASON_PENDING_BYTES);
  event.set_limit_value(100);
  event.set_cause(v1::LAG_CAUSE_OVER_SUBSCRIBED);
  const std::string line = ToJson(event);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const Json expected = {{"event", "slow"},           {"client_name", "a \"quoted\\ name\"\n"},
                         {"address", "[::1]:5"},      {"session", uint64_t{1} << 40},
                         {"limit", "pending_bytes"},  {"limit_value", 100},
                         {"cause", "over_subscribed"}};
  EXPECT_EQ(Json::parse(line), expected);
}

class ConsumerEventsTest : public ::testing::Test {
 protected:
  static Config Limits() {
    Config config;
    config.pending_bytes_max = 64 << 20;
    config.pending_messages_max = 20;
    config.session_bytes_max = 128 << 20;
    config.ping_interval = absl::ZeroDuration();
    return config;
  }

  void Subscribe(Peer* peer, uint32_t id, std::string_view filter) {
    rig_.Send(peer, SubscribeFrame(id, filter));
    rig_.Await(peer, Frame::kSubscribed);
  }
  void Publish(std::string_view payload) {
    rig_.Send(feeder_, PublishFrame("big", payload));
    rig_.Barrier(feeder_);
  }
  // A subscriber that is full, with so many messages behind it.
  Peer* Blocked(int messages_behind) {
    Peer* peer =
        rig_.ConnectAs("slow", {.server_send_buffer_bytes = 8 << 10, .client_receive_buffer_bytes = 4 << 10});
    Subscribe(peer, 7, "big");
    Publish(std::string(500'000, 'x'));
    for (int i = 0; i < messages_behind; ++i) Publish("behind");
    rig_.Until([&] { return peer->session->subscriber().blocked(); });
    return peer;
  }
  Json NextEvent() {
    std::string payload = rig_.Await(watcher_, Frame::kMessage).message().payload();
    return Json::parse(payload);
  }
  // What has come by now.
  std::vector<std::string> Events() {
    rig_.Barrier(watcher_);
    rig_.Barrier(watcher_);
    return rig_.Payloads(watcher_);
  }

  SessionRig rig_{Limits()};
  Peer* feeder_ = rig_.ConnectAs("feeder");
  Peer* watcher_ = rig_.ConnectAs("watcher");
};

TEST_F(ConsumerEventsTest, AnEpisodeIsToldFromItsBeginningToItsEnd) {
  Subscribe(watcher_, 1, "$sys.consumer.*");
  Peer* slow = Blocked(15);
  const Json raised = NextEvent();
  EXPECT_EQ(raised["event"], "slow");
  EXPECT_EQ(raised["client_name"], "slow");
  EXPECT_THAT(raised["address"].get<std::string>(), HasSubstr("127.0.0.1:"));
  EXPECT_EQ(raised["subscription"], 7);
  EXPECT_EQ(raised["filter"], "big");
  EXPECT_EQ(raised["limit"], "pending_messages");
  EXPECT_EQ(raised["limit_value"], 20);
  EXPECT_EQ(raised["value"], 15);
  EXPECT_GE(raised["pending_bytes"], 1);
  EXPECT_FALSE(raised.contains("reason"));
  rig_.now += absl::Milliseconds(5);
  rig_.Until([&] {
    rig_.Receive(slow);
    return slow->session->subscriber().pending_messages() == 0;
  });
  const Json recovered = NextEvent();
  EXPECT_EQ(recovered["event"], "recovered");
  EXPECT_EQ(recovered["subscription"], 7);
  EXPECT_EQ(recovered["filter"], "big");
  EXPECT_EQ(recovered["lagging_ms"], 5);
  EXPECT_FALSE(recovered.contains("reason"));
}

TEST_F(ConsumerEventsTest, WhoIsCutIsDisconnectedAndHasNotRecovered) {
  Subscribe(watcher_, 1, "$sys.consumer.*");
  (void)Blocked(15);
  EXPECT_EQ(NextEvent()["event"], "slow");
  rig_.now += absl::Milliseconds(3);
  for (int i = 0; i < 6; ++i) Publish("more");
  const Json cut = NextEvent();
  EXPECT_EQ(cut["event"], "disconnected");
  EXPECT_EQ(cut["reason"], "pending_messages");
  EXPECT_EQ(cut["limit"], "pending_messages");
  EXPECT_EQ(cut["limit_value"], 20);
  EXPECT_EQ(cut["value"], 21);
  EXPECT_EQ(cut["subscription"], 7);
  EXPECT_EQ(cut["filter"], "big");
  EXPECT_EQ(cut["lagging_ms"], 3);
  EXPECT_EQ(cut["retry_after_ms"], 1000);
  EXPECT_EQ(cut["cuts_in_a_row"], 1);
  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(ConsumerEventsTest, WhoEndsOtherwiseDoesNotLagAnyMore) {
  Subscribe(watcher_, 1, "$sys.consumer.recovered");
  Peer* slow = Blocked(15);
  SessionRig::Reset(slow);
  const Json recovered = NextEvent();
  EXPECT_EQ(recovered["event"], "recovered");
  EXPECT_EQ(recovered["filter"], "big");
  EXPECT_EQ(recovered["reason"], "client_reset");
}

TEST_F(ConsumerEventsTest, ProtobufHasTopicsOfItsOwn) {
  Subscribe(watcher_, 1, "$sys.consumer.slow.protobuf");
  (void)Blocked(15);
  v1::ConsumerEvent event;
  ASSERT_TRUE(event.ParseFromString(rig_.Await(watcher_, Frame::kMessage).message().payload()));
  EXPECT_EQ(event.kind(), v1::ConsumerEvent::KIND_SLOW);
  EXPECT_EQ(event.client_name(), "slow");
  EXPECT_EQ(event.filter(), "big");
  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(ConsumerEventsTest, WhoWatchesIsNotWatched) {
  Subscribe(watcher_, 1, "$sys.>");
  Peer* slow = rig_.ConnectAs("slow watcher",
                              {.server_send_buffer_bytes = 8 << 10, .client_receive_buffer_bytes = 4 << 10});
  Subscribe(slow, 1, "$sys.consumer.*");
  Subscribe(slow, 2, "big");
  rig_.Send(slow, UnsubscribeFrame(1));
  rig_.Await(slow, Frame::kUnsubscribed);
  Publish(std::string(500'000, 'x'));
  for (int i = 0; i < 25; ++i) Publish("behind");
  rig_.Until([&] { return slow->session->closing(); });
  EXPECT_EQ(rig_.counters.lagging_episodes.Get(), 1u);
  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(ConsumerEventsTest, SubscribingIsForWhomTheConfigurationSays) {
  const auto answer = [&](uint32_t id) {
    rig_.Send(watcher_, SubscribeFrame(id, "$sys.>"));
    rig_.Barrier(watcher_);
    for (const Frame& frame : std::exchange(watcher_->frames, {})) {
      if (frame.has_subscribed()) return v1::ERROR_CODE_UNSPECIFIED;
      if (frame.has_error()) return frame.error().code();
    }
    return v1::ERROR_CODE_BAD_FRAME;
  };
  EXPECT_EQ(answer(1), v1::ERROR_CODE_UNSPECIFIED);  // over the loopback interface
  rig_.limits.sys_topics = SysTopics::kNobody;
  EXPECT_EQ(answer(2), v1::ERROR_CODE_NOT_PERMITTED);
  rig_.limits.sys_topics = SysTopics::kEveryone;
  EXPECT_EQ(answer(3), v1::ERROR_CODE_UNSPECIFIED);
  // Nobody else may publish there.
  rig_.Send(feeder_, PublishFrame("$sys.consumer.slow", "{}"));
  EXPECT_EQ(rig_.Await(feeder_, Frame::kError).error().code(), v1::ERROR_CODE_NOT_PERMITTED);
  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(ConsumerEventsTest, MoreThanAHundredAtOnceAreCounted) {
  Subscribe(watcher_, 1, "$sys.consumer.slow");
  v1::ConsumerEvent event;
  event.set_kind(v1::ConsumerEvent::KIND_SLOW);
  for (int i = 0; i < 150; ++i) rig_.events.Add(event, rig_.now);
  EXPECT_THAT(Events(), SizeIs(100));
  EXPECT_TRUE(rig_.events.empty());
  rig_.now += absl::Seconds(1);
  rig_.events.Add(event, rig_.now);
  EXPECT_EQ(NextEvent()["suppressed"], 50);
}

TEST_F(ConsumerEventsTest, NothingIsMadeForNobody) {
  EXPECT_FALSE(rig_.events.wanted(v1::ConsumerEvent::KIND_SLOW));
  (void)Blocked(15);
  rig_.Turn();
  EXPECT_TRUE(rig_.events.empty());
  Subscribe(watcher_, 1, "$sys.consumer.recovered");
  EXPECT_FALSE(rig_.events.wanted(v1::ConsumerEvent::KIND_SLOW));
  EXPECT_TRUE(rig_.events.wanted(v1::ConsumerEvent::KIND_RECOVERED));
}

}  // namespace
}  // namespace sluice
