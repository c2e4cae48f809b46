// Programs that are started, and signals that come.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <string>

#include "client/cli/child_process.h"
#include "client/cli/command_runner.h"
#include "client/cli/event.h"
#include "client/cli/interrupt.h"
#include "client/clock.h"

namespace sluice::cli {
namespace {

using ::testing::HasSubstr;

absl::Time Soon() { return client::MonotonicNow() + absl::Seconds(20); }

CommandResult RunCommand(const std::string& command, std::string_view input,
                         CommandRunner::Options options = {}) {
  options.command = command;
  return CommandRunner(options, -1).Run({.topic = "a.b", .payload = input});
}

TEST(ChildProcessTest, SaysWhyAProgramCannotBeStarted) {
  EXPECT_TRUE(absl::IsNotFound(ChildProcess::Start({.arguments = {"/nowhere/at/all"}}).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(ChildProcess::Start({.arguments = {"/etc/passwd"}}).status()));
  EXPECT_TRUE(absl::IsNotFound(ChildProcess::Start({.arguments = {"no-program-has-this-name"}}).status()));
}

TEST(ChildProcessTest, SaysHowItEnded) {
  EXPECT_EQ(ChildProcess::Start({.arguments = {"true"}})->Wait().ToString(), "exited with 0");
  EXPECT_EQ(ChildProcess::Start({.arguments = {"sh", "-c", "exit 3"}})->Wait().ToString(), "exited with 3");
  absl::StatusOr<ChildProcess> sleeping = ChildProcess::Start({.arguments = {"sleep", "1000"}});
  ASSERT_TRUE(sleeping.ok());
  EXPECT_TRUE(WaitFor({sleeping->exited_fd()}, absl::InfinitePast()).none());
  sleeping->Signal(SIGTERM);
  EXPECT_FALSE(WaitFor({sleeping->exited_fd()}, Soon()).none());
  EXPECT_EQ(sleeping->Wait().ToString(), "was killed by signal 15");
}

TEST(ChildProcessTest, IsKilledWithItsOwner) {
  pid_t pid = 0;
  {
    absl::StatusOr<ChildProcess> sleeping = ChildProcess::Start({.arguments = {"sleep", "1000"}});
    ASSERT_TRUE(sleeping.ok());
    pid = sleeping->pid();
    ChildProcess moved = *std::move(sleeping);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST(ChildProcessTest, StartsWithTheSignalsOfANewProgram) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  absl::StatusOr<ChildProcess> child = ChildProcess::Start({.arguments = {"sh", "-c", "kill -PIPE $$"}});
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->Wait().signal, SIGPIPE);
}

TEST(CommandRunnerTest, GivesThePayloadAndTakesWhatIsPrinted) {
  EXPECT_EQ(RunCommand("tr a-z A-Z", "hello").output, "HELLO");
  EXPECT_EQ(RunCommand("tr a-z A-Z", "hello").error, "");
  EXPECT_EQ(RunCommand("printf %s \"$SLUICE_TOPIC\"", "").output, "a.b");
  EXPECT_EQ(RunCommand("cat", "").output, "");
}

TEST(CommandRunnerTest, NeitherSideOfALargeMessageBlocksTheOther) {
  const std::string payload(1 << 20, 'x');
  EXPECT_EQ(RunCommand("cat", payload).output, payload);
}

TEST(CommandRunnerTest, ACommandNeedNotReadItsInput) {
  const std::string payload(1 << 20, 'x');
  ::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(RunCommand("exec <&-; echo done", payload).output, "done\n");
  EXPECT_EQ(RunCommand("echo done", payload).output, "done\n");
}

TEST(CommandRunnerTest, SaysThatACommandFailed) {
  const CommandResult failed = RunCommand("echo partly; exit 3", "");
  EXPECT_EQ(failed.output, "partly\n");
  EXPECT_EQ(failed.error, "exited with 3");
  EXPECT_EQ(RunCommand("kill -9 $$", "").error, "was killed by signal 9");
}

TEST(CommandRunnerTest, KillsWhatTakesTooLong) {
  EXPECT_THAT(RunCommand("sleep 1000", "", {.timeout = absl::Milliseconds(50)}).error,
              HasSubstr("did not end within 50ms"));
  // What the shell has started, too: `cat` would hold the pipe open.
  EXPECT_THAT(RunCommand("sleep 1000 | cat", "", {.timeout = absl::Milliseconds(50)}).error,
              HasSubstr("did not end"));
}

TEST(CommandRunnerTest, KillsWhatPrintsTooMuch) {
  const CommandResult result = RunCommand("yes", "", {.output_bytes_max = 1000});
  EXPECT_EQ(result.error, "printed more than 1000 bytes");
  EXPECT_EQ(result.output.size(), 1000u);
}

TEST(CommandRunnerTest, DoesNotWaitForWhatStaysInTheBackground) {
  // Who waits for it waits for longer than a test may take. It keeps the command's output open, and not that
  // of the test.
  const std::string pid = RunCommand("sleep 1000 2>/dev/null & echo $!", "").output;
  EXPECT_EQ(::kill(std::stoi(pid), SIGKILL), 0);
}

TEST(CommandRunnerTest, IsInterrupted) {
  Event interrupt;
  interrupt.Set();
  const CommandRunner runner({.command = "sleep 1000"}, interrupt.fd());
  EXPECT_EQ(runner.Run({.topic = "a"}).error, "interrupted");
}

TEST(InterruptTest, ASignalBecomesReadableAndHasItsExitCode) {
  const Interrupt interrupt;
  EXPECT_TRUE(WaitFor({interrupt.fd()}, absl::InfinitePast()).none());
  EXPECT_FALSE(interrupt.exit_code().has_value());
  ASSERT_EQ(::kill(::getpid(), SIGTERM), 0);
  EXPECT_FALSE(WaitFor({interrupt.fd()}, Soon()).none());
  EXPECT_EQ(interrupt.exit_code(), ExitCode::kTerminated);
}

TEST(InterruptTest, WhatWasIgnoredStaysIgnored) {
  ::signal(SIGINT, SIG_IGN);
  const Interrupt interrupt;
  ASSERT_EQ(::kill(::getpid(), SIGINT), 0);
  ASSERT_EQ(::kill(::getpid(), SIGHUP), 0);
  EXPECT_FALSE(WaitFor({interrupt.fd()}, Soon()).none());
  EXPECT_EQ(interrupt.exit_code(), ExitCode::kHangup);
}

TEST(InterruptTest, TheSecondSignalEndsTheProcess) {
  EXPECT_EXIT(
      {
        const Interrupt interrupt;
        ::kill(::getpid(), SIGTERM);
        WaitFor({interrupt.fd()});
        ::kill(::getpid(), SIGTERM);
        WaitFor({}, Soon());
      },
      ::testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace sluice::cli
