// `sluice pub` against a real broker, beside a real `sluice sub`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "client/clock.h"
#include "tests/support/broker_process.h"
#include "tests/support/cli_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CliPubTest : public ::testing::Test {
 protected:
  explicit CliPubTest(const std::vector<std::string>& flags = {})
      : broker_(flags), subscriber_(broker_.port()) {
    subscriber_.Connect("subscriber");
    subscriber_.Subscribe(1, "t.>");
  }

  std::string NextPayload() { return subscriber_.NextMessage().message.payload(); }

  BrokerProcess broker_;
  WireClient subscriber_;
};

TEST_F(CliPubTest, PublishesAnArgument) {
  const CliResult result =
      RunCli(broker_, {"pub", "t.a", "two words", "-H", "unit=usd", "-H", "empty=", "--reply-to", "t.reply"});
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_EQ(result.output, "");
  EXPECT_EQ(result.errors, "");
  const v1::Message message = subscriber_.NextMessage().message;
  EXPECT_EQ(message.topic(), "t.a");
  EXPECT_EQ(message.payload(), "two words");
  EXPECT_EQ(message.reply_to(), "t.reply");
  ASSERT_EQ(message.headers_size(), 2);
  EXPECT_EQ(message.headers(0).name(), "unit");
  EXPECT_EQ(message.headers(0).value(), "usd");
  EXPECT_EQ(message.headers(1).value(), "");
}

