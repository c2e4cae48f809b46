#include "broker/core/send_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>

#include "protocol/frame.h"
#include "tests/support/frames.h"

namespace sluice {
namespace {

using ::sluice::testing::MessageFrame;
using ::sluice::testing::SliceOf;
using ::sluice::testing::UnsubscribedFrame;

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);

// What waits in the queue, as bytes.
std::string Waiting(const SendQueue& queue) {
  std::string bytes;
  for (size_t i = 0; i < queue.slices().size(); ++i) bytes += queue.slices()[i].view();
  return bytes;
}

std::string_view BytesOf(const FrameRest& rest) { return {rest.chunk->data() + rest.offset, rest.bytes}; }

class SendQueueTest : public ::testing::Test {
 protected:
  void PushMessages(const std::string& frames, absl::Time enqueued_at = kNow) {
    queue_.Push(SliceOf(frames, &account_, enqueued_at));
  }
  void PushInPlace(const std::string& frame, absl::Time enqueued_at = kNow) {
    queue_.Push(SliceOf(frame, &account_, enqueued_at, SliceKind::kInPlace));
  }

  MemoryAccount account_;
  SendQueue queue_;
  const std::string one_ = MessageFrame("t", "one");
  const std::string two_ = MessageFrame("t", "two, which is longer");
  const std::string three_ = MessageFrame("t", "3");
};

TEST_F(SendQueueTest, AnEmptyOneHasNothingPendingAndNoAge) {
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.pending_bytes(), 0u);
  EXPECT_EQ(queue_.pending_messages(), 0u);
  EXPECT_EQ(queue_.state().oldest, absl::InfiniteFuture());
}

TEST_F(SendQueueTest, CountsWhatWaits) {
  PushMessages(one_ + two_);
  PushMessages(three_);
  EXPECT_EQ(queue_.pending_bytes(), one_.size() + two_.size() + three_.size());
  EXPECT_EQ(queue_.pending_messages(), 3u);
  EXPECT_EQ(queue_.state().waiting_bytes, queue_.pending_bytes());
  EXPECT_EQ(queue_.state().waiting_messages, 3u);
  EXPECT_EQ(queue_.sent_messages(), 0u);
}

TEST_F(SendQueueTest, TakesOutWholeFramesWithoutARest) {
  PushMessages(one_ + two_);
  PushMessages(three_);
  EXPECT_EQ(queue_.Consume(one_.size()), std::nullopt);
  EXPECT_EQ(Waiting(queue_), two_ + three_);
  EXPECT_EQ(queue_.sent_messages(), 1u);
  EXPECT_EQ(queue_.Consume(two_.size() + three_.size()), std::nullopt);
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.pending_bytes(), 0u);
  EXPECT_EQ(queue_.sent_messages(), 3u);
  EXPECT_EQ(account_.bytes(), 0);
}

TEST_F(SendQueueTest, HandsOutTheRestOfAFrameThatIsCutAtAnyByte) {
  for (size_t cut = 1; cut < two_.size(); ++cut) {
    SCOPED_TRACE(cut);
    SendQueue queue;
    queue.Push(SliceOf(one_ + two_ + three_, &account_, kNow));
    std::optional<FrameRest> rest = queue.Consume(one_.size() + cut);
    ASSERT_TRUE(rest.has_value());
    EXPECT_EQ(BytesOf(*rest), std::string_view(two_).substr(cut));
    EXPECT_EQ(rest->kind, SliceKind::kMessages);
    EXPECT_EQ(Waiting(queue), three_);
    // It stays pending to its last byte, but limits look only at what waits behind it.
    EXPECT_EQ(queue.pending_bytes(), rest->bytes + three_.size());
    EXPECT_EQ(queue.pending_messages(), 2u);
    EXPECT_EQ(queue.state().waiting_bytes, three_.size());
    EXPECT_EQ(queue.state().waiting_messages, 1u);
    EXPECT_EQ(queue.sent_messages(), 1u);
    const uint32_t some = rest->bytes / 2;
    queue.ConsumeRest(some, rest->kind);
    EXPECT_EQ(queue.pending_bytes(), rest->bytes - some + three_.size());
    queue.ConsumeRest(rest->bytes - some, rest->kind);
    queue.FinishFrame(rest->kind);
    EXPECT_EQ(queue.pending_bytes(), three_.size());
    EXPECT_EQ(queue.pending_messages(), 1u);
    EXPECT_EQ(queue.sent_messages(), 2u);
  }
}

