#include "broker/service_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <optional>
#include <sstream>
#include <string>

#include "tests/support/notify_socket.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class ServiceManagerTest : public ::testing::Test {
 protected:
  ~ServiceManagerTest() override { ::unsetenv("WATCHDOG_USEC"); }
  std::string Log() const { return log_lines_.str(); }

  std::ostringstream log_lines_;
  const std::unique_ptr<Logger> log_ = Logger::ToStream(&log_lines_, LogLevel::kInfo, LogFormat::kText);
  std::optional<testing::NotifySocket> socket_{std::in_place};
};

TEST_F(ServiceManagerTest, TellsHowTheProcessIs) {
  ServiceManager manager(log_.get());
  manager.Serving("serving clients on here");
  EXPECT_EQ(socket_->Next(), "READY=1\nSTATUS=serving clients on here");
  manager.Reloading();
  EXPECT_THAT(socket_->Next(), StartsWith("RELOADING=1\nMONOTONIC_USEC="));
  manager.Stopping(absl::Seconds(10));
  EXPECT_THAT(socket_->Next(), StartsWith("STOPPING=1\nEXTEND_TIMEOUT_USEC=40000000\n"));
  EXPECT_TRUE(socket_->Empty());
  EXPECT_THAT(Log(), IsEmpty());
}

TEST_F(ServiceManagerTest, FeedsTheWatchdogOnlyWhileWell) {
  ::setenv("WATCHDOG_USEC", "20000000", 1);
  ServiceManager manager(log_.get());
  EXPECT_EQ(manager.feed_interval(), absl::Seconds(5));
  manager.FeedWatchdog(absl::OkStatus());
  EXPECT_EQ(socket_->Next(), "WATCHDOG=1");
  for (int i = 0; i < 3; ++i) manager.FeedWatchdog(absl::UnavailableError("shard 0 has not turned for 12s"));
  EXPECT_TRUE(socket_->Empty());
  EXPECT_THAT(Log(), HasSubstr("not fed any more reason=\"shard 0 has not turned for 12s\"\n"));
  EXPECT_EQ(Log().find("not fed"), Log().rfind("not fed")) << "said once";
  manager.FeedWatchdog(absl::OkStatus());
  EXPECT_EQ(socket_->Next(), "WATCHDOG=1");
  EXPECT_THAT(Log(), HasSubstr("fed again"));
}

TEST_F(ServiceManagerTest, FeedsNoWatchdogThatNobodyAskedFor) {
  ServiceManager manager(log_.get());
  EXPECT_EQ(manager.feed_interval(), absl::InfiniteDuration());
  manager.FeedWatchdog(absl::OkStatus());
  manager.FeedWatchdog(absl::UnavailableError("stuck"));
  EXPECT_TRUE(socket_->Empty());
  EXPECT_THAT(Log(), IsEmpty());
}

TEST_F(ServiceManagerTest, SaysWhatIsWrongWithTheEnvironment) {
  ::setenv("WATCHDOG_USEC", "soon", 1);
  ServiceManager manager(log_.get());
  EXPECT_EQ(manager.feed_interval(), absl::InfiniteDuration());
  EXPECT_THAT(Log(), AllOf(HasSubstr("WATCHDOG_USEC"), HasSubstr("value=soon")));
  ::setenv("NOTIFY_SOCKET", "/nowhere/notify", 1);
  manager.Serving("serving");
  EXPECT_THAT(Log(), AllOf(HasSubstr("cannot tell"), HasSubstr("notify_socket=/nowhere/notify"),
                           HasSubstr("No such file")));
}

TEST_F(ServiceManagerTest, SaysNothingWhereThereIsNoManager) {
  socket_.reset();
  ServiceManager manager(log_.get());
  manager.Serving("serving");
  manager.Reloading();
  manager.Stopping(absl::Seconds(1));
  EXPECT_THAT(Log(), IsEmpty());
}

}  // namespace
}  // namespace sluice
