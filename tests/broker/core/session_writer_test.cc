#include "broker/core/session_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/frame.h"
#include "tests/support/frames.h"
#include "tests/support/scripted_transport.h"

namespace sluice {
namespace {

using ::sluice::testing::Encode;
using ::sluice::testing::MessageFrame;
using ::sluice::testing::ReadStream;
using ::sluice::testing::ReceivedStream;
using ::sluice::testing::ScriptedTransport;
using ::sluice::testing::ServerPong;
using ::sluice::testing::SliceOf;
using ::sluice::testing::UnsubscribedFrame;

using Payloads = std::map<uint32_t, std::vector<std::string>>;

constexpr uint64_t kNoCap = uint64_t{1} << 40;

std::unique_ptr<Subscription> NewSubscription(uint32_t id) {
  auto subscription = std::make_unique<Subscription>();
  subscription->id = id;
  return subscription;
}

// The kinds of frames in the order in which they came: "D7 m m p" is a header for 7, two messages, a pong.
std::string Shape(const ReceivedStream& received) {
  std::string shape;
  for (const v1::ServerFrame& frame : received.frames) {
    if (!shape.empty()) shape += ' ';
    if (frame.has_delivery()) shape += "D" + std::to_string(frame.delivery().subscription());
    if (frame.has_message()) shape += "m";
    if (frame.has_server_pong()) shape += "p";
    if (frame.has_unsubscribed()) shape += "u" + std::to_string(frame.unsubscribed().subscription());
  }
  return shape;
}

class SessionWriterTest : public ::testing::Test {
 protected:
  SessionWriterTest() {
    one_->id = 1;
    two_->id = 2;
  }
  ~SessionWriterTest() override {
    writer_.Forget(one_.get());
    writer_.Forget(two_.get());
  }

  void Offer(Subscription* subscription, std::string_view payload) {
    OfferFrames(subscription, MessageFrame("t", payload));
  }
  void OfferFrames(Subscription* subscription, std::string_view frames,
                   SliceKind kind = SliceKind::kMessages) {
    subscription->mutable_queue().Push(SliceOf(frames, &account_, absl::UnixEpoch(), kind));
    writer_.Activate(subscription);
  }

  FlushResult Flush(uint64_t bytes_max = kNoCap) {
    return writer_.Flush(&transport_, scratch_.get(), bytes_max);
  }
  ReceivedStream Received() { return ReadStream(transport_.stream()); }

  MemoryAccount account_;
  ScriptedTransport transport_;
  std::unique_ptr<WriteScratch> scratch_ = std::make_unique<WriteScratch>();
  SessionWriter writer_;
  std::unique_ptr<Subscription> one_ = NewSubscription(1);
  std::unique_ptr<Subscription> two_ = NewSubscription(2);
};

TEST_F(SessionWriterTest, WithNothingToSendItDoesNotTouchTheSocket) {
  EXPECT_TRUE(writer_.empty());
  const FlushResult result = Flush();
  EXPECT_EQ(result.outcome, FlushOutcome::kDrained);
  EXPECT_EQ(result.writes, 0u);
  EXPECT_TRUE(transport_.calls().empty());
}

TEST_F(SessionWriterTest, PutsAHeaderBeforeMessagesOnlyWhenTheSubscriptionChanges) {
  Offer(one_.get(), "a");
  Offer(one_.get(), "b");
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  Offer(one_.get(), "c");
  (void)Flush();
  Offer(two_.get(), "d");
  (void)Flush();
  writer_.QueueControl(ServerPong(1));
  Offer(two_.get(), "e");
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "D1 m m m D2 m p m");
  EXPECT_EQ(Received().payloads, (Payloads{{1, {"a", "b", "c"}}, {2, {"d", "e"}}}));
}

TEST_F(SessionWriterTest, HeadersAreWhatGeneratedCodeWouldWrite) {
  for (const uint32_t id :
       {1u, 127u, 128u, 16'383u, 16'384u, 2'097'151u, 2'097'152u, 268'435'455u, 268'435'456u, 0xffff'ffffu}) {
    v1::ServerFrame header;
    header.mutable_delivery()->set_subscription(id);
    const std::string message = MessageFrame("t", "a");
    const auto subscription = NewSubscription(id);
    transport_.Clear();
    OfferFrames(subscription.get(), message);
    (void)Flush();
    EXPECT_EQ(transport_.stream(), Encode(header) + message) << id;
  }
}

TEST_F(SessionWriterTest, FramesInPlaceNameTheirSubscriptionThemselves) {
  Offer(one_.get(), "a");
  OfferFrames(two_.get(), UnsubscribedFrame(2), SliceKind::kInPlace);
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "D1 m u2");
  Offer(one_.get(), "b");  // still the current one
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "D1 m u2 m");
}

TEST_F(SessionWriterTest, AFrameInPlaceStandsWhereItWasPut) {
  Offer(one_.get(), "a");
  OfferFrames(one_.get(), UnsubscribedFrame(1), SliceKind::kInPlace);
  Offer(one_.get(), "b");
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "D1 m u1 m");
}

