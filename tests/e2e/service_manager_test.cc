// What the real broker tells systemd about itself, and that its watchdog is fed by the shards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "fmt/format.h"
#include "tests/support/broker_process.h"
#include "tests/support/eventually.h"
#include "tests/support/notify_socket.h"
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

// Holds the thread of the only shard of a broker still, while it waits for something to happen.
class FrozenShard {
 public:
  explicit FrozenShard(pid_t broker) {
    if (!Eventually([&] { return Find(broker); })) throw std::runtime_error("no shard ever waits");
  }
  FrozenShard(const FrozenShard&) = delete;
  FrozenShard& operator=(const FrozenShard&) = delete;
  ~FrozenShard() { ::ptrace(PTRACE_DETACH, thread_, nullptr, nullptr); }

 private:
  bool Find(pid_t broker) {
    for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", broker))) {
      const pid_t thread = std::stoi(entry.path().filename());
      if (thread == broker || FirstWord(entry.path() / "comm") != "sluiced") continue;
      Freeze(thread);
      const std::string call = FirstWord(entry.path() / "syscall");
      if (call == std::to_string(SYS_epoll_pwait2) || call == std::to_string(SYS_epoll_wait)) {
        thread_ = thread;
        return true;
      }
      // Another one, or in the middle of its work, with a lock that others need.
      ::ptrace(PTRACE_DETACH, thread, nullptr, nullptr);
    }
    return false;
  }

  static std::string FirstWord(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::string word;
    file >> word;
    return word;
  }

  static void Freeze(pid_t thread) {
    int status = 0;
    if (::ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0 ||
        ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr) != 0 ||
        ::waitpid(thread, &status, __WALL) != thread) {
      throw std::runtime_error(fmt::format("cannot hold thread {}: errno {}", thread, errno));
    }
  }

  pid_t thread_ = -1;
};

TEST_F(ServiceManagerE2eTest, TheWatchdogIsFedWhileNoShardIsStuck) {
  // Every 2 s: what nobody reads in the 10 s until a shard counts as stuck must have room in the socket.
  ::setenv("WATCHDOG_USEC", "8000000", 1);
  BrokerProcess broker;
  ::unsetenv("WATCHDOG_USEC");
  for (int i = 0; i < 2; ++i) (void)manager_.NextWith("WATCHDOG=1");
  {
    FrozenShard frozen(broker.pid());
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
