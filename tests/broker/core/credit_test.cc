// Subscriptions that wait for credit: judged alone, by their own limits and policies, whatever their socket
// and their neighbours do.
#include "broker/core/credit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "broker/core/subscriber.h"
#include "protocol/frame.h"
#include "protocol/sluice.pb.h"
#include "tests/support/frames.h"
#include "tests/support/scripted_transport.h"

namespace sluice {
namespace {

using testing::Encode;
using testing::MessageFrame;
using testing::ReadStream;
using testing::ReceivedStream;
using testing::ScriptedTransport;
using testing::ServerPong;
using testing::SliceOf;

TEST(CreditTest, AGrantIsATotal) {
  Credit credit(100);
  EXPECT_EQ(credit.left(), 100u);
  credit.Spend(60);
  credit.Grant(50);
  credit.Grant(100);
  EXPECT_EQ(credit.left(), 40u);
  credit.Spend(60);  // overdrawn
  EXPECT_EQ(credit.left(), 0u);
  credit.Grant(120);
  EXPECT_EQ(credit.left(), 0u);
  credit.Grant(121);
  EXPECT_EQ(credit.left(), 1u);
  credit.Lift();
  credit.Grant(5);
  EXPECT_GT(credit.left(), uint64_t{1} << 60);
}

// Messages of a subscription carry their numbers: "  7" is the seventh that was offered to it.
class WindowTest : public ::testing::Test {
 protected:
  static constexpr size_t kPayloadBytes = 90;
  const uint64_t frame_bytes_ = MessageFrame("t", std::string(kPayloadBytes, ' ')).size();

  // One with a window of so many messages; 0: without.
  Subscription* Add(uint32_t id, uint64_t window_messages, v1::OverflowPolicy policy,
                    const QueueLimits& limits) {
    Subscription* subscription = subscriber_.Add(id, limits, policy);
    if (window_messages > 0) Subscriber::OpenWindow(subscription, window_messages * frame_bytes_);
    subscription->told = Subscription::Told::kYes;
    return subscription;
  }
  Subscriber::Offered Offer(Subscription* subscription, uint64_t messages) {
    std::string frames;
    for (uint64_t i = 1; i <= messages; ++i) {
      std::string payload = std::to_string(subscription->offered + i);
      payload.insert(0, kPayloadBytes - payload.size(), ' ');
      frames += MessageFrame("t", payload);
    }
    const Slice slice = SliceOf(frames, &account_);
    return subscriber_.Offer(subscription, {&slice, 1}, now_);
  }
  FlushResult Flush() { return subscriber_.Flush(&transport_, scratch_.get(), 1 << 30, now_); }
  void Block() {
    transport_.AfterwardsTakes(0);
    subscriber_.QueueControl(ServerPong(1));
    ASSERT_EQ(Flush().outcome, FlushOutcome::kBlocked);
  }
  // So many messages in all may be sent to it.
  void Grant(Subscription* subscription, uint64_t messages) {
    subscriber_.Grant(subscription, messages * frame_bytes_);
    if (subscriber_.wants_flush()) Flush();
  }
  // Time passes; the shard asks whenever it is due, and ends what is cut.
  void PassTime(absl::Duration duration) {
    const absl::Time end = now_ + duration;
    while (subscriber_.NextCheck() <= end && !subscriber_.over().has_value()) {
      now_ = std::max(now_, subscriber_.NextCheck());
      subscriber_.Check(&transport_, now_);
      EndCut();
    }
    now_ = std::max(now_, end);
  }
  std::vector<OverLimit> EndCut() {
    std::vector<OverLimit> cut = subscriber_.TakeCut();
    for (const OverLimit& over : cut) {
      dropped_ += subscriber_.EndOver(subscriber_.Find(over.subscription), over);
    }
    if (subscriber_.wants_flush()) Flush();
    return cut;
  }

