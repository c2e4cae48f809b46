#include "client/ack_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice::client {
namespace {

using ::testing::HasSubstr;

PublishReceipt Receipt(uint64_t messages, uint64_t refused = 0) {
  return {.messages = messages,
          .matched = 2 * messages,
          .queued = messages,
          .dropped = messages,
          .refused = refused,
          .blocked = messages};
}

// Writes down what callbacks were told.
class Log {
 public:
  AckCallback For(const std::string& name) {
    return [this, name](const absl::StatusOr<PublishReceipt>& result) {
      text_ += name + "=" +
               (result.ok() ? std::to_string(result->messages)
                            : absl::StatusCodeToString(result.status().code())) +
               " ";
      last_ = result;
    };
  }
  std::string Take(const std::vector<AckCompletion>& completions) {
    text_.clear();
    for (const AckCompletion& completion : completions) completion.done(completion.result);
    return text_;
  }
  const absl::StatusOr<PublishReceipt>& last() const { return last_; }

 private:
  std::string text_;
  absl::StatusOr<PublishReceipt> last_ = absl::UnknownError("nothing yet");
};

TEST(AckLedgerTest, ASingleGetsItsOwnNumbersAndTheBatchTheSumOfTheRest) {
  AckLedger ledger;
  Log log;
  EXPECT_TRUE(ledger.AnythingSince(2));
  const uint64_t separator = ledger.Add(AckKind::kSeparator, 2, nullptr);
  EXPECT_FALSE(ledger.AnythingSince(2));
  const uint64_t single = ledger.Add(AckKind::kSingle, 3, log.For("single"));
  const uint64_t batch = ledger.Add(AckKind::kBatch, 4, log.For("batch"));
  EXPECT_EQ(log.Take(ledger.OnAck(separator, Receipt(2))), "");
  EXPECT_EQ(log.Take(ledger.OnAck(single, Receipt(1))), "single=1 ");
  EXPECT_EQ(log.Take(ledger.OnAck(batch, Receipt(1))), "batch=3 ");
  EXPECT_EQ(log.last()->matched, 6u);
  EXPECT_EQ(log.last()->queued, 3u);
  EXPECT_EQ(log.last()->dropped, 3u);
  EXPECT_EQ(log.last()->blocked, 3u);
  EXPECT_EQ(log.Take(ledger.OnAck(ledger.Add(AckKind::kBatch, 4, log.For("next")), Receipt(0))), "next=0 ");
}

TEST(AckLedgerTest, ASingleSaysWhyItWasRefused) {
  AckLedger ledger;
  Log log;
  const uint64_t first = ledger.Add(AckKind::kSingle, 1, log.For("first"));
  ledger.Add(AckKind::kBatch, 1, log.For("batch"));
  const uint64_t second = ledger.Add(AckKind::kSingle, 2, log.For("second"));
  EXPECT_EQ(ledger.OnRefusal(1, absl::PermissionDeniedError("no")), AckLedger::Told::kBySingle);
  EXPECT_EQ(ledger.OnRefusal(3, absl::PermissionDeniedError("no")), AckLedger::Told::kNotYet);
  EXPECT_EQ(log.Take(ledger.OnAck(first, Receipt(1, 1))), "first=PERMISSION_DENIED ");
  // One whose Error has not come.
  EXPECT_EQ(log.Take(ledger.OnAck(second, Receipt(1, 1))), "batch=INTERNAL second=INVALID_ARGUMENT ");
}

TEST(AckLedgerTest, IgnoresAnAnswerThatNobodyAskedFor) {
  AckLedger ledger;
  Log log;
  const uint64_t id = ledger.Add(AckKind::kSingle, 1, log.For("single"));
  EXPECT_EQ(log.Take(ledger.OnAck(id - 1, Receipt(1))), "");
  EXPECT_TRUE(ledger.Contains(id));
  EXPECT_EQ(log.Take(ledger.OnAck(id, Receipt(1))), "single=1 ");
  EXPECT_FALSE(ledger.Contains(id));
}

TEST(AckLedgerTest, FailsWhatHasLeftWhenTheSessionEndsAndKeepsTheRest) {
  AckLedger ledger;
  Log log;
  ledger.Add(AckKind::kSingle, 1, log.For("left"));
  const uint64_t separator = ledger.Add(AckKind::kSeparator, 3, nullptr);
  const uint64_t stays = ledger.Add(AckKind::kSingle, 4, log.For("stays"));
  EXPECT_EQ(log.Take(ledger.EndSession(/*handed=*/2, /*unknown=*/0)), "left=UNAVAILABLE ");
  EXPECT_TRUE(ledger.Contains(separator));
  EXPECT_TRUE(ledger.Contains(stays));
  EXPECT_EQ(log.Take(ledger.OnAck(separator, Receipt(1))), "");
  EXPECT_EQ(log.Take(ledger.OnAck(stays, Receipt(1))), "stays=1 ");
}

TEST(AckLedgerTest, ABatchSaysHowManyAreUnknown) {
  AckLedger ledger;
  Log log;
  const uint64_t batch = ledger.Add(AckKind::kBatch, 10, log.For("batch"));
  const uint64_t single = ledger.Add(AckKind::kSingle, 11, log.For("single"));
  EXPECT_EQ(log.Take(ledger.EndSession(/*handed=*/5, /*unknown=*/5)), "batch=UNAVAILABLE ");
  EXPECT_THAT(std::string(log.last().status().message()), HasSubstr("5 of them"));
  // Publishes 6-10 must not run into the single's receipt.
  EXPECT_TRUE(ledger.Contains(batch));
  EXPECT_EQ(log.Take(ledger.OnAck(batch, Receipt(5))), "");
  EXPECT_EQ(log.Take(ledger.OnAck(single, Receipt(1))), "single=1 ");
}

TEST(AckLedgerTest, ABatchThatHasNotLeftAtAllSurvives) {
  AckLedger ledger;
  Log log;
  const uint64_t batch = ledger.Add(AckKind::kBatch, 10, log.For("batch"));
  EXPECT_EQ(log.Take(ledger.EndSession(/*handed=*/5, /*unknown=*/0)), "");
  EXPECT_EQ(log.Take(ledger.OnAck(batch, Receipt(5))), "batch=5 ");
}

TEST(AckLedgerTest, TheNextBatchTellsWhatNobodyWasToldWhenTheConnectionBroke) {
  AckLedger ledger;
  Log log;
  EXPECT_EQ(log.Take(ledger.EndSession(/*handed=*/5, /*unknown=*/3)), "");
  EXPECT_EQ(log.Take(ledger.OnAck(ledger.Add(AckKind::kBatch, 7, log.For("batch")), Receipt(2))),
            "batch=UNAVAILABLE ");
  EXPECT_THAT(std::string(log.last().status().message()), HasSubstr("3 of them"));
  EXPECT_EQ(log.Take(ledger.OnAck(ledger.Add(AckKind::kBatch, 9, log.For("batch")), Receipt(2))), "batch=2 ");
}

TEST(AckLedgerTest, FailsTheSingleOfAPublishThatWasDropped) {
  AckLedger ledger;
  Log log;
  const uint64_t id = ledger.Add(AckKind::kSingle, 2, log.For("single"));
  EXPECT_EQ(log.Take(ledger.OnDropped(1, absl::InvalidArgumentError("too large"))), "");
  EXPECT_EQ(log.Take(ledger.OnDropped(2, absl::InvalidArgumentError("too large"))),
            "single=INVALID_ARGUMENT ");
  EXPECT_FALSE(ledger.Contains(id));
}

TEST(AckLedgerTest, FailsEverythingAtTheEnd) {
  AckLedger ledger;
  Log log;
  ledger.Add(AckKind::kSeparator, 1, nullptr);
  ledger.Add(AckKind::kSingle, 2, log.For("single"));
  ledger.Add(AckKind::kBatch, 2, log.For("batch"));
  EXPECT_EQ(log.Take(ledger.FailAll(absl::CancelledError("closed"))), "single=CANCELLED batch=CANCELLED ");
}

}  // namespace
}  // namespace sluice::client