TEST_F(SessionWriterTest, ReportsWhatBecameOfEachByte) {
  const std::string frame = MessageFrame("t", "payload");
  const std::string pong = Encode(ServerPong(1));
  OfferFrames(one_.get(), frame + frame);
  writer_.QueueControl(ServerPong(1));
  transport_.Takes(pong.size() + 2).WouldBlock();

  FlushResult result = Flush();
  const size_t total = transport_.calls()[0].offered_bytes;
  EXPECT_GT(total, pong.size() + 2 * frame.size());  // and a header
  EXPECT_EQ(result.outcome, FlushOutcome::kBlocked);
  EXPECT_EQ(result.offered_bytes, total);
  EXPECT_EQ(result.taken_bytes, pong.size() + 2);
  EXPECT_EQ(result.writes, 1u);
  EXPECT_EQ(result.partial_writes, 1u);
  EXPECT_EQ(result.would_block, 0u);
  EXPECT_EQ(result.messages_sent, 0u);

  result = Flush();
  EXPECT_EQ(result.outcome, FlushOutcome::kBlocked);
  EXPECT_EQ(result.offered_bytes, total - pong.size() - 2);
  EXPECT_EQ(result.taken_bytes, 0u);
  EXPECT_EQ(result.partial_writes, 0u);
  EXPECT_EQ(result.would_block, 1u);

  result = Flush();
  EXPECT_EQ(result.outcome, FlushOutcome::kDrained);
  EXPECT_EQ(result.taken_bytes, total - pong.size() - 2);
  EXPECT_EQ(result.messages_sent, 2u);
  EXPECT_EQ(result.message_bytes_sent, 2 * frame.size());  // no header, no pong
  EXPECT_EQ(one_->backlog, nullptr);
}

TEST_F(SessionWriterTest, ResumesAtTheExactByteWhereverTheKernelStopped) {
  // Control, two queues with headers, frames in place: cut in two at every byte, with more to come.
  const std::string payloads[] = {"", "xxx", std::string(200, 'y')};
  size_t cuts = 0;
  for (FlushOutcome outcome = FlushOutcome::kBlocked; outcome == FlushOutcome::kBlocked;) {
    SCOPED_TRACE(++cuts);
    SessionWriter writer;
    const auto one = NewSubscription(1);
    const auto two = NewSubscription(2);
    transport_.Clear();
    transport_.Takes(cuts);
    for (int round = 0; round < 2; ++round) {
      writer.QueueControl(ServerPong(1));
      for (Subscription* subscription : {one.get(), two.get()}) {
        for (const std::string& payload : payloads) {
          subscription->mutable_queue().Push(SliceOf(MessageFrame("t", payload), &account_));
        }
        subscription->mutable_queue().Push(
            SliceOf(UnsubscribedFrame(subscription->id), &account_, absl::UnixEpoch(), SliceKind::kInPlace));
        writer.Activate(subscription);
      }
      const FlushResult result = writer.Flush(&transport_, scratch_.get(), kNoCap);
      if (round == 0) outcome = result.outcome;
    }
    const ReceivedStream received = Received();
    EXPECT_EQ(received.state, ReceivedStream::State::kWhole);
    EXPECT_EQ(received.unfinished_bytes, 0u);
    std::vector<std::string> expected(std::begin(payloads), std::end(payloads));
    expected.insert(expected.end(), std::begin(payloads), std::end(payloads));
    EXPECT_EQ(received.payloads, (Payloads{{1, expected}, {2, expected}}));
    EXPECT_EQ(received.pongs.size(), 2u);
    EXPECT_EQ(received.unsubscribed.size(), 4u);
    EXPECT_EQ(one->queue().pending_bytes() + two->queue().pending_bytes(), 0u);
    EXPECT_TRUE(writer.empty());
  }
  EXPECT_GT(cuts, 400u);
  EXPECT_EQ(account_.bytes(), 0);
}

TEST_F(SessionWriterTest, EveryWriteMayTakeNoMoreThanAFewBytes) {
  for (size_t step = 1; step <= 40; ++step) {
    Payloads expected;
    transport_.Clear();
    transport_.AfterwardsTakes(step);
    for (size_t i = 0; i < 3; ++i) {
      for (Subscription* subscription : {one_.get(), two_.get()}) {
        const std::string payload(7 * i, static_cast<char>('a' + i));
        Offer(subscription, payload);
        expected[subscription->id].push_back(payload);
      }
    }
    while (!writer_.empty()) (void)Flush();
    EXPECT_EQ(Received().payloads, expected) << "step " << step;
  }
  EXPECT_EQ(account_.bytes(), 0);
}

TEST_F(SessionWriterTest, TheControlLaneGoesFirst) {
  Offer(one_.get(), "a");
  writer_.QueueControl(ServerPong(1));
  writer_.QueueControl(ServerPong(2));
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "p p D1 m");
  EXPECT_EQ(Received().pongs, (std::vector<uint64_t>{1, 2}));
}

TEST_F(SessionWriterTest, TheControlLaneWaitsForTheEndOfTheFrameInFlight) {
  const std::string header = [&] {
    v1::ServerFrame frame;
    frame.mutable_delivery()->set_subscription(1);
    return Encode(frame);
  }();
  const std::string message = MessageFrame("t", "payload");
  for (size_t cut = 1; cut < header.size() + message.size() + 3; ++cut) {
    SCOPED_TRACE(cut);
    SessionWriter writer;
    auto subscription = NewSubscription(1);
    subscription->mutable_queue().Push(SliceOf(message + message, &account_));
    writer.Activate(subscription.get());
    transport_.Clear();
    transport_.Takes(cut);
    (void)writer.Flush(&transport_, scratch_.get(), kNoCap);
    writer.QueueControl(ServerPong(1));
    (void)writer.Flush(&transport_, scratch_.get(), kNoCap);
    const std::string shape = Shape(Received());
    if (cut <= header.size()) {
      EXPECT_EQ(shape, "D1 p m m");
    } else if (cut <= header.size() + message.size()) {
      EXPECT_EQ(shape, "D1 m p m");
    } else {
      EXPECT_EQ(shape, "D1 m m p");
    }
  }
}

