#include "broker/mailbox.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace sluice {
namespace {

DeliverLetter DeliverOf(uint32_t bytes, MemoryAccount* account) {
  Slice slice;
  slice.chunk = Chunk::Create(bytes, account);
  slice.bytes = bytes;
  slice.messages = 1;
  DeliverLetter letter;
  letter.slices.push_back(std::move(slice));
  return letter;
}

// What the shard `to` gets; nothing for the others.
std::vector<Letter> Sent(Outbox* outbox, uint64_t turn, uint32_t to) {
  std::vector<Letter> letters;
  outbox->Send(turn, [&](uint32_t peer, Mail mail) {
    EXPECT_EQ(mail.from, 0u);
    if (peer == to) letters = std::move(mail.letters);
  });
  return letters;
}

TEST(MailboxTest, GivesMailInTheOrderPut) {
  Mailbox mailbox;
  EXPECT_TRUE(mailbox.empty());
  mailbox.Put({1, {DoneLetter{1, 0}}});
  mailbox.Put({2, {DoneLetter{2, 0}}});
  EXPECT_FALSE(mailbox.empty());
  const std::vector<Mail> mail = mailbox.Take();
  ASSERT_EQ(mail.size(), 2u);
  EXPECT_EQ(mail[0].from, 1u);
  EXPECT_EQ(mail[1].from, 2u);
  EXPECT_TRUE(mailbox.empty());
}

TEST(OutboxTest, ATurnIsDoneWhenEveryShardThatWasWrittenToSaysSo) {
  MemoryAccount account;
  Outbox outbox(0, 3);
  EXPECT_EQ(outbox.TurnDone(7), 7u);
  outbox.Write(1, DeliverOf(100, &account));
  outbox.Write(2, InterestLetter{"a.b", "", 1, 4});
  EXPECT_TRUE(outbox.has_letters());
  const std::vector<Letter> letters = Sent(&outbox, 7, 1);
  ASSERT_EQ(letters.size(), 2u);
  EXPECT_EQ(std::get<TurnLetter>(letters[1]).turn, 7u);
  EXPECT_EQ(std::get<TurnLetter>(letters[1]).bytes, 100u);
  EXPECT_EQ(outbox.TurnDone(8), 6u);
  outbox.Write(1, DeliverOf(100, &account));
  (void)Sent(&outbox, 8, 1);

  outbox.Done(1, {7, 100});
  EXPECT_EQ(outbox.TurnDone(9), 6u) << "shard 2 has not answered";
  outbox.Done(2, {7, 0});
  EXPECT_EQ(outbox.TurnDone(9), 7u);
  outbox.Done(1, {8, 100});
  EXPECT_EQ(outbox.TurnDone(9), 9u);
  EXPECT_EQ(outbox.bytes_under_way(), 0u);
}

TEST(OutboxTest, ATurnOfWhichSomethingWasReturnedIsDoneWhenThatIsDone) {
  MemoryAccount account;
  Outbox outbox(0, 4);
  outbox.Write(1, DeliverOf(100, &account));
  (void)Sent(&outbox, 7, 1);
  // Shard 1 returns it, and it goes to 2, which returns it as well; 3 takes it.
  outbox.Returned(1, 9);
  outbox.Done(1, {7, 100});
  outbox.Write(2, DeliverOf(100, &account));
  (void)Sent(&outbox, 9, 2);
  EXPECT_EQ(outbox.TurnDone(9), 6u);
  outbox.Returned(2, 12);
  outbox.Done(2, {9, 100});
  outbox.Write(3, DeliverOf(100, &account));
  (void)Sent(&outbox, 12, 3);
  EXPECT_EQ(outbox.TurnDone(12), 6u);
  outbox.Done(3, {12, 100});
  EXPECT_EQ(outbox.TurnDone(13), 13u);
}

TEST(OutboxTest, AnswersWantNoAnswer) {
  Outbox outbox(0, 2);
  outbox.Write(1, DoneLetter{3, 10});
  outbox.Write(1, TallyLetter{});
  EXPECT_EQ(Sent(&outbox, 5, 1).size(), 2u);
  EXPECT_EQ(outbox.TurnDone(5), 5u);
}

TEST(OutboxTest, IsFullByTheBytesUnderWayToOneShard) {
  MemoryAccount account;
  Outbox outbox(0, 3);
  const uint32_t half = static_cast<uint32_t>(kMailboxBytesMax / 2);
  outbox.Write(1, DeliverOf(half, &account));
  outbox.Write(2, DeliverOf(half, &account));
  (void)Sent(&outbox, 1, 1);
  outbox.Write(1, DeliverOf(half, &account));
  (void)Sent(&outbox, 2, 1);
  EXPECT_FALSE(outbox.full()) << "exactly as much as allowed";
  outbox.Write(1, DeliverOf(1, &account));
  (void)Sent(&outbox, 3, 1);
  EXPECT_TRUE(outbox.full());
  outbox.Done(2, {1, half});
  EXPECT_TRUE(outbox.full());
  outbox.Done(1, {1, half});
  EXPECT_FALSE(outbox.full());
}

}  // namespace
}  // namespace sluice