TEST_F(SendQueueTest, TheRestOutlivesADropAndTheSlice) {
  PushMessages(one_ + two_);
  PushMessages(three_);
  const std::optional<FrameRest> rest = queue_.Consume(2);
  ASSERT_TRUE(rest.has_value());
  const Missing dropped = queue_.DropWaiting();
  EXPECT_EQ(dropped.bytes, two_.size() + three_.size());
  EXPECT_EQ(dropped.messages, 2u);
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.pending_bytes(), one_.size() - 2);
  EXPECT_EQ(queue_.pending_messages(), 1u);
  EXPECT_EQ(BytesOf(*rest), std::string_view(one_).substr(2));  // its bytes are kept alive
}

TEST_F(SendQueueTest, ADropFreesTheMemory) {
  PushMessages(one_);
  PushMessages(two_);
  static_cast<void>(queue_.DropWaiting());
  EXPECT_EQ(account_.bytes(), 0);
  EXPECT_EQ(queue_.state().oldest, absl::InfiniteFuture());
}

TEST_F(SendQueueTest, FramesInPlaceAreNeitherCountedNorDropped) {
  const std::string gone = UnsubscribedFrame(7);
  PushMessages(one_);
  PushInPlace(gone);
  PushMessages(two_);
  EXPECT_EQ(queue_.pending_bytes(), one_.size() + two_.size());
  EXPECT_EQ(queue_.pending_messages(), 2u);
  const Missing dropped = queue_.DropWaiting();
  EXPECT_EQ(dropped.bytes, one_.size() + two_.size());
  EXPECT_EQ(dropped.messages, 2u);
  EXPECT_FALSE(queue_.empty());
  EXPECT_EQ(Waiting(queue_), gone);
  EXPECT_EQ(queue_.pending_bytes(), 0u);

  const std::optional<FrameRest> rest = queue_.Consume(1);
  ASSERT_TRUE(rest.has_value());
  EXPECT_EQ(rest->kind, SliceKind::kInPlace);
  EXPECT_EQ(queue_.pending_bytes(), 0u);
  EXPECT_EQ(queue_.pending_messages(), 0u);
  queue_.ConsumeRest(rest->bytes, rest->kind);
  queue_.FinishFrame(rest->kind);
  EXPECT_EQ(queue_.pending_bytes(), 0u);
  EXPECT_EQ(queue_.sent_messages(), 0u);
}

TEST_F(SendQueueTest, TheAgeIsThatOfTheOldestMessageNotOfAFrameInPlace) {
  PushInPlace(UnsubscribedFrame(7), kNow);
  EXPECT_EQ(queue_.state().oldest, absl::InfiniteFuture());
  PushMessages(one_, kNow - absl::Seconds(3));  // a notice can be put before messages that have waited longer
  EXPECT_EQ(queue_.state().oldest, kNow - absl::Seconds(3));
  PushMessages(two_, kNow);
  EXPECT_EQ(queue_.state().oldest, kNow - absl::Seconds(3));
}

TEST_F(SendQueueTest, TheFrameInFlightIsTheOldestUntilItHasLeft) {
  PushMessages(one_, kNow);
  PushMessages(two_, kNow + absl::Seconds(1));
  const std::optional<FrameRest> rest = queue_.Consume(1);
  ASSERT_TRUE(rest.has_value());
  EXPECT_EQ(queue_.state().oldest, kNow);
  static_cast<void>(queue_.DropWaiting());
  EXPECT_EQ(queue_.state().oldest, kNow);
  queue_.ConsumeRest(rest->bytes, rest->kind);
  queue_.FinishFrame(rest->kind);
  EXPECT_EQ(queue_.state().oldest, absl::InfiniteFuture());
}

class SliceGrowthTest : public SendQueueTest {
 protected:
  // The first message of a chunk that also holds a second.
  SliceGrowthTest() {
    first_ = SliceOf(one_ + two_, &account_, kNow);
    second_ = first_;
    first_.bytes = second_.offset = static_cast<uint32_t>(one_.size());
    first_.messages = second_.messages = 1;
    second_.bytes = static_cast<uint32_t>(two_.size());
    queue_.Push(first_);
  }

  size_t SlicesAfterSecond() {
    queue_.Push(second_);
    EXPECT_EQ(Waiting(queue_).substr(Waiting(queue_).size() - two_.size()), two_);
    return queue_.slices().size();
  }

  Slice first_;
  Slice second_;
};

TEST_F(SliceGrowthTest, ASliceThatGoesOnWhereTheLastOneEndsGrowsIt) {
  second_.enqueued_at = kNow + kSliceGrowsFor - absl::Nanoseconds(1);
  EXPECT_EQ(SlicesAfterSecond(), 1u);
  EXPECT_EQ(queue_.slices().front().messages, 2u);
  EXPECT_EQ(queue_.slices().front().enqueued_at, kNow);
  EXPECT_EQ(queue_.pending_messages(), 2u);
}