TEST_F(SessionWriterTest, QueuesWaitForTheEndOfAControlFrameInFlight) {
  writer_.QueueControl(ServerPong(1));
  writer_.QueueControl(ServerPong(2));
  transport_.Takes(Encode(ServerPong(1)).size() + 1);
  (void)Flush();
  writer_.QueueControl(ServerPong(3));
  Offer(one_.get(), "a");
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "p p p D1 m");
  EXPECT_EQ(Received().pongs, (std::vector<uint64_t>{1, 2, 3}));
}

TEST_F(SessionWriterTest, DropControlLeavesOnlyTheFrameThatHasBegunToLeave) {
  const uint64_t pong_bytes = Encode(ServerPong(1)).size();
  for (uint64_t i = 1; i <= 3; ++i) writer_.QueueControl(ServerPong(i));
  EXPECT_EQ(writer_.control_bytes(), 3 * pong_bytes);
  transport_.Takes(pong_bytes + 2);
  (void)Flush();
  EXPECT_EQ(writer_.control_bytes(), 2 * pong_bytes - 2);
  writer_.DropControl();
  EXPECT_EQ(writer_.control_bytes(), pong_bytes - 2);
  writer_.QueueControl(ServerPong(4));
  (void)Flush();
  EXPECT_EQ(Received().pongs, (std::vector<uint64_t>{1, 2, 4}));
}

TEST_F(SessionWriterTest, DropControlDropsAllAtAFrameBoundary) {
  const uint64_t pong_bytes = Encode(ServerPong(1)).size();
  for (uint64_t i = 1; i <= 3; ++i) writer_.QueueControl(ServerPong(i));
  transport_.Takes(pong_bytes);
  (void)Flush();
  writer_.DropControl();
  EXPECT_EQ(writer_.control_bytes(), 0u);
  EXPECT_TRUE(writer_.empty());
  EXPECT_EQ(Received().pongs, (std::vector<uint64_t>{1}));
}

TEST_F(SessionWriterTest, SaysHowMuchOfTheFrameInFlightIsLeft) {
  EXPECT_EQ(writer_.frame_in_flight_bytes(), 0u);
  writer_.QueueControl(ServerPong(1));
  const std::string message = MessageFrame("t", "payload");
  OfferFrames(one_.get(), message + message);
  EXPECT_EQ(writer_.frame_in_flight_bytes(), 0u);  // nothing has begun
  std::vector<uint64_t> left;
  transport_.AfterwardsTakes(1);
  while (!writer_.empty()) {
    (void)Flush();
    left.push_back(writer_.frame_in_flight_bytes());
  }
  const std::string stream = transport_.stream();
  std::vector<uint64_t> expected;
  for (std::string_view rest = stream; !rest.empty();) {
    const uint32_t frame = ReadFramePrefix(rest).frame_bytes();
    for (uint32_t i = 1; i <= frame; ++i) expected.push_back(frame - i);
    rest.remove_prefix(frame);
  }
  EXPECT_EQ(left, expected);
  EXPECT_EQ(Shape(Received()), "p D1 m m");
}

TEST_F(SessionWriterTest, TheFrameInFlightLeavesEvenIfItsQueueIsDropped) {
  Offer(one_.get(), "a");
  Offer(one_.get(), "b");
  Offer(two_.get(), "c");
  transport_.Takes(MessageFrame("t", "a").size());  // ends within the message: a header went before it
  (void)Flush();
  EXPECT_GT(writer_.frame_in_flight_bytes(), 0u);
  EXPECT_EQ(one_->mutable_queue().DropWaiting().messages, 1u);
  writer_.Deactivate(one_.get());
  EXPECT_EQ(one_->queue().pending_messages(), 1u);
  (void)Flush();
  EXPECT_EQ(Received().payloads, (Payloads{{1, {"a"}}, {2, {"c"}}}));
  EXPECT_EQ(one_->backlog, nullptr);
}

TEST_F(SessionWriterTest, TheFrameInFlightLeavesEvenIfItsSubscriptionIsGone) {
  Offer(one_.get(), "a");
  Offer(one_.get(), "b");
  Offer(two_.get(), "c");
  transport_.Takes(MessageFrame("t", "a").size());
  (void)Flush();
  writer_.Forget(one_.get());
  one_.reset(new Subscription{});  // the sanitizer sees whoever still looks at the old one
  EXPECT_FALSE(writer_.empty());
  const FlushResult result = Flush();
  EXPECT_EQ(result.messages_sent, 2u);
  EXPECT_EQ(Received().payloads, (Payloads{{1, {"a"}}, {2, {"c"}}}));
  EXPECT_EQ(account_.bytes(), 0);
}

TEST_F(SessionWriterTest, AHeaderInFlightLeavesEvenIfItsSubscriptionIsGone) {
  Offer(one_.get(), "a");
  transport_.Takes(2);
  (void)Flush();
  writer_.Forget(one_.get());
  one_ = NewSubscription(3);
  EXPECT_FALSE(writer_.empty());
  Offer(two_.get(), "b");
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "D1 D2 m");
}

