#include "broker/core/answers.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "protocol/sluice.pb.h"
#include "tests/support/frames.h"
#include "tests/support/scripted_transport.h"

namespace sluice {
namespace {

class AnswersTest : public ::testing::Test {
 protected:
  AnswersTest() : subscriber_(1, &limits_, &account_) {}

  Subscription* Subscribe(uint64_t turn, uint32_t id) {
    Subscription* subscription = subscriber_.Add(id, {}, v1::OVERFLOW_POLICY_DISCONNECT);
    subscription->turn = turn;
    answers_.Subscribed(turn, id);
    return subscription;
  }
  // What is told when turns up to `turn_done` are done.
  std::vector<v1::ServerFrame> Tell(uint64_t turn_done) {
    transport_.Clear();
    answers_.Tell(turn_done, &subscriber_);
    (void)subscriber_.Flush(&transport_, scratch_.get(), 1 << 30, absl::UnixEpoch());
    return testing::ReadStream(transport_.stream()).frames;
  }

  MemoryAccount account_;
  SubscriberLimits limits_;
  Subscriber subscriber_;
  Answers answers_;
  testing::ScriptedTransport transport_;
  std::unique_ptr<WriteScratch> scratch_ = std::make_unique<WriteScratch>();
};

TEST_F(AnswersTest, TellsInTheOrderAskedWhatIsOfTurnsThatAreDone) {
  answers_.Pong(1, 11);
  Subscribe(1, 9);
  answers_.Ack(1, 12, 5, std::make_shared<PublishTally>());
  answers_.Pong(2, 13);
  answers_.Ack(4, 14, 6, std::make_shared<PublishTally>());
  EXPECT_TRUE(Tell(0).empty());
  std::vector<v1::ServerFrame> told = Tell(1);
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told[0].server_pong().id(), 11u);
  EXPECT_EQ(told[1].subscribed().subscription(), 9u);
  EXPECT_EQ(told[2].publish_ack().id(), 12u);
  EXPECT_FALSE(answers_.empty());
  told = Tell(3);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].server_pong().id(), 13u);
  told = Tell(4);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].publish_ack().id(), 14u);
  EXPECT_TRUE(answers_.empty());
}

TEST_F(AnswersTest, AnAckSaysWhatTheTallySaysWhenItIsTold) {
  auto tally = std::make_shared<PublishTally>();
  tally->messages = 10;
  tally->refused = 2;
  answers_.Ack(1, 77, 1234, tally);
  tally->matched = 30;  // the fan-out comes behind the request
  tally->dropped = 4;
  tally.reset();
  const std::vector<v1::ServerFrame> told = Tell(1);
  ASSERT_EQ(told.size(), 1u);
  const v1::PublishAck& ack = told[0].publish_ack();
  EXPECT_EQ(ack.id(), 77u);
  EXPECT_EQ(ack.up_to(), 1234u);
  EXPECT_EQ(ack.messages(), 10u);
  EXPECT_EQ(ack.matched(), 30u);
  EXPECT_EQ(ack.queued(), 26u);
  EXPECT_EQ(ack.dropped(), 4u);
  EXPECT_EQ(ack.refused(), 2u);
}

TEST_F(AnswersTest, ASubscriptionThatHasGoneIsNotTold) {
  answers_.Subscribed(1, 9);
  answers_.Pong(1, 2);
  const std::vector<v1::ServerFrame> told = Tell(1);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(told[0].has_server_pong());
}

// Unsubscribed may leave before the turn that subscribed is done, and the id be used again.
TEST_F(AnswersTest, AnIdThatIsUsedAgainIsToldWhenItsOwnTurnIsDone) {
  Subscription* first = Subscribe(1, 9);
  subscriber_.End(first, v1::REASON_UNSUBSCRIBED);
  std::vector<v1::ServerFrame> told = Tell(0);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_TRUE(told[0].has_subscribed());
  EXPECT_TRUE(told[1].has_unsubscribed());
  ASSERT_EQ(subscriber_.Find(9), nullptr);
  Subscribe(3, 9);
  EXPECT_TRUE(Tell(2).empty());
  told = Tell(3);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].subscribed().subscription(), 9u);
}

}  // namespace
}  // namespace sluice
