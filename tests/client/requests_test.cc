#include "client/requests.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice::client {
namespace {

absl::Time At(int seconds) { return absl::UnixEpoch() + absl::Seconds(seconds); }

class RequestsTest : public ::testing::Test {
 protected:
  ReplyCallback Log(const std::string& name) {
    return [this, name](const absl::StatusOr<ReceivedMessage>& reply) {
      told_ += name + "=" + std::string(absl::StatusCodeToString(reply.status().code())) + " ";
    };
  }
  std::string Told() { return std::exchange(told_, ""); }

  Requests requests_;
  std::string told_;
};

TEST_F(RequestsTest, TheFirstAnswerWins) {
  const uint64_t id = requests_.Add(absl::InfiniteFuture(), Log("a"));
  EXPECT_EQ(requests_.Finish(id, ReceivedMessage()), Known::kYes);
  EXPECT_EQ(requests_.Finish(id, absl::NotFoundError("")), Known::kNo);
  EXPECT_EQ(Told(), "a=OK ");
}

TEST_F(RequestsTest, EndsThoseWhoseTimeHasCome) {
  requests_.Add(At(20), Log("b"));
  const uint64_t a = requests_.Add(At(10), Log("a"));
  requests_.Add(absl::InfiniteFuture(), Log("c"));
  EXPECT_EQ(requests_.NextDeadline(), At(10));
  requests_.Expire(At(9));
  EXPECT_EQ(Told(), "");
  requests_.Expire(At(10));
  EXPECT_EQ(Told(), "a=DEADLINE_EXCEEDED ");
  EXPECT_EQ(requests_.Finish(a, ReceivedMessage()), Known::kNo);
  EXPECT_EQ(requests_.NextDeadline(), At(20));
  requests_.FailAll(absl::UnavailableError(""));
  EXPECT_EQ(Told(), "b=UNAVAILABLE c=UNAVAILABLE ");
  EXPECT_EQ(requests_.NextDeadline(), absl::InfiniteFuture());
}

TEST_F(RequestsTest, OneThatIsTakenBackHearsNothing) {
  const uint64_t id = requests_.Add(At(1), Log("a"));
  EXPECT_EQ(requests_.Forget(id), Known::kYes);
  EXPECT_EQ(requests_.Forget(id), Known::kNo);
  requests_.Expire(At(2));
  EXPECT_EQ(Told(), "");
}

TEST_F(RequestsTest, ReadsItsOwnTokensAndNoOthers) {
  for (const uint64_t id : {uint64_t{1}, uint64_t{12345678901}}) {
    EXPECT_EQ(Requests::ParseToken(Requests::Token(id)), id);
  }
  for (const char* token : {"", "x", "1x", "-1", "99999999999999999999999"}) {
    EXPECT_EQ(Requests::ParseToken(token), 0u) << token;
  }
}

}  // namespace
}  // namespace sluice::client