  struct Book {
    std::vector<uint64_t> received;
    uint64_t told = 0;
    std::optional<v1::Unsubscribed> ended;
  };
  // What a client makes of the stream: whatever is missing was told at its place.
  std::map<uint32_t, Book> Books() {
    std::map<uint32_t, Book> books;
    const ReceivedStream received = ReadStream(transport_.stream());
    EXPECT_EQ(received.state, ReceivedStream::State::kWhole);
    uint32_t current = 0;
    for (const v1::ServerFrame& frame : received.frames) {
      if (frame.has_delivery()) current = frame.delivery().subscription();
      if (frame.has_message()) {
        Book& book = books[current];
        book.received.push_back(std::stoull(frame.message().payload()));
        if (check_order_) {
          EXPECT_EQ(book.received.back(), book.received.size() + book.told) << "subscription " << current;
        }
      }
      if (frame.has_gap()) {
        Book& book = books[frame.gap().subscription()];
        book.told += frame.gap().messages();
        EXPECT_EQ(frame.gap().offered(), book.received.size() + book.told);
      }
      if (frame.has_unsubscribed()) {
        Book& book = books[frame.unsubscribed().subscription()];
        EXPECT_EQ(frame.unsubscribed().offered(), book.received.size() + book.told);
        book.ended = frame.unsubscribed();
      }
    }
    return books;
  }