TEST_F(CliPubTest, PublishesNothingAFileAndGeneratedMessages) {
  const TempDir dir;
  std::string bytes;
  for (int i = 0; i < 100'000; ++i) bytes.push_back(static_cast<char>(i * 13));
  EXPECT_EQ(RunCli(broker_, {"pub", "t.a"}).exit_code, 0);
  EXPECT_EQ(RunCli(broker_, {"pub", "t.a", "--file", dir.Write("bytes", bytes)}).exit_code, 0);
  EXPECT_EQ(RunCli(broker_, {"pub", "t.a", "--size", "1000", "--count", "2"}).exit_code, 0);
  EXPECT_EQ(NextPayload(), "");
  EXPECT_EQ(NextPayload(), bytes);
  EXPECT_EQ(NextPayload().size(), 1000u);
  EXPECT_THAT(NextPayload(), ::testing::StartsWith("2 "));
}

TEST_F(CliPubTest, SaysThatAConsumerHoldsItUp) {
  constexpr int kCount = 20'000;
  WireClient slow(broker_.port(), {.client_receive_buffer_bytes = 4 << 10});
  slow.Connect("slow");
  slow.Subscribe(1, "full", {.pending_messages_max = 200, .overflow = v1::OVERFLOW_POLICY_BLOCK});
  CliProcess pub(broker_, {"pub", "full", "--size", "1000", "--count", std::to_string(kCount), "--verbose",
                           "--timeout", "10m"});
  pub.WaitForErrors("the broker has stopped reading from us: blocked_by_consumer");
  for (int i = 0; i < kCount; ++i) slow.NextMessage();
  EXPECT_EQ(pub.Wait().exit_code, 0);
  EXPECT_THAT(pub.errors(), AllOf(HasSubstr("the broker reads from us again"), HasSubstr("20000 queued ("),
                                  HasSubstr(" over a limit: we waited), 0 dropped")));
}

TEST_F(CliPubTest, SaysWhatBecameOfItInJson) {
  const CliResult result = RunCli(broker_, {"pub", "t.a", "12345", "--count", "3", "--json"});
  EXPECT_EQ(result.exit_code, 0);
  const nlohmann::json json = nlohmann::json::parse(result.output);
  EXPECT_EQ(json["published"], 3);
  EXPECT_EQ(json["confirmed"], 3);
  EXPECT_EQ(json["queued"], 3);
  EXPECT_EQ(json["blocked"], 0);
  EXPECT_EQ(json["bytes"], 15);
  EXPECT_EQ(json["refused"], 0);
  EXPECT_EQ(json["unknown"], 0);
}

TEST_F(CliPubTest, KeepsToTheRate) {
  const absl::Time begin = client::MonotonicNow();
  EXPECT_EQ(RunCli(broker_, {"pub", "t.a", "x", "--count", "6", "--rate", "50"}).exit_code, 0);
  // The first is due at once, each other 20 ms later.
  EXPECT_GE(client::MonotonicNow() - begin, absl::Milliseconds(99));
}

TEST_F(CliPubTest, AFollowedStreamIsPublishedLineByLine) {
  CliProcess pub(broker_, {"pub", "t.log", "--lines"});
  pub.Send("one\n");
  EXPECT_EQ(NextPayload(), "one");
  pub.Send("\n\nfo");
  EXPECT_EQ(NextPayload(), "");
  EXPECT_EQ(NextPayload(), "");
  // An unfinished line waits for its end.
  pub.Send("ur\nlast without a newline");
  EXPECT_EQ(NextPayload(), "four");
  EXPECT_EQ(pub.Wait().exit_code, 0);
  EXPECT_EQ(NextPayload(), "last without a newline");
}

TEST_F(CliPubTest, StopsAfterSoManyLines) {
  CliProcess pub(broker_, {"pub", "t.log", "--lines", "--count", "2"});
  pub.Send("1\n2\n3\n4\n");
  EXPECT_EQ(pub.WaitWithOpenInput().exit_code, 0);
  EXPECT_EQ(RunCli(broker_, {"pub", "t.log", "end"}).exit_code, 0);
  EXPECT_EQ(NextPayload(), "1");
  EXPECT_EQ(NextPayload(), "2");
  EXPECT_EQ(NextPayload(), "end");
}

TEST_F(CliPubTest, ASignalEndsAFollowedStreamInOrder) {
  for (const auto& [signal, exit_code] :
       {std::pair(SIGINT, 130), std::pair(SIGTERM, 143), std::pair(SIGHUP, 129)}) {
    CliProcess pub(broker_, {"pub", "t.log", "--lines"});
    pub.Send("whole\nunfinished");
    EXPECT_EQ(NextPayload(), "whole");
    pub.Signal(signal);
    EXPECT_EQ(pub.WaitWithOpenInput().exit_code, exit_code);
    EXPECT_THAT(pub.errors(), HasSubstr("interrupted after 1 message"));
  }
  EXPECT_EQ(RunCli(broker_, {"pub", "t.log", "end"}).exit_code, 0);
  EXPECT_EQ(NextPayload(), "end");
}

class SmallPayloadsTest : public CliPubTest {
 protected:
  SmallPayloadsTest() : CliPubTest({"--max-message=1KiB"}) {}
};

TEST_F(SmallPayloadsTest, ALineThatIsTooLongIsNamedAndTheOthersGoOn) {
  CliProcess pub(broker_, {"pub", "t.log", "--lines", "--json"});
  pub.Send("one\n" + std::string(1025, 'x') + "\n" + std::string(1024, 'y') + "\nfour\n" +
           std::string(100'000, 'z'));
  EXPECT_EQ(pub.Wait().exit_code, 1);
  EXPECT_EQ(NextPayload(), "one");
  EXPECT_EQ(NextPayload(), std::string(1024, 'y'));
  EXPECT_EQ(NextPayload(), "four");
  EXPECT_THAT(pub.errors(),
              AllOf(HasSubstr("line 2 was not published: it has 1025 bytes, and the broker takes at most "
                              "1024"),
                    HasSubstr("line 5 was not published: it has 100000 bytes"), Not(HasSubstr("line 3"))));
  const nlohmann::json json = nlohmann::json::parse(pub.output());
  EXPECT_EQ(json["published"], 3);
  EXPECT_EQ(json["refused"], 2);
}

TEST_F(SmallPayloadsTest, APayloadThatIsTooLongIsRefused) {
  const CliResult result = RunCli(broker_, {"pub", "t.a", std::string(1025, 'x')});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.errors, HasSubstr("message 1 was not published"));
}

TEST_F(CliPubTest, WhatTheBrokerRefusesIsAFailure) {
  const CliResult refused = RunCli(broker_, {"pub", "$SYS.a", "x"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.errors, HasSubstr("message 1 was refused"));
  const CliResult nobody = RunCli(broker_, {"pub", "nobody.listens", "x", "--reply-to", "t.reply"});
  EXPECT_EQ(nobody.exit_code, 1);
  EXPECT_THAT(nobody.errors, HasSubstr("no_subscribers"));
}

TEST_F(CliPubTest, WithoutABrokerItFailsAndSaysWhere) {
  const CliResult result = RunCli("sluice://127.0.0.1:1", {"pub", "t.a", "x"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.errors, AllOf(HasSubstr("127.0.0.1:1"), HasSubstr("Connection refused")));
  EXPECT_EQ(RunCli("http://127.0.0.1:1", {"pub", "t.a", "x"}).exit_code, 2);
  // A flag beats the environment.
  EXPECT_EQ(RunCli("sluice://127.0.0.1:1",
                   {"pub", "t.a", "x", "--server", "127.0.0.1:" + std::to_string(broker_.port())})
                .exit_code,
            0);
}

TEST(CliPubLossTest, ABrokerThatGoesAwayIsNotForgotten) {
  BrokerProcess broker;
  CliProcess pub(broker, {"pub", "t.log", "--lines", "--timeout", "300ms"});
  pub.Send("one\n");
  broker.WaitForMetric("sluice_messages_received_total", 1);
  broker.Signal(SIGKILL);
  broker.WaitForExit();
  pub.WaitForErrors("disconnected");
  pub.Send("two\n");
  EXPECT_EQ(pub.Wait().exit_code, 3);
  EXPECT_THAT(pub.errors(),
              AllOf(HasSubstr("of 2 messages"), HasSubstr("1 unknown"), HasSubstr("1 not sent")));
}

TEST(CliPubLossTest, ABrokerThatStandsStillIsGivenUp) {
  BrokerProcess broker;
  CliProcess pub(broker, {"pub", "t.log", "--lines", "--timeout", "300ms"});
  pub.Send("one\n");
  broker.WaitForMetric("sluice_messages_received_total", 1);
  broker.Stop();
  pub.Send("two\n");
  EXPECT_EQ(pub.Wait().exit_code, 3);
  EXPECT_THAT(pub.errors(), HasSubstr("unknown"));
  broker.Continue();
}

// A large file with everything in it that a file may have: through `pub --lines` and out of `sub --raw`.
TEST(CliPipeTest, AFileArrivesByteForByte) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  constexpr int kLines = 200'000;
  std::string file;
  for (int line = 0; line < kLines; ++line) {
    const uint64_t kind = random() % 1000;
    const size_t size = kind < 200 ? 0 : kind == 999 ? random() % 20'000 : random() % 120;
    for (size_t i = 0; i < size; ++i) {
      const char byte = static_cast<char>(random());
      file.push_back(byte == '\n' ? '\0' : byte);
    }
    file.push_back('\n');
  }
  file.insert(file.find('\n', file.size() / 2) + 1, std::string(1 << 20, 'x') + '\n');
  file += "no newline at the end";

  BrokerProcess broker;
  const TempDir dir;
  CliProcess sub(broker, {"sub", "t", "--raw", "--count", std::to_string(kLines + 2)});
  sub.WaitForErrors("subscribed");
  CliProcess pub(broker, {"pub", "t", "--lines", "--json"});
  // In pieces, since sub's output must be read as well.
  for (std::string_view rest = file; !rest.empty();) {
    const std::string_view piece = rest.substr(0, 256 << 10);
    pub.Send(piece);
    rest.remove_prefix(piece.size());
    sub.WaitForOutputBytes(0);
  }
  EXPECT_EQ(pub.Wait().exit_code, 0) << pub.errors();
  EXPECT_EQ(sub.Wait().exit_code, 0) << sub.errors();
  // Not EXPECT_EQ: nobody wants to read that.
  EXPECT_TRUE(sub.output() == file + "\n");
  EXPECT_EQ(nlohmann::json::parse(pub.output())["confirmed"], kLines + 2);
}

}  // namespace
}  // namespace sluice::testing