TEST_F(SessionWriterTest, AMessageNeverFollowsTheHeaderOfOneThatWasDropped) {
  Offer(one_.get(), "a");
  transport_.WouldBlock();
  (void)Flush();
  const size_t header_bytes = transport_.calls()[0].offered_bytes - MessageFrame("t", "a").size();
  transport_.Takes(header_bytes);
  (void)Flush();
  static_cast<void>(one_->mutable_queue().DropWaiting());
  writer_.Deactivate(one_.get());
  Offer(two_.get(), "b");
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "D1 D2 m");
  EXPECT_EQ(Received().payloads, (Payloads{{2, {"b"}}}));
}

TEST_F(SessionWriterTest, SaysThatTheConnectionIsBroken) {
  Offer(one_.get(), "a");
  transport_.Breaks();
  const FlushResult result = Flush();
  EXPECT_EQ(result.outcome, FlushOutcome::kBroken);
  EXPECT_EQ(result.writes, 1u);
  EXPECT_EQ(result.taken_bytes, 0u);
  EXPECT_EQ(one_->queue().pending_messages(), 1u);  // nothing was booked
}

TEST_F(SessionWriterTest, StopsAtTheCapAndSaysThatThereIsMore) {
  for (int i = 0; i < 8; ++i) Offer(one_.get(), std::string(kWriteBytesMax / 2, 'x'));
  EXPECT_EQ(Flush(/*bytes_max=*/1).outcome, FlushOutcome::kCapped);
  EXPECT_EQ(transport_.calls().size(), 1u);
  const FlushResult result = Flush(/*bytes_max=*/kWriteBytesMax * 3 / 2);
  EXPECT_EQ(result.outcome, FlushOutcome::kCapped);
  EXPECT_EQ(result.writes, 2u);  // a write is not cut short for the cap
  EXPECT_EQ(Flush(/*bytes_max=*/0).writes, 0u);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  EXPECT_EQ(Received().payloads[1].size(), 8u);
}

TEST_F(SessionWriterTest, DoesNotWriteAgainAfterThePartialWriteThatFilledTheSocket) {
  for (int i = 0; i < 4; ++i) Offer(one_.get(), std::string(kWriteBytesMax, 'x'));
  transport_.Takes(kWriteBytesMax / 2);
  const FlushResult result = Flush();
  EXPECT_EQ(result.outcome, FlushOutcome::kBlocked);
  EXPECT_EQ(transport_.calls().size(), 1u);
}

TEST_F(SessionWriterTest, ManySubscriptionsShareOneWriteOfFewPieces) {
  std::vector<std::unique_ptr<Subscription>> subscriptions;
  for (uint32_t id = 1; id <= 100; ++id) {
    subscriptions.push_back(NewSubscription(id));
    Offer(subscriptions.back().get(), std::string(128, 'x'));
  }
  const FlushResult result = Flush();
  EXPECT_EQ(result.outcome, FlushOutcome::kDrained);
  EXPECT_EQ(result.writes, 1u);
  EXPECT_EQ(transport_.calls()[0].pieces, 1u);  // all of them are copied, one behind the other
  EXPECT_EQ(Received().payloads.size(), 100u);
  EXPECT_EQ(Received().deliveries, 100u);
}

TEST_F(SessionWriterTest, PointsToLargePiecesAndCopiesSmallOnes) {
  Offer(one_.get(), std::string(2000, 'x'));  // behind a header
  for (int i = 0; i < 10; ++i) Offer(one_.get(), std::string(10, 'y'));
  Offer(one_.get(), std::string(2000, 'z'));
  (void)Flush();
  EXPECT_EQ(transport_.calls()[0].pieces, 4u);
  EXPECT_EQ(Received().payloads[1].size(), 12u);
}

TEST_F(SessionWriterTest, LosesNothingWhenTheCopiesOrThePiecesOfAWriteAreUsedUp) {
  for (const size_t payload : {size_t{1}, size_t{450}, size_t{490}, size_t{505}, size_t{600}}) {
    SCOPED_TRACE(payload);
    transport_.Clear();
    Payloads expected;
    std::vector<std::unique_ptr<Subscription>> subscriptions;
    for (uint32_t id = 1; id <= 300; ++id) subscriptions.push_back(NewSubscription(id));
    for (size_t i = 0; i < 3; ++i) {
      for (const auto& subscription : subscriptions) {
        const std::string text = std::to_string(i) + std::string(payload, 'x');
        Offer(subscription.get(), text);
        expected[subscription->id].push_back(text);
      }
    }
    EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
    EXPECT_EQ(Received().payloads, expected);
    for (const ScriptedTransport::Call& call : transport_.calls()) {
      EXPECT_LE(call.pieces, kGatherPiecesMax);
    }
  }
}

TEST_F(SessionWriterTest, QueuesTakeTurnsOfAQuantum) {
  const std::string frame = MessageFrame("t", std::string(1000, 'x'));
  std::string many;
  while (many.size() < 4 * kQuantumBytes) many += frame;
  OfferFrames(one_.get(), many);
  Offer(two_.get(), "hello");
  (void)Flush();
  const std::string& stream = transport_.stream();
  EXPECT_LT(stream.find("hello"), static_cast<size_t>(kQuantumBytes) + 100);
  EXPECT_GT(stream.find("hello"), static_cast<size_t>(kQuantumBytes) - frame.size());
  EXPECT_EQ(Received().payloads[2], std::vector<std::string>{"hello"});
  EXPECT_EQ(Received().payloads[1].size(), many.size() / frame.size());
}

TEST_F(SessionWriterTest, AQueueThatIsAloneIsNotHeldToAQuantum) {
  const std::string frame = MessageFrame("t", std::string(1000, 'x'));
  std::string many;
  while (many.size() < 8 * kQuantumBytes) many += frame;
  OfferFrames(one_.get(), many);
  (void)Flush();
  EXPECT_EQ(transport_.calls().size(), 1u);
}