TEST_F(SliceGrowthTest, NotWhenThatIsTooOldForTheAgeToStayExact) {
  second_.enqueued_at = kNow + kSliceGrowsFor;
  EXPECT_EQ(SlicesAfterSecond(), 2u);
  EXPECT_EQ(queue_.Consume(one_.size()), std::nullopt);
  EXPECT_EQ(queue_.state().oldest, kNow + kSliceGrowsFor);
}

TEST_F(SliceGrowthTest, GrowingDoesNotMakeItYoungerForTheNext) {
  second_.enqueued_at = kNow + kSliceGrowsFor - absl::Nanoseconds(1);
  second_.bytes = 1;  // pretend: only the bounds matter here
  queue_.Push(second_);
  EXPECT_EQ(queue_.slices().size(), 1u);
  ++second_.offset;
  second_.enqueued_at = kNow + kSliceGrowsFor;
  queue_.Push(second_);
  EXPECT_EQ(queue_.slices().size(), 2u);
}

TEST_F(SliceGrowthTest, NotAcrossAHole) {
  ++second_.offset;
  --second_.bytes;
  queue_.Push(second_);
  EXPECT_EQ(queue_.slices().size(), 2u);
}

TEST_F(SliceGrowthTest, NotIntoAnotherChunk) {
  Slice other = SliceOf(one_ + two_, &account_, kNow);
  second_.chunk = other.chunk;
  EXPECT_EQ(SlicesAfterSecond(), 2u);
}

TEST_F(SliceGrowthTest, NotAcrossAFrameInPlace) {
  PushInPlace(UnsubscribedFrame(7));
  EXPECT_EQ(SlicesAfterSecond(), 3u);
}

TEST_F(SliceGrowthTest, NotAFrameInPlaceItself) {
  second_.kind = SliceKind::kInPlace;
  EXPECT_EQ(SlicesAfterSecond(), 2u);
}

TEST_F(SliceGrowthTest, AlsoWhenPartOfItHasLeft) {
  const std::optional<FrameRest> rest = queue_.Consume(1);
  ASSERT_TRUE(rest.has_value());
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(SlicesAfterSecond(), 1u);
}

TEST_F(SliceGrowthTest, NotTheFrameInPlaceThatItFollows) {
  SendQueue queue;
  first_.kind = SliceKind::kInPlace;
  queue.Push(first_);
  queue.Push(second_);
  EXPECT_EQ(queue.slices().size(), 2u);
}

// Messages and frames in place of random sizes go in, in slices of one or more; random numbers of bytes
// leave, as a writer would take them; what waits is dropped now and then. The model knows single frames.
class SendQueueModel {
 public:
  explicit SendQueueModel(uint32_t seed) : random_(seed) {}

  void Run();

 private:
  struct Frame {
    std::string bytes;
    SliceKind kind;
    absl::Time enqueued_at;
  };

  void Push() {
    if (random_() % 8 == 0) {
      const std::string frame = UnsubscribedFrame(1 + random_() % 1'000'000);
      queue_.Push(SliceOf(frame, &account_, now_, SliceKind::kInPlace));
      model_.push_back({frame, SliceKind::kInPlace, now_});
      return;
    }
    std::string frames;
    const size_t count = 1 + random_() % 4;
    uint32_t chunk_offset = open_.offset();
    for (size_t i = 0; i < count; ++i) {
      const std::string frame = MessageFrame(
          "t", std::to_string(++number_) + std::string(random_() % 8 == 0 ? random_() % 3000 : 0, '.'));
      frames += frame;
      model_.push_back({frame, SliceKind::kMessages, now_});
      offered_bytes_ += frame.size();
      ++offered_messages_;
    }
    Slice slice = SliceOf(frames, &account_, now_);
    if (random_() % 2 == 0) {  // behind the last one, in a chunk that they share
      chunk_offset = open_.Append(frames);
      slice.chunk = open_.chunk();
      slice.offset = chunk_offset;
    }
    queue_.Push(std::move(slice));
  }

  // The kernel takes up to `bytes`: first of the rest, then of what waits.
  void Consume(uint64_t bytes) {
    if (rest_) {
      const uint32_t taken = static_cast<uint32_t>(std::min<uint64_t>(bytes, rest_->bytes));
      Leave(BytesOf(*rest_).substr(0, taken));
      rest_->offset += taken;
      rest_->bytes -= taken;
      queue_.ConsumeRest(taken, rest_->kind);
      bytes -= taken;
      if (rest_->bytes > 0) return;
      queue_.FinishFrame(rest_->kind);
      rest_.reset();
    }
    const std::string waiting = Waiting(queue_);
    bytes = std::min<uint64_t>(bytes, waiting.size());
    if (bytes == 0) return;
    Leave(std::string_view(waiting).substr(0, bytes));
    rest_ = queue_.Consume(bytes);
  }

