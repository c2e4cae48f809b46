// What an operator sees and does over HTTP and with the command, of a real broker with a consumer that never reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "broker/net/listener_socket.h"
#include "tests/support/broker_process.h"
#include "tests/support/cli_process.h"
#include "tests/support/eventually.h"
#include "tests/support/http_client.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kToken = "a-token-of-a-test";

class AdminTest : public ::testing::Test {
 protected:
  AdminTest() : token_file_(directory_.Write("token", std::string(kToken) + "\n")), broker_(Flags()) {}

  std::vector<std::string> Flags() const {
    return {"--max-message=64KiB", "--write-timeout=0", "--http-token-file=" + token_file_};
  }
  // Never reads, and drops what it does not get: 100 messages may wait for it.
  void BeSlow() {
    slow_.emplace(broker_.port(), SocketPairOptions{.client_receive_buffer_bytes = 4 << 10});
    slow_->Connect("screen <b>7");
    slow_->Subscribe(3, "feed.*", {.pending_messages_max = 100, .overflow = v1::OVERFLOW_POLICY_DROP_OLDEST});
    WireClient publisher(broker_.port());
    publisher.Connect("publisher");
    const std::string payload(16 << 10, 'x');
    while (broker_.Metric("sluice_messages_dropped_total") < 1) {
      for (int i = 0; i < 10; ++i) publisher.Publish("feed.a", payload);
      publisher.Ack();
    }
  }
  nlohmann::json Json(const std::string& path) const {
    const HttpReply reply = HttpGet(broker_.http_port(), path);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return nlohmann::json::parse(reply.body);
  }
  CliResult Run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--http", Http()});
    return RunCli(broker_, arguments);
  }
  std::string Http() const { return "http://127.0.0.1:" + std::to_string(broker_.http_port()); }

  TempDir directory_;
  const std::string token_file_;
  BrokerProcess broker_;
  std::optional<WireClient> slow_;
};

TEST_F(AdminTest, TheApiShowsWhoIsSlowAndWhy) {
  BeSlow();
  // The cause is found a moment later.
  nlohmann::json consumer;
  ASSERT_TRUE(Eventually([&] {
    consumer = Json("/api/consumers?limit=1")["consumers"][0];
    return consumer["cause"] != "";
  }));
  EXPECT_EQ(consumer["client_name"], "screen <b>7");
  EXPECT_EQ(consumer["filter"], "feed.*");
  EXPECT_EQ(consumer["policy"], "drop_oldest");
  // Whether the kernel still took some for it in the moment that was looked at.
  EXPECT_THAT(consumer["cause"].get<std::string>(), AnyOf("application", "over_subscribed"));
  EXPECT_EQ(consumer["nearest_limit"], "pending_messages");
  EXPECT_EQ(consumer["nearest_limit_value"], 100);
  EXPECT_GT(consumer["pending_bytes"], 0);
  EXPECT_GT(consumer["kernel_bytes"], 0);
  EXPECT_GT(consumer["dropped"], 0);
  EXPECT_EQ(consumer["matched"].get<double>(), consumer["delivered"].get<double>() +
                                                   consumer["dropped"].get<double>() +
                                                   consumer["pending_messages"].get<double>());
  const std::string id = consumer["id"];
  EXPECT_EQ(Json("/api/consumers/" + id)["id"], id);

  const nlohmann::json episode = Json("/api/episodes")["episodes"][0];
  EXPECT_EQ(episode["outcome"], "going_on");
  EXPECT_NE(episode["cause"], "");
  EXPECT_EQ(episode["topics"][0]["name"], "feed.a");
  EXPECT_EQ(episode["topics"][0]["share"], 1);

  const nlohmann::json broker = Json("/api/broker");
  EXPECT_EQ(broker["state"], "serving");
  EXPECT_EQ(broker["lagging_subscriptions"], 1);
  EXPECT_EQ(broker["messages_dropped"], broker_.Metric("sluice_messages_dropped_total"));
  EXPECT_EQ(broker["shards"], broker_.shards());
}

TEST_F(AdminTest, TheMetricsNameTheTopConsumers) {
  BeSlow();
  const HttpReply page = HttpGet(broker_.http_port(), "/metrics");
  EXPECT_THAT(page.body, HasSubstr("client=\"screen <b>7\""));
  EXPECT_THAT(page.body, HasSubstr("sluice_top_consumer_limit_share{"));
  EXPECT_EQ(broker_.Metric("sluice_subscription_limit_share_count"), 1);
}