TEST_F(SessionWriterTest, AFloodedQueueDoesNotSilenceItsNeighbourWhateverTheSizeOfItsSlices) {
  // Sizes at which the flood fills a quantum, and at some of them all but the last of the pieces of a write.
  for (size_t payload = 500; payload < 2200; payload += 7) {
    SCOPED_TRACE(payload);
    SessionWriter writer;
    auto flood = NewSubscription(1);
    auto neighbour = NewSubscription(2);
    transport_.Clear();
    neighbour->mutable_queue().Push(SliceOf(MessageFrame("t", "hello"), &account_));
    for (int writes = 0; writes < 3; ++writes) {
      while (flood->queue().slices().size() < 200) {
        flood->mutable_queue().Push(SliceOf(MessageFrame("t", std::string(payload, 'f')), &account_));
      }
      writer.Activate(flood.get());
      if (writes == 0) writer.Activate(neighbour.get());
      (void)writer.Flush(&transport_, scratch_.get(), 1);  // one write
    }
    EXPECT_EQ(Received().payloads[2], std::vector<std::string>{"hello"});
  }
}

TEST_F(SessionWriterTest, FloodedQueuesGetEqualSharesWhateverTheSizeOfTheirFrames) {
  const size_t rooms[] = {20'000, 100'000, 300'000, ScriptedTransport::kEverything};
  for (const size_t room : rooms) {
    SCOPED_TRACE(room);
    SessionWriter writer;
    auto large = NewSubscription(1);
    auto small = NewSubscription(2);
    transport_.Clear();
    transport_.AfterwardsTakes(room);
    uint64_t large_bytes = 0;
    uint64_t small_bytes = 0;
    while (transport_.stream().size() < (10u << 20)) {
      while (large->queue().slices().size() < 2) {
        large->mutable_queue().Push(SliceOf(MessageFrame("t", std::string(1 << 20, 'l')), &account_));
      }
      while (small->queue().slices().size() < 300) {
        small->mutable_queue().Push(SliceOf(MessageFrame("t", std::string(1000, 's')), &account_));
      }
      writer.Activate(large.get());
      writer.Activate(small.get());
      const uint64_t large_pending = large->queue().pending_bytes();
      const uint64_t small_pending = small->queue().pending_bytes();
      (void)writer.Flush(&transport_, scratch_.get(), 1);
      large_bytes += large_pending - large->queue().pending_bytes();
      small_bytes += small_pending - small->queue().pending_bytes();
    }
    // Never further apart than a large frame and a quantum of each.
    EXPECT_LE(std::max(large_bytes, small_bytes) - std::min(large_bytes, small_bytes),
              (1u << 20) + 2 * kQuantumBytes)
        << large_bytes << " against " << small_bytes;
  }
}

TEST_F(SessionWriterTest, WhoComesWhileALargeFrameLeavesGoesNext) {
  Offer(one_.get(), std::string(1 << 20, 'x'));
  Offer(one_.get(), std::string(1 << 20, 'x'));
  transport_.Takes(1000);
  (void)Flush();
  Offer(two_.get(), "hello");
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "D1 m D2 m D1 m");
}

TEST_F(SessionWriterTest, PaysOffDebtsOfAllQueuesWithoutAWrite) {
  for (Subscription* subscription : {one_.get(), two_.get()}) {
    for (int i = 0; i < 2; ++i) Offer(subscription, std::string(3 << 20, 'x'));
  }
  const FlushResult result = Flush();
  EXPECT_EQ(result.outcome, FlushOutcome::kDrained);
  EXPECT_EQ(result.messages_sent, 4u);
  EXPECT_EQ(transport_.calls().size(), 4u);
  EXPECT_EQ(Shape(Received()), "D1 m D2 m D1 m D2 m");
}

TEST_F(SessionWriterTest, PassesOverAQueueThatADropHasEmptied) {
  Offer(one_.get(), "gone");
  static_cast<void>(one_->mutable_queue().DropWaiting());
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  EXPECT_TRUE(writer_.empty());
  EXPECT_FALSE(one_->active());
  EXPECT_TRUE(transport_.calls().empty());

  Offer(one_.get(), "gone");
  Offer(two_.get(), "hello");
  static_cast<void>(one_->mutable_queue().DropWaiting());
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  EXPECT_EQ(Received().payloads, (Payloads{{2, {"hello"}}}));
}

TEST_F(SessionWriterTest, ActivatingAndDeactivatingTwiceIsOnce) {
  Offer(one_.get(), "a");
  Offer(two_.get(), "b");
  writer_.Activate(one_.get());
  static_cast<void>(two_->mutable_queue().DropWaiting());
  writer_.Deactivate(two_.get());
  writer_.Deactivate(two_.get());
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "D1 m");
}

TEST_F(SessionWriterTest, ADropElsewhereDoesNotTakeTheTurnAway) {
  const auto three = NewSubscription(3);
  Offer(one_.get(), "a");
  Offer(two_.get(), "b");
  Offer(three.get(), "c");
  static_cast<void>(two_->mutable_queue().DropWaiting());
  writer_.Deactivate(two_.get());
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "D1 m D3 m");
}

