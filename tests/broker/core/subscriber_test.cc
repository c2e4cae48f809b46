#include "broker/core/subscriber.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "broker/core/filter_group.h"
#include "protocol/frame.h"
#include "protocol/sluice.pb.h"
#include "tests/support/frames.h"
#include "tests/support/scripted_transport.h"

namespace sluice {
namespace {

using testing::MessageFrame;
using testing::ReadStream;
using testing::ReceivedStream;
using testing::ScriptedTransport;
using testing::ServerPong;
using testing::SliceOf;

constexpr uint64_t kToken = 7;
constexpr QueueLimits kNoLimits = {};

// A message frame of exactly so many bytes.
std::string FrameOf(size_t frame_bytes) {
  std::string frame = MessageFrame("t", std::string(frame_bytes, 'x'));
  return MessageFrame("t", std::string(frame_bytes - (frame.size() - frame_bytes), 'x'));
}

class SubscriberTest : public ::testing::Test {
 protected:
  void SetUp() override { subscriber_ = std::make_unique<Subscriber>(kToken, &limits_, &account_); }

  // One whose Subscribed has left.
  Subscription* Add(uint32_t id, const QueueLimits& limits = kNoLimits) {
    Subscription* subscription = subscriber_->Add(id, limits, v1::OVERFLOW_POLICY_DISCONNECT);
    if (subscription != nullptr) subscription->told = Subscription::Told::kYes;
    return subscription;
  }
  Subscriber::Offered Offer(Subscription* subscription, std::string_view frames) {
    const Slice slice = SliceOf(frames, &account_);
    return subscriber_->Offer(subscription, {&slice, 1}, now_);
  }
  FlushResult Flush(uint64_t bytes_max = 1 << 30) {
    return subscriber_->Flush(&transport_, scratch_.get(), bytes_max, now_);
  }
  // The socket has room: what the poller's event leads to.
  FlushResult Resume() {
    subscriber_->BecameWritable();
    return Flush();
  }
  // Fills the socket: from now on every write would block.
  void Block() {
    transport_.AfterwardsTakes(0);
    subscriber_->QueueControl(ServerPong(1));
    ASSERT_EQ(Flush().outcome, FlushOutcome::kBlocked);
    ASSERT_TRUE(subscriber_->blocked());
  }
  // Lets `duration` pass in which the shard asks whenever NextCheck() is due. Returns when it went over a
  // limit.
  absl::Time PassTime(absl::Duration duration) {
    const absl::Time end = now_ + duration;
    while (!subscriber_->over().has_value()) {
      const absl::Time next = subscriber_->NextCheck();
      if (next > end) {
        now_ = end;
        return absl::InfiniteFuture();
      }
      now_ = std::max(now_, next);
      subscriber_->Check(&transport_, now_);
      if (subscriber_->over().has_value()) return now_;
      EXPECT_GT(subscriber_->NextCheck(), now_);
      EXPECT_LE(subscriber_->NextCheck(), now_ + absl::Seconds(1));
    }
    return now_;
  }
  v1::Reason OverReason() const {
    return subscriber_->over().has_value() ? subscriber_->over()->reason : v1::REASON_UNSPECIFIED;
  }