TEST_F(AdminTest, TheCommandListsConsumersAndEpisodes) {
  BeSlow();
  const CliResult table = Run({"consumers"});
  EXPECT_EQ(table.exit_code, 0) << table.errors;
  EXPECT_THAT(table.output, StartsWith("STATE"));
  EXPECT_THAT(table.output,
              AllOf(HasSubstr("screen <b>7"), HasSubstr("feed.*"), HasSubstr("1 of 1 consumers")));
  const CliResult json = Run({"consumers", "--json", "--sort", "age", "--topic", "feed.x"});
  EXPECT_EQ(nlohmann::json::parse(json.output)["consumers"][0]["subscription"], 3);
  EXPECT_THAT(Run({"consumers", "--topic", "other"}).output, HasSubstr("0 of 1 consumers"));
  const CliResult episodes = Run({"episodes"});
  EXPECT_THAT(episodes.output,
              AllOf(HasSubstr("going_on"), HasSubstr("feed.a 100%"), HasSubstr("1 of 1 episodes")));
}

TEST_F(AdminTest, TheCommandSaysWhatIsWrong) {
  const CliResult bad_sort = Run({"consumers", "--sort", "size"});
  EXPECT_EQ(bad_sort.exit_code, 2);
  EXPECT_THAT(bad_sort.errors, HasSubstr("size"));
  const CliResult bad_topic = Run({"consumers", "--topic", "a.*"});
  EXPECT_EQ(bad_topic.exit_code, 2);
  EXPECT_THAT(bad_topic.errors, HasSubstr("without wildcards"));
  const CliResult nobody = RunCli(broker_, {"consumers", "--http", "http://127.0.0.1:1"});
  EXPECT_EQ(nobody.exit_code, 1);
  EXPECT_THAT(nobody.errors, HasSubstr("is it sluiced's --http address?"));
  // The port that clients connect to.
  const CliResult other =
      RunCli(broker_, {"consumers", "--http", "http://127.0.0.1:" + std::to_string(broker_.port())});
  EXPECT_EQ(other.exit_code, 1);
  const CliResult no_terminal = Run({"top"});
  EXPECT_EQ(no_terminal.exit_code, 2);
  EXPECT_THAT(no_terminal.errors, HasSubstr("sluice consumers"));
}

TEST_F(AdminTest, AnOperatorDisconnectsAClient) {
  WireClient client(broker_.port());
  client.Connect("dash");
  client.Subscribe(1, "a");
  const std::string id = Json("/api/consumers")["consumers"][0]["id"];
  const CliResult refused = Run({"kick", id});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.errors, HasSubstr("a token is needed"));
  EXPECT_EQ(broker_.Metric("sluice_connections_open"), 1);
  EXPECT_EQ(Run({"kick", "seven"}).exit_code, 2);
  const CliResult kicked = Run({"kick", id, "--token-file", token_file_});
  EXPECT_EQ(kicked.exit_code, 0) << kicked.errors;
  client.ExpectGoodbye(v1::REASON_KICKED);
  broker_.WaitForMetric("sluice_sessions_ended_total{reason=\"kicked\"}", 1);
  const CliResult again = Run({"kick", id, "--token-file", token_file_});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.errors, HasSubstr("there is no session"));
}

TEST_F(AdminTest, AnOperatorDrainsTheBroker) {
  EXPECT_EQ(Run({"drain"}).exit_code, 1);
  WireClient client(broker_.port());
  client.Connect("dash");
  const CliResult drained = Run({"drain", "--token-file", token_file_});
  EXPECT_EQ(drained.exit_code, 0) << drained.errors;
  client.ExpectGoodbye(v1::REASON_SHUTDOWN);
  EXPECT_EQ(broker_.WaitForExit().code, 0);
}

TEST(AdminOffTest, NothingCanBeChangedUnlessThatIsEnabled) {
  BrokerProcess broker;
  const HttpReply reply = HttpAsk(
      broker.http_port(), "POST /api/drain HTTP/1.1\r\nAuthorization: Bearer anything-at-all-here\r\n\r\n");
  EXPECT_EQ(reply.status, 403);
  EXPECT_THAT(reply.body, HasSubstr("--http-token-file"));
  EXPECT_THAT(broker.Get("/readyz"), HasSubstr("200"));
}

TEST(AdminInterruptTest, CtrlCWhileTheBrokerDoesNotAnswerEndsItWithoutAWord) {
  net::ListenerSocket silent =
      *net::ListenerSocket::Listen({.host = "127.0.0.1", .port = 0}, net::kBacklogDefault);
  for (const char* command : {"consumers", "episodes"}) {
    CliProcess asking("", {command, "--timeout=5m", "--http=http://" + silent.address().ToString()});
    net::AcceptResult asked;
    ASSERT_TRUE(Eventually([&] {
      asked = silent.Accept();
      return asked.status == net::AcceptStatus::kAccepted;
    }));
    asking.Signal(SIGINT);
    EXPECT_EQ(asking.Wait().exit_code, 130) << command;
    EXPECT_EQ(asking.errors(), "") << command;
    EXPECT_EQ(asking.output(), "") << command;
  }
}

}  // namespace
}  // namespace sluice::testing
