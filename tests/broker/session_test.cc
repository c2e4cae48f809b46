#include "broker/session.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/names.h"
#include "protocol/topic.h"
#include "tests/broker/session_rig.h"

namespace sluice {
namespace {

using testing::AckRequestFrame;
using testing::ConnectFrame;
using testing::CreditFrame;
using testing::Encoded;
using testing::PingFrame;
using testing::PublishFrame;
using testing::SessionRig;
using testing::SubscribeFrame;
using testing::UnsubscribeFrame;
using Peer = SessionRig::Peer;
using Frame = v1::ServerFrame;

// A session that blocks after a few kilobytes.
constexpr testing::SocketPairOptions kSmallBuffers = {.server_send_buffer_bytes = 8 << 10,
                                                      .client_receive_buffer_bytes = 4 << 10};

Config TestConfig() {
  Config config;
  config.payload_bytes_max = 8 << 20;
  config.pending_bytes_max = 64 << 20;
  config.session_bytes_max = 128 << 20;
  return config;
}

class SessionTest : public ::testing::Test {
 protected:
  v1::Error AwaitError(Peer* peer) { return rig_.Await(peer, Frame::kError).error(); }
  void Subscribe(Peer* peer, uint32_t id, std::string_view filter, std::string_view queue_group = "") {
    rig_.Send(peer, SubscribeFrame(id, filter, queue_group));
    rig_.Await(peer, Frame::kSubscribed);
  }
  void Publish(Peer* peer, std::string_view topic, std::string_view payload) {
    rig_.Send(peer, PublishFrame(topic, payload));
    rig_.Barrier(peer);
  }
  // A session of its own whose socket is full, with so many bytes of one message half on the wire and
  // `messages_behind` small ones behind it.
  Peer* Blocked(size_t payload_bytes = 500'000, int messages_behind = 0) {
    Peer* peer = rig_.ConnectAs("slow", kSmallBuffers);
    Subscribe(peer, 1, "big");
    Publish(feeder(), "big", std::string(payload_bytes, 'x'));
    for (int i = 0; i < messages_behind; ++i) Publish(feeder(), "big", "behind " + std::to_string(i));
    rig_.Until([&] { return peer->session->subscriber().blocked(); });
    return peer;
  }
  // Until the write timeout (10 s) has cut so many more. What the kernel still acknowledges is progress, and
  // gives another 10 s.
  void PassWriteTimeout(uint64_t cuts = 1) {
    const uint64_t wanted = rig_.ended(v1::REASON_WRITE_TIMEOUT) + cuts;
    for (int tries = 0; rig_.ended(v1::REASON_WRITE_TIMEOUT) < wanted; ++tries) {
      ASSERT_LT(tries, 100) << "nobody is cut";
      rig_.now += absl::Seconds(10);
      rig_.Turn();
    }
  }
  // What the kernel held for it, as the one line of the log that holds `words` has it. (Not to be compared with
  // what it holds now: it acknowledges and takes more in its own time.)
  uint64_t KernelBytesInLog(const std::string& words) {
    const std::string said = rig_.log_lines.str();
    const size_t line = said.find(words);
    const size_t field = said.find(kKernelBytes, line);
    if (line == std::string::npos || field > said.find('\n', line)) return 0;
    return std::stoull(said.substr(field + kKernelBytes.size()));
  }
  Peer* feeder() {
    if (feeder_ == nullptr) feeder_ = rig_.ConnectAs("feeder");
    return feeder_;
  }
  // Only the feeder is left, and everything else was given back.
  void ExpectNothingLeft() {
    const int64_t feeders = feeder_ != nullptr && feeder_->session != nullptr ? 1 : 0;
    EXPECT_EQ(rig_.counters.connections_open.Get(), feeders);
    EXPECT_EQ(rig_.counters.subscriptions.Get(), 0);
    EXPECT_EQ(rig_.counters.pending_bytes.Get(), 0);
    EXPECT_EQ(rig_.counters.pending_messages.Get(), 0);
    EXPECT_EQ(rig_.counters.lagging_subscriptions.Get(), 0);
    EXPECT_EQ(rig_.index.group_count(), 0u);
  }
  std::optional<v1::SessionRecord> RecordOf(const Peer* peer) {
    return rig_.records.Find(peer->connected.session_id(), rig_.now);
  }

  SessionRig rig_{TestConfig()};

 private:
  static constexpr std::string_view kKernelBytes = " kernel_bytes=";

