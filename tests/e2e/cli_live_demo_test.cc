// `sluice demo` without a subcommand: the real one, with its broker, and with Prometheus.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <filesystem>
#include <regex>
#include <string>
#include <vector>

#include "client/cli/console.h"
#include "client/cli/http.h"
#include "client/cli/interrupt.h"
#include "tests/support/cli_process.h"
#include "tests/support/temp_dir.h"

namespace sluice::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kRuns[] = "What they are told:";

std::vector<std::string> Demo(std::vector<std::string> flags) {
  std::vector<std::string> arguments = {"demo", "--broker", SLUICED_PATH};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  return arguments;
}

std::vector<std::string> OnAnyPort(std::vector<std::string> flags) {
  std::vector<std::string> arguments = Demo(std::move(flags));
  arguments.insert(arguments.end(), {"--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"});
  return arguments;
}

// The address that stands behind `what` in the demo's first lines; empty: there is none.
std::string AddressOf(const std::string& what, const std::string& output) {
  std::smatch found;
  const std::regex line(what + " +(http://[0-9.:]+)");
  return std::regex_search(output, found, line) ? found[1].str() : "";
}

class CliLiveDemoTest : public ::testing::Test {
 protected:
  // What the demo keeps is in a folder that we look into.
  CliLiveDemoTest() { ::setenv("TMPDIR", directory_.path().c_str(), 1); }
  ~CliLiveDemoTest() override { ::unsetenv("TMPDIR"); }

  bool LeftNothing() const { return std::filesystem::is_empty(directory_.path()); }
  // Nothing there is a status of 0.
  long StatusOf(const std::string& server, const std::string& path) const {
    const absl::StatusOr<cli::HttpAnswer> answer =
        cli::AskHttp({.server = server, .path = path, .timeout = absl::Seconds(60)}, console_);
    return answer.ok() ? answer->status : 0;
  }

  TempDir directory_;
  const cli::Interrupt interrupt_;
  const cli::Console console_{&interrupt_};
};

TEST_F(CliLiveDemoTest, ItsCheckHolds) {
  const CliResult result = RunCli("sluice://nowhere", Demo({"--check", "--prometheus", "off"}));
  EXPECT_EQ(result.exit_code, 0) << result.output << result.errors;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("All of it held."), Not(HasSubstr("FAILED")), Not(HasSubstr("Prometheus"))));
  // Each of the cast is told what it is for.
  for (const char* told :
       {"screen        falling behind on ticks.>: pending_messages", "screen        missed",
        "dashboard     missed", "replaced by newer ones", "laptop        falling behind",
        "laptop        keeping up again", "batch-report  connected again",
        "messages waited for subscription 1; at most 1000 may",
        "order-gateway the broker has stopped reading from us: blocked_by_consumer",
        "order-gateway the broker reads from us again"}) {
    EXPECT_THAT(result.output, HasSubstr(told));
  }
  EXPECT_TRUE(LeftNothing());
}

TEST_F(CliLiveDemoTest, ItsCheckHoldsWithPrometheus) {
  const CliResult result = RunCli("sluice://nowhere", Demo({"--check", "--prometheus", "prometheus"}));
  EXPECT_EQ(result.exit_code, 0) << result.output << result.errors;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("ok     a query of Prometheus returns what the broker counts"),
                    HasSubstr("ok     the dashboard of Prometheus answers"), HasSubstr("All of it held.")));
  EXPECT_TRUE(LeftNothing());
}

TEST_F(CliLiveDemoTest, CtrlCEndsEverythingThatItStarted) {
  CliProcess demo("", OnAnyPort({"--prometheus", "prometheus"}));
  demo.WaitForOutput(kRuns);
  const std::string page = AddressOf("status page", demo.output());
  const std::string prometheus = AddressOf("dashboard", demo.output());
  EXPECT_EQ(StatusOf(page, "/"), 200);
  EXPECT_EQ(StatusOf(prometheus, "/consoles/sluice.html"), 200);
  EXPECT_FALSE(LeftNothing());
  demo.Signal(SIGINT);
  EXPECT_EQ(demo.WaitWithOpenInput().exit_code, 130);
  EXPECT_THAT(demo.output(), HasSubstr(", each saw:"));
  EXPECT_EQ(demo.errors(), "");
  EXPECT_EQ(StatusOf(page, "/"), 0);
  EXPECT_EQ(StatusOf(prometheus, "/consoles/sluice.html"), 0);
  EXPECT_TRUE(LeftNothing());
}

TEST_F(CliLiveDemoTest, TheStatusPageLinksToTheDashboard) {
  CliProcess demo("", OnAnyPort({"--prometheus", "prometheus"}));
  demo.WaitForOutput(kRuns);
  const std::string dashboard = AddressOf("dashboard", demo.output()) + "/consoles/sluice.html";
  const absl::StatusOr<cli::HttpAnswer> info =
      cli::AskHttp({.server = AddressOf("status page", demo.output()),
                    .path = "/api/broker",
                    .timeout = absl::Seconds(60)},
                   console_);
  ASSERT_TRUE(info.ok());
  EXPECT_THAT(info->body, HasSubstr(dashboard));
  demo.Signal(SIGTERM);
  EXPECT_EQ(demo.WaitWithOpenInput().exit_code, 143);
}