TEST_F(SessionWriterTest, WhatAQueueDidNotUseOfItsTurnIsGone) {
  // The pieces of a write end its turns early for a while; then it could use more than a quantum at once.
  for (size_t i = 0; i < 20 * kGatherPiecesMax; ++i) Offer(one_.get(), std::string(600, 'x'));
  const std::string frame = MessageFrame("t", std::string(1000, 'x'));
  std::string many;
  while (many.size() < 10 * kQuantumBytes) many += frame;
  OfferFrames(one_.get(), many);
  for (int i = 0; i < 6; ++i) OfferFrames(two_.get(), many);
  (void)Flush();
  uint32_t current = 0;
  uint64_t turn_bytes = 0;
  for (const v1::ServerFrame& received : Received().frames) {
    if (received.has_delivery()) {
      current = received.delivery().subscription();
      turn_bytes = 0;
    } else if (current == 1) {
      turn_bytes += Encode(received).size();
      ASSERT_LE(turn_bytes, static_cast<uint64_t>(kQuantumBytes));
    }
  }
}

// ---- Credit ----

// The bytes of the messages that came for each subscription.
std::map<uint32_t, uint64_t> MessageBytes(const ReceivedStream& received) {
  std::map<uint32_t, uint64_t> bytes;
  uint32_t current = 0;
  for (const v1::ServerFrame& frame : received.frames) {
    if (frame.has_delivery()) current = frame.delivery().subscription();
    if (frame.has_message()) bytes[current] += Encode(frame).size();
  }
  return bytes;
}

TEST_F(SessionWriterTest, SendsNoMoreThanIsGranted) {
  const uint64_t frame_bytes = MessageFrame("t", "1").size();
  one_->NeedExtras().credit = Credit(2 * frame_bytes);
  for (const char* payload : {"1", "2", "3", "4"}) Offer(one_.get(), payload);
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  EXPECT_EQ(Received().payloads, (Payloads{{1, {"1", "2"}}}));
  EXPECT_TRUE(writer_.empty());
  EXPECT_THAT(writer_.starved(), ::testing::ElementsAre(one_.get()));
  EXPECT_EQ(one_->queue().pending_messages(), 2u);

  // More comes for it, and for its neighbour.
  Offer(one_.get(), "5");
  Offer(two_.get(), "through");
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  EXPECT_EQ(Received().payloads, (Payloads{{1, {"1", "2"}}, {2, {"through"}}}));

  one_->credit()->Grant(3 * frame_bytes);
  writer_.Activate(one_.get());
  EXPECT_EQ(writer_.starved().size(), 0u);
  (void)Flush();
  EXPECT_EQ(Received().payloads[1], (std::vector<std::string>{"1", "2", "3"}));
  one_->credit()->Lift();
  writer_.Activate(one_.get());
  (void)Flush();
  EXPECT_EQ(Received().payloads[1], (std::vector<std::string>{"1", "2", "3", "4", "5"}));
  EXPECT_EQ(one_->backlog, nullptr);
  EXPECT_EQ(writer_.starved().size(), 0u);
}

TEST_F(SessionWriterTest, AMessageMayBeginWhileAnythingIsLeft) {
  one_->NeedExtras().credit = Credit(1);
  Offer(one_.get(), std::string(3 << 20, 'x'));
  Offer(one_.get(), "next");
  (void)Flush();
  EXPECT_EQ(Received().payloads[1].size(), 1u);
  const uint64_t sent = MessageBytes(Received())[1];
  EXPECT_EQ(one_->credit()->left(), 0u);
  one_->credit()->Grant(sent);  // it has overdrawn: that is not enough yet
  writer_.Activate(one_.get());
  EXPECT_TRUE(writer_.empty());
  one_->credit()->Grant(sent + 1);
  writer_.Activate(one_.get());
  (void)Flush();
  EXPECT_EQ(Received().payloads[1].size(), 2u);
}

TEST_F(SessionWriterTest, AFrameIsPaidForWhenItsFirstByteLeaves) {
  one_->NeedExtras().credit = Credit(10);
  Offer(one_.get(), std::string(100, 'x'));
  Offer(one_.get(), "next");
  Offer(two_.get(), "other");
  transport_.Takes(20);
  (void)Flush();
  EXPECT_EQ(one_->credit()->left(), 0u);
  EXPECT_EQ(writer_.in_flight(), one_.get());
  EXPECT_EQ(Flush().outcome, FlushOutcome::kDrained);
  EXPECT_EQ(Shape(Received()), "D1 m D2 m");
}

TEST_F(SessionWriterTest, FramesInPlaceNeedNoCreditButWaitBehindMessagesAndBeforeThem) {
  one_->NeedExtras().credit = Credit(1);
  Offer(one_.get(), "paid");
  OfferFrames(one_.get(), UnsubscribedFrame(1), SliceKind::kInPlace);
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "D1 m u1");
  OfferFrames(one_.get(), UnsubscribedFrame(2), SliceKind::kInPlace);
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "D1 m u1 u2");
  one_->mutable_queue().Push(
      SliceOf(UnsubscribedFrame(3), &account_, absl::UnixEpoch(), SliceKind::kInPlace));
  Offer(one_.get(), "waits");
  OfferFrames(one_.get(), UnsubscribedFrame(4), SliceKind::kInPlace);
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "D1 m u1 u2");
  static_cast<void>(one_->mutable_queue().DropWaiting());
  writer_.Activate(one_.get());
  (void)Flush();
  EXPECT_EQ(Shape(Received()), "D1 m u1 u2 u3 u4");
}

