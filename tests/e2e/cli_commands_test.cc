// `sluice request`, `reply`, `ping`, `bench` and `demo` against real brokers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/broker_process.h"
#include "tests/support/cli_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::Lt;
using ::testing::StartsWith;

nlohmann::json Json(const CliResult& result) { return nlohmann::json::parse(result.output); }

// ---- request and reply ----

TEST(CliRequestTest, AReplyEchoes) {
  BrokerProcess broker;
  CliProcess reply(broker, {"reply", "echo", "--echo", "--count", "2"});
  reply.WaitForErrors("answering");
  const CliResult first = RunCli(broker, {"request", "echo", "hello"});
  EXPECT_EQ(first.exit_code, 0) << first.errors;
  EXPECT_EQ(first.output, "hello\n");
  const CliResult second = RunCli(broker, {"request", "echo", "hello", "--json"});
  EXPECT_EQ(Json(second)["payload"], "hello");
  EXPECT_EQ(reply.Wait().exit_code, 0);
  EXPECT_THAT(reply.errors(), HasSubstr("answered 2 requests"));
}

TEST(CliRequestTest, ACommandAnswers) {
  BrokerProcess broker;
  CliProcess reply(broker, {"reply", "upper", "--command", "tr a-z A-Z"});
  reply.WaitForErrors("answering");
  EXPECT_EQ(RunCli(broker, {"request", "upper", "hello", "--raw"}).output, "HELLO\n");
  const TempDir dir;
  const std::string large(1 << 20, 'x');
  EXPECT_EQ(RunCli(broker, {"request", "upper", "--file", dir.Write("large", large), "--raw"}).output,
            std::string(1 << 20, 'X') + "\n");
  reply.Signal(SIGINT);
  EXPECT_EQ(reply.WaitWithOpenInput().exit_code, 0);
}