TEST_F(CliLiveDemoTest, EndsByItself) {
  const CliResult result = RunCli("", OnAnyPort({"--prometheus", "off", "--duration", "1s"}));
  EXPECT_EQ(result.exit_code, 0) << result.output << result.errors;
  EXPECT_THAT(result.output, HasSubstr(", each saw:"));
}

TEST_F(CliLiveDemoTest, EndsQuietlyWhenItsReaderGoesAway) {
  CliProcess demo("", OnAnyPort({"--prometheus", "off"}));
  demo.WaitForOutput(kRuns);
  demo.CloseOutput();
  EXPECT_EQ(demo.WaitWithOpenInput().exit_code, 141);
  EXPECT_EQ(demo.errors(), "");
}

TEST_F(CliLiveDemoTest, TwoAtATimeDoNotDisturbEachOther) {
  CliProcess one("", Demo({"--prometheus", "prometheus"}));
  one.WaitForOutput(kRuns);
  CliProcess other("", Demo({"--prometheus", "prometheus"}));
  other.WaitForOutput(kRuns);
  for (const char* what : {"status page", "dashboard"}) {
    EXPECT_NE(AddressOf(what, one.output()), "");
    EXPECT_NE(AddressOf(what, one.output()), AddressOf(what, other.output()));
  }
  // The commands find only one of them by themselves.
  const std::string& said =
      AddressOf("status page", other.output()) == "http://127.0.0.1:7585" ? one.output() : other.output();
  EXPECT_THAT(said, HasSubstr("top --http " + AddressOf("status page", said)));
  for (CliProcess* demo : {&one, &other}) {
    demo->Signal(SIGINT);
    EXPECT_EQ(demo->WaitWithOpenInput().exit_code, 130);
  }
}

TEST_F(CliLiveDemoTest, SaysWhatIsMissing) {
  const CliResult no_broker = RunCli("", {"demo", "--broker", "/nowhere/sluiced", "--prometheus", "off"});
  EXPECT_EQ(no_broker.exit_code, 1);
  EXPECT_THAT(no_broker.errors, HasSubstr("there is no broker /nowhere/sluiced"));
  const CliResult dead = RunCli("", {"demo", "--broker", "/bin/false", "--prometheus", "off"});
  EXPECT_EQ(dead.exit_code, 1);
  EXPECT_THAT(dead.errors, HasSubstr("the broker exited with 1"));
  const CliResult no_prometheus = RunCli("", Demo({"--prometheus", "/nowhere/prometheus"}));
  EXPECT_EQ(no_prometheus.exit_code, 1);
  EXPECT_THAT(no_prometheus.errors, HasSubstr("cannot run /nowhere/prometheus"));
  const CliResult dead_prometheus = RunCli("", Demo({"--prometheus", "/bin/false"}));
  EXPECT_EQ(dead_prometheus.exit_code, 1);
  EXPECT_THAT(dead_prometheus.errors, HasSubstr("Prometheus ended"));
  EXPECT_TRUE(LeftNothing());
}

TEST_F(CliLiveDemoTest, GoesOnWithoutAPrometheusThatNobodyAskedFor) {
  const std::string path = ::getenv("PATH");
  ::setenv("PATH", "/nowhere", 1);
  const CliResult result = RunCli("", OnAnyPort({"--duration", "1s"}));
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(result.exit_code, 0) << result.output << result.errors;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("Prometheus is not installed"), Not(HasSubstr("dashboard    http"))));
}

TEST_F(CliLiveDemoTest, RefusesFlagsThatMakeNoSense) {
  const CliResult duration = RunCli("", {"demo", "--duration", "0s"});
  EXPECT_EQ(duration.exit_code, 2);
  EXPECT_THAT(duration.errors, AllOf(HasSubstr("--duration"), HasSubstr("allowed: 1s to 24h")));
  EXPECT_EQ(RunCli("", {"demo", "--no-such-flag"}).exit_code, 2);
  EXPECT_EQ(RunCli("", {"demo", "no-such-demo"}).exit_code, 2);
  EXPECT_EQ(RunCli("", {"demo", "--check", "policies"}).exit_code, 2);
  EXPECT_EQ(RunCli("", {"demo", "--check", "--duration", "5s"}).exit_code, 2);
  for (const char* address : {"nowhere", ":7584", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536"}) {
    const CliResult listen = RunCli("", {"demo", "--listen", address});
    EXPECT_EQ(listen.exit_code, 2);
    EXPECT_THAT(listen.errors, HasSubstr(fmt::format("'{}' is no address; allowed: HOST:PORT", address)));
  }
}

}  // namespace
}  // namespace sluice::testing
