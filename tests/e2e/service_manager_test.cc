// What the real broker tells systemd about itself, and that its watchdog is fed by the shards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <string>

#include "fmt/format.h"
#include "tests/support/broker_process.h"
#include "tests/support/notify_socket.h"
#include "tests/support/stopped_thread.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class ServiceManagerE2eTest : public ::testing::Test {
 protected:
  NotifySocket manager_;
};

TEST_F(ServiceManagerE2eTest, ReadyIsSaidWhenItServes) {
  BrokerProcess broker;
  EXPECT_THAT(manager_.Next(),
              AllOf(StartsWith("READY=1\n"), HasSubstr(fmt::format("clients on 127.0.0.1:{}", broker.port())),
                    HasSubstr(fmt::format("HTTP 127.0.0.1:{}", broker.http_port()))));
  WireClient client(broker.port());
  client.Connect("client");
}

TEST_F(ServiceManagerE2eTest, AReloadBeginsAndEnds) {
  TempDir directory;
  const std::string file = directory.Write("sluiced.toml", "[timeouts]\ndrain_timeout = \"20s\"\n");
  BrokerProcess broker({"--config=" + file});
  (void)manager_.NextWith("READY=1");

  (void)directory.Write("sluiced.toml", "[timeouts]\ndrain_timeout = \"50s\"\n");
  broker.Signal(SIGHUP);
  EXPECT_THAT(manager_.Next(), StartsWith("RELOADING=1\nMONOTONIC_USEC="));
  EXPECT_THAT(manager_.Next(), AllOf(StartsWith("READY=1\n"), Not(HasSubstr("problems"))));

  (void)directory.Write("sluiced.toml", "[timeouts]\ndrain_timeout = \"never\"\n");
  broker.Signal(SIGHUP);
  EXPECT_THAT(manager_.Next(), StartsWith("RELOADING=1\n"));
  EXPECT_THAT(manager_.Next(), AllOf(StartsWith("READY=1\n"), HasSubstr("has problems")));

  broker.Signal(SIGTERM);
  EXPECT_THAT(manager_.Next(), StartsWith("STOPPING=1\nEXTEND_TIMEOUT_USEC=81000000\n"))
      << "50 s as it was read again, 1 s for Goodbye, and 30";
  EXPECT_THAT(broker.WaitForLog("going down"), HasSubstr("drain_timeout=50s"));
  EXPECT_EQ(broker.WaitForExit().code, 0);
}

TEST_F(ServiceManagerE2eTest, TheWatchdogIsFedWhileNoShardIsStuck) {
  // Every 2 s: what nobody reads in the 10 s until a shard counts as stuck must have room in the socket.
  ::setenv("WATCHDOG_USEC", "8000000", 1);
  BrokerProcess broker;
  ::unsetenv("WATCHDOG_USEC");
  for (int i = 0; i < 2; ++i) (void)manager_.NextWith("WATCHDOG=1");
  {
    const StoppedThread stopped(broker.pid(), "shard-0");
    EXPECT_THAT(broker.WaitForLog("not fed any more"), HasSubstr("shard 0 has not turned for"));
    while (!manager_.Empty()) (void)manager_.Next();
    // Each makes the main thread look once more.
    for (int i = 0; i < 3; ++i) {
      broker.Signal(SIGHUP);
      EXPECT_THAT(manager_.Next(), StartsWith("RELOADING=1\n"));
      EXPECT_THAT(manager_.Next(), StartsWith("READY=1\n"));
    }
    EXPECT_TRUE(manager_.Empty());
  }
  broker.WaitForLog("fed again");
  (void)manager_.NextWith("WATCHDOG=1");
}

}  // namespace
}  // namespace sluice::testing