TEST(CliRequestTest, ACommandThatFailsIsSaidToBoth) {
  BrokerProcess broker;
  CliProcess reply(broker, {"reply", "fails", "--command", "echo partly; exit 3", "--count", "1"});
  reply.WaitForErrors("answering");
  const CliResult result = RunCli(broker, {"request", "fails"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, StartsWith("partly\n"));
  EXPECT_THAT(result.errors, HasSubstr("exited with 3"));
  EXPECT_EQ(reply.Wait().exit_code, 1);
  EXPECT_THAT(reply.errors(), HasSubstr("the command exited with 3"));
}

TEST(CliRequestTest, ASignalDoesNotWaitForACommand) {
  BrokerProcess broker;
  CliProcess reply(broker, {"reply", "slow", "--command", "echo running >&2; sleep 1000"});
  reply.WaitForErrors("answering");
  CliProcess request(broker, {"request", "slow", "--timeout", "1m"});
  reply.WaitForErrors("running");
  reply.Signal(SIGINT);
  EXPECT_EQ(reply.WaitWithOpenInput().exit_code, 1);
  EXPECT_EQ(request.Wait().exit_code, 1);
  EXPECT_THAT(request.errors(), HasSubstr("interrupted"));
}

TEST(CliRequestTest, ThatNobodyListensIsKnownAtOnce) {
  BrokerProcess broker;
  const CliResult result = RunCli(broker, {"request", "nobody", "--timeout", "1h"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.errors, HasSubstr("nobody subscribes"));
}

TEST(CliRequestTest, SomebodyWhoDoesNotAnswerIsGivenUp) {
  BrokerProcess broker;
  CliProcess sub(broker, {"sub", "silent"});
  sub.WaitForErrors("subscribed");
  EXPECT_EQ(RunCli(broker, {"request", "silent", "--timeout", "50ms"}).exit_code, 3);
  CliProcess request(broker, {"request", "silent", "--timeout", "1h"});
  sub.WaitForOutput("silent \nsilent \n");
  request.Signal(SIGINT);
  EXPECT_EQ(request.WaitWithOpenInput().exit_code, 130);
}

// ---- ping ----

TEST(CliPingTest, SaysTheTime) {
  BrokerProcess broker;
  const CliResult once = RunCli(broker, {"ping"});
  EXPECT_EQ(once.exit_code, 0);
  EXPECT_THAT(once.output, StartsWith("pong 1 from 127.0.0.1:"));
  const CliResult thrice = RunCli(broker, {"ping", "--count", "3", "--interval", "1ms"});
  EXPECT_THAT(thrice.output, AllOf(HasSubstr("pong 3"), HasSubstr("3 of 3 answered")));
  EXPECT_GT(Json(RunCli(broker, {"ping", "--json"}))["seconds"], 0);
}

TEST(CliPingTest, ABrokerThatStandsStillDoesNotAnswer) {
  BrokerProcess broker;
  CliProcess ping(broker, {"ping", "--count", "2", "--interval", "0", "--timeout", "200ms"});
  ping.WaitForOutput("pong 1");
  broker.Stop();
  // The second may have been answered before that.
  CliProcess late(broker, {"ping", "--connect-timeout", "100ms"});
  EXPECT_EQ(late.Wait().exit_code, 3);
  broker.Continue();
}

TEST(CliPingTest, ASignalEndsItInOrder) {
  BrokerProcess broker;
  CliProcess ping(broker, {"ping", "--count", "1000", "--interval", "1h"});
  ping.WaitForOutput("pong 1");
  ping.Signal(SIGINT);
  EXPECT_EQ(ping.WaitWithOpenInput().exit_code, 130);
  EXPECT_THAT(ping.output(), HasSubstr("1 of 1000 answered"));
}

// ---- bench ----

TEST(CliBenchTest, EverythingArrivesOnceAndInOrder) {
  BrokerProcess broker;
  const CliResult result = RunCli(broker, {"bench", "--publishers", "2", "--subscribers", "3", "--topics",
                                           "10", "--size", "100", "--messages", "20k", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.output << result.errors;
  const nlohmann::json json = Json(result);
  EXPECT_EQ(json["published"], 20'000);
  EXPECT_EQ(json["confirmed"], 20'000);
  EXPECT_EQ(json["delivered"], 60'000);
  EXPECT_EQ(json["lost"], 0);
  EXPECT_EQ(json["repeated"], 0);
  EXPECT_EQ(json["reordered"], 0);
  EXPECT_TRUE(json["sound"]);
  EXPECT_GT(json["latency_p50_seconds"], 0);
  EXPECT_LE(json["latency_p50_seconds"], json["latency_p99_seconds"]);
  EXPECT_LE(json["latency_p99_seconds"], json["latency_max_seconds"]);
}

TEST(CliBenchTest, EverySizeAndWindowGoesThrough) {
  BrokerProcess broker;
  for (const char* size : {"16", "1000", "1MiB"}) {
    for (const char* window : {"1", "10KiB", "4MiB"}) {
      const CliResult result =
          RunCli(broker, {"bench", "--size", size, "--window", window, "--messages", "20"});
      EXPECT_EQ(result.exit_code, 0) << size << " " << window << "\n" << result.output << result.errors;
    }
  }
}

TEST(CliBenchTest, KeepsToTheRateAndTheDuration) {
  BrokerProcess broker;
  const CliResult result = RunCli(broker, {"bench", "--rate", "10", "--duration", "2s", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.output << result.errors;
  EXPECT_GE(Json(result)["published"], 1);
  EXPECT_LE(Json(result)["published"], 21);
}

TEST(CliBenchTest, TheWindowKeepsEverySubscriberWithinTheLimits) {
  // No more than four messages are ever ahead of a subscriber.
  BrokerProcess broker({"--max-message=64KiB", "--pending-messages-max=5"});
  const CliResult result = RunCli(
      broker, {"bench", "--subscribers", "8", "--size", "64KiB", "--window", "256KiB", "--messages", "2k"});
  EXPECT_EQ(result.exit_code, 0) << result.output << result.errors;
}

TEST(CliBenchTest, WhatComesTwiceIsAFailure) {
  BrokerProcess broker;
  WireClient meddler(broker.port());
  meddler.Connect("meddler");
  meddler.Subscribe(1, "bench.>");
  CliProcess bench(broker, {"bench", "--rate", "2k", "--messages", "4000", "--json"});
  const v1::Message message = meddler.NextMessage().message;
  meddler.Publish(message.topic(), message.payload());
  EXPECT_EQ(bench.WaitWithOpenInput().exit_code, 1);
  const nlohmann::json json = nlohmann::json::parse(bench.output());
  EXPECT_EQ(json["repeated"], 1);
  EXPECT_EQ(json["lost"], 0);
  EXPECT_EQ(json["delivered"], 4001);
}

TEST(CliBenchTest, WhatIsLostIsAFailure) {
  BrokerProcess broker({"--pending-messages-max=50"});
  WireClient meddler(broker.port());
  meddler.Connect("meddler");
  meddler.Subscribe(1, "bench.>");
  CliProcess bench(broker, {"bench", "--subscribers", "2", "--rate", "2k", "--messages", "4000",
                            "--open-loop", "--subscriber-window", "64KiB", "--json"});
  const std::string topic = meddler.NextMessage().message.topic();
  meddler.SendUnsubscribe(1);
  // While it stands still its subscribers get more than may wait for them.
  bench.Signal(SIGSTOP);
  const std::string payload(64 << 10, 'x');
  while (broker.LogLines("slow consumer: subscription ended client=sluice").size() < 2)
    meddler.Publish(topic, payload);
  bench.Signal(SIGCONT);
  EXPECT_EQ(bench.WaitWithOpenInput().exit_code, 1);
  const nlohmann::json json = nlohmann::json::parse(bench.output());
  EXPECT_FALSE(json["sound"]);
  EXPECT_EQ(json["published"], 4000);
  EXPECT_EQ(json["delivered"].get<uint64_t>() + json["lost"].get<uint64_t>(), 2 * 4000u);
  EXPECT_GT(json["lost"], 0);
  ASSERT_EQ(json["problems"].size(), 2u);
  EXPECT_THAT(json["problems"][0]["text"], HasSubstr("ended the subscription: pending_messages"));
}

// It holds up nobody, and what it has no time for is no loss of the others.
TEST(CliBenchTest, ASlowHandlerBesideEachSubscriberIsTold) {
  BrokerProcess broker;
  CliProcess bench(broker,
                   {"bench", "--subscribers", "2", "--messages", "5000", "--slow-handler", "1h", "--json"});
  EXPECT_EQ(bench.WaitWithOpenInput().exit_code, 0);
  const nlohmann::json json = nlohmann::json::parse(bench.output());
  EXPECT_TRUE(json["sound"]);
  EXPECT_EQ(json["delivered"], 10'000);
  EXPECT_EQ(json["slow_handler_seconds"], 3600);
  EXPECT_LE(json["slow_handled"], 2);
  EXPECT_TRUE(json.contains("slow_missed"));
}

TEST(CliBenchTest, ASignalEndsItWithWhatItFound) {
  BrokerProcess broker;
  CliProcess bench(broker, {"bench", "--duration", "1h"});
  broker.WaitForMetric("sluice_messages_received_total", ::testing::Gt(0));
  bench.Signal(SIGINT);
  EXPECT_EQ(bench.WaitWithOpenInput().exit_code, 130);
  EXPECT_THAT(bench.output(), HasSubstr("0 lost, 0 repeated, 0 reordered"));
}

TEST(CliBenchTest, ABrokerThatDiesIsAFailure) {
  BrokerProcess broker;
  CliProcess bench(broker, {"bench", "--duration", "1h", "--timeout", "500ms"});
  broker.WaitForMetric("sluice_messages_received_total", ::testing::Gt(0));
  broker.Signal(SIGKILL);
  broker.WaitForExit();
  EXPECT_EQ(bench.WaitWithOpenInput().exit_code, 1);
  EXPECT_THAT(bench.output(), HasSubstr("\nproblems "));
}

// ---- demo ----

TEST(CliDemoTest, TheFoundingExampleHolds) {
  const CliResult result =
      RunCli("sluice://nowhere", {"demo", "slow-consumer", "--broker", SLUICED_PATH, "--pause", "20ms"});
  EXPECT_EQ(result.exit_code, 0) << result.output << result.errors;
  EXPECT_THAT(result.output, AllOf(HasSubstr("write blocked: EPOLLOUT armed client=slow-reader"),
                                   HasSubstr("write resumed client=slow-reader"), HasSubstr("progress=100%"),
                                   HasSubstr("drained: EPOLLOUT removed client=slow-reader"),
                                   HasSubstr("slow consumer disconnected client=never-reads")));
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("ok     EPOLLOUT armed 1 time, removed 1 time"),
                    HasSubstr("10485760 of 10485760 bytes arrived"), HasSubstr("All of it held.")));
}

// The numbers of a line of the table: matched, delivered, conflated, dropped, lost, gaps.
std::vector<uint64_t> NumbersOf(std::string_view consumer, const std::string& output) {
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    std::vector<uint64_t> numbers;
    words >> name;
    for (uint64_t number; name == consumer && numbers.size() < 6 && words >> number;)
      numbers.push_back(number);
    if (numbers.size() == 6) return numbers;
  }
  return std::vector<uint64_t>(6);
}

TEST(CliDemoTest, EachPolicyDoesWhatItIsFor) {
  const CliResult result =
      RunCli("sluice://nowhere", {"demo", "policies", "--broker", SLUICED_PATH, "--pause", "0s"});
  EXPECT_EQ(result.exit_code, 0) << result.output << result.errors;
  const auto of = [&](std::string_view consumer) { return NumbersOf(consumer, result.output); };
  EXPECT_THAT(of("healthy"), ElementsAre(Gt(38'400), Gt(38'400), 0, 0, 0, 0));
  EXPECT_THAT(of("disconnect"), ElementsAre(Lt(9600), Gt(0), 0, 0, Ge(2000), 0));
  EXPECT_THAT(of("drop-oldest"), ElementsAre(9600, Gt(0), 0, Gt(0), 0, Gt(0)));
  EXPECT_THAT(of("drop-newest"), ElementsAre(9600, Gt(2000), 0, Gt(0), 0, Gt(0)));
  EXPECT_THAT(of("conflate"), ElementsAre(9600, Gt(0), Gt(0), 0, 0, Gt(0)));
  EXPECT_THAT(of("block"), ElementsAre(AllOf(Gt(2000), Lt(9600)), Gt(2000), 0, 0, 0, 0));
  EXPECT_EQ(of("healthy")[0], 38'400 + of("block")[0]);
  for (const char* consumer : {"disconnect", "drop-oldest", "drop-newest", "conflate", "block"}) {
    const std::vector<uint64_t> numbers = of(consumer);
    EXPECT_EQ(numbers[0], numbers[1] + numbers[2] + numbers[3] + numbers[4]) << consumer;
  }
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("slow consumer disconnected client=disconnect"),
                    HasSubstr("reason=pending_messages limit=2000"), HasSubstr("All of it held.")));
}

TEST(CliDemoTest, WithoutABrokerItFails) {
  const CliResult missing = RunCli("", {"demo", "slow-consumer", "--broker", "/nowhere/sluiced"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.errors, HasSubstr("there is no broker /nowhere/sluiced"));
  const CliResult dead = RunCli("", {"demo", "slow-consumer", "--broker", "/bin/false"});
  EXPECT_EQ(dead.exit_code, 1);
  EXPECT_THAT(dead.errors, HasSubstr("the broker exited with 1"));
}

TEST(CliDemoTest, ASignalEndsItAndItsBroker) {
  CliProcess demo("", {"demo", "slow-consumer", "--broker", SLUICED_PATH, "--pause", "5s"});
  demo.WaitForOutput("write blocked");
  demo.Signal(SIGINT);
  EXPECT_EQ(demo.WaitWithOpenInput().exit_code, 130);
}

TEST(CliDemoTest, EndsQuietlyWhenItsReaderGoesAway) {
  CliProcess demo("", {"demo", "slow-consumer", "--broker", SLUICED_PATH, "--pause", "5s"});
  demo.WaitForOutput("write blocked");
  demo.CloseOutput();
  EXPECT_EQ(demo.WaitWithOpenInput().exit_code, 141);
  EXPECT_EQ(demo.errors(), "");
}

TEST(CliDemoTest, ASignalEndsTheOneOfThePolicies) {
  CliProcess demo("", {"demo", "policies", "--broker", SLUICED_PATH, "--pause", "5s"});
  demo.WaitForOutput("The broker says:");
  demo.Signal(SIGINT);
  EXPECT_EQ(demo.WaitWithOpenInput().exit_code, 130);
}

}  // namespace
}  // namespace sluice::testing