  MemoryAccount account_;
  SubscriberLimits limits_;
  Subscriber subscriber_{1, &limits_, &account_};
  ScriptedTransport transport_;
  std::unique_ptr<WriteScratch> scratch_ = std::make_unique<WriteScratch>();
  absl::Time now_ = absl::FromUnixSeconds(1000);
  Missing dropped_;
  // Conflation keeps it per key only.
  bool check_order_ = true;
};

TEST_F(WindowTest, OneThatIsOutOfCreditHoldsUpNobody) {
  Subscription* slow = Add(1, 5, v1::OVERFLOW_POLICY_DISCONNECT, {});
  Subscription* other = Add(2, 0, v1::OVERFLOW_POLICY_DISCONNECT, {});
  for (int i = 0; i < 10; ++i) {
    Offer(slow, 100);
    Offer(other, 1);
    EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  }
  EXPECT_FALSE(subscriber_.wants_flush());
  EXPECT_TRUE(subscriber_.HoldsBack(*slow));
  EXPECT_FALSE(subscriber_.HoldsBack(*other));
  EXPECT_EQ(Books()[1].received.size(), 5u);
  EXPECT_EQ(Books()[2].received.size(), 10u);
  EXPECT_EQ(subscriber_.pending_messages(), 995u);
  Grant(slow, 900);
  EXPECT_EQ(Books()[1].received.size(), 900u);
  Grant(slow, 900);
  Grant(slow, 3);
  EXPECT_EQ(Books()[1].received.size(), 900u);
  Grant(slow, 5000);
  EXPECT_EQ(Books()[1].received.size(), 1000u);
  EXPECT_EQ(subscriber_.pending_bytes(), 0u);
  EXPECT_EQ(slow->backlog, nullptr);
}

TEST_F(WindowTest, SubscribedTellsTheWindow) {
  Subscription* subscription = Add(1, 0, v1::OVERFLOW_POLICY_DISCONNECT, {});
  subscription->told = Subscription::Told::kNo;
  Subscriber::OpenWindow(subscription, 4711);
  subscriber_.TellSubscribed(1, 0);
  Subscription* without = Add(2, 0, v1::OVERFLOW_POLICY_DISCONNECT, {});
  without->told = Subscription::Told::kNo;
  subscriber_.TellSubscribed(2, 0);
  Flush();
  const ReceivedStream received = ReadStream(transport_.stream());
  ASSERT_EQ(received.frames.size(), 2u);
  EXPECT_EQ(received.frames[0].subscribed().window_bytes(), 4711u);
  EXPECT_EQ(received.frames[1].subscribed().window_bytes(), 0u);
}

TEST_F(WindowTest, OverItsLimitTheSubscriptionIsCutAndNotTheSession) {
  Subscription* slow = Add(1, 5, v1::OVERFLOW_POLICY_DISCONNECT, {.pending_messages_max = 10});
  Subscription* other = Add(2, 0, v1::OVERFLOW_POLICY_DISCONNECT, {.pending_messages_max = 10});
  Offer(slow, 15);
  Flush();
  EXPECT_EQ(subscriber_.TakeCut().size(), 0u);
  Offer(slow, 1);
  EXPECT_TRUE(subscriber_.wants_attention());
  Offer(slow, 4);  // it is in its group until the end of the turn
  const std::vector<OverLimit> cut = EndCut();
  ASSERT_EQ(cut.size(), 1u);
  EXPECT_EQ(cut[0].reason, v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(dropped_.messages, 15u);
  EXPECT_FALSE(subscriber_.over().has_value());
  EXPECT_EQ(subscriber_.Find(1), nullptr);
  EXPECT_EQ(subscriber_.pending_bytes(), 0u);
  Offer(other, 100);
  Flush();
  std::map<uint32_t, Book> books = Books();
  EXPECT_EQ(books[1].received.size(), 5u);
  EXPECT_EQ(books[1].told, 15u);
  ASSERT_TRUE(books[1].ended.has_value());
  EXPECT_EQ(books[1].ended->reason(), v1::REASON_PENDING_MESSAGES);
  EXPECT_EQ(books[1].ended->limit(), 10u);
  EXPECT_EQ(books[1].ended->value(), 11u);
  EXPECT_EQ(books[2].received.size(), 100u);
}

TEST_F(WindowTest, IsJudgedByTheFlushThatUsesUpItsCredit) {
  Subscription* slow = Add(1, 5, v1::OVERFLOW_POLICY_DISCONNECT, {.pending_messages_max = 10});
  Offer(slow, 15);  // not judged yet: it has credit
  EXPECT_EQ(subscriber_.TakeCut().size(), 0u);
  Offer(slow, 1);
  EXPECT_EQ(subscriber_.TakeCut().size(), 0u);
  Flush();
  EXPECT_EQ(subscriber_.TakeCut().size(), 1u);
}

TEST_F(WindowTest, ItsAgeIsFoundByTheCheck) {
  Subscription* slow = Add(1, 5, v1::OVERFLOW_POLICY_DISCONNECT, {.pending_age_max = absl::Seconds(30)});
  EXPECT_EQ(subscriber_.NextCheck(), absl::InfiniteFuture());
  Offer(slow, 6);
  Flush();
  EXPECT_LE(subscriber_.NextCheck(), now_ + absl::Seconds(1));
  PassTime(absl::Seconds(29));
  EXPECT_NE(subscriber_.Find(1), nullptr);
  PassTime(absl::Seconds(2));
  EXPECT_EQ(Books()[1].ended->reason(), v1::REASON_PENDING_AGE);
  EXPECT_EQ(Books()[1].told, 1u);
  EXPECT_EQ(subscriber_.NextCheck(), absl::InfiniteFuture());
}

// The offers of every turn must not put the look at the clock off.
TEST_F(WindowTest, ItsAgeIsFoundWhileMoreComesAllTheTime) {
  Subscription* slow = Add(1, 5, v1::OVERFLOW_POLICY_DISCONNECT, {.pending_age_max = absl::Seconds(30)});
  const absl::Time began_at = now_;
  while (subscriber_.Find(1) != nullptr && now_ < began_at + absl::Minutes(5)) {
    Offer(slow, 10);
    Flush();
    if (now_ >= subscriber_.NextCheck()) subscriber_.Check(&transport_, now_);
    EndCut();
    now_ += absl::Milliseconds(100);
  }
  EXPECT_LE(now_, began_at + absl::Seconds(31));
}

TEST_F(WindowTest, ToBeOutOfCreditIsNotToBeStuck) {
  limits_.write_timeout = absl::Seconds(10);
  Subscription* slow = Add(1, 5, v1::OVERFLOW_POLICY_DISCONNECT, {});
  Offer(slow, 100);
  Flush();
  PassTime(absl::Hours(2));
  EXPECT_FALSE(subscriber_.over().has_value());
  EXPECT_NE(subscriber_.Find(1), nullptr);
  // A socket that takes nothing is another thing.
  Block();
  PassTime(absl::Seconds(11));
  ASSERT_TRUE(subscriber_.over().has_value());
  EXPECT_EQ(subscriber_.over()->reason, v1::REASON_WRITE_TIMEOUT);
}

TEST_F(WindowTest, IsWarnedAndIsBackWithCredit) {
  Subscription* slow = Add(1, 5, v1::OVERFLOW_POLICY_DISCONNECT, {.pending_messages_max = 100});
  Offer(slow, 5);
  Flush();
  Offer(slow, 75);
  EXPECT_EQ(subscriber_.TakeLagReport().raised, 1u);
  Grant(slow, 30);
  EXPECT_EQ(subscriber_.TakeLagReport().cleared, 0u);
  Grant(slow, 40);
  EXPECT_EQ(subscriber_.TakeLagReport().cleared, 1u);
}

TEST_F(WindowTest, ItsPolicyDropsAndTheGapIsOneHoweverLongItLasts) {
  Subscription* oldest = Add(1, 5, v1::OVERFLOW_POLICY_DROP_OLDEST, {.pending_messages_max = 10});
  Subscription* newest = Add(2, 5, v1::OVERFLOW_POLICY_DROP_NEWEST, {.pending_messages_max = 10});
  for (int i = 0; i < 200; ++i) {
    Offer(oldest, 3);
    Offer(newest, 3);
    Flush();
  }
  EXPECT_LE(oldest->queue().slices().size(), 12u);
  Grant(oldest, 1000);
  Grant(newest, 1000);
  Flush();
  std::map<uint32_t, Book> books = Books();
  for (const uint32_t id : {1, 2}) EXPECT_EQ(books[id].received.size() + books[id].told, 600u);
  EXPECT_EQ(books[1].received.back(), 600u);
  EXPECT_EQ(books[2].received.size(), 15u);
  size_t gaps = 0;
  for (const v1::ServerFrame& frame : ReadStream(transport_.stream()).frames) gaps += frame.has_gap() ? 1 : 0;
  EXPECT_EQ(gaps, 2u);
}

TEST_F(WindowTest, AGapWithNothingBehindItNeedsNoCredit) {
  Subscription* slow = Add(1, 5, v1::OVERFLOW_POLICY_DROP_OLDEST, {.pending_age_max = absl::Seconds(10)});
  Offer(slow, 8);
  Flush();
  PassTime(absl::Seconds(20));
  if (subscriber_.wants_flush()) Flush();
  EXPECT_EQ(Books()[1].told, 3u);
  EXPECT_EQ(slow->backlog, nullptr);
}

TEST_F(WindowTest, ConflatesWhileItIsOutOfCredit) {
  check_order_ = false;
  Subscription* slow = Add(1, 2, v1::OVERFLOW_POLICY_CONFLATE, {.pending_messages_max = 10});
  Offer(slow, 2);
  Flush();
  for (int i = 0; i < 100; ++i) {
    Offer(slow, 1);
    Flush();
  }
  EXPECT_EQ(subscriber_.pending_messages(), 1u);
  Grant(slow, 10);
  std::map<uint32_t, Book> books = Books();
  EXPECT_EQ(books[1].received, (std::vector<uint64_t>{1, 2, 102}));
  EXPECT_EQ(books[1].told, 99u);
  // It has caught up: everything comes again.
  Offer(slow, 3);
  Flush();
  EXPECT_EQ(Books()[1].received.size(), 6u);
}

TEST_F(WindowTest, TheSessionsBytesCutTheFullestThatWaitsForCredit) {
  limits_.session_bytes_max = 100 * frame_bytes_;
  Subscription* small = Add(1, 1, v1::OVERFLOW_POLICY_DISCONNECT, {});
  Subscription* large = Add(2, 1, v1::OVERFLOW_POLICY_DISCONNECT, {});
  Subscription* healthy = Add(3, 0, v1::OVERFLOW_POLICY_DISCONNECT, {});
  Offer(small, 31);
  Offer(large, 61);
  Flush();
  Offer(healthy, 50);  // leaves with the next flush, and counts for nobody
  Offer(small, 1);
  EXPECT_EQ(EndCut().size(), 0u);
  Offer(small, 10);
  Offer(small, 1);  // what is cut is enough
  const std::vector<OverLimit> cut = EndCut();
  ASSERT_EQ(cut.size(), 1u);
  EXPECT_EQ(cut[0].subscription, 2u);
  EXPECT_EQ(cut[0].reason, v1::REASON_SESSION_BYTES);
  EXPECT_FALSE(subscriber_.over().has_value());
  EXPECT_EQ(Books()[3].received.size(), 50u);
}

TEST_F(WindowTest, MemoryCutsItAlone) {
  Subscription* slow = Add(1, 1, v1::OVERFLOW_POLICY_DISCONNECT, {});
  Subscription* other = Add(2, 0, v1::OVERFLOW_POLICY_DISCONNECT, {});
  Offer(slow, 10);
  Flush();
  size_t starved = 0;
  subscriber_.ForEachStarved([&](Subscription*) { ++starved; });
  EXPECT_EQ(starved, 1u);
  subscriber_.CutForMemory(*slow);
  EXPECT_EQ(EndCut().size(), 1u);
  EXPECT_FALSE(subscriber_.over().has_value());
  EXPECT_EQ(Books()[1].ended->reason(), v1::REASON_MEMORY_BUDGET);
  subscriber_.CutForMemory(*other);
  EXPECT_TRUE(subscriber_.over().has_value());
}

TEST_F(WindowTest, WhoEndsNeedsNoCreditForWhatItIsStillToGet) {
  Subscription* slow = Add(1, 1, v1::OVERFLOW_POLICY_DISCONNECT, {});
  Offer(slow, 10);
  Flush();
  subscriber_.End(slow, v1::REASON_UNSUBSCRIBED);
  Flush();
  EXPECT_EQ(Books()[1].received.size(), 10u);
  EXPECT_EQ(Books()[1].ended->reason(), v1::REASON_UNSUBSCRIBED);
  Subscription* again = Add(2, 1, v1::OVERFLOW_POLICY_DISCONNECT, {});
  Offer(again, 10);
  Flush();
  subscriber_.LiftWindows();
  Flush();
  EXPECT_EQ(Books()[2].received.size(), 10u);
}

TEST_F(WindowTest, OneThatIsObservedIsReportedAndLeftAlone) {
  Subscription* slow = subscriber_.Add(1, {.pending_messages_max = 10}, v1::OVERFLOW_POLICY_DISCONNECT, "",
                                       OnOverflow::kObserve);
  Subscriber::OpenWindow(slow, 1);
  slow->told = Subscription::Told::kYes;
  Offer(slow, 1);
  Flush();
  Offer(slow, 20);
  EXPECT_EQ(subscriber_.TakeObserved().size(), 1u);
  EXPECT_EQ(subscriber_.TakeCut().size(), 0u);
}

TEST_F(WindowTest, ClosingForgetsThoseThatWaitForCredit) {
  Subscription* slow = Add(1, 1, v1::OVERFLOW_POLICY_DISCONNECT, {});
  Offer(slow, 10);
  Flush();
  EXPECT_EQ(subscriber_.Close(Subscriber::ControlFrames::kKeep).messages, 9u);
  EXPECT_TRUE(subscriber_.writer().starved().empty());
  EXPECT_EQ(subscriber_.NextCheck(), absl::InfiniteFuture());
  EXPECT_EQ(account_.bytes(), 0);
}

// Windows, policies, grants that come late or twice, short writes and full sockets at random: what came and
// what was told missing is what was offered, and nothing was sent that was not granted.
TEST_F(WindowTest, ReceivedAndToldAreWhatWasOfferedWhateverHappens) {
  limits_.session_bytes_max = 0;
  uint64_t ended = 0;
  uint64_t told = 0;
  for (uint32_t seed = 1; seed <= 100 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Subscriber subscriber(1, &limits_, &account_);
    ScriptedTransport transport;
    constexpr uint32_t kSubscriptions = 5;
    const v1::OverflowPolicy policies[] = {v1::OVERFLOW_POLICY_DROP_OLDEST, v1::OVERFLOW_POLICY_DROP_NEWEST,
                                           v1::OVERFLOW_POLICY_DISCONNECT, v1::OVERFLOW_POLICY_CONFLATE,
                                           v1::OVERFLOW_POLICY_DISCONNECT};
    std::map<uint32_t, uint64_t> offered;
    std::map<uint32_t, uint64_t> granted;
    for (uint32_t id = 1; id <= kSubscriptions; ++id) {
      const QueueLimits limits =
          id == kSubscriptions ? QueueLimits()
          : random() % 2 == 0  ? QueueLimits{.pending_bytes_max = 3000}
                               : QueueLimits{.pending_messages_max = 20, .pending_age_max = absl::Seconds(5)};
      Subscription* subscription = subscriber.Add(id, limits, policies[id - 1]);
      subscription->told = Subscription::Told::kYes;
      if (id == kSubscriptions) continue;
      granted[id] = 1 + random() % 500;
      Subscriber::OpenWindow(subscription, granted[id]);
    }
    const auto end_cut = [&] {
      for (const OverLimit& over : subscriber.TakeCut()) {
        ++ended;
        (void)subscriber.EndOver(subscriber.Find(over.subscription), over);
      }
    };
    for (int step = 0; step < 400; ++step) {
      now_ += absl::Milliseconds(random() % 100);
      const uint32_t id = 1 + random() % kSubscriptions;
      Subscription* subscription = subscriber.Find(id);
      if (subscription != nullptr && random() % 4 == 0 && granted.contains(id)) {
        const uint64_t bytes = granted[id] + random() % 1500;
        subscriber.Grant(subscription, bytes);
        subscriber.Grant(subscription, bytes / 2);
        granted[id] = bytes;
      } else if (subscription != nullptr && subscription->ended == v1::REASON_UNSPECIFIED) {
        std::string frames;
        const uint64_t messages = 1 + random() % 5;
        for (uint64_t i = 1; i <= messages; ++i) {
          frames += MessageFrame("t" + std::to_string(random() % 3), std::string(random() % 100, '0'));
        }
        const Slice slice = SliceOf(frames, &account_);
        (void)subscriber.Offer(subscription, {&slice, 1}, now_);
        offered[id] = subscription->offered;
      }
      if (random() % 2 == 0) {
        transport.Takes(random() % 400);
        if (random() % 2 == 0) transport.WouldBlock();
        subscriber.BecameWritable();
        (void)subscriber.Flush(&transport, scratch_.get(), 1 << 20, now_);
      }
      if (now_ >= subscriber.NextCheck()) subscriber.Check(&transport, now_);
      // Who is both, out of credit and behind a full socket, is cut alone as well; a session may be cut too.
      if (subscriber.over().has_value()) break;
      end_cut();
    }
    if (subscriber.over().has_value()) {
      (void)subscriber.Close(Subscriber::ControlFrames::kKeep);
      continue;
    }
    subscriber.BecameWritable();
    while (subscriber.wants_flush()) {
      transport.Takes(1 + random() % 5000);
      (void)subscriber.Flush(&transport, scratch_.get(), 1 << 20, now_);
      subscriber.BecameWritable();
      end_cut();
    }
    std::map<uint32_t, uint64_t> sent_bytes;
    std::map<uint32_t, uint64_t> last_bytes;
    uint32_t current = 0;
    for (const v1::ServerFrame& frame : ReadStream(transport.stream()).frames) {
      if (frame.has_delivery()) current = frame.delivery().subscription();
      if (!frame.has_message()) continue;
      last_bytes[current] = Encode(frame).size();
      sent_bytes[current] += last_bytes[current];
    }
    for (const auto& [id, bytes] : granted) {
      // Nothing was sent that had not begun while something was left.
      ASSERT_LT(sent_bytes[id] - last_bytes[id], bytes) << "subscription " << id;
    }
    subscriber.LiftWindows();
    while (subscriber.wants_flush()) (void)subscriber.Flush(&transport, scratch_.get(), 1 << 20, now_);
    EXPECT_EQ(subscriber.pending_bytes(), 0u);
    EXPECT_EQ(subscriber.pending_messages(), 0u);
    std::map<uint32_t, uint64_t> known;
    for (const v1::ServerFrame& frame : ReadStream(transport.stream()).frames) {
      if (frame.has_delivery()) current = frame.delivery().subscription();
      if (frame.has_message()) ++known[current];
      if (frame.has_gap()) {
        known[frame.gap().subscription()] += frame.gap().messages();
        told += frame.gap().messages();
        if (frame.gap().cause() == v1::GAP_CAUSE_DROPPED) {
          EXPECT_EQ(frame.gap().offered(), known[frame.gap().subscription()]);
        }
      }
      if (frame.has_unsubscribed()) {
        EXPECT_EQ(frame.unsubscribed().offered(), known[frame.unsubscribed().subscription()]);
      }
    }
    EXPECT_EQ(known, offered);
  }
  EXPECT_GT(ended, 0u);
  EXPECT_GT(told, 0u);
  EXPECT_EQ(account_.bytes(), 0);
}

}  // namespace
}  // namespace sluice
