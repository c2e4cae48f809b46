// What overflow policies do with a queue over its limits, and whether the client is told exactly.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "broker/core/subscriber.h"
#include "protocol/sluice.pb.h"
#include "tests/support/frames.h"
#include "tests/support/scripted_transport.h"

namespace sluice {
namespace {

using testing::MessageFrame;
using testing::ReadStream;
using testing::ScriptedTransport;
using testing::SliceOf;

// What a client makes of its stream: numbers of the messages that came, which are those offered, and Gaps.
class Client {
 public:
  // `stream` ends with a whole frame.
  void Read(std::string_view stream) {
    uint32_t current = 0;
    const testing::ReceivedStream received = ReadStream(stream);
    ASSERT_EQ(received.state, testing::ReceivedStream::State::kWhole);
    ASSERT_EQ(received.unfinished_bytes, 0u);
    books.clear();
    for (const v1::ServerFrame& frame : received.frames) {
      if (frame.has_delivery()) {
        current = frame.delivery().subscription();
      } else if (frame.has_message()) {
        Book& book = books[current];
        const uint64_t number = std::stoull(frame.message().payload());
        // Whatever lies between has been told.
        ASSERT_EQ(number, book.received.size() + book.told + 1) << "subscription " << current;
        book.received.push_back(number);
      } else if (frame.has_gap()) {
        Book& book = books[frame.gap().subscription()];
        ASSERT_GT(frame.gap().messages(), 0u);
        book.told += frame.gap().messages();
        book.told_bytes += frame.gap().bytes();
        ++book.gaps;
        ASSERT_EQ(frame.gap().offered(), book.received.size() + book.told);
        ASSERT_EQ(frame.gap().cause(), v1::GAP_CAUSE_DROPPED);
      }
    }
  }

  struct Book {
    std::vector<uint64_t> received;
    uint64_t told = 0;
    uint64_t told_bytes = 0;
    uint64_t gaps = 0;
  };
  std::map<uint32_t, Book> books;
};

class OverflowTest : public ::testing::Test {
 protected:
  Subscription* Add(uint32_t id, v1::OverflowPolicy policy, const QueueLimits& limits) {
    Subscription* subscription = subscriber_.Add(id, limits, policy);
    subscription->told = Subscription::Told::kYes;
    return subscription;
  }
  // The next messages of the subscription, side by side in one slice.
  Subscriber::Offered Offer(Subscription* subscription, uint64_t messages, size_t padding_bytes = 0) {
    std::string frames;
    for (uint64_t i = 1; i <= messages; ++i) {
      std::string payload = std::to_string(subscription->offered + i);
      payload.insert(0, padding_bytes, '0');
      frames += MessageFrame("t", payload);
    }
    const Slice slice = SliceOf(frames, &account_);
    const Subscriber::Offered offered = subscriber_.Offer(subscription, {&slice, 1}, now_);
    pending_messages_ += offered.queued;
    pending_bytes_ += offered.queued_bytes;
    TakeLosses();
    return offered;
  }
  FlushResult Flush() {
    const FlushResult result = subscriber_.Flush(&transport_, scratch_.get(), 1 << 20, now_);
    pending_messages_ -= result.messages_sent;
    pending_bytes_ -= result.message_bytes_sent;
    TakeLosses();
    return result;
  }
  void Block() {
    transport_.AfterwardsTakes(0);
    subscriber_.QueueControl(testing::ServerPong(1));
    ASSERT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  }
  // Reads everything from the beginning.
  void Drain() {
    transport_.AfterwardsTakes(ScriptedTransport::kEverything);
    subscriber_.BecameWritable();
    while (subscriber_.wants_flush()) Flush();
    client_.Read(transport_.stream());
  }
  void TakeLosses() {
    const auto [dropped, conflated, gaps] = subscriber_.TakeLosses();
    pending_messages_ -= dropped.messages + conflated.messages;
    pending_bytes_ -= dropped.bytes + conflated.bytes;
    dropped_ += dropped;
    conflated_ += conflated;
    // The books of the session and those of whoever counts along.
    ASSERT_EQ(subscriber_.pending_messages(), pending_messages_);
    ASSERT_EQ(subscriber_.pending_bytes(), pending_bytes_);
  }

