// The fan-out of one shard and what it writes to others: each side here is what a shard has of it, and
// letters are carried by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "broker/core/fan_out.h"
#include "broker/core/filter_index.h"
#include "broker/core/letter.h"
#include "protocol/sluice.pb.h"
#include "tests/support/frames.h"
#include "tests/support/scripted_transport.h"

namespace sluice {
namespace {

using testing::MessageFrame;

class Side {
 public:
  explicit Side(uint32_t shard) : shard_(shard) {}

  Subscription* Subscribe(std::string_view filter, std::string_view queue_group = "") {
    subscribers_.push_back(std::make_unique<Subscriber>(subscribers_.size(), &limits_, &account));
    Subscription* subscription = subscribers_.back()->Add(1, {}, v1::OVERFLOW_POLICY_DISCONNECT);
    subscription->told = Subscription::Told::kYes;
    index.Attach(subscription, index.FindOrCreate(filter, queue_group));
    return subscription;
  }
  // Learns of the members that the other side has.
  void KnowOf(Side* other, FilterGroup* group, uint32_t members) {
    index.SetRemote(index.FindOrCreate(group->filter(), group->queue_group()), other->shard_, members,
                    other->index.IdOf(group));
  }
  void Publish(std::string_view topic, std::string_view payload, const std::shared_ptr<PublishTally>& tally) {
    const std::string frame = MessageFrame(topic, payload);
    const uint32_t offset = read.Append(frame);
    fan_out.Take(index.Match(topic), read.chunk(), offset, static_cast<uint32_t>(frame.size()), tally.get());
  }
  // Offers everything, and flushes nobody.
  std::vector<FanOut::Outgoing> Turn() {
    while (fan_out.Next(absl::UnixEpoch()) != nullptr) {
    }
    return fan_out.TakeLetters();
  }
  // What the other side wrote to this one. Tallies go back at once.
  void Deliver(uint32_t from, const std::vector<FanOut::Outgoing>& letters) {
    for (const FanOut::Outgoing& outgoing : letters) {
      if (outgoing.shard != shard_) continue;
      if (const auto* deliver = std::get_if<DeliverLetter>(&outgoing.letter)) {
        FilterGroup* group = index.FindById(deliver->group);
        ASSERT_NE(group, nullptr);
        fan_out.TakeArrived(group, from, *deliver);
      } else if (const auto* returned = std::get_if<ReturnLetter>(&outgoing.letter)) {
        FilterGroup* group = index.FindById(returned->group);
        ASSERT_NE(group, nullptr);
        fan_out.TakeReturned(group, *returned);
      } else if (const auto* tally = std::get_if<TallyLetter>(&outgoing.letter)) {
        tally->tally->matched += tally->matched;
        tally->tally->dropped += tally->dropped;
      }
    }
  }
  static std::vector<std::string> Payloads(const Subscription* subscription) {
    std::string bytes;
    const Ring<Slice>& slices = subscription->queue().slices();
    for (size_t i = 0; i < slices.size(); ++i) bytes += slices[i].view();
    return testing::ReadStream(bytes).payloads[0];
  }

  MemoryAccount account;
  ChunkPool pool{256 << 10, &account};
  OpenChunk read{&pool};
  FilterIndex index{100};
  FanOut fan_out{&pool};

 private:
  const uint32_t shard_;
  SubscriberLimits limits_;
  std::vector<std::unique_ptr<Subscriber>> subscribers_;
};

std::vector<DeliverLetter> Delivers(const std::vector<FanOut::Outgoing>& letters, uint32_t shard) {
  std::vector<DeliverLetter> delivers;
  for (const FanOut::Outgoing& outgoing : letters) {
    const auto* deliver = std::get_if<DeliverLetter>(&outgoing.letter);
    if (outgoing.shard == shard && deliver != nullptr) delivers.push_back(*deliver);
  }
  return delivers;
}

uint64_t MessagesIn(const std::vector<Slice>& slices) {
  uint64_t messages = 0;
  for (const Slice& slice : slices) messages += slice.messages;
  return messages;
}

class FanOutShardsTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kHere = 0;
  static constexpr uint32_t kThere = 1;
  static constexpr uint32_t kElsewhere = 2;