TEST_F(SessionWriterTest, WhoComesBackWithCreditStillHasItsDebt) {
  one_->NeedExtras().credit = Credit(1);
  const std::string large(4 * kQuantumBytes, 'x');
  Offer(one_.get(), large);
  Offer(one_.get(), large);
  const std::string frame = MessageFrame("t", std::string(1000, 'y'));
  std::string many;
  while (many.size() < 8 * kQuantumBytes) many += frame;
  OfferFrames(two_.get(), many);
  (void)Flush(/*bytes_max=*/1);
  one_->credit()->Grant(1 << 20);
  writer_.Activate(one_.get());
  (void)Flush();
  // What its neighbour got between the two messages is no less than a turn for each that the first one took.
  uint64_t between = 0;
  uint32_t messages_of_one = 0;
  uint32_t current = 0;
  for (const v1::ServerFrame& received : Received().frames) {
    if (received.has_delivery()) current = received.delivery().subscription();
    if (!received.has_message()) continue;
    if (current == 1) ++messages_of_one;
    if (current == 2 && messages_of_one == 1) between += frame.size();
  }
  EXPECT_EQ(messages_of_one, 2u);
  EXPECT_GE(between, 3u * kQuantumBytes);
}

TEST_F(SessionWriterTest, OneThatWaitsForCreditMayBeForgotten) {
  one_->NeedExtras().credit = Credit(1);
  Offer(one_.get(), "a");
  Offer(one_.get(), "b");
  (void)Flush();
  writer_.Forget(one_.get());
  one_.reset(new Subscription{});
  EXPECT_EQ(writer_.starved().size(), 0u);
  EXPECT_TRUE(writer_.empty());
}

// Everything at once, against what a client must find: subscriptions that come and go under the same ids,
// frames of all sizes and kinds, drops, control frames, writes that take any number of bytes, caps, credit.
class SessionWriterModel {
 public:
  explicit SessionWriterModel(uint32_t seed) : random_(seed) {
    for (size_t slot = 0; slot < 4; ++slot) Begin(slot);
  }

  void Run();

 private:
  // One life of a subscription, and what its client should see of it.
  struct Life {
    std::unique_ptr<Subscription> subscription;
    uint64_t number = 0;
    uint64_t offered = 0;
    uint64_t dropped = 0;
    uint64_t in_place = 0;
    // 0: it has no window.
    uint64_t granted_bytes = 0;
  };

  void Begin(size_t slot) {
    current_[slot] = lives_.size();
    lives_.emplace_back();
    lives_.back().number = lives_.size();
    lives_.back().subscription = NewSubscription(static_cast<uint32_t>(slot) + 1);
    if (random_() % 2 == 0) {
      lives_.back().granted_bytes = 1 + random_() % 2000;
      lives_.back().subscription->NeedExtras().credit = Credit(lives_.back().granted_bytes);
    }
  }

  void Grant(Life* life, uint64_t bytes) {
    if (life->granted_bytes == 0) return;
    life->granted_bytes += bytes;
    life->subscription->credit()->Grant(life->granted_bytes);
    if (!life->subscription->queue().empty()) writer_.Activate(life->subscription.get());
  }

  void Drop(Life* life) {
    if (life->subscription->backlog == nullptr) return;
    life->dropped += life->subscription->mutable_queue().DropWaiting().messages;
    if (life->subscription->queue().empty()) {
      writer_.Deactivate(life->subscription.get());
    } else {
      writer_.Activate(life->subscription.get());
    }
  }

  void End(size_t slot) {
    Life& life = lives_[current_[slot]];
    const SendQueue& queue = life.subscription->queue();
    // Frames in place that wait are lost with it; the model counts those that cannot be.
    for (size_t i = 0; i < queue.slices().size(); ++i) {
      if (queue.slices()[i].kind == SliceKind::kInPlace) --life.in_place;
    }
    Drop(&life);
    writer_.Forget(life.subscription.get());
    life.subscription.reset();
    Begin(slot);
  }

  void Offer(Life* life) {
    std::string frames;
    const size_t count = 1 + random_() % 3;
    for (size_t i = 0; i < count; ++i) {
      const uint32_t size_class = random_() % 40;
      const size_t filler = size_class == 0  ? random_() % 200'000
                            : size_class < 8 ? random_() % 3000
                                             : random_() % 60;
      frames += MessageFrame("t", std::to_string(life->number) + ":" + std::to_string(++life->offered) + ":" +
                                      std::string(filler, '.'));
    }
    life->subscription->mutable_queue().Push(SliceOf(frames, &account_));
    writer_.Activate(life->subscription.get());
  }

  void OfferInPlace(Life* life) {
    life->subscription->mutable_queue().Push(SliceOf(UnsubscribedFrame(static_cast<uint32_t>(life->number)),
                                                     &account_, absl::UnixEpoch(), SliceKind::kInPlace));
    writer_.Activate(life->subscription.get());
    ++life->in_place;
  }

  void Flush(uint64_t bytes_max) {
    const FlushResult result = writer_.Flush(&transport_, scratch_.get(), bytes_max);
    taken_bytes_ += result.taken_bytes;
    messages_sent_ += result.messages_sent;
    message_bytes_sent_ += result.message_bytes_sent;
    ASSERT_NE(result.outcome, FlushOutcome::kBroken);
    ASSERT_EQ(result.outcome == FlushOutcome::kDrained, writer_.empty());
  }

  void CheckStream() {
    const ReceivedStream received = ReadStream(transport_.stream());
    ASSERT_EQ(received.state, ReceivedStream::State::kWhole);
    ASSERT_EQ(received.unfinished_bytes > 0, writer_.frame_in_flight_bytes() > 0);
    const std::string_view stream = transport_.stream();
    const FramePrefix prefix = ReadFramePrefix(stream.substr(stream.size() - received.unfinished_bytes));
    if (prefix.status == FramePrefixStatus::kComplete) {
      ASSERT_EQ(prefix.frame_bytes(), received.unfinished_bytes + writer_.frame_in_flight_bytes());
    }
    ASSERT_EQ(taken_bytes_, stream.size());
  }