  Peer* feeder_ = nullptr;
};

// ---- Connect ----

TEST_F(SessionTest, ConnectedSaysWhoItIsAndWhatApplies) {
  rig_.limits.ping_interval = absl::Seconds(7);
  Peer* peer = rig_.ConnectAs("dash-7");
  EXPECT_EQ(peer->connected.protocol_version(), kProtocolVersion);
  EXPECT_EQ(peer->connected.session_id().size(), 16u);
  EXPECT_TRUE(peer->connected.inbox().starts_with("$inbox."));
  EXPECT_TRUE(IsValidTopic(peer->connected.inbox() + ".1"));
  EXPECT_EQ(peer->connected.limits().payload_bytes_max(), uint64_t{8} << 20);
  EXPECT_EQ(peer->connected.limits().ping_interval_ms(), 7000u);
  EXPECT_EQ(peer->connected.limits().topic_bytes_max(), kTopicBytesMax);
  EXPECT_EQ(peer->connected.limits().default_limits().pending_bytes_max(), uint64_t{64} << 20);
  EXPECT_FALSE(peer->connected.has_previous_session());
  Peer* other = rig_.ConnectAs("dash-8");
  EXPECT_NE(other->connected.session_id(), peer->connected.session_id());
  EXPECT_NE(other->connected.inbox(), peer->connected.inbox());
  EXPECT_EQ(rig_.counters.connections_open.Get(), 2);
}

TEST_F(SessionTest, WhatCannotBeTrustedIsRefusedWithErrorGoodbyeAndTheEndOfTheStream) {
  v1::ClientFrame old = ConnectFrame("c");
  old.mutable_connect()->set_protocol_version(0);
  struct Case {
    const char* name;
    enum class Before { kNothing, kConnect } before;
    std::string bytes;
    v1::ErrorCode error;
    v1::Reason reason;
  };
  const Case cases[] = {
      {"ping first", Case::Before::kNothing, Encoded(PingFrame(1)), v1::ERROR_CODE_NOT_CONNECTED,
       v1::REASON_PROTOCOL_ERROR},
      {"message first", Case::Before::kNothing, Encoded(PublishFrame("a", "b")), v1::ERROR_CODE_NOT_CONNECTED,
       v1::REASON_PROTOCOL_ERROR},
      {"old version", Case::Before::kNothing, Encoded(old), v1::ERROR_CODE_UNSUPPORTED_VERSION,
       v1::REASON_UNSUPPORTED_VERSION},
      {"long name", Case::Before::kNothing, Encoded(ConnectFrame(std::string(129, 'n'))),
       v1::ERROR_CODE_BAD_CONNECT, v1::REASON_PROTOCOL_ERROR},
      {"unprintable name", Case::Before::kNothing, Encoded(ConnectFrame("a\nb")), v1::ERROR_CODE_BAD_CONNECT,
       v1::REASON_PROTOCOL_ERROR},
      {"large first frame", Case::Before::kNothing, std::string("\xff\xff\x7f"),
       v1::ERROR_CODE_FRAME_TOO_LARGE, v1::REASON_FRAME_TOO_LARGE},
      {"not a length", Case::Before::kNothing, std::string("\x80\x00", 2), v1::ERROR_CODE_BAD_FRAME,
       v1::REASON_PROTOCOL_ERROR},
      {"connect twice", Case::Before::kConnect, Encoded(ConnectFrame("c")), v1::ERROR_CODE_ALREADY_CONNECTED,
       v1::REASON_PROTOCOL_ERROR},
      {"empty frame", Case::Before::kConnect, std::string(1, '\0'), v1::ERROR_CODE_BAD_FRAME,
       v1::REASON_PROTOCOL_ERROR},
      {"garbage", Case::Before::kConnect, "\x05garbage", v1::ERROR_CODE_BAD_FRAME, v1::REASON_PROTOCOL_ERROR},
      {"field beside a message", Case::Before::kConnect,
       std::string("\x07\x0a\x03\x0a\x01"
                   "a\x80\x01",
                   8),
       v1::ERROR_CODE_BAD_FRAME, v1::REASON_PROTOCOL_ERROR},
      {"too large", Case::Before::kConnect, "\xff\xff\xff\x7f", v1::ERROR_CODE_FRAME_TOO_LARGE,
       v1::REASON_FRAME_TOO_LARGE},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    Peer* peer = one.before == Case::Before::kConnect ? rig_.ConnectAs("client") : rig_.Connect();
    const uint64_t ended_before = rig_.ended(one.reason);
    // What stands behind it is not looked at.
    rig_.SendRaw(peer, one.bytes + Encoded(SubscribeFrame(1, "a")));
    const v1::Goodbye goodbye = rig_.AwaitGoodbye(peer);
    ASSERT_EQ(peer->frames.size(), 2u);
    EXPECT_EQ(peer->frames[0].error().code(), one.error);
    EXPECT_NE(peer->frames[0].error().text(), "");
    EXPECT_EQ(goodbye.reason(), one.reason);
    EXPECT_EQ(goodbye.text(), peer->frames[0].error().text());
    EXPECT_EQ(rig_.ended(one.reason), ended_before + 1);
    EXPECT_NE(peer->session, nullptr);  // it waits for the client's end
    peer->client.Close();
    rig_.UntilEnded(peer);
  }
  ExpectNothingLeft();
}

TEST_F(SessionTest, NamesThePublishThatWasNotInCanonicalForm) {
  Peer* peer = rig_.ConnectAs("client");
  rig_.Send(peer, PublishFrame("a", "b"));
  rig_.SendRaw(peer, std::string("\x07\x0a\x03\x0a\x01"
                                 "a\x80\x01",
                                 8));
  EXPECT_EQ(AwaitError(peer).publish(), 2u);
}

// ---- Subscribing ----

TEST_F(SessionTest, RefusesASubscriptionAndGoesOn) {
  rig_.limits.subscriptions_max = 2;
  rig_.limits.queue = {
      .pending_bytes_max = 100 << 20, .pending_messages_max = 1000, .pending_age_max = absl::Seconds(60)};
  Peer* peer = rig_.ConnectAs("client");
  Peer* other = rig_.ConnectAs("other");
  Subscribe(peer, 1, "a");
  const auto with = [](auto change) {
    v1::ClientFrame frame = SubscribeFrame(9, "b");
    change(frame.mutable_subscribe());
    return frame;
  };
  struct Case {
    const char* name;
    v1::ClientFrame frame;
    v1::ErrorCode error;
  };
  const Case cases[] = {
      {"id 0", SubscribeFrame(0, "a"), v1::ERROR_CODE_BAD_SUBSCRIPTION},
      {"id in use", SubscribeFrame(1, "b"), v1::ERROR_CODE_DUPLICATE_SUBSCRIPTION},
      {"bad filter", SubscribeFrame(9, "a..b"), v1::ERROR_CODE_BAD_FILTER},
      {"tail in the middle", SubscribeFrame(9, "a.>.b"), v1::ERROR_CODE_BAD_FILTER},
      {"the broker's own", SubscribeFrame(9, "$SYS.>"), v1::ERROR_CODE_NOT_PERMITTED},
      {"everybody's inbox", SubscribeFrame(9, "$inbox.>"), v1::ERROR_CODE_NOT_PERMITTED},
      {"another one's inbox", SubscribeFrame(9, other->connected.inbox() + ".>"),
       v1::ERROR_CODE_NOT_PERMITTED},
      {"bad queue group", SubscribeFrame(9, "b", "q\n"), v1::ERROR_CODE_BAD_QUEUE_GROUP},
      {"long queue group", SubscribeFrame(9, "b", std::string(500, 'q')), v1::ERROR_CODE_BAD_QUEUE_GROUP},
      {"long conflate_header", with([](v1::Subscribe* s) {
         s->set_overflow(v1::OVERFLOW_POLICY_CONFLATE);
         s->set_conflate_header(std::string(1000, 'k'));
       }),
       v1::ERROR_CODE_UNSUPPORTED_POLICY},
      {"policy", with([](v1::Subscribe* s) { s->set_overflow(static_cast<v1::OverflowPolicy>(6)); }),
       v1::ERROR_CODE_UNSUPPORTED_POLICY},
      {"few bytes", with([](v1::Subscribe* s) { s->mutable_limits()->set_pending_bytes_max(1 << 20); }),
       v1::ERROR_CODE_BAD_LIMITS},
      {"many bytes", with([](v1::Subscribe* s) { s->mutable_limits()->set_pending_bytes_max(200 << 20); }),
       v1::ERROR_CODE_BAD_LIMITS},
      {"many messages", with([](v1::Subscribe* s) { s->mutable_limits()->set_pending_messages_max(1001); }),
       v1::ERROR_CODE_BAD_LIMITS},
      {"old messages", with([](v1::Subscribe* s) { s->mutable_limits()->set_pending_age_max_ms(60'001); }),
       v1::ERROR_CODE_BAD_LIMITS},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    rig_.Send(peer, one.frame);
    const v1::Error error = AwaitError(peer);
    EXPECT_EQ(error.code(), one.error);
    EXPECT_EQ(error.subscription(), one.frame.subscribe().subscription());
    EXPECT_NE(error.text(), "");
  }
  Subscribe(peer, 2, peer->connected.inbox() + ".*");
  rig_.Send(peer, SubscribeFrame(3, "a"));
  EXPECT_EQ(AwaitError(peer).code(), v1::ERROR_CODE_TOO_MANY_SUBSCRIPTIONS);
  EXPECT_EQ(rig_.counters.subscriptions.Get(), 2);
  EXPECT_EQ(rig_.counters.errors_sent.Get(), std::size(cases) + 1);
}

TEST_F(SessionTest, GrantsTheLimitsThatWereAskedForAndTheDefaultsForTheOthers) {
  Peer* peer = rig_.ConnectAs("client");
  v1::ClientFrame frame = SubscribeFrame(1, "a");
  frame.mutable_subscribe()->mutable_limits()->set_pending_messages_max(17);
  frame.mutable_subscribe()->mutable_limits()->set_pending_age_max_ms(1234);
  rig_.Send(peer, frame);
  const v1::Subscribed subscribed = rig_.Await(peer, Frame::kSubscribed).subscribed();
  EXPECT_EQ(subscribed.limits().pending_messages_max(), 17u);
  EXPECT_EQ(subscribed.limits().pending_age_max_ms(), 1234u);
  EXPECT_EQ(subscribed.limits().pending_bytes_max(), uint64_t{64} << 20);
  EXPECT_EQ(subscribed.overflow(), v1::OVERFLOW_POLICY_DISCONNECT);
  const Subscription* subscription = peer->session->subscriber().Find(1);
  EXPECT_EQ(subscription->limits->pending_messages_max, 17u);
  EXPECT_EQ(subscription->limits->pending_age_max, absl::Milliseconds(1234));
}

TEST_F(SessionTest, ARuleSaysWhatASubscriptionGetsAndItIsTold) {
  SubscriptionRule rule;
  rule.filter = "ticks.>";
  rule.client = "dash-*";
  rule.overflow = v1::OVERFLOW_POLICY_CONFLATE;
  rule.overflow_allowed = {v1::OVERFLOW_POLICY_CONFLATE, v1::OVERFLOW_POLICY_DROP_OLDEST};
  rule.conflate_header = "symbol";
  rule.pending_messages_ceiling = 50;
  rig_.limits.subscription_rules = {rule};
  const auto subscribe = [&](Peer* peer, uint32_t id, std::string_view filter, v1::OverflowPolicy asked) {
    v1::ClientFrame frame = SubscribeFrame(id, filter);
    frame.mutable_subscribe()->set_overflow(asked);
    frame.mutable_subscribe()->mutable_limits()->set_pending_messages_max(60);
    if (asked == v1::OVERFLOW_POLICY_CONFLATE) frame.mutable_subscribe()->set_conflate_header("own");
    rig_.Send(peer, frame);
    return rig_.Await(peer, Frame::kSubscribed).subscribed();
  };
  Peer* dash = rig_.ConnectAs("dash-1");
  v1::Subscribed granted = subscribe(dash, 1, "ticks.nyse.*", v1::OVERFLOW_POLICY_DEFAULT);
  EXPECT_EQ(granted.overflow(), v1::OVERFLOW_POLICY_CONFLATE);
  EXPECT_EQ(granted.conflate_header(), "symbol");
  EXPECT_EQ(granted.limits().pending_messages_max(), 50u);
  // Not allowed, so it gets the rule's.
  EXPECT_EQ(subscribe(dash, 2, "ticks.a", v1::OVERFLOW_POLICY_DISCONNECT).overflow(),
            v1::OVERFLOW_POLICY_CONFLATE);
  EXPECT_EQ(subscribe(dash, 3, "ticks.a", v1::OVERFLOW_POLICY_DROP_OLDEST).overflow(),
            v1::OVERFLOW_POLICY_DROP_OLDEST);
  EXPECT_EQ(subscribe(dash, 4, "ticks.a", v1::OVERFLOW_POLICY_CONFLATE).conflate_header(), "own");
  // Wider than the rule, and another client.
  granted = subscribe(dash, 5, ">", v1::OVERFLOW_POLICY_DEFAULT);
  EXPECT_EQ(granted.overflow(), v1::OVERFLOW_POLICY_DISCONNECT);
  EXPECT_EQ(granted.limits().pending_messages_max(), 60u);
  EXPECT_EQ(subscribe(rig_.ConnectAs("feed"), 1, "ticks.a", v1::OVERFLOW_POLICY_DEFAULT).overflow(),
            v1::OVERFLOW_POLICY_DISCONNECT);
}

TEST_F(SessionTest, BringsMessagesFromOneToTheOthers) {
  Peer* publisher = rig_.ConnectAs("publisher");
  Peer* one = rig_.ConnectAs("one");
  Peer* two = rig_.ConnectAs("two");
  Subscribe(one, 1, "a.*");
  Subscribe(two, 1, "a.>");
  Subscribe(two, 2, "a.b");
  rig_.Send(publisher, PublishFrame("a.b", "first"));
  rig_.Send(publisher, PublishFrame("a.b.c", "second"));
  rig_.Send(publisher, PublishFrame("other", "third"));
  rig_.Send(publisher, AckRequestFrame(5));
  const v1::PublishAck ack = rig_.Await(publisher, Frame::kPublishAck).publish_ack();
  EXPECT_EQ(ack.id(), 5u);
  EXPECT_EQ(ack.up_to(), 3u);
  EXPECT_EQ(ack.messages(), 3u);
  EXPECT_EQ(ack.matched(), 4u);
  EXPECT_EQ(ack.queued(), 4u);
  rig_.Barrier(one);
  rig_.Barrier(two);
  EXPECT_EQ(rig_.Payloads(one), (std::vector<std::string>{"first"}));
  std::vector<std::string> got = rig_.Payloads(two);
  std::sort(got.begin(), got.end());
  EXPECT_EQ(got, (std::vector<std::string>{"first", "first", "second"}));
  EXPECT_EQ(rig_.counters.messages_in.Get(), 3u);
  EXPECT_EQ(rig_.counters.messages_out.Get(), 4u);
  EXPECT_EQ(rig_.counters.pending_messages.Get(), 0);
}

TEST_F(SessionTest, SubscribedStandsBeforeTheFirstMessage) {
  Peer* peer = rig_.ConnectAs("client");
  // In one turn: the message of another session is fanned out before answers are told.
  rig_.Send(peer, SubscribeFrame(1, "a"));
  rig_.Send(feeder(), PublishFrame("a", "x"));
  rig_.Until([&] { return rig_.counters.messages_out.Get() == 1; });
  rig_.Receive(peer);
  ASSERT_EQ(peer->frames.size(), 3u);
  EXPECT_TRUE(peer->frames[0].has_subscribed());
  EXPECT_TRUE(peer->frames[2].has_message());
}

TEST_F(SessionTest, AnswersErrorsAboutPublishesByTheirNumber) {
  Peer* peer = rig_.ConnectAs("client");
  rig_.Send(peer, PublishFrame("a", "x"));
  rig_.Send(peer, PublishFrame("a..b", "x"));
  v1::Error error = AwaitError(peer);
  EXPECT_EQ(error.code(), v1::ERROR_CODE_BAD_TOPIC);
  EXPECT_EQ(error.publish(), 2u);
  rig_.Send(peer, PublishFrame("a", "x", "r..r"));
  error = AwaitError(peer);
  EXPECT_EQ(error.code(), v1::ERROR_CODE_BAD_TOPIC);
  EXPECT_EQ(error.publish(), 3u);
  rig_.Send(peer, PublishFrame("$SYS", "x"));
  error = AwaitError(peer);
  EXPECT_EQ(error.code(), v1::ERROR_CODE_NOT_PERMITTED);
  EXPECT_EQ(error.publish(), 4u);
  rig_.Send(peer, PublishFrame("nobody", "x", "reply"));
  error = AwaitError(peer);
  EXPECT_EQ(error.code(), v1::ERROR_CODE_NO_SUBSCRIBERS);
  EXPECT_EQ(error.publish(), 5u);
  rig_.Send(peer, AckRequestFrame(1));
  const v1::PublishAck ack = rig_.Await(peer, Frame::kPublishAck).publish_ack();
  EXPECT_EQ(ack.messages(), 5u);
  EXPECT_EQ(ack.refused(), 3u);
  EXPECT_EQ(rig_.counters.publish_refused.Get(), 3u);
  EXPECT_EQ(rig_.counters.messages_in.Get(), 2u);
}

TEST_F(SessionTest, WhoSendsManyBadPublishesIsToldOfEachAndNotCutForTheErrors) {
  Peer* peer = rig_.ConnectAs("client", {.server_send_buffer_bytes = 64 << 10});
  constexpr uint64_t kPublishes = 10'000;
  std::string frames;
  for (uint64_t i = 0; i < kPublishes; ++i) frames += Encoded(PublishFrame("a..b", ""));
  rig_.SendRaw(peer, frames);
  uint64_t with_text = 0;
  for (uint64_t number = 1; number <= kPublishes; ++number) {
    const v1::Error error = AwaitError(peer);
    ASSERT_EQ(error.code(), v1::ERROR_CODE_BAD_TOPIC);
    ASSERT_EQ(error.publish(), number);
    with_text += error.text().empty() ? 0 : 1;
  }
  EXPECT_GT(with_text, 100u);
  EXPECT_LT(with_text, kPublishes);
  // The next turn has its own room for words.
  rig_.Send(peer, PublishFrame("a..b", ""));
  EXPECT_FALSE(AwaitError(peer).text().empty());
}

TEST_F(SessionTest, ManyBadClientsDoNotFloodTheLog) {
  for (int i = 0; i < 300; ++i) {
    Peer* bad = rig_.Connect();
    rig_.SendRaw(bad, "\x02\xff\xff");
    rig_.AwaitGoodbye(bad);
  }
  EXPECT_EQ(rig_.LogLinesWith("session ended"), 100u);
  for (int i = 0; i < 300; ++i) {
    Peer* torn = rig_.ConnectAs("torn");
    rig_.SendRaw(torn, "\x05\x0a");
    torn->client.ShutdownWrite();
    rig_.UntilEnded(torn);
  }
  EXPECT_EQ(rig_.LogLinesWith("client closed within a frame"), 0u);
  rig_.now += absl::Seconds(1);
  Peer* bad = rig_.Connect();
  rig_.SendRaw(bad, "\x02\xff\xff");
  rig_.AwaitGoodbye(bad);
  EXPECT_EQ(rig_.LogLinesWith("suppressed=500"), 1u);
}

TEST_F(SessionTest, ManyCutsDoNotFloodTheLogAndHideNothingElse) {
  rig_.limits.subscriber.write_timeout = absl::Seconds(10);
  rig_.limits.ping_interval = absl::ZeroDuration();
  uint64_t suppressed = 0;
  const auto cut_one_behind_a_thousand = [&] {
    Peer* peer = Blocked();
    for (const uint64_t wanted = rig_.ended_total() + 1; rig_.ended_total() < wanted; rig_.Turn()) {
      rig_.now += absl::Seconds(10);
      while (rig_.context.lines.session_cuts.Admit(rig_.now).has_value()) suppressed = 0;
      ++suppressed;
    }
    ++suppressed;
    peer->client.Close();
    rig_.UntilEnded(peer);
  };
  for (int i = 0; i < 3; ++i) cut_one_behind_a_thousand();
  EXPECT_EQ(rig_.LogLinesWith("slow consumer disconnected"), 0u);
  Peer* bad = rig_.Connect();
  rig_.SendRaw(bad, "\x02\xff\xff");
  rig_.AwaitGoodbye(bad);
  EXPECT_EQ(rig_.LogLinesWith("session ended"), 1u);
  Blocked();
  PassWriteTimeout();
  EXPECT_EQ(rig_.LogLinesWith("slow consumer disconnected"), 1u);
  EXPECT_EQ(rig_.LogLinesWith("suppressed=" + std::to_string(suppressed)), 1u);
}

TEST_F(SessionTest, HoldsTopicsToWhatTheBrokerAllows) {
  rig_.limits.publish.topic_bytes_max = 64;
  Peer* peer = rig_.ConnectAs("client");
  EXPECT_EQ(peer->connected.limits().topic_bytes_max(), 64u);
  Subscribe(peer, 1, std::string(64, 'x'));
  rig_.Send(peer, SubscribeFrame(2, std::string(65, 'x')));
  EXPECT_EQ(AwaitError(peer).code(), v1::ERROR_CODE_BAD_FILTER);
  rig_.Send(peer, SubscribeFrame(2, "a", std::string(65, 'q')));
  EXPECT_EQ(AwaitError(peer).code(), v1::ERROR_CODE_BAD_QUEUE_GROUP);
  rig_.Send(peer, PublishFrame(std::string(65, 'x'), "too long"));
  v1::Error error = AwaitError(peer);
  EXPECT_EQ(error.code(), v1::ERROR_CODE_BAD_TOPIC);
  EXPECT_THAT(error.text(), ::testing::HasSubstr("has 65 bytes; at most 64 are allowed"));
  rig_.Send(peer, PublishFrame("a", "x", std::string(65, 'x')));
  error = AwaitError(peer);
  EXPECT_EQ(error.code(), v1::ERROR_CODE_BAD_TOPIC);
  EXPECT_THAT(error.text(), ::testing::HasSubstr("reply_to"));
  rig_.Send(peer, PublishFrame(std::string(64, 'x'), "fits"));
  EXPECT_EQ(rig_.Await(peer, Frame::kMessage).message().payload(), "fits");
}

TEST_F(SessionTest, HoldsTheFirstFrameToWhatTheBrokerAllows) {
  rig_.limits.connect_frame_bytes_max = 1026;
  Peer* peer = rig_.Connect();
  rig_.SendRaw(peer, "\x81\x08");  // 1025 bytes will follow
  const v1::Goodbye goodbye = rig_.AwaitGoodbye(peer);
  EXPECT_EQ(goodbye.reason(), v1::REASON_FRAME_TOO_LARGE);
  EXPECT_EQ(goodbye.limit(), 1026u);
}

TEST_F(SessionTest, EndsASubscriptionAtOnceOrAfterACount) {
  Peer* peer = rig_.ConnectAs("client");
  rig_.Send(peer, UnsubscribeFrame(7));
  EXPECT_EQ(AwaitError(peer).code(), v1::ERROR_CODE_UNKNOWN_SUBSCRIPTION);

  Subscribe(peer, 1, "a");
  Subscribe(peer, 2, "a");
  Subscribe(peer, 3, "a");
  Publish(feeder(), "a", "1");
  rig_.Send(peer, UnsubscribeFrame(1));
  v1::Unsubscribed unsubscribed = rig_.Await(peer, Frame::kUnsubscribed).unsubscribed();
  EXPECT_EQ(unsubscribed.subscription(), 1u);
  EXPECT_EQ(unsubscribed.reason(), v1::REASON_UNSUBSCRIBED);
  EXPECT_EQ(unsubscribed.offered(), 1u);

  rig_.Send(peer, UnsubscribeFrame(2, 1));  // has got that many already
  unsubscribed = rig_.Await(peer, Frame::kUnsubscribed).unsubscribed();
  EXPECT_EQ(unsubscribed.reason(), v1::REASON_COUNT_REACHED);
  EXPECT_EQ(unsubscribed.offered(), 1u);

  rig_.Send(peer, UnsubscribeFrame(3, 3));
  rig_.Barrier(peer);
  for (const char* payload : {"2", "3", "4"}) Publish(feeder(), "a", payload);
  unsubscribed = rig_.Await(peer, Frame::kUnsubscribed).unsubscribed();
  EXPECT_EQ(unsubscribed.subscription(), 3u);
  EXPECT_EQ(unsubscribed.reason(), v1::REASON_COUNT_REACHED);
  EXPECT_EQ(unsubscribed.offered(), 3u);
  EXPECT_EQ(rig_.counters.subscriptions.Get(), 0);
  Subscribe(peer, 3, "b");  // the id is free
}

TEST_F(SessionTest, AnUnsubscribeThatComesWithTheLastMessageOfACountEndsItOnce) {
  (void)feeder();
  Peer* peer = rig_.ConnectAs("client");
  Subscribe(peer, 1, "a");
  rig_.Send(peer, UnsubscribeFrame(1, 1));
  rig_.Barrier(peer);
  // In one turn: the message is read before the request, and fanned out by it.
  rig_.Send(feeder(), PublishFrame("a", "x"));
  rig_.Send(peer, UnsubscribeFrame(1));
  const auto read_one = [&](Peer* from) {
    const uint64_t frames = rig_.counters.frames_in.Get();
    return testing::Eventually([&] {
      rig_.Read(from);
      return rig_.counters.frames_in.Get() == frames + 1;
    });
  };
  ASSERT_TRUE(read_one(feeder()));
  ASSERT_TRUE(read_one(peer));
  rig_.Barrier(peer);
  ASSERT_EQ(peer->frames.size(), 3u);  // a header, the message
  EXPECT_TRUE(peer->frames[1].has_message());
  EXPECT_EQ(peer->frames[2].unsubscribed().reason(), v1::REASON_COUNT_REACHED);
  EXPECT_EQ(rig_.counters.subscriptions.Get(), 0);
}

// ---- The end, step by step ----

TEST_F(SessionTest, AHealthyClientGetsGoodbyeThenTheEndAndIsWaitedFor) {
  Peer* peer = rig_.ConnectAs("client");
  Subscribe(peer, 1, "a");
  rig_.SendRaw(peer, std::string("\x80\x00", 2));
  rig_.Until([&] {
    rig_.Read(peer);
    return peer->session->closing();
  });
  EXPECT_EQ(rig_.counters.subscriptions.Get(), 1);
  // One step: out of its group, Goodbye written, our direction shut.
  EXPECT_EQ(peer->session->Advance(rig_.now), Session::Life::kGoesOn);
  EXPECT_EQ(rig_.counters.subscriptions.Get(), 0);
  EXPECT_TRUE(peer->session->subscriber().writer().empty());
  EXPECT_EQ(rig_.AwaitGoodbye(peer).reason(), v1::REASON_PROTOCOL_ERROR);
  EXPECT_EQ(peer->session->NextDeadline(), rig_.now + rig_.limits.goodbye_timeout);
  // What it still sends is thrown away, whatever it is.
  rig_.Send(peer, SubscribeFrame(2, "b"));
  rig_.SendRaw(peer, std::string(100'000, '\xff'));
  for (int i = 0; i < 10; ++i) rig_.Turn();
  ASSERT_NE(peer->session, nullptr);
  EXPECT_EQ(rig_.counters.subscriptions.Get(), 0);
  peer->client.Close();
  rig_.UntilEnded(peer);
  EXPECT_EQ(rig_.ended(v1::REASON_PROTOCOL_ERROR), 1u);
  ExpectNothingLeft();
}

TEST_F(SessionTest, AClientThatDoesNotEndItsDirectionIsWaitedForOnlySoLong) {
  Peer* peer = rig_.ConnectAs("client");
  rig_.SendRaw(peer, std::string("\x80\x00", 2));
  rig_.AwaitGoodbye(peer);
  rig_.now += rig_.limits.goodbye_timeout - absl::Milliseconds(1);
  rig_.Turn();
  EXPECT_NE(peer->session, nullptr);
  rig_.now += absl::Milliseconds(1);
  rig_.Turn();
  EXPECT_EQ(peer->session, nullptr);
  ExpectNothingLeft();
}

TEST_F(SessionTest, ACutSlowConsumerGetsTheRestOfItsFrameAndGoodbyeWhenItReads) {
  rig_.limits.subscriber.write_timeout = absl::Seconds(10);
  Peer* peer = Blocked(500'000, 3);
  const uint64_t in_flight = peer->session->subscriber().writer().frame_in_flight_bytes();
  ASSERT_GT(in_flight, 0u);
  PassWriteTimeout();
  ASSERT_NE(peer->session, nullptr);
  EXPECT_GT(KernelBytesInLog("slow consumer disconnected"), 0u);
  EXPECT_LT(KernelBytesInLog("slow consumer disconnected"), 500'000u);
  // What waited is freed at once, the frame half on the wire is not.
  EXPECT_EQ(rig_.counters.pending_messages.Get(), 1);
  EXPECT_EQ(rig_.counters.pending_bytes.Get(), static_cast<int64_t>(in_flight));
  EXPECT_EQ(rig_.counters.messages_dropped.Get(), 3u);
  EXPECT_EQ(rig_.ended(v1::REASON_WRITE_TIMEOUT), 1u);
  EXPECT_EQ(rig_.LogLinesWith("slow consumer disconnected"), 1u);
  Publish(feeder(), "big", "late");
  EXPECT_EQ(rig_.counters.messages_dropped.Get(), 3u);  // it is in no group any more

  const v1::Goodbye goodbye = rig_.AwaitGoodbye(peer);
  EXPECT_EQ(goodbye.reason(), v1::REASON_WRITE_TIMEOUT);
  EXPECT_EQ(goodbye.limit(), 10'000u);
  EXPECT_GE(goodbye.value(), 10'000u);
  EXPECT_EQ(goodbye.pending_messages(), 4u);
  EXPECT_GT(goodbye.pending_bytes(), in_flight);
  EXPECT_EQ(goodbye.retry_after_ms(), 1000u);
  EXPECT_GE(goodbye.oldest_age_ms(), 10'000u);
  ASSERT_EQ(goodbye.subscriptions_size(), 1);
  EXPECT_EQ(goodbye.subscriptions(0).offered(), 4u);
  EXPECT_EQ(goodbye.subscriptions(0).pending_messages(), 4u);
  EXPECT_EQ(rig_.LogLinesWith("oldest_age="), 1u);
  EXPECT_EQ(rig_.Payloads(peer), (std::vector<std::string>{std::string(500'000, 'x')}));
  EXPECT_EQ(rig_.counters.pending_messages.Get(), 0);
  peer->client.Close();
  rig_.UntilEnded(peer);
  const std::optional<v1::SessionRecord> record = RecordOf(peer);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->goodbye().reason(), v1::REASON_WRITE_TIMEOUT);
  EXPECT_EQ(record->cuts_in_a_row(), 1u);
  ExpectNothingLeft();
}

TEST_F(SessionTest, ACutSlowConsumerThatNeverReadsIsResetAfterTheGoodbyeTimeout) {
  rig_.limits.subscriber.write_timeout = absl::Seconds(10);
  Peer* peer = Blocked(500'000, 3);
  PassWriteTimeout();
  EXPECT_EQ(peer->session->NextDeadline(), rig_.now + rig_.limits.goodbye_timeout);
  rig_.now += rig_.limits.goodbye_timeout - absl::Milliseconds(1);
  rig_.Turn();
  ASSERT_NE(peer->session, nullptr);
  rig_.now += absl::Milliseconds(1);
  rig_.Turn();
  EXPECT_EQ(peer->session, nullptr);
  rig_.AwaitEnd(peer);
  EXPECT_EQ(peer->input, Peer::Input::kReset);  // the kernel's share is freed too
  EXPECT_EQ(rig_.counters.messages_dropped.Get(), 4u);
  EXPECT_EQ(rig_.ended_total(), 1u);
  EXPECT_TRUE(RecordOf(peer).has_value());
  ExpectNothingLeft();
}

TEST_F(SessionTest, BehindAFrameOfMoreThanAMebibyteNothingIsSaidAndTheConnectionIsReset) {
  rig_.limits.subscriber.write_timeout = absl::Seconds(10);
  Peer* peer = Blocked(4 << 20, 2);
  ASSERT_GT(peer->session->subscriber().writer().frame_in_flight_bytes(), kGoodbyeBehindBytesMax);
  PassWriteTimeout();
  EXPECT_EQ(peer->session, nullptr);
  rig_.AwaitEnd(peer);
  EXPECT_EQ(peer->input, Peer::Input::kReset);
  // Once in the log, in the counters and in the record, which says what the wire could not.
  EXPECT_EQ(rig_.LogLinesWith("slow consumer disconnected"), 1u);
  EXPECT_EQ(rig_.LogLinesWith("cuts_in_a_row=1"), 1u);
  EXPECT_EQ(rig_.ended(v1::REASON_WRITE_TIMEOUT), 1u);
  EXPECT_EQ(rig_.ended_total(), 1u);
  ASSERT_TRUE(RecordOf(peer).has_value());
  EXPECT_EQ(RecordOf(peer)->cuts_in_a_row(), 1u);
  EXPECT_EQ(rig_.counters.messages_dropped.Get(), 3u);
  ExpectNothingLeft();
}

TEST_F(SessionTest, AFrameOfAMebibyteAtMostIsStillFinished) {
  rig_.limits.subscriber.write_timeout = absl::Seconds(10);
  Peer* peer = Blocked(1 << 20);
  ASSERT_LE(peer->session->subscriber().writer().frame_in_flight_bytes(), kGoodbyeBehindBytesMax);
  PassWriteTimeout();
  EXPECT_EQ(rig_.AwaitGoodbye(peer).reason(), v1::REASON_WRITE_TIMEOUT);
  EXPECT_EQ(rig_.Payloads(peer).size(), 1u);
}

TEST_F(SessionTest, WhoIsCutAgainAndAgainIsToldToStayAwayLonger) {
  rig_.limits.subscriber.write_timeout = absl::Seconds(10);
  std::string previous;
  for (uint32_t cut = 1; cut <= 8; ++cut) {
    SCOPED_TRACE(cut);
    Peer* peer = rig_.ConnectAs("slow", kSmallBuffers, previous);
    if (cut > 1) {
      ASSERT_TRUE(peer->connected.has_previous_session());
      EXPECT_EQ(peer->connected.previous_session().cuts_in_a_row(), cut - 1);
      EXPECT_EQ(peer->connected.previous_session().goodbye().reason(), v1::REASON_WRITE_TIMEOUT);
    }
    previous = peer->connected.session_id();
    Subscribe(peer, 1, "big");
    Publish(feeder(), "big", std::string(500'000, 'x'));
    rig_.Until([&] { return peer->session->subscriber().blocked(); });
    PassWriteTimeout();
    const uint64_t doublings = std::min<uint64_t>(cut - 1, 6);
    EXPECT_EQ(rig_.AwaitGoodbye(peer).retry_after_ms(), 1000u << doublings);
    peer->client.Close();
    rig_.UntilEnded(peer);
  }
  // One that ended otherwise breaks the chain.
  Peer* good = rig_.ConnectAs("good", {}, previous);
  good->client.ShutdownWrite();
  rig_.AwaitGoodbye(good);
  Peer* next = rig_.ConnectAs("good", {}, good->connected.session_id());
  EXPECT_EQ(next->connected.previous_session().cuts_in_a_row(), 0u);
}

TEST_F(SessionTest, WhoKeptUpForAMinuteBeforeItWasCutIsNotOneOfAChain) {
  rig_.limits.subscriber.write_timeout = absl::Seconds(10);
  rig_.limits.ping_interval = absl::ZeroDuration();
  std::string previous;
  uint32_t expected_cuts = 0;
  for (const absl::Duration healthy :
       {absl::ZeroDuration(), absl::Seconds(59), absl::Seconds(60), absl::ZeroDuration()}) {
    SCOPED_TRACE(absl::FormatDuration(healthy));
    Peer* peer = rig_.ConnectAs("slow", kSmallBuffers, previous);
    previous = peer->connected.session_id();
    Subscribe(peer, 1, "big");
    rig_.now += healthy;
    Publish(feeder(), "big", std::string(500'000, 'x'));
    rig_.Until([&] { return peer->session->subscriber().blocked(); });
    // However long it takes from here: it does not keep up.
    PassWriteTimeout();
    expected_cuts = healthy >= absl::Minutes(1) ? 1 : expected_cuts + 1;
    EXPECT_EQ(rig_.AwaitGoodbye(peer).retry_after_ms(), 1000u << (expected_cuts - 1));
    EXPECT_EQ(RecordOf(peer)->cuts_in_a_row(), expected_cuts);
    peer->client.Close();
    rig_.UntilEnded(peer);
  }
}

TEST_F(SessionTest, TheGoodbyeHasWhatThePoliciesLeftOutAlsoWhereNoGapHasToldIt) {
  rig_.limits.subscriber.write_timeout = absl::Seconds(10);
  Peer* peer = Blocked();
  const auto subscribe = [&](uint32_t id, std::string_view filter, v1::OverflowPolicy policy) {
    v1::ClientFrame frame = SubscribeFrame(id, filter);
    frame.mutable_subscribe()->set_overflow(policy);
    frame.mutable_subscribe()->mutable_limits()->set_pending_messages_max(10);
    rig_.Send(peer, frame);
    rig_.Turn();
  };
  subscribe(2, "oldest", v1::OVERFLOW_POLICY_DROP_OLDEST);
  subscribe(3, "newest", v1::OVERFLOW_POLICY_DROP_NEWEST);
  subscribe(4, "same", v1::OVERFLOW_POLICY_CONFLATE);
  subscribe(5, "quiet", v1::OVERFLOW_POLICY_DISCONNECT);
  rig_.Until([&] { return peer->session->subscriber().subscription_count() == 5; });
  for (int i = 0; i < 12; ++i) {
    for (const char* topic : {"oldest", "newest", "same"}) Publish(feeder(), topic, std::to_string(i));
  }
  PassWriteTimeout();
  const v1::Goodbye goodbye = rig_.AwaitGoodbye(peer);
  ASSERT_EQ(goodbye.subscriptions_size(), 5);
  uint64_t dropped = 0;
  for (const v1::SubscriptionRecord& record : goodbye.subscriptions()) {
    SCOPED_TRACE(record.subscription());
    dropped += record.dropped_messages();
    // Nothing has left but the beginning of the first.
    EXPECT_EQ(record.dropped_messages() + record.conflated_messages() + record.pending_messages(),
              record.offered());
    const bool drops = record.subscription() == 2 || record.subscription() == 3;
    EXPECT_EQ(record.dropped_messages() > 0, drops);
    EXPECT_EQ(record.conflated_messages(), record.subscription() == 4 ? 11u : 0u);
    EXPECT_EQ(record.offered(), record.subscription() == 1 ? 1u : record.subscription() == 5 ? 0u : 12u);
  }
  EXPECT_EQ(goodbye.dropped_messages(), dropped);
  EXPECT_EQ(goodbye.conflated_messages(), 11u);
  EXPECT_EQ(rig_.LogLinesWith(fmt::format(" dropped_messages={} conflated_messages=11 ", dropped)), 1u);
  EXPECT_EQ(RecordOf(peer)->goodbye().SerializeAsString(), goodbye.SerializeAsString());
}

// ---- The client's end ----

TEST_F(SessionTest, EverythingBeforeTheEndOfTheStreamIsProcessedAndAnswered) {
  Peer* peer = rig_.ConnectAs("client");
  Peer* subscriber = rig_.ConnectAs("subscriber");
  Subscribe(subscriber, 1, "a");
  // Several reads' worth, then the end.
  std::string stream;
  for (int i = 0; i < 2000; ++i) stream += Encoded(PublishFrame("a", std::string(100, 'x')));
  stream += Encoded(AckRequestFrame(1)) + Encoded(PingFrame(2));
  rig_.SendRaw(peer, stream);
  peer->client.ShutdownWrite();
  const v1::Goodbye goodbye = rig_.AwaitGoodbye(peer);
  EXPECT_EQ(goodbye.reason(), v1::REASON_CLIENT_CLOSED);
  EXPECT_EQ(goodbye.retry_after_ms(), 0u);
  ASSERT_EQ(peer->frames.size(), 3u);
  EXPECT_EQ(peer->frames[0].publish_ack().matched(), 2000u);
  EXPECT_EQ(peer->frames[1].server_pong().id(), 2u);
  rig_.Barrier(subscriber);
  EXPECT_EQ(rig_.Payloads(subscriber).size(), 2000u);
  rig_.UntilEnded(peer);
  EXPECT_EQ(rig_.ended(v1::REASON_CLIENT_CLOSED), 1u);
  EXPECT_EQ(rig_.counters.frames_truncated.Get(), 0u);
}

TEST_F(SessionTest, AfterThePollerSawTheEndReadsGoOnUntilTheyFindIt) {
  Peer* peer = rig_.ConnectAs("client");
  rig_.Send(peer, PingFrame(1));
  peer->client.ShutdownWrite();
  ASSERT_TRUE(testing::Eventually([&] {
    pollfd ready = {.fd = peer->session->fd(), .events = POLLRDHUP, .revents = 0};
    return ::poll(&ready, 1, 0) == 1;
  }));
  // With edges nobody will say again that there is something to read.
  peer->session->PeerClosed();
  EXPECT_EQ(peer->session->Read(rig_.now), Session::ReadOutcome::kMore);
  EXPECT_FALSE(peer->session->closing());
  EXPECT_EQ(peer->session->Read(rig_.now), Session::ReadOutcome::kNothing);
  EXPECT_TRUE(peer->session->closing());
  EXPECT_EQ(peer->session->Read(rig_.now), Session::ReadOutcome::kNothing);
  rig_.AwaitGoodbye(peer);
  EXPECT_EQ(peer->frames.front().server_pong().id(), 1u);
}

TEST_F(SessionTest, AReadThatFillsItsRoomAsksForMore) {
  Peer* peer = rig_.ConnectAs("client");
  rig_.SendRaw(peer, Encoded(PublishFrame("a", std::string(kReadBytesMax, 'x'))));
  ASSERT_TRUE(
      testing::Eventually([&] { return peer->session->Read(rig_.now) == Session::ReadOutcome::kMore; }));
}

TEST_F(SessionTest, AnswersThatWaitForOtherShardsAreStillTold) {
  Peer* peer = rig_.ConnectAs("client");
  rig_.other_shards = SessionRig::OtherShards::kBusy;
  rig_.Send(peer, PingFrame(1));
  rig_.Send(peer, SubscribeFrame(1, "a"));
  peer->client.ShutdownWrite();
  rig_.Until([&] { return peer->session->closing(); });
  for (int i = 0; i < 5; ++i) rig_.Turn();
  rig_.Receive(peer);
  EXPECT_TRUE(peer->frames.empty());
  EXPECT_EQ(rig_.ended_total(), 0u);
  rig_.other_shards = SessionRig::OtherShards::kDone;
  rig_.AwaitGoodbye(peer);
  ASSERT_EQ(peer->frames.size(), 3u);
  EXPECT_EQ(peer->frames[0].server_pong().id(), 1u);
  EXPECT_TRUE(peer->frames[1].has_subscribed());
}

TEST_F(SessionTest, WhoEndsItsDirectionStillGetsWhatIsQueued) {
  Peer* peer = Blocked(500'000, 3);
  peer->client.ShutdownWrite();
  rig_.Until([&] { return rig_.counters.subscriptions.Get() == 0; });
  ASSERT_NE(peer->session, nullptr);
  Publish(feeder(), "big", "late");
  EXPECT_EQ(rig_.AwaitGoodbye(peer).reason(), v1::REASON_CLIENT_CLOSED);
  const std::vector<std::string> payloads = rig_.Payloads(peer);
  ASSERT_EQ(payloads.size(), 4u);
  EXPECT_EQ(payloads[3], "behind 2");
  EXPECT_EQ(rig_.counters.messages_dropped.Get(), 0u);
  rig_.UntilEnded(peer);
  ExpectNothingLeft();
}

TEST_F(SessionTest, WhoEndsItsDirectionAndDoesNotReadIsNotWaitedForLong) {
  Peer* peer = Blocked(500'000, 3);
  peer->client.ShutdownWrite();
  rig_.Until([&] { return rig_.counters.subscriptions.Get() == 0; });
  rig_.now += rig_.limits.goodbye_timeout;
  rig_.Turn();  // to drain took too long
  ASSERT_NE(peer->session, nullptr);
  EXPECT_EQ(rig_.counters.pending_messages.Get(), 1);
  rig_.now += rig_.limits.goodbye_timeout;
  rig_.Turn();  // to say goodbye too
  EXPECT_EQ(peer->session, nullptr);
  EXPECT_EQ(rig_.counters.messages_dropped.Get(), 4u);
  EXPECT_EQ(rig_.ended_total(), 1u);
  ExpectNothingLeft();
}

// The kernel took everything, but the client has no room for it yet: nobody says when it has.
TEST_F(SessionTest, WaitsForWhatTheKernelHoldsBeforeItCloses) {
  for (const auto reads : {Peer::Input::kEof, Peer::Input::kReset}) {
    Peer* peer = rig_.ConnectAs("client", {.client_receive_buffer_bytes = 4 << 10});
    Subscribe(peer, 1, "a");
    Publish(feeder(), "a", std::string(200'000, 'x'));
    rig_.Until([&] { return peer->session->subscriber().writer().empty(); });
    const uint64_t ended = rig_.ended_total();
    peer->client.ShutdownWrite();
    rig_.Until([&] { return rig_.ended_total() > ended; });
    rig_.Turn();
    ASSERT_NE(peer->session, nullptr);
    // It looks again soon, and again.
    for (int i = 0; i < 3; ++i) {
      EXPECT_GT(peer->session->NextDeadline(), rig_.now);
      EXPECT_LE(peer->session->NextDeadline(), rig_.now + absl::Milliseconds(20));
      rig_.now = peer->session->NextDeadline();
      rig_.Turn();
      ASSERT_NE(peer->session, nullptr);
    }
    if (reads == Peer::Input::kEof) {
      rig_.AwaitGoodbye(peer);
      EXPECT_EQ(rig_.Payloads(peer).size(), 1u);
    } else {
      rig_.now += rig_.limits.goodbye_timeout;
      rig_.Turn();
    }
    rig_.UntilEnded(peer);
    rig_.AwaitEnd(peer);
    EXPECT_EQ(peer->input, reads);
  }
}

TEST_F(SessionTest, AnEndWithinAFrameIsCountedAndNothingOfTheFrameDelivered) {
  for (const size_t payload_bytes : {size_t{100}, size_t{100'000}}) {
    Peer* subscriber = rig_.ConnectAs("subscriber");
    Subscribe(subscriber, 1, "a");
    Peer* peer = rig_.ConnectAs("client");
    const uint64_t truncated = rig_.counters.frames_truncated.Get();
    const std::string frame = Encoded(PublishFrame("a", std::string(payload_bytes, 'x')));
    rig_.SendRaw(peer, Encoded(PublishFrame("a", "whole")) + frame.substr(0, frame.size() - 1));
    peer->client.ShutdownWrite();
    EXPECT_EQ(rig_.AwaitGoodbye(peer).reason(), v1::REASON_CLIENT_CLOSED);
    EXPECT_EQ(rig_.counters.frames_truncated.Get(), truncated + 1);
    EXPECT_EQ(rig_.LogLinesWith("client closed within a frame"), truncated + 1);
    rig_.Barrier(subscriber);
    EXPECT_EQ(rig_.Payloads(subscriber), (std::vector<std::string>{"whole"}));
  }
}

// ---- Resets ----

TEST_F(SessionTest, AResetEndsItAtOnceInEveryState) {
  rig_.limits.subscriber.write_timeout = absl::Seconds(10);
  struct Case {
    const char* name;
    v1::Reason reason;
    enum class State { kConnecting, kOpen, kBlocked, kDraining, kGoodbye, kLingering } state;
  };
  const Case cases[] = {
      {"connecting", v1::REASON_CLIENT_RESET, Case::State::kConnecting},
      {"open", v1::REASON_CLIENT_RESET, Case::State::kOpen},
      {"open and blocked", v1::REASON_CLIENT_RESET, Case::State::kBlocked},
      {"draining", v1::REASON_CLIENT_CLOSED, Case::State::kDraining},
      {"saying goodbye", v1::REASON_WRITE_TIMEOUT, Case::State::kGoodbye},
      {"lingering", v1::REASON_PROTOCOL_ERROR, Case::State::kLingering},
  };
  uint64_t ended = 0;
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    Peer* peer = nullptr;
    switch (one.state) {
      case Case::State::kConnecting:
        peer = rig_.Connect();
        break;
      case Case::State::kOpen:
        peer = rig_.ConnectAs("client");
        Subscribe(peer, 1, "a");
        break;
      case Case::State::kBlocked:
        peer = Blocked(500'000, 3);
        break;
      case Case::State::kDraining:
        peer = Blocked(500'000, 3);
        peer->client.ShutdownWrite();
        rig_.Until([&] { return rig_.counters.subscriptions.Get() == 0; });
        break;
      case Case::State::kGoodbye:
        peer = Blocked(500'000, 3);
        PassWriteTimeout();
        break;
      case Case::State::kLingering:
        peer = rig_.ConnectAs("client");
        rig_.SendRaw(peer, std::string("\x80\x00", 2));
        rig_.AwaitGoodbye(peer);
        break;
    }
    ASSERT_NE(peer->session, nullptr);
    const uint64_t reason_before = rig_.ended(one.reason);
    const bool said = one.state == Case::State::kGoodbye || one.state == Case::State::kLingering;
    SessionRig::Reset(peer);
    rig_.UntilEnded(peer);
    EXPECT_EQ(rig_.ended(one.reason), reason_before + (said ? 0 : 1));
    EXPECT_EQ(rig_.ended_total(), ++ended);
    if (one.state != Case::State::kConnecting) {
      ASSERT_TRUE(RecordOf(peer).has_value());
      EXPECT_EQ(RecordOf(peer)->goodbye().reason(), one.reason);
    }
    ExpectNothingLeft();
  }
}

TEST_F(SessionTest, AWriteThatFailsEndsItToo) {
  Peer* peer = rig_.ConnectAs("client");
  Subscribe(peer, 1, "a");
  (void)feeder();  // connecting makes turns
  SessionRig::Reset(peer);
  // The write comes before any read says so.
  EXPECT_TRUE(testing::Eventually([&] {
    rig_.Send(feeder(), PublishFrame("a", "x"));
    rig_.Read(feeder());
    rig_.FanOutAndFlush();
    return peer->session->closing();
  }));
  rig_.Settle();
  EXPECT_EQ(peer->session, nullptr);
  EXPECT_EQ(rig_.ended(v1::REASON_CLIENT_RESET), 1u);
  EXPECT_EQ(rig_.counters.subscriptions.Get(), 0);
}

TEST_F(SessionTest, AFailureSeenByThePollerAloneEndsOneThatReadsNoMore) {
  Peer* peer = Blocked();
  peer->client.ShutdownWrite();
  rig_.Until([&] { return rig_.counters.subscriptions.Get() == 0; });
  peer->session->Failed();
  EXPECT_EQ(rig_.Advance(peer), Session::Life::kEnded);
  ExpectNothingLeft();
}

// ---- Time ----

TEST_F(SessionTest, WhoDoesNotSayConnectInTimeIsSentAway) {
  Peer* peer = rig_.Connect();
  rig_.SendRaw(peer, "\x10");  // the length of a frame that never comes
  EXPECT_EQ(peer->session->NextDeadline(), rig_.now + rig_.limits.connect_timeout);
  rig_.now += rig_.limits.connect_timeout - absl::Milliseconds(1);
  rig_.Turn();
  EXPECT_FALSE(peer->session->closing());
  rig_.now += absl::Milliseconds(1);
  const v1::Goodbye goodbye = rig_.AwaitGoodbye(peer);
  EXPECT_EQ(goodbye.reason(), v1::REASON_CONNECT_TIMEOUT);
  EXPECT_EQ(goodbye.limit(), 5000u);
}

TEST_F(SessionTest, AFrameThatDoesNotGoOnIsGivenUp) {
  rig_.limits.ping_interval = absl::ZeroDuration();
  Peer* peer = rig_.ConnectAs("client");
  EXPECT_EQ(peer->session->NextDeadline(), absl::InfiniteFuture());
  const std::string frame = Encoded(PublishFrame("a", std::string(200'000, 'x')));
  size_t sent = 0;
  for (int i = 0; i < 5; ++i) {  // every byte of progress counts
    const uint64_t read = rig_.counters.read_bytes.Get();
    rig_.SendRaw(peer, std::string_view(frame).substr(sent, 1000));
    sent += 1000;
    rig_.Until([&] { return rig_.counters.read_bytes.Get() == read + 1000; });
    EXPECT_EQ(peer->session->NextDeadline(), rig_.now + rig_.limits.frame_timeout);
    rig_.now += rig_.limits.frame_timeout - absl::Milliseconds(1);
    rig_.Turn();
    EXPECT_FALSE(peer->session->closing());
  }
  rig_.now += absl::Milliseconds(1);
  EXPECT_EQ(rig_.AwaitGoodbye(peer).reason(), v1::REASON_FRAME_TIMEOUT);
}

TEST_F(SessionTest, ASilentClientIsPingedAndItsKernelsAcknowledgementCounts) {
  rig_.limits.ping_interval = absl::Seconds(30);
  Peer* peer = rig_.ConnectAs("client");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(peer->session->NextDeadline(), rig_.now + absl::Seconds(30));
    rig_.now += absl::Seconds(30);
    rig_.Await(peer, Frame::kServerPing);
    // It says nothing, but what it was sent arrives.
    rig_.Until([&] { return rig_.counters.writes.Get() > 0; });
    rig_.now += absl::Seconds(30);
    rig_.Turn();
    ASSERT_NE(peer->session, nullptr);
    ASSERT_FALSE(peer->session->closing());
  }
}

TEST_F(SessionTest, AnAnswerToThePingIsALifeSign) {
  rig_.limits.ping_interval = absl::Seconds(30);
  Peer* peer = rig_.ConnectAs("client");
  rig_.now += absl::Seconds(30);
  rig_.Await(peer, Frame::kServerPing);
  v1::ClientFrame pong;
  pong.mutable_pong()->set_id(1);
  const uint64_t frames = rig_.counters.frames_in.Get();
  rig_.Send(peer, pong);
  rig_.Until([&] { return rig_.counters.frames_in.Get() == frames + 1; });
  EXPECT_EQ(peer->session->NextDeadline(), rig_.now + absl::Seconds(30));
}

TEST_F(SessionTest, ABlockedClientIsNotJudgedByItsPings) {
  rig_.limits.ping_interval = absl::Seconds(1);
  rig_.limits.subscriber.write_timeout = absl::Hours(1);
  Peer* peer = Blocked();
  for (int i = 0; i < 20; ++i) {
    rig_.now += absl::Seconds(1);
    rig_.Turn();
    ASSERT_FALSE(peer->session->closing());
  }
}

TEST_F(SessionTest, SilenceIsNotHeldAgainstAClientWhoseReadsArePaused) {
  rig_.limits.ping_interval = absl::Seconds(10);
  Peer* peer = rig_.ConnectAs("client");
  rig_.SendRaw(peer, Encoded(PublishFrame("a", "x")).substr(0, 5));
  const uint64_t read = rig_.counters.read_bytes.Get();
  rig_.Until([&] { return rig_.counters.read_bytes.Get() == read + 5; });
  peer->session->TellPaused(v1::Paused::CAUSE_SHARD_BUSY);  // it is not paused
  EXPECT_TRUE(peer->session->subscriber().writer().empty());
  peer->session->PauseReads();
  for (int i = 0; i < 10; ++i) {
    rig_.now += absl::Seconds(20);
    peer->session->CheckDeadlines(rig_.now);
    ASSERT_FALSE(peer->session->closing());
  }
  peer->session->TellPaused(v1::Paused::CAUSE_SHARD_BUSY);
  peer->session->TellPaused(v1::Paused::CAUSE_SHARD_BUSY);
  peer->session->ResumeReads(rig_.now);
  peer->session->ResumeReads(rig_.now);
  rig_.Await(peer, Frame::kResumed);
  ASSERT_FALSE(peer->frames.empty());
  EXPECT_TRUE(peer->frames.back().has_paused());
  EXPECT_EQ(std::count_if(peer->frames.begin(), peer->frames.end(),
                          [](const Frame& frame) { return frame.has_paused(); }),
            1);
  EXPECT_LE(peer->session->NextDeadline(), rig_.now + absl::Seconds(10));
  EXPECT_GT(peer->session->NextDeadline(), rig_.now);
}

// ---- Going down, full house ----

TEST_F(SessionTest, ADrainDeliversWhatIsQueuedThenSaysGoodbye) {
  Peer* peer = Blocked(500'000, 3);
  Peer* idle = rig_.ConnectAs("idle");
  Peer* stranger = rig_.Connect();
  for (Peer* one : {peer, idle, stranger}) {
    one->session->Drain(rig_.now, rig_.now + absl::Seconds(10), absl::Milliseconds(1234));
  }
  EXPECT_EQ(rig_.counters.subscriptions.Get(), 0);
  rig_.Turn();
  EXPECT_EQ(rig_.AwaitGoodbye(idle).reason(), v1::REASON_SHUTDOWN);
  EXPECT_EQ(rig_.AwaitGoodbye(stranger).reason(), v1::REASON_SHUTDOWN);
  const v1::Goodbye goodbye = rig_.AwaitGoodbye(peer);
  EXPECT_EQ(goodbye.reason(), v1::REASON_SHUTDOWN);
  EXPECT_EQ(goodbye.retry_after_ms(), 1234u);
  EXPECT_EQ(rig_.Payloads(peer).size(), 4u);
  for (Peer* one : {peer, idle, stranger}) {
    one->client.Close();
    rig_.UntilEnded(one);
  }
  ExpectNothingLeft();
}

TEST_F(SessionTest, ADrainEndsAtItsDeadline) {
  Peer* peer = Blocked(500'000, 3);
  peer->session->Drain(rig_.now, rig_.now + absl::Seconds(10), absl::Milliseconds(1234));
  EXPECT_EQ(peer->session->NextDeadline(), rig_.now + absl::Seconds(10));
  rig_.now += absl::Seconds(10) - absl::Milliseconds(1);
  rig_.Turn();
  EXPECT_EQ(rig_.ended_total(), 0u);
  rig_.now += absl::Milliseconds(1);
  rig_.Turn();
  EXPECT_EQ(rig_.ended(v1::REASON_SHUTDOWN), 1u);
  rig_.now += rig_.limits.goodbye_timeout;
  rig_.Turn();
  EXPECT_EQ(peer->session, nullptr);
  ExpectNothingLeft();
}

TEST_F(SessionTest, WhoIsTurnedAwayIsToldWhy) {
  Peer* peer = rig_.Connect();
  peer->session->TurnAway(v1::REASON_TOO_MANY_CONNECTIONS, "full");
  rig_.Turn();
  const v1::Goodbye goodbye = rig_.AwaitGoodbye(peer);
  EXPECT_EQ(goodbye.reason(), v1::REASON_TOO_MANY_CONNECTIONS);
  EXPECT_EQ(goodbye.text(), "full");
  EXPECT_EQ(goodbye.retry_after_ms(), 1000u);
}

// ---- Credit ----

TEST_F(SessionTest, SendsWhatIsGrantedAndIgnoresAGrantThatComesLate) {
  Peer* peer = rig_.ConnectAs("client");
  v1::ClientFrame subscribe = SubscribeFrame(1, "a");
  subscribe.mutable_subscribe()->set_window_bytes(1);
  rig_.Send(peer, subscribe);
  EXPECT_EQ(rig_.Await(peer, Frame::kSubscribed).subscribed().window_bytes(), 1u);
  for (const char* payload : {"1", "2", "3"}) Publish(feeder(), "a", payload);
  rig_.Barrier(peer);
  EXPECT_EQ(rig_.Payloads(peer), std::vector<std::string>{"1"});
  EXPECT_EQ(rig_.counters.pending_messages.Get(), 2);
  const uint64_t frame_bytes = Encoded(PublishFrame("a", "1")).size();
  rig_.Send(peer, CreditFrame(1, 2 * frame_bytes));
  rig_.Send(peer, CreditFrame(1, 2 * frame_bytes));
  rig_.Send(peer, CreditFrame(1, 1));
  rig_.Barrier(peer);
  EXPECT_EQ(rig_.Payloads(peer), std::vector<std::string>{"2"});
  rig_.Send(peer, CreditFrame(7, 1000));  // unknown: it may have crossed the end
  rig_.Send(peer, CreditFrame(1, UINT64_MAX));
  rig_.Barrier(peer);
  EXPECT_EQ(rig_.Payloads(peer), std::vector<std::string>{"3"});
  EXPECT_EQ(rig_.counters.errors_sent.Get(), 0u);
}

TEST_F(SessionTest, CreditForNoWindowIsAnErrorAndLosesNothing) {
  Peer* peer = rig_.ConnectAs("client");
  Subscribe(peer, 1, "a");
  rig_.Send(peer, CreditFrame(1, 1000));
  v1::Error error = AwaitError(peer);
  EXPECT_EQ(error.code(), v1::ERROR_CODE_BAD_CREDIT);
  EXPECT_EQ(error.subscription(), 1u);
  EXPECT_NE(error.text(), "");
  rig_.Send(peer, CreditFrame(0, 1000));
  EXPECT_EQ(AwaitError(peer).code(), v1::ERROR_CODE_BAD_CREDIT);
  Publish(feeder(), "a", "still here");
  rig_.Barrier(peer);
  EXPECT_EQ(rig_.Payloads(peer), std::vector<std::string>{"still here"});
}

// Of two subscriptions on one socket one is out of credit: it is ended alone, in place, and its group is rid
// of it.
TEST_F(SessionTest, WhoIsOverItsLimitForWantOfCreditEndsWithoutItsSession) {
  Peer* peer = rig_.ConnectAs("client");
  v1::ClientFrame subscribe = SubscribeFrame(1, "a");
  subscribe.mutable_subscribe()->set_window_bytes(1);
  subscribe.mutable_subscribe()->mutable_limits()->set_pending_messages_max(10);
  rig_.Send(peer, subscribe);
  rig_.Await(peer, Frame::kSubscribed);
  Subscribe(peer, 2, "b");
  for (int i = 0; i < 12; ++i) Publish(feeder(), "a", std::to_string(i));
  Publish(feeder(), "b", "through");
  const v1::ServerFrame gap = rig_.Await(peer, Frame::kGap);
  const v1::ServerFrame ended = rig_.Await(peer, Frame::kUnsubscribed);
  EXPECT_EQ(gap.gap().messages(), 11u);
  EXPECT_EQ(ended.unsubscribed().reason(), v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(ended.unsubscribed().offered(), 12u);
  EXPECT_EQ(ended.unsubscribed().limit(), 10u);
  EXPECT_EQ(ended.unsubscribed().value(), 11u);
  rig_.Barrier(peer);
  EXPECT_EQ(rig_.Payloads(peer), (std::vector<std::string>{"0", "through"}));
  EXPECT_EQ(rig_.counters.subscriptions.Get(), 1);
  EXPECT_EQ(rig_.counters.subscriptions_cut[v1::REASON_PENDING_MESSAGES].Get(), 1u);
  EXPECT_EQ(rig_.counters.messages_dropped.Get(), 11u);
  EXPECT_EQ(rig_.counters.pending_messages.Get(), 0);
  EXPECT_EQ(rig_.counters.lagging_subscriptions.Get(), 0);
  EXPECT_EQ(rig_.ended_total(), 0u);
  EXPECT_EQ(rig_.LogLinesWith("slow consumer: subscription ended client=client"), 1u);
  EXPECT_EQ(rig_.LogLinesWith("consumer lags"), 1u);
  EXPECT_EQ(rig_.LogLinesWith("consumer recovered"), 0u);  // it has not
  Subscribe(peer, 1, "a");                                 // the id is free
}

TEST_F(SessionTest, AMemberWithoutCreditIsPassedOverAndWhatItHadIsDealtAgain) {
  Peer* slow = rig_.ConnectAs("slow");
  v1::ClientFrame subscribe = SubscribeFrame(1, "jobs", "workers");
  subscribe.mutable_subscribe()->set_window_bytes(1);
  subscribe.mutable_subscribe()->mutable_limits()->set_pending_age_max_ms(5000);
  rig_.Send(slow, subscribe);
  rig_.Await(slow, Frame::kSubscribed);
  for (int i = 0; i < 4; ++i) Publish(feeder(), "jobs", "early " + std::to_string(i));
  Peer* other = rig_.ConnectAs("other");
  Subscribe(other, 1, "jobs", "workers");
  for (int i = 0; i < 10; ++i) Publish(feeder(), "jobs", "job " + std::to_string(i));
  rig_.Barrier(other);
  EXPECT_EQ(rig_.Payloads(other).size(), 10u);
  for (int i = 0; i < 10; ++i) {
    rig_.now += absl::Seconds(1);
    rig_.Turn();
  }
  EXPECT_EQ(rig_.Await(slow, Frame::kUnsubscribed).unsubscribed().reason(), v1::REASON_PENDING_AGE);
  rig_.Barrier(other);
  EXPECT_EQ(rig_.Payloads(other).size(), 3u);
  EXPECT_EQ(rig_.counters.messages_dropped.Get(), 0u);
  EXPECT_EQ(rig_.counters.pending_messages.Get(), 0);
}

TEST_F(SessionTest, WhoEndsItsDirectionGetsWhatWaitsForCredit) {
  Peer* peer = rig_.ConnectAs("client");
  v1::ClientFrame subscribe = SubscribeFrame(1, "a");
  subscribe.mutable_subscribe()->set_window_bytes(1);
  rig_.Send(peer, subscribe);
  rig_.Await(peer, Frame::kSubscribed);
  for (int i = 0; i < 5; ++i) Publish(feeder(), "a", std::to_string(i));
  peer->client.ShutdownWrite();
  const v1::Goodbye goodbye = rig_.AwaitGoodbye(peer);
  EXPECT_EQ(goodbye.reason(), v1::REASON_CLIENT_CLOSED);
  EXPECT_EQ(goodbye.pending_messages(), 0u);
  EXPECT_EQ(rig_.Payloads(peer).size(), 5u);
}

// ---- Queue groups ----

TEST_F(SessionTest, WhatACutMemberHadIsDealtToTheOthersAndIsNotDropped) {
  rig_.limits.subscriber.write_timeout = absl::Seconds(10);
  Peer* slow = rig_.ConnectAs("slow", kSmallBuffers);
  Subscribe(slow, 1, "jobs", "workers");
  Publish(feeder(), "jobs", std::string(500'000, 'x'));
  rig_.Until([&] { return slow->session->subscriber().blocked(); });
  for (int i = 0; i < 5; ++i) Publish(feeder(), "jobs", "job " + std::to_string(i));
  Peer* other = rig_.ConnectAs("other");
  Subscribe(other, 1, "jobs", "workers");
  PassWriteTimeout();
  rig_.Turn();
  rig_.Barrier(other);
  EXPECT_EQ(rig_.Payloads(other).size(), 5u);
  EXPECT_EQ(rig_.counters.messages_dropped.Get(), 0u);
  EXPECT_EQ(rig_.counters.pending_messages.Get(), 1);  // the one in flight
  rig_.now += rig_.limits.goodbye_timeout;
  rig_.Turn();
  EXPECT_EQ(rig_.counters.messages_dropped.Get(), 1u);
  EXPECT_EQ(rig_.counters.pending_messages.Get(), 0);
}

TEST_F(SessionTest, MembersThatAreCutInOneTurnDealToEachOtherAndThenToNobody) {
  rig_.limits.subscriber.write_timeout = absl::Seconds(10);
  rig_.limits.goodbye_timeout = absl::Hours(1);
  std::vector<Peer*> members;
  for (int i = 0; i < 3; ++i) {
    Peer* peer = rig_.ConnectAs("slow", kSmallBuffers);
    Subscribe(peer, 1, "jobs", "workers");
    Subscribe(peer, 2, "big" + std::to_string(i));
    Publish(feeder(), "big" + std::to_string(i), std::string(500'000, 'x'));
    rig_.Until([&] { return peer->session->subscriber().blocked(); });
    members.push_back(peer);
  }
  for (int i = 0; i < 9; ++i) Publish(feeder(), "jobs", "job " + std::to_string(i));
  uint64_t offered = 0;  // to whom depends on what the kernel still takes for each
  for (Peer* peer : members) offered += peer->session->subscriber().Find(1)->offered;
  EXPECT_EQ(offered, 9u);
  PassWriteTimeout(/*cuts=*/3);
  EXPECT_EQ(rig_.ended(v1::REASON_WRITE_TIMEOUT), 3u);
  EXPECT_EQ(rig_.counters.subscriptions.Get(), 0);
  rig_.Turn();
  for (Peer* peer : members) EXPECT_EQ(rig_.AwaitGoodbye(peer).reason(), v1::REASON_WRITE_TIMEOUT);
  for (Peer* peer : members) {
    peer->client.Close();
    rig_.UntilEnded(peer);
  }
  EXPECT_EQ(rig_.counters.messages_dropped.Get(), 9u);
  ExpectNothingLeft();
}

// What leaving settles may be the last message of a counted subscription: it is gone with the Goodbye, before
// the shard comes to take it out of its group.
TEST_F(SessionTest, ASubscriptionMayReachItsCountByWhatItsLeavingSettles) {
  rig_.limits.subscriber.write_timeout = absl::Seconds(10);
  Peer* cut = rig_.ConnectAs("slow", kSmallBuffers);
  Subscribe(cut, 1, "jobs", "workers");
  Publish(feeder(), "jobs", std::string(500'000, 'x'));
  rig_.Until([&] { return cut->session->subscriber().blocked(); });
  for (int i = 0; i < 5; ++i) Publish(feeder(), "jobs", "job");
  Peer* leaves = rig_.ConnectAs("counted");
  Subscribe(leaves, 1, "jobs", "workers");
  rig_.Send(leaves, UnsubscribeFrame(1, 1));
  rig_.Barrier(leaves);
  rig_.SendRaw(leaves, std::string("\x80\x00", 2));
  ASSERT_TRUE(testing::Eventually([&] {
    pollfd ready = {.fd = leaves->session->fd(), .events = POLLIN, .revents = 0};
    return ::poll(&ready, 1, 0) == 1;
  }));
  PassWriteTimeout();  // ends both, the one that deals again first
  EXPECT_EQ(rig_.ended(v1::REASON_WRITE_TIMEOUT), 1u);
  EXPECT_EQ(rig_.ended(v1::REASON_PROTOCOL_ERROR), 1u);
  EXPECT_EQ(rig_.counters.subscriptions.Get(), 0);
  rig_.AwaitGoodbye(leaves);
  rig_.AwaitGoodbye(cut);
  for (Peer* peer : {leaves, cut}) {
    peer->client.Close();
    rig_.UntilEnded(peer);
  }
  ExpectNothingLeft();
}

// ---- Lagging ----

TEST_F(SessionTest, LaggingIsToldCountedAndForgottenAtTheEnd) {
  rig_.limits.queue.pending_messages_max = 20;
  Peer* peer = Blocked(500'000, 15);
  rig_.Turn();
  EXPECT_EQ(rig_.counters.lagging_episodes.Get(), 1u);
  EXPECT_EQ(rig_.counters.lagging_subscriptions.Get(), 1);
  EXPECT_EQ(rig_.LogLinesWith("consumer lags"), 1u);
  EXPECT_EQ(rig_.LogLinesWith("cause of lag"), 0u);  // it is too early to know
  EXPECT_GT(KernelBytesInLog("consumer lags"), 0u);
  EXPECT_LT(KernelBytesInLog("consumer lags"), 500'000u);
  const auto causes_told = [&] {
    uint64_t told = 0;
    for (const Counter& cause : rig_.counters.lagging_causes) told += cause.Get();
    return told;
  };
  EXPECT_EQ(causes_told(), 0u);
  // From here the rig's clock goes with the kernel's.
  const absl::Duration ahead = rig_.now - absl::Now();
  rig_.Until([&] {
    rig_.now = absl::Now() + ahead;
    return causes_told() == 1;
  });
  EXPECT_EQ(rig_.LogLinesWith("cause of lag"), 1u);
  EXPECT_EQ(rig_.counters.lagging_episodes.Get(), 1u);
  rig_.Until([&] {
    rig_.Receive(peer);
    return peer->session->subscriber().pending_messages() == 0;
  });
  rig_.Turn();
  EXPECT_EQ(rig_.counters.lagging_subscriptions.Get(), 0);
  EXPECT_EQ(rig_.LogLinesWith("consumer recovered"), 1u);
  EXPECT_EQ(rig_.Await(peer, Frame::kSlowConsumer).slow_consumer().state(), v1::SlowConsumer::STATE_RAISED);
  EXPECT_NE(rig_.Await(peer, Frame::kSlowConsumer).slow_consumer().cause(), v1::LAG_CAUSE_UNSPECIFIED);
  // Perhaps again with another cause.
  while (rig_.Await(peer, Frame::kSlowConsumer).slow_consumer().state() != v1::SlowConsumer::STATE_CLEARED) {
  }

  SessionRig::Reset(peer);
  rig_.UntilEnded(peer);
  Peer* other = Blocked(500'000, 15);
  rig_.Turn();
  EXPECT_EQ(rig_.counters.lagging_subscriptions.Get(), 1);
  SessionRig::Reset(other);
  rig_.UntilEnded(other);
  EXPECT_EQ(rig_.counters.lagging_subscriptions.Get(), 0);
}

}  // namespace
}  // namespace sluice