  Side here_{kHere};
  Side there_{kThere};
  Side elsewhere_{kElsewhere};
  std::shared_ptr<PublishTally> one_ = std::make_shared<PublishTally>();
  std::shared_ptr<PublishTally> two_ = std::make_shared<PublishTally>();
};

TEST_F(FanOutShardsTest, AssemblesOnceForAllShards) {
  Subscription* local = here_.Subscribe("a");
  Subscription* remote = there_.Subscribe("a");
  Subscription* far = elsewhere_.Subscribe("a");
  here_.KnowOf(&there_, remote->group, 1);
  here_.KnowOf(&elsewhere_, far->group, 1);
  for (int i = 0; i < 10; ++i) {
    here_.Publish("a", "payload " + std::to_string(i), i < 4 ? one_ : two_);
    here_.read.Append("noise");
  }
  const int64_t before = here_.account.bytes();
  const std::vector<FanOut::Outgoing> letters = here_.Turn();
  EXPECT_EQ(here_.account.bytes(), before + (256 << 10));  // the assembly chunk
  ASSERT_EQ(letters.size(), 2u);
  for (const uint32_t shard : {kThere, kElsewhere}) {
    const std::vector<DeliverLetter> delivers = Delivers(letters, shard);
    ASSERT_EQ(delivers.size(), 1u);
    const DeliverLetter& letter = delivers[0];
    EXPECT_EQ(letter.group, shard == kThere ? remote->group->id() : far->group->id());
    ASSERT_EQ(letter.slices.size(), 1u);
    EXPECT_EQ(letter.slices[0].chunk, local->queue().slices()[0].chunk);
    EXPECT_EQ(letter.slices[0].offset, local->queue().slices()[0].offset);
    EXPECT_EQ(letter.slices[0].messages, 10u);
    ASSERT_EQ(letter.parts.size(), 2u);
    EXPECT_EQ(letter.parts[0].tally, one_);
    EXPECT_EQ(letter.parts[0].messages, 4u);
    EXPECT_EQ(letter.parts[1].tally, two_);
    EXPECT_EQ(letter.parts[1].messages, 6u);
  }
  EXPECT_EQ(one_->matched, 4u);  // here; the others come by letter
  there_.Deliver(kHere, letters);
  const std::vector<FanOut::Outgoing> answers = there_.Turn();
  EXPECT_EQ(remote->queue().slices().size(), 1u);
  EXPECT_EQ(remote->queue().slices()[0].chunk, local->queue().slices()[0].chunk);  // and not copied there
  EXPECT_EQ(Side::Payloads(remote), Side::Payloads(local));
  here_.Deliver(kThere, answers);
  EXPECT_EQ(one_->matched, 8u);
  EXPECT_EQ(two_->matched, 12u);
}

TEST_F(FanOutShardsTest, WritesForGroupsThatHaveNoMemberHere) {
  Subscription* remote = there_.Subscribe("a.*");
  here_.KnowOf(&there_, remote->group, 1);
  here_.Publish("a.b", "x", one_);
  there_.Deliver(kHere, here_.Turn());
  here_.Deliver(kThere, there_.Turn());
  EXPECT_EQ(Side::Payloads(remote), (std::vector<std::string>{"x"}));
  EXPECT_EQ(one_->matched, 1u);
}

TEST_F(FanOutShardsTest, WhatArrivesAndWhatIsPublishedHereReachesEveryMemberInOrder) {
  Subscription* remote = there_.Subscribe("a");
  Subscription* other = there_.Subscribe("a");
  here_.KnowOf(&there_, remote->group, 1);
  for (int turn = 0; turn < 3; ++turn) {
    for (int i = 0; i < 3; ++i) here_.Publish("a", "far " + std::to_string(3 * turn + i), one_);
    there_.Deliver(kHere, here_.Turn());
    for (int i = 0; i < 2; ++i) there_.Publish("a", "near " + std::to_string(2 * turn + i), two_);
    here_.Deliver(kThere, there_.Turn());
  }
  for (const Subscription* member : {remote, other}) {
    std::vector<std::string> far;
    std::vector<std::string> near;
    for (const std::string& payload : Side::Payloads(member)) {
      (payload[0] == 'f' ? far : near).push_back(payload);
    }
    ASSERT_EQ(far.size(), 9u);
    ASSERT_EQ(near.size(), 6u);
    EXPECT_TRUE(std::is_sorted(far.begin(), far.end()));
    EXPECT_TRUE(std::is_sorted(near.begin(), near.end()));
  }
  EXPECT_EQ(one_->matched, 18u);
  EXPECT_EQ(two_->matched, 12u);
}

TEST_F(FanOutShardsTest, TalliesOfWhatArrivedAreExactForMembersThatTakeLess) {
  Subscription* counted = there_.Subscribe("a");
  counted->offered_max = 3;
  Subscription* closed = there_.Subscribe("a");
  (void)closed->subscriber->Close(Subscriber::ControlFrames::kDrop);
  here_.KnowOf(&there_, counted->group, 1);
  here_.Publish("a", "1", one_);
  here_.Publish("a", "2", one_);
  here_.Publish("a", "3", two_);
  here_.Publish("a", "4", two_);
  there_.Deliver(kHere, here_.Turn());
  here_.Deliver(kThere, there_.Turn());
  EXPECT_EQ(one_->matched, 4u);
  EXPECT_EQ(one_->dropped, 2u);
  EXPECT_EQ(two_->matched, 3u);
  EXPECT_EQ(two_->dropped, 2u);
}

TEST_F(FanOutShardsTest, AQueueGroupIsDealtByTheMembersThatEachShardHas) {
  std::vector<Subscription*> members = {here_.Subscribe("jobs", "q")};
  for (int i = 0; i < 2; ++i) members.push_back(there_.Subscribe("jobs", "q"));
  here_.KnowOf(&there_, members[1]->group, 2);
  there_.KnowOf(&here_, members[0]->group, 1);
  for (int i = 0; i < 30; ++i) here_.Publish("jobs", std::to_string(i), i % 2 == 0 ? one_ : two_);
  const std::vector<FanOut::Outgoing> letters = here_.Turn();
  uint64_t written = 0;
  for (const DeliverLetter& letter : Delivers(letters, kThere)) written += MessagesIn(letter.slices);
  EXPECT_EQ(written, 20u);
  there_.Deliver(kHere, letters);
  const std::vector<FanOut::Outgoing> answers = there_.Turn();
  EXPECT_TRUE(Delivers(answers, kHere).empty());  // what was dealt to a shard stays there
  here_.Deliver(kThere, answers);
  std::set<std::string> got;
  for (const Subscription* member : members) {
    EXPECT_EQ(member->offered, 10u);
    for (const std::string& payload : Side::Payloads(member)) EXPECT_TRUE(got.insert(payload).second);
  }
  EXPECT_EQ(got.size(), 30u);
  EXPECT_EQ(one_->matched, 15u);
  EXPECT_EQ(two_->matched, 15u);
}

TEST_F(FanOutShardsTest, WhatACutMemberHadGoesToOtherShardsAndIsNotCountedAgain) {
  Subscription* cut = here_.Subscribe("jobs", "q");
  for (int i = 0; i < 5; ++i) here_.Publish("jobs", std::to_string(i), one_);
  EXPECT_TRUE(here_.Turn().empty());
  EXPECT_EQ(one_->matched, 5u);
  Subscription* remote = there_.Subscribe("jobs", "q");
  here_.KnowOf(&there_, remote->group, 1);
  FilterGroup* group = cut->group;
  here_.index.Detach(cut);
  EXPECT_EQ(here_.fan_out.DealAgain(group, cut), 5u);
  there_.Deliver(kHere, here_.Turn());
  const std::vector<FanOut::Outgoing> answers = there_.Turn();
  EXPECT_TRUE(answers.empty());  // nobody waits for their numbers
  EXPECT_EQ(Side::Payloads(remote), (std::vector<std::string>{"0", "1", "2", "3", "4"}));
  EXPECT_EQ(one_->matched, 5u);
}

TEST_F(FanOutShardsTest, WhatIsBeyondTheCountsOfAShardsMembersComesBackAndIsDealtHere) {
  Subscription* remote = there_.Subscribe("jobs", "q");
  remote->offered_max = 3;
  Subscription* local = here_.Subscribe("jobs", "q");
  here_.KnowOf(&there_, remote->group, 1);
  there_.KnowOf(&here_, local->group, 1);
  for (int i = 0; i < 20; ++i) here_.Publish("jobs", std::to_string(i), i < 10 ? one_ : two_);
  there_.Deliver(kHere, here_.Turn());
  EXPECT_EQ(local->offered, 10u);
  const std::vector<FanOut::Outgoing> answers = there_.Turn();
  EXPECT_EQ(remote->offered, 3u);
  here_.index.SetRemote(local->group, kThere, 0, remote->group->id());  // as its shard says in the same mail
  here_.Deliver(kThere, answers);
  EXPECT_TRUE(here_.Turn().empty());
  std::multiset<std::string> got;
  for (const Subscription* member : {local, remote}) {
    for (const std::string& payload : Side::Payloads(member)) got.insert(payload);
  }
  std::multiset<std::string> published;
  for (int i = 0; i < 20; ++i) published.insert(std::to_string(i));
  EXPECT_EQ(got, published);
  EXPECT_EQ(one_->matched, 10u);
  EXPECT_EQ(two_->matched, 10u);
}

TEST_F(FanOutShardsTest, WhatIsDealtAgainBeyondAllCountsIsCountedAsDropped) {
  Subscription* cut = here_.Subscribe("jobs", "q");
  for (int i = 0; i < 5; ++i) here_.Publish("jobs", std::to_string(i), one_);
  (void)here_.Turn();
  Subscription* other = here_.Subscribe("jobs", "q");
  other->offered_max = 2;
  (void)here_.fan_out.TakeReport();
  FilterGroup* group = cut->group;
  here_.index.Detach(cut);
  EXPECT_EQ(here_.fan_out.DealAgain(group, cut), 5u);
  (void)here_.Turn();
  EXPECT_EQ(other->offered, 2u);
  EXPECT_EQ(here_.fan_out.TakeReport().dropped_messages, 3u);
}

TEST_F(FanOutShardsTest, SettlingWritesToOtherShardsWhatWasPublishedBeforeTheChange) {
  Subscription* remote = there_.Subscribe("a");
  here_.KnowOf(&there_, remote->group, 1);
  FilterGroup* group = here_.index.FindOrCreate("a", "");
  here_.Publish("a", "before", one_);
  here_.fan_out.Settle(group, absl::UnixEpoch());
  here_.index.SetRemote(group, kThere, 0, remote->group->id());
  here_.Publish("a", "after", one_);
  there_.Deliver(kHere, here_.Turn());
  (void)there_.Turn();
  EXPECT_EQ(Side::Payloads(remote), (std::vector<std::string>{"before"}));
}

TEST_F(FanOutShardsTest, BlockedMembersOfWhatArrivedShareOneCopyHere) {
  Subscription* remote = there_.Subscribe("a");
  here_.KnowOf(&there_, remote->group, 1);
  testing::ScriptedTransport full;
  full.AfterwardsTakes(0);
  remote->subscriber->QueueControl(testing::ServerPong(1));
  const auto scratch = std::make_unique<WriteScratch>();
  (void)remote->subscriber->Flush(&full, scratch.get(), 1 << 20, absl::UnixEpoch());
  ASSERT_TRUE(remote->subscriber->blocked());
  here_.Publish("a", "small", one_);
  there_.Deliver(kHere, here_.Turn());
  (void)there_.Turn();
  // The chunk of the other shard is not kept alive for one small message.
  EXPECT_FALSE(remote->queue().slices()[0].chunk == here_.read.chunk());
  EXPECT_LE(remote->queue().slices()[0].chunk->capacity(), 4096u);
}

}  // namespace
}  // namespace sluice