  // These bytes must be the next of the model.
  void Leave(std::string_view bytes) {
    while (!bytes.empty()) {
      ASSERT_FALSE(model_.empty());
      Frame& frame = model_.front();
      const size_t taken = std::min(bytes.size(), frame.bytes.size() - begun_);
      ASSERT_EQ(bytes.substr(0, taken), std::string_view(frame.bytes).substr(begun_, taken));
      bytes.remove_prefix(taken);
      begun_ += taken;
      if (frame.kind == SliceKind::kMessages) consumed_bytes_ += taken;
      if (begun_ < frame.bytes.size()) return;
      if (frame.kind == SliceKind::kMessages) ++sent_messages_;
      begun_ = 0;
      model_.pop_front();
    }
  }

  void Drop() {
    Missing expected;
    std::deque<Frame> kept;
    for (size_t i = 0; i < model_.size(); ++i) {
      if ((i == 0 && begun_ > 0) || model_[i].kind == SliceKind::kInPlace) {
        kept.push_back(model_[i]);
      } else {
        expected.bytes += model_[i].bytes.size();
        ++expected.messages;
      }
    }
    model_ = std::move(kept);
    const Missing dropped = queue_.DropWaiting();
    EXPECT_EQ(dropped.bytes, expected.bytes);
    EXPECT_EQ(dropped.messages, expected.messages);
    dropped_bytes_ += dropped.bytes;
    dropped_messages_ += dropped.messages;
  }

  void Check() {
    ASSERT_EQ(queue_.pending_bytes(), offered_bytes_ - consumed_bytes_ - dropped_bytes_);
    ASSERT_EQ(queue_.pending_messages(), offered_messages_ - sent_messages_ - dropped_messages_);
    ASSERT_EQ(queue_.sent_messages(), sent_messages_);
    std::string expected;
    for (const Frame& frame : model_) expected += frame.bytes;
    expected.erase(0, begun_);
    ASSERT_EQ((rest_ ? std::string(BytesOf(*rest_)) : std::string()) + Waiting(queue_), expected);
    const QueueState state = queue_.state();
    const auto oldest = std::find_if(model_.begin(), model_.end(),
                                     [](const Frame& frame) { return frame.kind == SliceKind::kMessages; });
    if (oldest == model_.end()) {
      ASSERT_EQ(state.oldest, absl::InfiniteFuture());
    } else {
      ASSERT_LE(state.oldest, oldest->enqueued_at);
      ASSERT_GT(state.oldest, oldest->enqueued_at - kSliceGrowsFor);
    }
    ASSERT_EQ(state.waiting_bytes,
              queue_.pending_bytes() - (rest_ && rest_->kind == SliceKind::kMessages ? rest_->bytes : 0));
  }

  std::mt19937 random_;
  MemoryAccount account_;
  ChunkPool pool_{32 << 10, &account_, /*kept_max=*/2};
  OpenChunk open_{&pool_};
  SendQueue queue_;
  std::optional<FrameRest> rest_;
  absl::Time now_ = kNow;

  std::deque<Frame> model_;
  size_t begun_ = 0;  // bytes of the first frame of the model that have left
  uint64_t number_ = 0;
  uint64_t offered_bytes_ = 0;
  uint64_t offered_messages_ = 0;
  uint64_t consumed_bytes_ = 0;
  uint64_t sent_messages_ = 0;
  uint64_t dropped_bytes_ = 0;
  uint64_t dropped_messages_ = 0;
};

void SendQueueModel::Run() {
  for (int step = 0; step < 1500; ++step) {
    now_ += absl::Milliseconds(random_() % 4);
    const uint32_t action = random_() % 20;
    if (action < 9) {
      Push();
    } else if (action < 19) {
      Consume(random_() % 4 == 0 ? random_() % 5000 : random_() % 40);
    } else {
      Drop();
    }
    Check();
    if (::testing::Test::HasFatalFailure()) return;
  }
  Consume(UINT64_MAX);
  Consume(UINT64_MAX);
  Check();
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.pending_bytes(), 0u);
  EXPECT_LE(account_.bytes(), 2 * (32 << 10));  // what the pool keeps
}

TEST(SendQueueModelTest, TheBooksAreExactToTheByte) {
  for (uint32_t seed = 1; seed <= 20 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    SendQueueModel(seed).Run();
  }
}

}  // namespace
}  // namespace sluice