  MemoryAccount account_;
  SubscriberLimits limits_;
  Subscriber subscriber_{1, &limits_, &account_};
  ScriptedTransport transport_;
  std::unique_ptr<WriteScratch> scratch_ = std::make_unique<WriteScratch>();
  absl::Time now_ = absl::FromUnixSeconds(1000);
  uint64_t pending_messages_ = 0;
  uint64_t pending_bytes_ = 0;
  Missing dropped_;
  Missing conflated_;
  Client client_;
};

TEST_F(OverflowTest, TheOldestGoUntilTheLowWatermark) {
  Subscription* subscription = Add(1, v1::OVERFLOW_POLICY_DROP_OLDEST, {.pending_messages_max = 100});
  Block();
  EXPECT_EQ(Offer(subscription, 100).queued, 100u);
  EXPECT_EQ(dropped_.messages, 0u);
  EXPECT_EQ(Offer(subscription, 1).queued, 1u);
  EXPECT_EQ(dropped_.messages, 51u);
  EXPECT_FALSE(subscriber_.over().has_value());
  Offer(subscription, 51);  // over it again: the same Gap grows
  EXPECT_EQ(dropped_.messages, 102u);
  Drain();
  const Client::Book& book = client_.books[1];
  EXPECT_EQ(book.received.front(), 103u);
  EXPECT_EQ(book.received.back(), 152u);
  EXPECT_EQ(book.told, 102u);
  EXPECT_EQ(book.told_bytes, dropped_.bytes);
  EXPECT_EQ(book.gaps, 1u);
}

TEST_F(OverflowTest, BytesCountToTheFrameThatEndsBehindTheBound) {
  Subscription* subscription = Add(1, v1::OVERFLOW_POLICY_DROP_OLDEST, {.pending_bytes_max = 10'000});
  Block();
  while (dropped_.messages == 0) Offer(subscription, 1, 90);
  EXPECT_LE(subscriber_.pending_bytes(), 5000u);
  EXPECT_GT(subscriber_.pending_bytes(), 4850u);
}

TEST_F(OverflowTest, TheNewestGoUntilHalfHasLeft) {
  Subscription* subscription = Add(1, v1::OVERFLOW_POLICY_DROP_NEWEST, {.pending_messages_max = 100});
  Block();
  const Subscriber::Offered offered = Offer(subscription, 130);
  EXPECT_EQ(offered.matched, 130u);
  EXPECT_EQ(subscriber_.pending_messages(), 100u);
  EXPECT_EQ(dropped_.messages, 30u);
  EXPECT_EQ(Offer(subscription, 7).queued, 0u);
  // Still above the low watermark: what arrives is dropped.
  transport_.Takes(200);
  transport_.AfterwardsTakes(0);
  subscriber_.BecameWritable();
  Flush();
  ASSERT_GT(subscriber_.pending_messages(), 50u);
  EXPECT_EQ(Offer(subscription, 1).queued, 0u);
  Drain();
  EXPECT_EQ(Offer(subscription, 2).queued, 2u);
  Drain();
  const Client::Book& book = client_.books[1];
  EXPECT_EQ(book.received.size(), 102u);
  EXPECT_EQ(book.told, 38u);
  EXPECT_EQ(book.gaps, 1u);
  EXPECT_EQ(book.received[100], 139u);
}

TEST_F(OverflowTest, WhatIsTooOldGoes) {
  Subscription* subscription =
      Add(1, v1::OVERFLOW_POLICY_DROP_OLDEST, {.pending_age_max = absl::Seconds(10)});
  Block();
  for (int i = 0; i < 20; ++i) {
    Offer(subscription, 1);
    now_ += absl::Seconds(1);
    if (now_ >= subscriber_.NextCheck()) subscriber_.Check(&transport_, now_);
    TakeLosses();
  }
  EXPECT_FALSE(subscriber_.over().has_value());
  EXPECT_GE(dropped_.messages, 9u);
  EXPECT_GE(subscriber_.pending_messages(), 5u);
  Drain();
  EXPECT_EQ(client_.books[1].received.back(), 20u);
}

TEST_F(OverflowTest, ASessionOverItsBytesShedsItsFullestQueue) {
  limits_.session_bytes_max = 30'000;
  Subscription* small = Add(1, v1::OVERFLOW_POLICY_DISCONNECT, {});
  Subscription* large = Add(2, v1::OVERFLOW_POLICY_DROP_OLDEST, {});
  Block();
  Offer(small, 100, 90);
  for (int i = 0; i < 10; ++i) Offer(large, 50, 90);
  EXPECT_FALSE(subscriber_.over().has_value());
  EXPECT_LE(subscriber_.pending_bytes(), 30'000u);
  Offer(small, 300, 90);  // now the fullest, and it would rather be cut
  ASSERT_TRUE(subscriber_.over().has_value());
  EXPECT_EQ(subscriber_.over()->reason, v1::REASON_SESSION_BYTES);
}

TEST_F(OverflowTest, ASessionOverItsBytesBringsItsFullestQueuesToOneLevel) {
  limits_.session_bytes_max = 100'000;
  Subscription* small = Add(1, v1::OVERFLOW_POLICY_DROP_OLDEST, {});
  Subscription* middle = Add(2, v1::OVERFLOW_POLICY_DROP_OLDEST, {});
  Subscription* large = Add(3, v1::OVERFLOW_POLICY_DROP_NEWEST, {});
  Block();
  Offer(small, 50, 80);
  const uint64_t small_bytes = small->queue().pending_bytes();
  Offer(middle, 400, 80);
  while (dropped_.messages == 0) Offer(large, 50, 80);
  EXPECT_FALSE(subscriber_.over().has_value());
  EXPECT_LE(subscriber_.pending_bytes(), 50'000u);  // the low watermark
  EXPECT_GE(subscriber_.pending_bytes(), 49'700u);
  EXPECT_EQ(small->queue().pending_bytes(), small_bytes);
  EXPECT_NEAR(static_cast<double>(middle->queue().pending_bytes()),
              static_cast<double>(large->queue().pending_bytes()), 110);
  Drain();
}

TEST_F(OverflowTest, OneThatRunsOutOfMemoryAsksForHalfOrCuts) {
  Subscription* dropping = Add(1, v1::OVERFLOW_POLICY_DROP_OLDEST, {});
  Subscription* faithful = Add(2, v1::OVERFLOW_POLICY_DISCONNECT, {});
  Block();
  Offer(dropping, 100, 80);
  Offer(faithful, 100, 80);
  const uint64_t before = dropping->queue().pending_bytes();
  EXPECT_EQ(subscriber_.DropHalf(faithful, now_).messages, 0u);
  EXPECT_GE(subscriber_.DropHalf(dropping, now_).messages, 50u);
  TakeLosses();
  EXPECT_LE(dropping->queue().pending_bytes(), before / 2);
  size_t active = 0;
  subscriber_.ForEachActive([&](const Subscription*) { ++active; });
  EXPECT_EQ(active, 2u);
  subscriber_.CutForMemory(*faithful);
  ASSERT_TRUE(subscriber_.over().has_value());
  EXPECT_EQ(subscriber_.over()->reason, v1::REASON_MEMORY_BUDGET);
  EXPECT_EQ(subscriber_.over()->subscription, 2u);
}

TEST_F(OverflowTest, TheGapStandsBeforeTheEndOfTheSubscription) {
  Subscription* subscription = Add(1, v1::OVERFLOW_POLICY_DROP_NEWEST, {.pending_messages_max = 10});
  Block();
  Offer(subscription, 20);
  subscriber_.End(subscription, v1::REASON_UNSUBSCRIBED);
  Drain();
  const std::vector<v1::ServerFrame> frames = ReadStream(transport_.stream()).frames;
  ASSERT_TRUE(frames.back().has_unsubscribed());
  EXPECT_EQ(frames.back().unsubscribed().offered(), 20u);
  EXPECT_TRUE(frames[frames.size() - 2].has_gap());
}

// A message whose payload is its number, and of whose key only the newest is wanted.
std::string Keyed(std::string_view topic, uint64_t number, std::string_view header_value = "") {
  v1::ServerFrame frame;
  frame.mutable_message()->set_topic(std::string(topic));
  frame.mutable_message()->set_payload(std::to_string(number));
  if (!header_value.empty()) {
    v1::Header* header = frame.mutable_message()->add_headers();
    header->set_name("key");
    header->set_value(std::string(header_value));
  }
  return testing::Encode(frame);
}

class ConflateTest : public OverflowTest {
 protected:
  Subscription* AddConflating(std::string_view key_header = "", const QueueLimits& limits = {}) {
    Subscription* subscription = subscriber_.Add(1, limits, v1::OVERFLOW_POLICY_CONFLATE, key_header);
    subscription->told = Subscription::Told::kYes;
    return subscription;
  }
  void OfferFrames(Subscription* subscription, std::string_view frames) {
    const Slice slice = SliceOf(frames, &account_);
    const Subscriber::Offered offered = subscriber_.Offer(subscription, {&slice, 1}, now_);
    EXPECT_EQ(offered.queued, slice.messages);
    pending_messages_ += offered.queued;
    pending_bytes_ += offered.queued_bytes;
    TakeLosses();
  }
  // Lets the socket take everything, and reads it from the beginning: payloads, and "-3" for a Gap of three.
  std::vector<std::string> Stream() {
    transport_.AfterwardsTakes(ScriptedTransport::kEverything);
    subscriber_.BecameWritable();
    while (subscriber_.wants_flush()) Flush();
    return Said();
  }
  std::vector<std::string> Said() const {
    std::vector<std::string> said;
    for (const v1::ServerFrame& frame : ReadStream(transport_.stream()).frames) {
      if (frame.has_message()) said.push_back(frame.message().payload());
      if (frame.has_gap()) {
        EXPECT_EQ(frame.gap().cause(), v1::GAP_CAUSE_CONFLATED);
        said.push_back("-" + std::to_string(frame.gap().messages()));
      }
    }
    return said;
  }
  using Strings = std::vector<std::string>;
};

TEST_F(ConflateTest, WhileItKeepsUpItGetsEverything) {
  Subscription* subscription = AddConflating();
  for (uint64_t i = 1; i <= 5; ++i) OfferFrames(subscription, Keyed("a", i) + Keyed("a", 10 * i));
  EXPECT_EQ(Stream().size(), 10u);
  EXPECT_EQ(conflated_.messages, 0u);
}

TEST_F(ConflateTest, ANewerMessageTakesThePlaceOfTheOneThatWaits) {
  Subscription* subscription = AddConflating();
  OfferFrames(subscription, Keyed("a", 1) + Keyed("b", 2) + Keyed("a", 3));
  Block();  // what was queued before is conflated too, when more comes
  OfferFrames(subscription, Keyed("c", 4));
  for (uint64_t i = 5; i <= 9; ++i) OfferFrames(subscription, Keyed("b", i));
  EXPECT_EQ(subscriber_.pending_messages(), 3u);
  EXPECT_EQ(conflated_.messages, 6u);
  EXPECT_EQ(Stream(), (Strings{"-6", "3", "9", "4"}));
  EXPECT_EQ(subscriber_.pending_bytes(), 0u);
  // Drained: it is a queue like any other again.
  OfferFrames(subscription, Keyed("a", 10) + Keyed("a", 11));
  EXPECT_EQ(Stream(), (Strings{"-6", "3", "9", "4", "10", "11"}));
}

TEST_F(ConflateTest, TheFrameInFlightIsNotReplaced) {
  Subscription* subscription = AddConflating();
  OfferFrames(subscription, Keyed("a", 1));
  transport_.Takes(9);  // the header and a little
  transport_.AfterwardsTakes(0);
  ASSERT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  for (uint64_t i = 2; i <= 4; ++i) OfferFrames(subscription, Keyed("a", i));
  EXPECT_EQ(Stream(), (Strings{"1", "-2", "4"}));
}

TEST_F(ConflateTest, TheKeyMayBeAHeader) {
  Subscription* subscription = AddConflating("key");
  Block();
  OfferFrames(subscription, Keyed("a", 1, "x") + Keyed("b", 2, "x") + Keyed("a", 3, "y"));
  OfferFrames(subscription, Keyed("a", 4) + Keyed("a", 5) + Keyed("q", 6, "a"));  // without it: the topic
  EXPECT_EQ(Stream(), (Strings{"-2", "2", "3", "5", "6"}));
}

TEST_F(ConflateTest, TooManyKeysAreOverTheLimitAllTheSame) {
  Subscription* subscription = AddConflating("", {.pending_messages_max = 10});
  Block();
  for (uint64_t i = 1; i <= 10; ++i) OfferFrames(subscription, Keyed("t" + std::to_string(i), i));
  for (uint64_t i = 1; i <= 100; ++i) OfferFrames(subscription, Keyed("t1", i));
  EXPECT_FALSE(subscriber_.over().has_value());
  OfferFrames(subscription, Keyed("t11", 1));
  ASSERT_TRUE(subscriber_.over().has_value());
  EXPECT_EQ(subscriber_.over()->reason, v1::REASON_PENDING_MESSAGES);
}

TEST_F(ConflateTest, WhatHasLeftIsRememberedNoMore) {
  Subscription* subscription = AddConflating();
  Block();
  const int64_t before = account_.bytes();
  for (uint64_t i = 1; i <= 1000; ++i) {
    OfferFrames(subscription, Keyed("t" + std::to_string(i), i) + Keyed("u" + std::to_string(i), i));
    transport_.Takes(40);
    subscriber_.BecameWritable();
    Flush();
  }
  EXPECT_LT(account_.bytes() - before, 40'000);
  EXPECT_EQ(Stream().size(), 2000u);
  EXPECT_EQ(conflated_.messages, 0u);
}

TEST_F(ConflateTest, WhatTheKeysTakeCountsAsMemoryWhileTheyAreKept) {
  Subscription* subscription = AddConflating();
  Block();
  const int64_t before = account_.bytes();
  int64_t frames_bytes = 0;
  for (uint64_t i = 1; i <= 1000; ++i) {
    const std::string frame = Keyed("t" + std::to_string(i), i);
    frames_bytes += static_cast<int64_t>(frame.size());
    OfferFrames(subscription, frame);
  }
  EXPECT_GE(account_.bytes() - before, frames_bytes + 1000 * int64_t{sizeof(std::string)});
  (void)Stream();
  EXPECT_EQ(account_.bytes(), before);
}

TEST_F(ConflateTest, TheNewestOfEachKeyArrivesInItsOrderWhateverHappens) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Subscriber subscriber(1, &limits_, &account_);
    ScriptedTransport transport;
    Subscription* conflating = subscriber.Add(1, {}, v1::OVERFLOW_POLICY_CONFLATE);
    Subscription* other = subscriber.Add(2, {}, v1::OVERFLOW_POLICY_DISCONNECT);
    for (Subscription* subscription : {conflating, other}) subscription->told = Subscription::Told::kYes;
    std::map<std::string, uint64_t> newest;
    uint64_t number = 0;
    for (int step = 0; step < 500; ++step) {
      std::string frames;
      const uint64_t messages = 1 + random() % 5;
      for (uint64_t i = 0; i < messages; ++i) {
        const std::string topic = "t" + std::to_string(random() % 12);
        newest[topic] = ++number;
        frames += Keyed(topic, number);
      }
      const Slice slice = SliceOf(frames, &account_);
      (void)subscriber.Offer(random() % 4 == 0 ? other : conflating, {&slice, 1}, now_);
      if (random() % 4 == 0) {
        transport.Takes(random() % 300);
        if (random() % 2 == 0) transport.WouldBlock();
        subscriber.BecameWritable();
        (void)subscriber.Flush(&transport, scratch_.get(), 1 << 20, now_);
      }
    }
    subscriber.BecameWritable();
    while (subscriber.wants_flush()) {
      transport.Takes(1 + random() % 3000);
      (void)subscriber.Flush(&transport, scratch_.get(), 1 << 20, now_);
      subscriber.BecameWritable();
    }
    EXPECT_EQ(subscriber.pending_bytes(), 0u);
    EXPECT_EQ(subscriber.pending_messages(), 0u);

    std::map<std::string, uint64_t> last[3];
    uint64_t received[3] = {};
    uint64_t told = 0;
    uint32_t current = 0;
    for (const v1::ServerFrame& frame : ReadStream(transport.stream()).frames) {
      if (frame.has_delivery()) current = frame.delivery().subscription();
      if (frame.has_gap()) {
        ASSERT_EQ(frame.gap().subscription(), 1u);
        told += frame.gap().messages();
        EXPECT_EQ(frame.gap().offered(), received[1] + told);
      }
      if (!frame.has_message()) continue;
      ++received[current];
      uint64_t& before = last[current][frame.message().topic()];
      const uint64_t now = std::stoull(frame.message().payload());
      EXPECT_GT(now, before);
      before = now;
    }
    EXPECT_EQ(received[1] + told, conflating->offered);
    EXPECT_EQ(received[2], other->offered);
    EXPECT_GT(told, 0u);
    for (const auto& [topic, number_of_newest] : newest) {
      EXPECT_EQ(std::max(last[1][topic], last[2][topic]), number_of_newest);
    }
  }
}

TEST_F(OverflowTest, TheOldestGoUntilHalfOfTheSoftLimitAfterItsTime) {
  Subscription* subscription =
      Add(1, v1::OVERFLOW_POLICY_DROP_OLDEST,
          {.pending_messages_max = 100, .pending_messages_soft = 10, .soft_time = absl::Seconds(5)});
  Block();
  Offer(subscription, 20);
  now_ += absl::Seconds(4);
  subscriber_.Check(&transport_, now_);
  TakeLosses();
  EXPECT_EQ(dropped_.messages, 0u);
  now_ += absl::Seconds(1);
  subscriber_.Check(&transport_, now_);
  TakeLosses();
  EXPECT_EQ(dropped_.messages, 15u);
  EXPECT_EQ(subscription->queue().state().waiting_messages, 5u);
  // From there it may again be above it for its time.
  Offer(subscription, 20);
  now_ += absl::Seconds(4);
  subscriber_.Check(&transport_, now_);
  TakeLosses();
  EXPECT_EQ(dropped_.messages, 15u);
  EXPECT_FALSE(subscriber_.over().has_value());
  Drain();
  EXPECT_EQ(client_.books[1].told, 15u);
}

TEST_F(OverflowTest, TheNewestGoDownToTheSoftLimitAfterItsTime) {
  Subscription* subscription =
      Add(1, v1::OVERFLOW_POLICY_DROP_NEWEST,
          {.pending_messages_max = 100, .pending_messages_soft = 10, .soft_time = absl::Seconds(5)});
  Block();
  Offer(subscription, 20);
  now_ += absl::Seconds(5);
  subscriber_.Check(&transport_, now_);
  TakeLosses();
  EXPECT_EQ(dropped_.messages, 10u);
  EXPECT_EQ(Offer(subscription, 3).queued, 0u);
  Drain();
  EXPECT_EQ(client_.books[1].received.size(), 10u);
  EXPECT_EQ(client_.books[1].told, 13u);
}

TEST_F(OverflowTest, ALimitThatIsObservedIsReportedOncePerEpisodeAndDoesNothing) {
  for (const v1::OverflowPolicy policy :
       {v1::OVERFLOW_POLICY_DISCONNECT, v1::OVERFLOW_POLICY_DROP_OLDEST, v1::OVERFLOW_POLICY_DROP_NEWEST,
        v1::OVERFLOW_POLICY_CONFLATE, v1::OVERFLOW_POLICY_BLOCK}) {
    SCOPED_TRACE(v1::OverflowPolicy_Name(policy));
    Subscriber subscriber(1, &limits_, &account_);
    ScriptedTransport transport;
    Subscription* subscription =
        subscriber.Add(1, {.pending_messages_max = 10}, policy, "", OnOverflow::kObserve);
    subscription->told = Subscription::Told::kYes;
    const auto offer = [&] {
      const Slice slice = SliceOf(MessageFrame("t", std::to_string(subscription->offered + 1)), &account_);
      (void)subscriber.Offer(subscription, {&slice, 1}, now_);
    };
    for (int episode = 0; episode < 2; ++episode) {
      transport.AfterwardsTakes(0);
      subscriber.QueueControl(testing::ServerPong(1));
      ASSERT_EQ(subscriber.Flush(&transport, scratch_.get(), 1 << 20, now_).outcome, FlushOutcome::kBlocked);
      for (int i = 0; i < 15; ++i) offer();
      const Subscriber::LagReport report = subscriber.TakeLagReport();
      ASSERT_EQ(report.observed, 1u);
      const std::vector<OverLimit> observed = subscriber.TakeObserved();
      ASSERT_EQ(observed.size(), 1u);
      EXPECT_EQ(observed[0].reason, v1::REASON_PENDING_MESSAGES);
      EXPECT_EQ(observed[0].limit, 10u);
      EXPECT_EQ(observed[0].value, 11u);
      EXPECT_EQ(observed[0].subscription, 1u);
      EXPECT_EQ(report.observed_messages, 4u);
      EXPECT_FALSE(subscriber.over().has_value());
      EXPECT_EQ(subscriber.pending_messages(), 15u);
      transport.AfterwardsTakes(ScriptedTransport::kEverything);
      subscriber.BecameWritable();
      while (subscriber.wants_flush()) (void)subscriber.Flush(&transport, scratch_.get(), 1 << 20, now_);
    }
    Client client;
    client.Read(transport.stream());
    EXPECT_EQ(client.books[1].received.size(), 30u);
    EXPECT_EQ(client.books[1].told, 0u);
  }
}

TEST_F(OverflowTest, TheSessionsLimitHoldsForOneThatIsObserved) {
  limits_.session_bytes_max = 10'000;
  Subscription* subscription = subscriber_.Add(1, {.pending_messages_max = 5}, v1::OVERFLOW_POLICY_DISCONNECT,
                                               "", OnOverflow::kObserve);
  subscription->told = Subscription::Told::kYes;
  Block();
  while (!subscriber_.over().has_value() && subscription->offered < 1000) Offer(subscription, 1, 500);
  ASSERT_TRUE(subscriber_.over().has_value());
  EXPECT_EQ(subscriber_.over()->reason, v1::REASON_SESSION_BYTES);
}

// Three subscriptions of one session, each with a policy of its own, through writes that end anywhere.
TEST_F(OverflowTest, ReceivedAndToldAreWhatWasOfferedWhateverHappens) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Subscriber subscriber(1, &limits_, &account_);
    ScriptedTransport transport;
    std::vector<Subscription*> subscriptions;
    const QueueLimits tight[] = {
        {.pending_bytes_max = 3000},
        {.pending_messages_max = 20},
        {.pending_age_max = absl::Seconds(5)},
        {.pending_messages_soft = 10, .pending_age_soft = absl::Seconds(3), .soft_time = absl::Seconds(1)}};
    const v1::OverflowPolicy policies[] = {v1::OVERFLOW_POLICY_DROP_OLDEST, v1::OVERFLOW_POLICY_DROP_NEWEST,
                                           v1::OVERFLOW_POLICY_DISCONNECT};
    for (uint32_t id = 1; id <= 3; ++id) {
      const QueueLimits limits = id == 3 ? QueueLimits() : tight[random() % 4];
      subscriptions.push_back(subscriber.Add(id, limits, policies[id - 1]));
      subscriptions.back()->told = Subscription::Told::kYes;
    }
    for (int step = 0; step < 400; ++step) {
      now_ += absl::Milliseconds(random() % 100);
      Subscription* subscription = subscriptions[random() % 3];
      std::string frames;
      const uint64_t messages = 1 + random() % 12;
      for (uint64_t i = 1; i <= messages; ++i) {
        std::string payload = std::to_string(subscription->offered + i);
        payload.insert(0, random() % 100, '0');
        frames += MessageFrame("t", payload);
      }
      const Slice slice = SliceOf(frames, &account_);
      (void)subscriber.Offer(subscription, {&slice, 1}, now_);
      if (random() % 3 == 0) {
        transport.Takes(random() % 400);
        if (random() % 2 == 0) transport.WouldBlock();
        subscriber.BecameWritable();
        (void)subscriber.Flush(&transport, scratch_.get(), 1 << 20, now_);
      }
      if (now_ >= subscriber.NextCheck()) subscriber.Check(&transport, now_);
    }
    ASSERT_FALSE(subscriber.over().has_value());
    subscriber.BecameWritable();
    while (subscriber.wants_flush()) {
      transport.Takes(1 + random() % 5000);
      (void)subscriber.Flush(&transport, scratch_.get(), 1 << 20, now_);
      subscriber.BecameWritable();
    }
    EXPECT_EQ(subscriber.pending_bytes(), 0u);
    EXPECT_EQ(subscriber.pending_messages(), 0u);
    Client client;
    client.Read(transport.stream());
    uint64_t told = 0;
    for (const Subscription* subscription : subscriptions) {
      const Client::Book& book = client.books[subscription->id];
      EXPECT_EQ(book.received.size() + book.told, subscription->offered);
      told += book.told;
    }
    EXPECT_GT(told, 0u);
    EXPECT_EQ(client.books[3].told, 0u);
  }
}

}  // namespace
}  // namespace sluice