  MemoryAccount account_;
  ScriptedTransport transport_;
  std::unique_ptr<WriteScratch> scratch_ = std::make_unique<WriteScratch>();
  SubscriberLimits limits_;
  std::unique_ptr<Subscriber> subscriber_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
};

// ---- Subscriptions ----

TEST_F(SubscriberTest, FindsItsSubscriptionsByIdAndRefusesAnIdInUse) {
  Subscription* seven = Add(7, {.pending_bytes_max = 5});
  ASSERT_NE(seven, nullptr);
  EXPECT_EQ(seven->id, 7u);
  EXPECT_EQ(seven->subscriber, subscriber_.get());
  EXPECT_EQ(seven->limits->pending_bytes_max, 5u);
  EXPECT_EQ(Add(7), nullptr);
  EXPECT_EQ(subscriber_->Find(7), seven);
  EXPECT_EQ(subscriber_->Find(8), nullptr);
  EXPECT_EQ(subscriber_->subscription_count(), 1u);
}

TEST_F(SubscriberTest, SubscriptionsWithTheSameLimitsShareThemWithThoseOfOtherSessions) {
  SharedLimitsPool pool;
  Subscriber first(1, &limits_, &account_, nullptr, &pool);
  Subscriber second(2, &limits_, &account_, nullptr, &pool);
  const auto add = [](Subscriber* subscriber, uint32_t id, uint64_t pending_bytes_max) {
    return subscriber->Add(id, {.pending_bytes_max = pending_bytes_max}, v1::OVERFLOW_POLICY_DISCONNECT);
  };
  const Subscription* one = add(&first, 1, 5);
  const Subscription* two = add(&first, 2, 5);
  const Subscription* three = add(&second, 1, 5);
  const Subscription* other = add(&first, 3, 6);
  EXPECT_EQ(&*one->limits, &*two->limits);
  EXPECT_EQ(&*one->limits, &*three->limits);
  EXPECT_EQ(one->limits->pending_bytes_max, 5u);
  EXPECT_EQ(other->limits->pending_bytes_max, 6u);
}

TEST_F(SubscriberTest, CountsWhatIsOfferedAndForgetsItWhenItLeft) {
  Subscription* subscription = Add(1);
  const std::string frames = MessageFrame("t", "a") + MessageFrame("t", "bb");
  const Subscriber::Offered offered = Offer(subscription, frames);
  EXPECT_EQ(offered.matched, 2u);
  EXPECT_EQ(offered.queued, 2u);
  EXPECT_EQ(offered.queued_bytes, frames.size());
  EXPECT_EQ(subscription->offered, 2u);
  EXPECT_EQ(subscriber_->pending_bytes(), frames.size());
  EXPECT_EQ(subscriber_->pending_messages(), 2u);
  EXPECT_TRUE(subscriber_->wants_flush());
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  EXPECT_FALSE(subscriber_->wants_flush());
  EXPECT_EQ(subscriber_->pending_bytes(), 0u);
  EXPECT_EQ(subscriber_->pending_messages(), 0u);
  EXPECT_EQ(ReadStream(transport_.stream()).payloads[1], (std::vector<std::string>{"a", "bb"}));
  EXPECT_EQ(account_.bytes(), 0);
}

TEST_F(SubscriberTest, TakesNoMoreMessagesThanTheCountAllows) {
  for (uint64_t count = 1; count <= 6; ++count) {
    Subscription* subscription = Add(static_cast<uint32_t>(count));
    subscription->offered_max = count;
    std::vector<Slice> slices;
    for (const std::string& frames :
         {FrameOf(10), FrameOf(200) + FrameOf(20) + FrameOf(30), FrameOf(40) + FrameOf(50)}) {
      slices.push_back(SliceOf(frames, &account_));
    }
    const Subscriber::Offered offered = subscriber_->Offer(subscription, slices, now_);
    EXPECT_EQ(offered.matched, count);
    EXPECT_EQ(offered.queued, count);
    EXPECT_EQ(subscription->offered, count);
    EXPECT_EQ(subscription->queue().pending_messages(), count);
    EXPECT_EQ(subscription->queue().pending_bytes(), offered.queued_bytes);
    const Subscriber::Offered more = subscriber_->Offer(subscription, slices, now_);
    EXPECT_EQ(more.matched, 0u);
    EXPECT_EQ(subscription->offered, count);
  }
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  ReceivedStream received = ReadStream(transport_.stream());
  ASSERT_EQ(received.state, ReceivedStream::State::kWhole);
  for (uint32_t count = 1; count <= 6; ++count) EXPECT_EQ(received.payloads[count].size(), count);
}

TEST_F(SubscriberTest, TellsSubscribedOnceWithWhatApplies) {
  Subscription* subscription =
      Add(3, {1000, 20, absl::Seconds(5), 100, 2, absl::Seconds(1), absl::Milliseconds(1500)});
  subscription->told = Subscription::Told::kNo;
  subscriber_->TellSubscribed(3, 0);
  subscriber_->TellSubscribed(3, 0);
  subscriber_->TellSubscribed(4, 0);  // gone before it could be told
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  const ReceivedStream received = ReadStream(transport_.stream());
  ASSERT_EQ(received.frames.size(), 1u);
  const v1::Subscribed& subscribed = received.frames[0].subscribed();
  EXPECT_EQ(subscribed.subscription(), 3u);
  EXPECT_EQ(subscribed.overflow(), v1::OVERFLOW_POLICY_DISCONNECT);
  EXPECT_EQ(subscribed.limits().pending_bytes_max(), 1000u);
  EXPECT_EQ(subscribed.limits().pending_messages_max(), 20u);
  EXPECT_EQ(subscribed.limits().pending_age_max_ms(), 5000u);
  EXPECT_EQ(subscribed.limits().pending_bytes_soft(), 100u);
  EXPECT_EQ(subscribed.limits().pending_messages_soft(), 2u);
  EXPECT_EQ(subscribed.limits().pending_age_soft_ms(), 1000u);
  EXPECT_EQ(subscribed.limits().soft_time_ms(), 1500u);
}

// Other shards may take their time to confirm a filter that ours has in force already.
TEST_F(SubscriberTest, NoMessageLeavesBeforeSubscribed) {
  Subscription* early = Add(3);
  early->told = Subscription::Told::kNo;
  Subscription* other = Add(4);
  Offer(early, MessageFrame("t", "early"));
  EXPECT_FALSE(subscriber_->wants_flush());
  Offer(other, MessageFrame("t", "other"));
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  EXPECT_EQ(subscriber_->pending_messages(), 1u);
  subscriber_->TellSubscribed(3, 0);
  EXPECT_TRUE(subscriber_->wants_flush());
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  ReceivedStream received = ReadStream(transport_.stream());
  ASSERT_EQ(received.frames.size(), 5u);
  EXPECT_TRUE(received.frames[2].has_subscribed());
  EXPECT_EQ(received.payloads[3], (std::vector<std::string>{"early"}));
  EXPECT_EQ(subscriber_->pending_messages(), 0u);
}

TEST_F(SubscriberTest, WhatEndsBeforeItWasToldIsToldAllTheSame) {
  Subscription* subscription = Add(3);
  subscription->told = Subscription::Told::kNo;
  Offer(subscription, MessageFrame("t", "only"));
  subscriber_->End(subscription, v1::REASON_COUNT_REACHED);
  subscriber_->TellSubscribed(3, 0);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  const ReceivedStream received = ReadStream(transport_.stream());
  ASSERT_EQ(received.frames.size(), 4u);
  EXPECT_TRUE(received.frames[0].has_subscribed());
  EXPECT_TRUE(received.frames[2].has_message());
  EXPECT_TRUE(received.frames[3].has_unsubscribed());
}

TEST_F(SubscriberTest, UnsubscribedLeavesLastAndThenTheIdIsFree) {
  for (size_t step = 1; step <= 40; ++step) {
    SCOPED_TRACE(step);
    SetUp();
    transport_.Clear();
    transport_.AfterwardsTakes(step);
    Subscription* subscription = Add(3);
    ASSERT_NE(subscription, nullptr);
    Offer(subscription, MessageFrame("t", "one") + MessageFrame("t", "two"));
    subscriber_->End(subscription, v1::REASON_UNSUBSCRIBED);
    EXPECT_EQ(Offer(subscription, MessageFrame("t", "late")).matched, 0u);
    EXPECT_EQ(subscription->ended, v1::REASON_UNSUBSCRIBED);
    while (subscriber_->Find(3) != nullptr) {
      EXPECT_EQ(Add(3), nullptr);
      EXPECT_TRUE(ReadStream(transport_.stream()).unsubscribed.empty());
      (void)Resume();
    }
    while (!subscriber_->writer().empty()) (void)Resume();
    ReceivedStream received = ReadStream(transport_.stream());
    EXPECT_EQ(received.payloads[3], (std::vector<std::string>{"one", "two"}));
    ASSERT_TRUE(received.frames.back().has_unsubscribed());
    EXPECT_EQ(received.frames.back().unsubscribed().subscription(), 3u);
    EXPECT_EQ(received.frames.back().unsubscribed().reason(), v1::REASON_UNSUBSCRIBED);
    EXPECT_EQ(received.frames.back().unsubscribed().offered(), 2u);
    EXPECT_EQ(subscriber_->Find(3), nullptr);
    EXPECT_EQ(subscriber_->subscription_count(), 0u);
    EXPECT_EQ(subscriber_->pending_bytes(), 0u);
  }
  EXPECT_EQ(account_.bytes(), 0);
}

TEST_F(SubscriberTest, AnEndedSubscriptionStaysForAsLongAsItIsInAGroup) {
  FilterGroup group;
  Subscription* subscription = Add(3);
  subscription->group = &group;
  subscriber_->End(subscription, v1::REASON_COUNT_REACHED);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  EXPECT_EQ(subscriber_->Find(3), subscription);
  subscriber_->RemoveEnded();
  EXPECT_EQ(subscriber_->Find(3), subscription);
  subscription->group = nullptr;
  subscriber_->RemoveEnded();
  EXPECT_EQ(subscriber_->Find(3), nullptr);
}

// ---- The books ----

TEST_F(SubscriberTest, KeepsItsBooksUnderRandomOffersWritesEndsAndClose) {
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    SetUp();
    transport_.Clear();
    transport_.AfterwardsTakes(0);
    uint64_t offered_bytes = 0;
    uint64_t offered_messages = 0;
    uint64_t dropped_bytes = 0;
    uint64_t dropped_messages = 0;
    std::map<uint32_t, std::vector<std::string>> expected;
    uint32_t next_id = 1;
    uint32_t payloads = 0;
    const size_t close_at = random() % 3 == 0 ? random() % 200 : 1000;
    const auto check = [&] {
      const ReceivedStream received = ReadStream(transport_.stream());
      ASSERT_EQ(received.state, ReceivedStream::State::kWhole);
      uint64_t left_bytes = 0;
      uint64_t left_messages = 0;
      for (const v1::ServerFrame& frame : received.frames) {
        if (!frame.has_message()) continue;
        left_bytes += testing::Encode(frame).size();
        ++left_messages;
      }
      EXPECT_EQ(subscriber_->pending_messages(), offered_messages - dropped_messages - left_messages);
      // What is half on the wire may be a message, or a frame that does not count.
      const uint64_t pending = offered_bytes - dropped_bytes - left_bytes;
      EXPECT_TRUE(subscriber_->pending_bytes() == pending ||
                  subscriber_->pending_bytes() == pending - received.unfinished_bytes)
          << subscriber_->pending_bytes() << " of " << pending << ", " << received.unfinished_bytes;
      if (received.unfinished_bytes == 0) {
        EXPECT_EQ(subscriber_->pending_bytes(), pending);
      }
    };
    for (size_t i = 0; i < 200 && !HasFailure(); ++i) {
      if (i == close_at) {
        const uint64_t bytes_before = subscriber_->pending_bytes();
        const Missing dropped = subscriber_->Close(random() % 2 == 0 ? Subscriber::ControlFrames::kKeep
                                                                     : Subscriber::ControlFrames::kDrop);
        dropped_bytes += dropped.bytes;
        dropped_messages += dropped.messages;
        EXPECT_EQ(subscriber_->pending_bytes(), bytes_before - dropped.bytes);
        EXPECT_LE(subscriber_->pending_messages(), 1u);  // the frame in flight
      }
      switch (random() % 6) {
        case 0: {
          if (Subscription* added = Add(next_id); added != nullptr) ++next_id;
          break;
        }
        case 1:
        case 2: {
          Subscription* subscription =
              next_id == 1 ? nullptr : subscriber_->Find(1 + random() % (next_id - 1));
          if (subscription == nullptr) break;
          std::string frames;
          std::vector<std::string> batch;
          for (size_t n = 1 + random() % 3; n > 0; --n) {
            batch.push_back(std::to_string(++payloads) + std::string(random() % 700, '.'));
            frames += MessageFrame("t", batch.back());
          }
          const Subscriber::Offered offered = Offer(subscription, frames);
          offered_bytes += offered.queued_bytes;
          offered_messages += offered.queued;
          if (i >= close_at) {
            EXPECT_EQ(offered.queued, 0u);
          }
          for (size_t n = 0; n < offered.queued; ++n) expected[subscription->id].push_back(batch[n]);
          break;
        }
        case 3: {
          Subscription* subscription =
              next_id == 1 ? nullptr : subscriber_->Find(1 + random() % (next_id - 1));
          if (subscription == nullptr || subscription->ended != v1::REASON_UNSPECIFIED) break;
          subscriber_->End(subscription, v1::REASON_UNSUBSCRIBED);
          break;
        }
        default:
          transport_.Takes(random() % 900);
          if (random() % 4 == 0) transport_.Takes(random() % 900);
          (void)Resume();
      }
      check();
      // The sum over the queues is the same as long as none of them was closed.
      if (i < close_at) {
        uint64_t sum_bytes = 0;
        uint64_t sum_messages = 0;
        subscriber_->ForEachSubscription([&](const Subscription* subscription) {
          sum_bytes += subscription->queue().pending_bytes();
          sum_messages += subscription->queue().pending_messages();
        });
        EXPECT_EQ(subscriber_->pending_bytes(), sum_bytes);
        EXPECT_EQ(subscriber_->pending_messages(), sum_messages);
      }
    }
    transport_.AfterwardsTakes(ScriptedTransport::kEverything);
    for (int i = 0; i < 1000 && !subscriber_->writer().empty(); ++i) (void)Resume();
    EXPECT_EQ(subscriber_->pending_bytes(), 0u);
    EXPECT_EQ(subscriber_->pending_messages(), 0u);
    EXPECT_TRUE(subscriber_->writer().empty());
    if (close_at == 1000) {
      EXPECT_TRUE(ReadStream(transport_.stream()).payloads == expected);
    }
    subscriber_.reset();
    EXPECT_EQ(account_.bytes(), 0);
    ASSERT_FALSE(HasFailure());
  }
}

TEST_F(SubscriberTest, CloseForgetsWhatWaitsButTheFrameInFlight) {
  Subscription* subscription = Add(1);
  const std::string first = FrameOf(1000);
  Offer(subscription, first);
  Offer(subscription, FrameOf(500) + FrameOf(600));
  transport_.Takes(100);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  const uint64_t in_flight = subscriber_->writer().frame_in_flight_bytes();
  EXPECT_EQ(in_flight, subscriber_->pending_bytes() - 1100);
  const Missing dropped = subscriber_->Close(Subscriber::ControlFrames::kKeep);
  EXPECT_EQ(dropped.bytes, 1100u);
  EXPECT_EQ(dropped.messages, 2u);
  EXPECT_EQ(subscriber_->pending_bytes(), in_flight);
  EXPECT_EQ(subscription->offered, 3u);
  const Subscriber::Offered late = Offer(subscription, MessageFrame("t", "late"));
  EXPECT_EQ(late.queued, 0u);
  v1::ServerFrame goodbye;
  goodbye.mutable_goodbye()->set_reason(v1::REASON_KICKED);
  subscriber_->QueueControl(goodbye);
  EXPECT_EQ(Resume().outcome, FlushOutcome::kDrained);
  const ReceivedStream received = ReadStream(transport_.stream());
  ASSERT_EQ(received.frames.size(), 3u);  // header, message, goodbye
  EXPECT_TRUE(received.frames[1].has_message());
  EXPECT_TRUE(received.frames[2].has_goodbye());
  EXPECT_EQ(subscriber_->pending_bytes(), 0u);
}

TEST_F(SubscriberTest, CloseKeepsOrDropsTheAnswersThatHaveNotBegunToLeave) {
  for (const auto control_frames : {Subscriber::ControlFrames::kKeep, Subscriber::ControlFrames::kDrop}) {
    SetUp();
    transport_.Clear();
    for (uint64_t id = 1; id <= 3; ++id) subscriber_->QueueControl(ServerPong(id));
    transport_.Takes(1);
    EXPECT_EQ(Flush().outcome, FlushOutcome::kBlocked);
    (void)subscriber_->Close(control_frames);
    transport_.AfterwardsTakes(ScriptedTransport::kEverything);
    while (!subscriber_->writer().empty()) (void)Resume();
    EXPECT_EQ(ReadStream(transport_.stream()).pongs, control_frames == Subscriber::ControlFrames::kKeep
                                                         ? (std::vector<uint64_t>{1, 2, 3})
                                                         : (std::vector<uint64_t>{1}));
  }
}

// ---- Limits ----

TEST_F(SubscriberTest, IsNeverJudgedWhileItsSocketIsNotKnownToBeFull) {
  limits_ = {.session_bytes_max = 1, .control_bytes_max = 1, .write_timeout = absl::Milliseconds(1)};
  Subscription* subscription = Add(1, {1, 1, absl::Milliseconds(1)});
  for (int i = 0; i < 100; ++i) Offer(subscription, FrameOf(1000));
  for (uint64_t i = 0; i < 100; ++i) subscriber_->QueueControl(ServerPong(i));
  now_ += absl::Hours(1);
  Offer(subscription, FrameOf(1000));
  EXPECT_EQ(subscriber_->NextCheck(), absl::InfiniteFuture());
  subscriber_->Check(&transport_, now_);
  EXPECT_EQ(OverReason(), v1::REASON_UNSPECIFIED);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  EXPECT_EQ(OverReason(), v1::REASON_UNSPECIFIED);
}

TEST_F(SubscriberTest, AWriteThatStopsAtItsBoundIsNotJudged) {
  Subscription* subscription = Add(1, {.pending_age_max = absl::Minutes(1)});
  Block();
  for (int i = 0; i < 1000; ++i) Offer(subscription, FrameOf(5000));
  now_ += absl::Hours(1);
  transport_.AfterwardsTakes(ScriptedTransport::kEverything);
  subscriber_->BecameWritable();
  EXPECT_EQ(Flush(1000).outcome, FlushOutcome::kCapped);
  EXPECT_TRUE(subscriber_->wants_flush());
  EXPECT_FALSE(subscriber_->blocked());
  EXPECT_EQ(OverReason(), v1::REASON_UNSPECIFIED);
}

TEST_F(SubscriberTest, TheBacklogOfOneThatIsNeverFoundFullDoesNotGrow) {
  // Filters that overlap: what is published once is offered ten times, ten times as much as a flush's bound.
  std::vector<Subscription*> subscriptions;
  for (uint32_t id = 1; id <= 10; ++id) subscriptions.push_back(Add(id));
  Block();
  const std::string frame = FrameOf(20'000);
  for (Subscription* subscription : subscriptions) Offer(subscription, frame + frame);
  const uint64_t backlog_bytes = subscriber_->pending_bytes();
  ASSERT_EQ(backlog_bytes, 400'000u);
  transport_.AfterwardsTakes(ScriptedTransport::kEverything);
  subscriber_->BecameWritable();
  for (int turn = 0; turn < 100; ++turn) {
    for (Subscription* subscription : subscriptions) Offer(subscription, frame);
    (void)Flush(20'000);
    ASSERT_LE(subscriber_->pending_bytes(), backlog_bytes) << turn;
  }
  // The bound holds for what had waited.
  for (uint64_t before = subscriber_->pending_bytes(); before > 0; before = subscriber_->pending_bytes()) {
    (void)Flush(20'000);
    ASSERT_LT(subscriber_->pending_bytes(), before);
  }
}

TEST_F(SubscriberTest, IsJudgedByTheFlushThatFindsTheSocketFull) {
  Subscription* subscription = Add(1, {.pending_bytes_max = 10'000});
  for (int i = 0; i < 11; ++i) Offer(subscription, FrameOf(1000));
  transport_.AfterwardsTakes(0);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  ASSERT_TRUE(subscriber_->over().has_value());
  EXPECT_EQ(subscriber_->over()->reason, v1::REASON_PENDING_BYTES);
  EXPECT_EQ(subscriber_->over()->limit, 10'000u);
  EXPECT_EQ(subscriber_->over()->value, 11'000u);
  EXPECT_EQ(subscriber_->over()->subscription, 1u);
}

TEST_F(SubscriberTest, GoesOverTheByteLimitWithTheFirstByteTooManyBehindTheFrameInFlight) {
  Subscription* subscription = Add(4, {.pending_bytes_max = 5000});
  Offer(subscription, FrameOf(4000));
  transport_.Takes(100);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  transport_.AfterwardsTakes(0);
  for (int i = 0; i < 5; ++i) Offer(subscription, FrameOf(1000));
  EXPECT_EQ(OverReason(), v1::REASON_UNSPECIFIED);
  Offer(subscription, MessageFrame("t", ""));
  ASSERT_EQ(OverReason(), v1::REASON_PENDING_BYTES);
  EXPECT_EQ(subscriber_->over()->limit, 5000u);
  EXPECT_EQ(subscriber_->over()->value, 5000u + MessageFrame("t", "").size());
  EXPECT_EQ(subscriber_->over()->subscription, 4u);
}

TEST_F(SubscriberTest, GoesOverTheMessageLimitWithTheFirstMessageTooMany) {
  Subscription* subscription = Add(4, {.pending_messages_max = 3});
  Block();
  Offer(subscription, FrameOf(10) + FrameOf(10) + FrameOf(10));
  EXPECT_EQ(OverReason(), v1::REASON_UNSPECIFIED);
  Offer(subscription, FrameOf(10));
  ASSERT_EQ(OverReason(), v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(subscriber_->over()->limit, 3u);
  EXPECT_EQ(subscriber_->over()->value, 4u);
}

TEST_F(SubscriberTest, TheFirstVerdictStands) {
  Subscription* one = Add(1, {.pending_messages_max = 1});
  Subscription* two = Add(2, {.pending_bytes_max = 1});
  Block();
  Offer(one, FrameOf(10) + FrameOf(10));
  Offer(two, FrameOf(10));
  ASSERT_EQ(OverReason(), v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(subscriber_->over()->subscription, 1u);
}

TEST_F(SubscriberTest, HoldsTheSessionAsAWholeToItsBytes) {
  limits_.session_bytes_max = 3000;
  Block();
  std::vector<Subscription*> subscriptions;
  for (uint32_t id = 1; id <= 4; ++id) subscriptions.push_back(Add(id, {.pending_bytes_max = 1000}));
  for (size_t i = 0; i < 3; ++i) Offer(subscriptions[i], FrameOf(1000));
  EXPECT_EQ(OverReason(), v1::REASON_UNSPECIFIED);
  Offer(subscriptions[3], FrameOf(10));
  ASSERT_EQ(OverReason(), v1::REASON_SESSION_BYTES);
  EXPECT_EQ(subscriber_->over()->limit, 3000u);
  EXPECT_EQ(subscriber_->over()->value, 3010u);
  EXPECT_EQ(subscriber_->over()->subscription, 0u);
}

TEST_F(SubscriberTest, TheFrameInFlightDoesNotCountAgainstTheSession) {
  limits_.session_bytes_max = 3000;
  Subscription* subscription = Add(1);
  Offer(subscription, FrameOf(2500));
  transport_.Takes(10);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  Offer(subscription, FrameOf(3000));
  EXPECT_EQ(OverReason(), v1::REASON_UNSPECIFIED);
  Offer(subscription, FrameOf(10));
  EXPECT_EQ(OverReason(), v1::REASON_SESSION_BYTES);
}

TEST_F(SubscriberTest, WhoAsksAndDoesNotReadTheAnswersGoesOverTheControlLimitAtOnce) {
  const size_t pong_bytes = testing::Encode(ServerPong(1)).size();
  limits_.control_bytes_max = 100 * pong_bytes;
  Block();
  for (int i = 1; i < 100; ++i) subscriber_->QueueControl(ServerPong(1));
  EXPECT_EQ(OverReason(), v1::REASON_UNSPECIFIED);
  subscriber_->QueueControl(ServerPong(1));
  ASSERT_EQ(OverReason(), v1::REASON_CONTROL_BYTES);
  EXPECT_EQ(subscriber_->over()->limit, 100 * pong_bytes);
  EXPECT_EQ(subscriber_->over()->value, 101 * pong_bytes);
  EXPECT_EQ(subscriber_->over()->subscription, 0u);
}

TEST_F(SubscriberTest, AnAgeOnAQuietTopicIsFoundByTheCheck) {
  limits_.write_timeout = absl::Minutes(10);
  Block();
  Subscription* busy = Add(1);
  Subscription* quiet = Add(2, {.pending_age_max = absl::Seconds(30)});
  now_ += absl::Seconds(5);
  Offer(quiet, FrameOf(100));
  Offer(busy, FrameOf(100));
  const absl::Time offered_at = now_;
  const absl::Time found = PassTime(absl::Minutes(5));
  EXPECT_GE(found, offered_at + absl::Seconds(30));
  EXPECT_LE(found, offered_at + absl::Seconds(30) + absl::Milliseconds(50));
  ASSERT_EQ(OverReason(), v1::REASON_PENDING_AGE);
  EXPECT_EQ(subscriber_->over()->limit, 30'000u);
  EXPECT_EQ(subscriber_->over()->subscription, 2u);
}

// A message of which one byte leaves now and then is nowhere in the queue any more, but still old.
TEST_F(SubscriberTest, OneByteEveryNineSecondsIsCutByAge) {
  limits_.write_timeout = absl::Seconds(10);
  Subscription* quiet = Add(2, {.pending_age_max = absl::Seconds(60)});
  Offer(quiet, FrameOf(10'000));
  const absl::Time offered_at = now_;
  transport_.AfterwardsTakes(0);
  transport_.Takes(100);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  while (OverReason() == v1::REASON_UNSPECIFIED && now_ < offered_at + absl::Minutes(10)) {
    PassTime(absl::Seconds(9));
    transport_.Takes(1);
    (void)Resume();
  }
  ASSERT_EQ(OverReason(), v1::REASON_PENDING_AGE);
  EXPECT_GE(now_, offered_at + absl::Seconds(60));
  EXPECT_LE(now_, offered_at + absl::Seconds(62));
}

// ---- Soft limits ----

TEST_F(SubscriberTest, TooLongAboveASoftLimitIsOver) {
  Subscription* subscription =
      Add(5, {.pending_bytes_max = 10'000, .pending_bytes_soft = 3000, .soft_time = absl::Seconds(20)});
  Block();
  for (int i = 0; i < 3; ++i) Offer(subscription, FrameOf(1000));
  EXPECT_EQ(PassTime(absl::Minutes(1)), absl::InfiniteFuture());
  Offer(subscription, FrameOf(1000));
  const absl::Time above_since = now_;
  Offer(subscription, FrameOf(1000));
  // Nothing more is offered: the timer finds it.
  const absl::Time found = PassTime(absl::Minutes(1));
  EXPECT_EQ(found, above_since + absl::Seconds(20));
  ASSERT_EQ(OverReason(), v1::REASON_PENDING_BYTES);
  EXPECT_EQ(subscriber_->over()->limit, 3000u);
  EXPECT_EQ(subscriber_->over()->value, 5000u);
  EXPECT_EQ(subscriber_->over()->subscription, 5u);
  EXPECT_EQ(subscriber_->over()->above_soft_for, absl::Seconds(20));
}

TEST_F(SubscriberTest, TheHardLimitNeedsNoTime) {
  Subscription* subscription =
      Add(1, {.pending_messages_max = 5, .pending_messages_soft = 2, .soft_time = absl::Seconds(20)});
  Block();
  for (int i = 0; i < 6; ++i) Offer(subscription, FrameOf(100));
  ASSERT_EQ(OverReason(), v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(subscriber_->over()->limit, 5u);
  EXPECT_EQ(subscriber_->over()->above_soft_for, absl::ZeroDuration());
}

TEST_F(SubscriberTest, AMessageThatIsTooOldForTheSoftLimitForTooLongIsOver) {
  Subscription* subscription = Add(1, {.pending_age_max = absl::Minutes(5),
                                       .pending_age_soft = absl::Seconds(30),
                                       .soft_time = absl::Seconds(10)});
  Block();
  Offer(subscription, FrameOf(100));
  const absl::Time offered_at = now_;
  const absl::Time found = PassTime(absl::Minutes(4));
  EXPECT_GE(found, offered_at + absl::Seconds(40));
  EXPECT_LE(found, offered_at + absl::Seconds(40) + absl::Milliseconds(50));
  ASSERT_EQ(OverReason(), v1::REASON_PENDING_AGE);
  EXPECT_EQ(subscriber_->over()->limit, 30'000u);
}

TEST_F(SubscriberTest, FallingBelowASoftLimitBeginsItsTimeAnew) {
  Subscription* subscription = Add(1, {.pending_messages_soft = 3, .soft_time = absl::Seconds(20)});
  Block();
  for (int round = 0; round < 5; ++round) {
    while (subscription->queue().state().waiting_messages < 4) Offer(subscription, FrameOf(1000));
    EXPECT_EQ(PassTime(absl::Seconds(19)), absl::InfiniteFuture()) << round;
    // To the limit is not above it, be it for a moment: the socket stays full.
    transport_.Takes(1000);
    EXPECT_EQ(Resume().outcome, FlushOutcome::kBlocked);
    EXPECT_LE(subscription->queue().state().waiting_messages, 3u);
  }
  Offer(subscription, FrameOf(1000));
  const absl::Time above_since = now_;
  EXPECT_EQ(PassTime(absl::Minutes(1)), above_since + absl::Seconds(20));
}

TEST_F(SubscriberTest, ADrainedQueueBeginsItsTimeAnew) {
  Subscription* subscription = Add(1, {.pending_messages_soft = 3, .soft_time = absl::Seconds(20)});
  Block();
  for (int i = 0; i < 4; ++i) Offer(subscription, FrameOf(1000));
  EXPECT_EQ(PassTime(absl::Seconds(19)), absl::InfiniteFuture());
  transport_.AfterwardsTakes(ScriptedTransport::kEverything);
  EXPECT_EQ(Resume().outcome, FlushOutcome::kDrained);
  EXPECT_EQ(
      subscription->backlog == nullptr ? absl::InfiniteFuture() : subscription->backlog->above_soft_since,
      absl::InfiniteFuture());
  now_ += absl::Hours(1);
  Block();
  for (int i = 0; i < 4; ++i) Offer(subscription, FrameOf(1000));
  const absl::Time above_since = now_;
  EXPECT_EQ(PassTime(absl::Minutes(1)), above_since + absl::Seconds(20));
}

TEST_F(SubscriberTest, OneSoftLimitAfterTheOtherIsWithoutInterruption) {
  Subscription* subscription = Add(
      1, {.pending_messages_soft = 3, .pending_age_soft = absl::Seconds(5), .soft_time = absl::Seconds(20)});
  Block();
  for (int i = 0; i < 4; ++i) Offer(subscription, FrameOf(1000));
  const absl::Time above_since = now_;
  EXPECT_EQ(PassTime(absl::Seconds(10)), absl::InfiniteFuture());
  transport_.Takes(1500);
  EXPECT_EQ(Resume().outcome, FlushOutcome::kBlocked);
  EXPECT_EQ(PassTime(absl::Minutes(1)), above_since + absl::Seconds(20));
  EXPECT_EQ(OverReason(), v1::REASON_PENDING_AGE);
}

TEST_F(SubscriberTest, OneThatIsNotBlockedMayBeAboveASoftLimitForAnyTime) {
  Subscription* subscription = Add(1, {.pending_messages_soft = 3, .soft_time = absl::Seconds(20)});
  for (int i = 0; i < 10; ++i) Offer(subscription, FrameOf(1000));
  now_ += absl::Hours(1);
  EXPECT_EQ(subscriber_->NextCheck(), absl::InfiniteFuture());
  subscriber_->Check(&transport_, now_);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  EXPECT_EQ(OverReason(), v1::REASON_UNSPECIFIED);
}

TEST_F(SubscriberTest, AClosedSubscriberIsNotJudged) {
  limits_ = {.session_bytes_max = 1, .control_bytes_max = 1, .write_timeout = absl::Milliseconds(1)};
  Add(1);
  transport_.AfterwardsTakes(0);
  (void)subscriber_->Close(Subscriber::ControlFrames::kDrop);
  subscriber_->QueueControl(ServerPong(1));
  EXPECT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  now_ += absl::Hours(1);
  subscriber_->QueueControl(ServerPong(1));
  subscriber_->Check(&transport_, now_);
  EXPECT_EQ(OverReason(), v1::REASON_UNSPECIFIED);
}

// ---- Lagging ----

std::vector<v1::SlowConsumer> Warnings(const ScriptedTransport& transport) {
  std::vector<v1::SlowConsumer> warnings;
  for (const v1::ServerFrame& frame : ReadStream(transport.stream()).frames) {
    if (frame.has_slow_consumer()) warnings.push_back(frame.slow_consumer());
  }
  return warnings;
}

TEST_F(SubscriberTest, WarnsOfASoftLimitBeforeItIsPassed) {
  Subscription* subscription = Add(
      1, {.pending_messages_max = 100, .pending_messages_soft = 4, .soft_time = absl::Milliseconds(1500)});
  Block();
  for (int i = 0; i < 3; ++i) Offer(subscription, FrameOf(100));
  transport_.AfterwardsTakes(ScriptedTransport::kEverything);
  (void)Resume();
  while (subscriber_->wants_flush()) (void)Flush();
  const std::vector<v1::SlowConsumer> warnings = Warnings(transport_);
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_EQ(warnings[0].state(), v1::SlowConsumer::STATE_RAISED);
  EXPECT_EQ(warnings[0].limit(), v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(warnings[0].limit_value(), 4u);
  EXPECT_EQ(warnings[0].value(), 3u);
  EXPECT_EQ(warnings[0].soft_time_ms(), 1500u);
  EXPECT_EQ(warnings[1].state(), v1::SlowConsumer::STATE_CLEARED);
}

TEST_F(SubscriberTest, WarnsAtOnceAndSaysWhyWhenItKnowsAndWhenThatHasChanged) {
  // A closed window, and nothing moves.
  TransportSample sample;
  sample.acked_bytes = 1000;
  sample.unsent_bytes = 5000;
  sample.segment_bytes_max = 1448;
  transport_.Says(sample);
  Subscription* subscription = Add(5, {.pending_messages_max = 100});
  Block();
  for (int i = 0; i < 74; ++i) Offer(subscription, FrameOf(100));
  EXPECT_EQ(subscription->lagging, Subscription::Lagging::kNo);
  Offer(subscription, FrameOf(100));
  EXPECT_EQ(subscription->lagging, Subscription::Lagging::kYes);
  Subscriber::LagReport report = subscriber_->TakeLagReport();
  EXPECT_EQ(report.raised, 1u);
  EXPECT_EQ(report.causes_told, 0u);
  EXPECT_EQ(subscriber_->NextCheck(), now_ + absl::Milliseconds(10));
  const auto look_after = [&](absl::Duration time) {
    now_ += time;
    subscriber_->Check(&transport_, now_);
    return subscriber_->TakeLagReport();
  };
  EXPECT_EQ(look_after(absl::Milliseconds(10)).causes_told, 0u);
  EXPECT_LE(subscriber_->NextCheck(), now_ + absl::Milliseconds(100));
  Offer(subscription, FrameOf(10'000));
  report = look_after(absl::Milliseconds(100));
  EXPECT_EQ(report.raised, 0u);
  EXPECT_EQ(report.causes_told, 1u);
  EXPECT_EQ(subscriber_->lag_told().finding.cause, v1::LAG_CAUSE_APPLICATION);
  EXPECT_GE(subscriber_->lag_told().finding.feed_bytes_per_second, 100'000u);
  EXPECT_EQ(look_after(absl::Milliseconds(500)).causes_told, 0u);

  // It reads again, less than it is fed.
  Offer(subscription, FrameOf(60'000));
  sample.acked_bytes += 50'000;
  sample.receive_window_limited += absl::Milliseconds(1500);
  transport_.Says(sample);
  report = look_after(absl::Milliseconds(1000));
  EXPECT_EQ(report.causes_told, 0u);  // not so soon again
  EXPECT_EQ(subscriber_->ConcludeLag(&transport_, now_).cause, v1::LAG_CAUSE_OVER_SUBSCRIBED);
  report = look_after(absl::Milliseconds(600));
  EXPECT_EQ(report.raised, 0u);
  EXPECT_EQ(report.causes_told, 1u);
  EXPECT_EQ(subscriber_->lag_told().finding.cause, v1::LAG_CAUSE_OVER_SUBSCRIBED);

  transport_.AfterwardsTakes(ScriptedTransport::kEverything);
  (void)Resume();
  while (subscriber_->wants_flush()) (void)Flush();
  const std::vector<v1::SlowConsumer> warnings = Warnings(transport_);
  ASSERT_EQ(warnings.size(), 4u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(warnings[i].state(), v1::SlowConsumer::STATE_RAISED);
  EXPECT_EQ(warnings[0].cause(), v1::LAG_CAUSE_UNSPECIFIED);
  EXPECT_EQ(warnings[0].time_to_limit_ms(), 0u);
  EXPECT_EQ(warnings[1].cause(), v1::LAG_CAUSE_APPLICATION);
  EXPECT_EQ(warnings[1].drain_bytes_per_second(), 0u);
  EXPECT_GT(warnings[1].time_to_limit_ms(), 0u);
  EXPECT_EQ(warnings[2].cause(), v1::LAG_CAUSE_OVER_SUBSCRIBED);
  EXPECT_EQ(warnings[3].state(), v1::SlowConsumer::STATE_CLEARED);
  EXPECT_EQ(subscriber_->ConcludeLag(&transport_, now_).cause, v1::LAG_CAUSE_UNSPECIFIED);
}

// What most stalls are: over before anything lags.
TEST_F(SubscriberTest, AShortStallIsNotLookedAt) {
  transport_.Says(TransportSample());
  Subscription* subscription = Add(5, {.pending_messages_max = 100});
  for (int i = 0; i < 10; ++i) {
    Block();
    for (int message = 0; message < 10; ++message) Offer(subscription, FrameOf(100));
    transport_.AfterwardsTakes(ScriptedTransport::kEverything);
    (void)Resume();
    while (subscriber_->wants_flush()) (void)Flush();
  }
  EXPECT_EQ(transport_.samples_taken(), 0u);
}

TEST_F(SubscriberTest, WarnsAtTheHighWatermarkAndIsBackBelowTheLowOne) {
  Subscription* subscription = Add(5, {.pending_messages_max = 100});
  Block();
  for (int i = 0; i < 74; ++i) Offer(subscription, FrameOf(100));
  EXPECT_FALSE(subscriber_->wants_attention());
  Offer(subscription, FrameOf(100));
  EXPECT_TRUE(subscriber_->wants_attention());
  EXPECT_EQ(subscription->lagging, Subscription::Lagging::kYes);
  Subscriber::LagReport report = subscriber_->TakeLagReport();
  EXPECT_EQ(report.raised, 1u);
  EXPECT_EQ(report.cleared, 0u);
  for (int i = 0; i < 10; ++i) Offer(subscription, FrameOf(100));  // no second time
  EXPECT_EQ(subscriber_->TakeLagReport().raised, 0u);

  while (subscription->queue().state().waiting_messages > 50) {
    transport_.Takes(50);
    (void)Resume();
    EXPECT_EQ(subscription->lagging, Subscription::Lagging::kYes);
  }
  while (subscription->queue().state().waiting_messages == 50) {
    transport_.Takes(50);
    EXPECT_EQ(subscription->lagging, Subscription::Lagging::kYes);
    (void)Resume();
  }
  EXPECT_EQ(subscription->lagging, Subscription::Lagging::kNo);
  report = subscriber_->TakeLagReport();
  EXPECT_EQ(report.raised, 0u);
  EXPECT_EQ(report.cleared, 1u);

  transport_.AfterwardsTakes(ScriptedTransport::kEverything);
  while (!subscriber_->writer().empty()) (void)Resume();
  const std::vector<v1::SlowConsumer> warnings = Warnings(transport_);
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_EQ(warnings[0].subscription(), 5u);
  EXPECT_EQ(warnings[0].state(), v1::SlowConsumer::STATE_RAISED);
  EXPECT_EQ(warnings[0].limit(), v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(warnings[0].limit_value(), 100u);
  EXPECT_EQ(warnings[0].value(), 75u);
  EXPECT_EQ(warnings[1].state(), v1::SlowConsumer::STATE_CLEARED);
  EXPECT_EQ(warnings[1].value(), 49u);
}

TEST_F(SubscriberTest, NobodyLagsWhoseSocketIsNotFull) {
  Subscription* subscription = Add(5, {.pending_messages_max = 100});
  for (int i = 0; i < 99; ++i) Offer(subscription, FrameOf(100));
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  EXPECT_TRUE(Warnings(transport_).empty());
  EXPECT_EQ(subscriber_->TakeLagReport().raised, 0u);
}

TEST_F(SubscriberTest, ClosingEndsTheEpisodeOfASubscriptionThatHasEndedToo) {
  Subscription* subscription = Add(5, {.pending_messages_max = 4});
  Block();
  for (int i = 0; i < 3; ++i) Offer(subscription, FrameOf(100));
  subscriber_->End(subscription, v1::REASON_UNSUBSCRIBED);
  (void)subscriber_->Close(Subscriber::ControlFrames::kKeep);
  transport_.AfterwardsTakes(ScriptedTransport::kEverything);
  EXPECT_EQ(Resume().outcome, FlushOutcome::kDrained);
  EXPECT_EQ(subscriber_->Find(5), nullptr);
  const Subscriber::LagReport report = subscriber_->TakeLagReport();
  EXPECT_EQ(report.raised, 1u);
  EXPECT_EQ(report.cleared, 1u);
}

// However it ends, an episode that began ends once.
TEST_F(SubscriberTest, EveryEpisodeOfLaggingEndsOnce) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    SetUp();
    transport_.AfterwardsTakes(0);
    uint64_t raised = 0;
    uint64_t cleared = 0;
    uint32_t last_id = 0;
    for (int i = 0; i < 200 + static_cast<int>(random() % 200); ++i) {
      // One of the newest.
      Subscription* subscription = subscriber_->Find(last_id - random() % 3);
      switch (random() % 6) {
        case 0:
          if (subscriber_->subscription_count() < 3) Add(++last_id, {.pending_messages_max = 20});
          break;
        case 1:
        case 2:
          if (subscription == nullptr || subscription->queue().pending_messages() > 15) break;
          for (size_t n = random() % 6; n > 0; --n) Offer(subscription, FrameOf(50));
          break;
        case 3:
          if (subscription == nullptr || subscription->ended != v1::REASON_UNSPECIFIED) break;
          subscriber_->End(subscription, v1::REASON_UNSUBSCRIBED);
          break;
        default:
          transport_.Takes(random() % 60);
          (void)Resume();
      }
      const Subscriber::LagReport report = subscriber_->TakeLagReport();
      raised += report.raised;
      cleared += report.cleared;
      EXPECT_LE(cleared, raised);
    }
    if (seed % 2 == 0) (void)subscriber_->Close(Subscriber::ControlFrames::kKeep);
    subscriber_->QueueControl(ServerPong(1));  // as a Goodbye
    transport_.AfterwardsTakes(ScriptedTransport::kEverything);
    for (int i = 0; i < 1000 && !subscriber_->writer().empty(); ++i) (void)Resume();
    const Subscriber::LagReport report = subscriber_->TakeLagReport();
    EXPECT_EQ(raised + report.raised, cleared + report.cleared);
  }
}

// ---- The stuck clock ----

constexpr absl::Duration kWriteTimeout = absl::Seconds(10);

class StuckClockTest : public SubscriberTest {
 protected:
  StuckClockTest() { limits_.write_timeout = kWriteTimeout; }

  // Something that always waits, so that every write fills the socket.
  void OfferPlenty(Subscription* subscription) {
    for (int i = 0; i < 100; ++i) Offer(subscription, FrameOf(100'000));
  }
};

// The kernel reports room only when a third of its buffer is free, so such a reader looks idle for longer
// than the timeout; what it acknowledges shows that it is not.
TEST_F(StuckClockTest, AReaderOf20KilobytesPerSecondIsNotCut) {
  Subscription* subscription = Add(1);
  OfferPlenty(subscription);
  transport_.AfterwardsTakes(0);
  transport_.Takes(700'000);
  transport_.Acknowledged(0);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  uint64_t acknowledged = 0;
  for (int second = 1; second <= 180; ++second) {
    acknowledged += 20'000;
    transport_.Acknowledged(acknowledged);
    EXPECT_EQ(PassTime(absl::Seconds(1)), absl::InfiniteFuture());
    if (second % 12 != 0) continue;
    transport_.Takes(240'000);
    (void)Resume();
  }
  EXPECT_EQ(OverReason(), v1::REASON_UNSPECIFIED);
}

TEST_F(StuckClockTest, AReaderThatStopsIsCutWithinTheTimeoutAndATick) {
  Subscription* subscription = Add(1);
  OfferPlenty(subscription);
  transport_.AfterwardsTakes(0);
  transport_.Takes(700'000);
  transport_.Acknowledged(0);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  uint64_t acknowledged = 0;
  for (int i = 1; i <= 73; ++i) {  // 36.5 s
    transport_.Acknowledged(acknowledged += 10'000);
    EXPECT_EQ(PassTime(absl::Milliseconds(500)), absl::InfiniteFuture());
  }
  const absl::Time stopped = now_;
  const absl::Time cut = PassTime(absl::Minutes(1));
  EXPECT_GE(cut, stopped + kWriteTimeout - absl::Milliseconds(500));
  EXPECT_LE(cut, stopped + kWriteTimeout + absl::Seconds(1));
  ASSERT_EQ(OverReason(), v1::REASON_WRITE_TIMEOUT);
  EXPECT_EQ(subscriber_->over()->limit, 10'000u);
  EXPECT_GE(subscriber_->over()->value, 10'000u);
  EXPECT_EQ(subscriber_->over()->subscription, 0u);
}

TEST_F(StuckClockTest, AReaderThatNeverReadsIsCutExactlyInTime) {
  transport_.Acknowledged(5);
  Block();
  const absl::Time blocked_at = now_;
  const absl::Time cut = PassTime(absl::Minutes(1));
  EXPECT_EQ(cut, blocked_at + kWriteTimeout);
  EXPECT_EQ(OverReason(), v1::REASON_WRITE_TIMEOUT);
}

TEST_F(StuckClockTest, AShortTimeoutIsKeptJustAsWell) {
  limits_.write_timeout = absl::Milliseconds(25);
  Block();
  const absl::Time blocked_at = now_;
  const absl::Time cut = PassTime(absl::Minutes(1));
  EXPECT_GE(cut, blocked_at + limits_.write_timeout);
  EXPECT_LE(cut, blocked_at + limits_.write_timeout + absl::Milliseconds(10));
}

TEST_F(StuckClockTest, IdleForAnHourAndThenABurstIsNotCut) {
  Subscription* subscription = Add(1);
  Offer(subscription, FrameOf(100));
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  PassTime(absl::Hours(1));
  OfferPlenty(subscription);
  transport_.AfterwardsTakes(0);
  transport_.WouldBlock();
  EXPECT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  subscriber_->Check(&transport_, now_);
  EXPECT_EQ(PassTime(kWriteTimeout - absl::Milliseconds(1)), absl::InfiniteFuture());
  EXPECT_EQ(OverReason(), v1::REASON_UNSPECIFIED);
}

TEST_F(StuckClockTest, BytesThatTheKernelTakesAreProgressWithoutAcknowledgements) {
  Subscription* subscription = Add(1);
  OfferPlenty(subscription);
  transport_.AfterwardsTakes(0);
  transport_.Acknowledged(std::nullopt);  // a transport that cannot tell
  transport_.Takes(1000);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(PassTime(absl::Seconds(9)), absl::InfiniteFuture());
    transport_.Takes(1);
    (void)Resume();
  }
  const absl::Time last = now_;
  EXPECT_EQ(PassTime(absl::Minutes(1)), last + kWriteTimeout);
}

TEST_F(StuckClockTest, AResumeThatMovesNothingIsNoProgress) {
  transport_.Acknowledged(5);
  Block();
  const absl::Time blocked_at = now_;
  for (int i = 0; i < 30 && OverReason() == v1::REASON_UNSPECIFIED; ++i) {
    PassTime(absl::Seconds(1));
    (void)Resume();
  }
  ASSERT_EQ(OverReason(), v1::REASON_WRITE_TIMEOUT);
  EXPECT_LE(now_, blocked_at + kWriteTimeout + absl::Seconds(1));
}

TEST_F(StuckClockTest, WhatWasAcknowledgedBetweenTwoWritesIsProgress) {
  Subscription* subscription = Add(1);
  OfferPlenty(subscription);
  transport_.AfterwardsTakes(0);
  transport_.Takes(1000);
  transport_.Acknowledged(0);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  // The resume comes before the check sees the acknowledgement.
  PassTime(absl::Milliseconds(9900));
  transport_.Acknowledged(100);
  (void)Resume();
  EXPECT_EQ(PassTime(kWriteTimeout - absl::Milliseconds(1)), absl::InfiniteFuture());
}

TEST_F(StuckClockTest, WithoutATimeoutNobodyIsStuck) {
  limits_.write_timeout = absl::ZeroDuration();
  Block();
  EXPECT_EQ(PassTime(absl::Hours(10)), absl::InfiniteFuture());
}

TEST_F(StuckClockTest, DrainedResetsEverything) {
  Subscription* subscription = Add(1, {.pending_age_max = absl::Seconds(20)});
  Offer(subscription, FrameOf(1000));
  transport_.Takes(10);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  const absl::Time first_block = now_;
  EXPECT_TRUE(subscriber_->stalled());
  EXPECT_EQ(subscriber_->stall().since, first_block);
  EXPECT_EQ(PassTime(absl::Seconds(9)), absl::InfiniteFuture());
  EXPECT_EQ(Resume().outcome, FlushOutcome::kDrained);
  EXPECT_FALSE(subscriber_->stalled());
  EXPECT_FALSE(subscriber_->blocked());
  EXPECT_EQ(subscriber_->stall().since, first_block);  // of the stall that has just ended
  EXPECT_EQ(subscriber_->NextCheck(), absl::InfiniteFuture());

  now_ += absl::Seconds(9);
  Offer(subscription, FrameOf(1000));
  transport_.AfterwardsTakes(0);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  const absl::Time second_block = now_;
  EXPECT_EQ(subscriber_->stall().since, second_block);
  EXPECT_EQ(subscriber_->stall().taken_bytes, 0u);
  EXPECT_EQ(subscriber_->stall().resumes, 0u);
  EXPECT_EQ(PassTime(absl::Minutes(1)), second_block + kWriteTimeout);
}

TEST_F(StuckClockTest, AStallIsCountedFromItsFirstBlockedWriteToTheDrainedQueue) {
  Subscription* subscription = Add(1);
  Offer(subscription, FrameOf(10'000));
  transport_.Takes(1000);
  (void)Flush();
  for (int i = 0; i < 3; ++i) {
    now_ += absl::Seconds(1);
    transport_.Takes(500);
    (void)Resume();
    EXPECT_TRUE(subscriber_->stalled());
  }
  EXPECT_EQ(subscriber_->stall().taken_bytes, 2500u);
  EXPECT_EQ(subscriber_->stall().resumes, 3u);
  const uint64_t left = subscriber_->pending_bytes();
  EXPECT_EQ(Resume().outcome, FlushOutcome::kDrained);
  EXPECT_EQ(subscriber_->stall().taken_bytes, 2500 + left);
  EXPECT_EQ(subscriber_->stall().resumes, 4u);
  EXPECT_EQ(now_ - subscriber_->stall().since, absl::Seconds(3));
}

TEST_F(StuckClockTest, BecomingWritableWhenItWasNotBlockedCountsForNothing) {
  subscriber_->BecameWritable();
  EXPECT_EQ(subscriber_->stall().resumes, 0u);
  EXPECT_FALSE(subscriber_->blocked());
}

// Whatever happens, a blocked subscriber is looked at soon, and never all the time.
TEST_F(StuckClockTest, TheNextCheckIsNeverPastAndNeverFar) {
  for (uint32_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    limits_.write_timeout =
        random() % 3 == 0 ? absl::ZeroDuration() : absl::Milliseconds(1 + random() % 20'000);
    SetUp();
    transport_.AfterwardsTakes(0);
    Subscription* subscription =
        Add(1, {.pending_age_max = random() % 2 == 0 ? absl::InfiniteDuration()
                                                     : absl::Milliseconds(1 + random() % 20'000)});
    OfferPlenty(subscription);
    (void)Flush();
    uint64_t acknowledged = 0;
    for (int i = 0; i < 300 && !subscriber_->over().has_value(); ++i) {
      if (now_ >= subscriber_->NextCheck()) {
        subscriber_->Check(&transport_, now_);
        if (subscriber_->over().has_value()) break;
        EXPECT_GE(subscriber_->NextCheck(), now_ + absl::Milliseconds(10));
      }
      EXPECT_LE(subscriber_->NextCheck(), now_ + absl::Seconds(1));
      switch (random() % 4) {
        case 0:
          Offer(subscription, FrameOf(100));
          break;
        case 1:
          transport_.Acknowledged(acknowledged += random() % 3);
          break;
        case 2:
          transport_.Takes(1 + random() % 100);
          (void)Resume();
          EXPECT_GE(subscriber_->NextCheck(), now_ + absl::Milliseconds(10));
          break;
        default:
          break;
      }
      now_ += absl::Milliseconds(random() % 400);
    }
  }
}

}  // namespace
}  // namespace sluice