  // Nothing begins without credit, and what has credit does not wait.
  void CheckCredit() {
    std::map<uint64_t, std::pair<uint64_t, uint64_t>>
        sent;  // by life: all bytes, and those of the last message
    for (const v1::ServerFrame& frame : ReadStream(transport_.stream()).frames) {
      if (!frame.has_message()) continue;
      auto& [bytes, last] = sent[std::stoull(frame.message().payload())];
      last = Encode(frame).size();
      bytes += last;
    }
    for (const Life& life : lives_) {
      if (life.granted_bytes == 0) continue;
      const auto& [bytes, last] = sent[life.number];
      ASSERT_LT(bytes - last, life.granted_bytes) << "life " << life.number;
      if (life.subscription == nullptr) continue;
      const uint64_t waiting = life.subscription->queue().waiting_messages();
      ASSERT_EQ(waiting > 0, life.subscription->starved == Subscription::Starved::kYes);
      if (waiting > 0) {
        ASSERT_GE(bytes, life.granted_bytes) << "life " << life.number;
      }
    }
  }

  std::mt19937 random_;
  MemoryAccount account_;
  ScriptedTransport transport_;
  std::unique_ptr<WriteScratch> scratch_ = std::make_unique<WriteScratch>();
  SessionWriter writer_;
  std::vector<Life> lives_;
  size_t current_[4] = {};
  uint64_t taken_bytes_ = 0;
  uint64_t messages_sent_ = 0;
  uint64_t message_bytes_sent_ = 0;
};

void SessionWriterModel::Run() {
  uint64_t pongs = 0;
  uint64_t pongs_dropped = 0;
  for (int step = 0; step < 600; ++step) {
    const size_t slot = random_() % 4;
    Life* const life = &lives_[current_[slot]];
    const uint32_t action = random_() % 110;
    if (action >= 100) {
      Grant(life, random_() % 4 == 0 ? random_() % 200'000 : random_() % 500);
    } else if (action < 40) {
      Offer(life);
    } else if (action < 45) {
      OfferInPlace(life);
    } else if (action < 55) {
      writer_.QueueControl(ServerPong(++pongs));
    } else if (action < 58) {
      Drop(life);
    } else if (action < 60) {
      End(slot);
    } else if (action < 61) {
      ASSERT_LT(pongs, 128u);  // so that all have the same size
      const uint64_t before = writer_.control_bytes();
      writer_.DropControl();
      pongs_dropped += (before - writer_.control_bytes()) / Encode(ServerPong(1)).size();
    } else {
      const uint32_t kind = random_() % 4;
      transport_.Takes(kind == 0 ? random_() % 8 : kind == 1 ? random_() % 400 : random_() % 300'000);
      if (random_() % 3 == 0) transport_.Takes(random_() % 5000);
      Flush(random_() % 4 == 0 ? random_() % 100'000 : kNoCap);
    }
    if (step % 20 == 0) CheckStream();
    if (::testing::Test::HasFatalFailure()) return;
  }
  while (!writer_.empty()) Flush(kNoCap);
  CheckStream();
  CheckCredit();
  for (const size_t life : current_) Grant(&lives_[life], uint64_t{1} << 40);
  while (!writer_.empty()) Flush(kNoCap);
  CheckStream();
  ASSERT_EQ(writer_.starved().size(), 0u);

  const ReceivedStream received = ReadStream(transport_.stream());
  ASSERT_EQ(received.unfinished_bytes, 0u);
  EXPECT_TRUE(std::is_sorted(received.pongs.begin(), received.pongs.end()));
  EXPECT_EQ(received.pongs.size() + pongs_dropped, pongs);

  std::map<uint64_t, uint64_t> last_of_life;
  std::map<uint64_t, uint64_t> received_of_life;
  uint64_t messages = 0;
  for (const auto& [id, payloads] : received.payloads) {
    for (const std::string& payload : payloads) {
      const uint64_t number = std::stoull(payload);
      const uint64_t sequence = std::stoull(payload.substr(payload.find(':') + 1));
      ASSERT_GT(sequence, last_of_life[number]) << "out of order in life " << number;
      last_of_life[number] = sequence;
      ++received_of_life[number];
      ++messages;
    }
  }
  EXPECT_EQ(messages, messages_sent_);
  uint64_t in_place = 0;
  for (const Life& life : lives_) {
    EXPECT_EQ(received_of_life[life.number] + life.dropped, life.offered) << "life " << life.number;
    in_place += life.in_place;
    if (life.subscription == nullptr) continue;
    EXPECT_EQ(life.subscription->backlog, nullptr);
  }
  EXPECT_EQ(received.unsubscribed.size(), in_place);
  uint64_t message_bytes = 0;
  for (const v1::ServerFrame& frame : received.frames) {
    if (frame.has_message()) message_bytes += Encode(frame).size();
  }
  EXPECT_EQ(message_bytes, message_bytes_sent_);
  EXPECT_EQ(account_.bytes(), 0);
}

TEST(SessionWriterModelTest, TheClientReceivesWhatWasOfferedInOrderAndWasNotDropped) {
  for (uint32_t seed = 1; seed <= 100 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    SessionWriterModel(seed).Run();
  }
}

}  // namespace
}  // namespace sluice
