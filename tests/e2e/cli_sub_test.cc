// `sluice sub` against a real broker.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string>

#include "client/cli/descriptor.h"
#include "tests/support/broker_process.h"
#include "tests/support/cli_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::AllOf;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

class CliSubTest : public ::testing::Test {
 protected:
  explicit CliSubTest(const std::vector<std::string>& flags = {})
      : broker_(flags), publisher_(broker_.port()) {
    publisher_.Connect("publisher");
  }

  void Publish(std::string_view topic, std::string_view payload) { publisher_.Publish(topic, payload); }

  BrokerProcess broker_;
  WireClient publisher_;
};

TEST_F(CliSubTest, PrintsTopicAndPayload) {
  CliProcess sub(broker_, {"sub", "a.*", "b.>"});
  sub.WaitForErrors("subscribed to a.*, b.> at 127.0.0.1:");
  Publish("a.x", "one");
  sub.WaitForOutput("a.x one\n");
  Publish("b.y.z", "two");
  Publish("a.x.y", "not for us");
  Publish("b.y", "three");
  sub.WaitForOutput("b.y three\n");
  EXPECT_EQ(sub.output(), "a.x one\nb.y.z two\nb.y three\n");
}

struct TermsRule {
  TempDir dir;
  std::string path = dir.Write("sluiced.toml", R"(
[[subscription_rules]]
filter = "dash.>"
overflow = "conflate"
overflow_allowed = ["conflate"]
pending_messages_max = 50
pending_messages_ceiling = 200
on_overflow = "observe"
)");
};
class CliSubTermsTest : private TermsRule, public CliSubTest {
 protected:
  CliSubTermsTest() : CliSubTest({"--config=" + path}) {}
};

TEST_F(CliSubTermsTest, SaysWhatTheBrokerGrantsInsteadOfWhatWasAskedFor) {
  CliProcess sub(broker_, {"sub", "dash.x", "feed", "--overflow", "disconnect", "--pending-messages-max",
                           "1000", "--pending-bytes-max", "4MiB"});
  sub.WaitForErrors(
      "the broker's terms for dash.x: --overflow conflate instead of disconnect, "
      "--pending-messages-max 200 instead of 1000, limits only observed");
  Publish("feed", "one");
  sub.WaitForOutput("feed one\n");
  EXPECT_THAT(sub.errors(), Not(HasSubstr("terms for feed")));
}

TEST_F(CliSubTest, RawIsThePayloadAndANewlineAndNothingElse) {
  CliProcess sub(broker_, {"sub", "a", "--raw", "--count", "3"});
  sub.WaitForErrors("subscribed");
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte.push_back(static_cast<char>(byte));
  Publish("a", every_byte);
  Publish("a", "");
  Publish("a", "x");
  EXPECT_EQ(sub.Wait().exit_code, 0);
  EXPECT_EQ(sub.output(), every_byte + "\n\nx\n");
}

TEST_F(CliSubTest, JsonIsAnObjectPerLine) {
  CliProcess sub(broker_, {"sub", "a", "--json", "--count", "2"});
  sub.WaitForErrors("subscribed");
  Publish("a", "line\n\"quoted\"");
  Publish("a", "\xff");
  EXPECT_EQ(sub.Wait().exit_code, 0);
  const size_t end = sub.output().find('\n');
  const nlohmann::json first = nlohmann::json::parse(sub.output().substr(0, end));
  EXPECT_EQ(first["topic"], "a");
  EXPECT_EQ(first["payload"], "line\n\"quoted\"");
  EXPECT_EQ(nlohmann::json::parse(sub.output().substr(end))["payload_base64"], "/w==");
}

TEST_F(CliSubTest, EndsAfterExactlySoMany) {
  CliProcess sub(broker_, {"sub", "a.>", "--count", "3", "--quiet"});
  broker_.WaitForMetric("sluice_subscriptions", 1);
  for (int i = 0; i < 10; ++i) Publish("a.b", std::to_string(i));
  EXPECT_EQ(sub.Wait().exit_code, 0);
  EXPECT_EQ(sub.output(), "a.b 0\na.b 1\na.b 2\n");
  EXPECT_EQ(sub.errors(), "");
}

TEST_F(CliSubTest, TheCountIsOfAllFiltersTogether) {
  CliProcess sub(broker_, {"sub", "a", "b", "--count", "1000"});
  sub.WaitForErrors("subscribed");
  // At once, so that more than it wants have come before it can end.
  std::string frames;
  for (int i = 0; i < 1000; ++i) frames += PublishFrame("a", "x") + PublishFrame("b", "x");
  publisher_.SendRaw(frames);
  EXPECT_EQ(sub.Wait().exit_code, 0);
  EXPECT_EQ(std::count(sub.output().begin(), sub.output().end(), '\n'), 1000);
}

TEST_F(CliSubTest, AMemberOfAQueueGroupIsDealtNoMoreThanItsCount) {
  CliProcess counted(broker_, {"sub", "jobs", "--queue", "workers", "--count", "10", "--raw"});
  counted.WaitForErrors("subscribed");
  CliProcess other(broker_, {"sub", "jobs", "--queue", "workers", "--raw"});
  other.WaitForErrors("subscribed");
  constexpr int kJobs = 1000;
  for (int i = 0; i < kJobs; ++i) Publish("jobs", "x");
  EXPECT_EQ(counted.Wait().exit_code, 0);
  EXPECT_EQ(counted.output().size(), 10 * 2u);
  // Every other one went to somebody who prints it.
  other.WaitForOutputBytes((kJobs - 10) * 2);
  other.Signal(SIGTERM);
  EXPECT_EQ(other.Wait().exit_code, 0);
  EXPECT_EQ(other.output().size(), (kJobs - 10) * 2u);
}

TEST_F(CliSubTest, TheTimeMayRunOut) {
  const CliResult counted = RunCli(broker_, {"sub", "a", "--count", "1", "--timeout", "50ms"});
  EXPECT_EQ(counted.exit_code, 3);
  EXPECT_THAT(counted.errors, HasSubstr("received 0 messages"));
  EXPECT_EQ(RunCli(broker_, {"sub", "a", "--timeout", "50ms"}).exit_code, 0);
}

TEST_F(CliSubTest, ASignalEndsItInOrder) {
  CliProcess endless(broker_, {"sub", "a"});
  endless.WaitForErrors("subscribed");
  Publish("a", "x");
  endless.WaitForOutput("a x\n");
  endless.Signal(SIGINT);
  EXPECT_EQ(endless.WaitWithOpenInput().exit_code, 0);
  EXPECT_THAT(endless.errors(), HasSubstr("received 1 message\n"));
  EXPECT_EQ(endless.output(), "a x\n");

  CliProcess counted(broker_, {"sub", "a", "--count", "2"});
  counted.WaitForErrors("subscribed");
  counted.Signal(SIGINT);
  EXPECT_EQ(counted.WaitWithOpenInput().exit_code, 130);
}

TEST_F(CliSubTest, EndsQuietlyWhenItsReaderGoesAway) {
  CliProcess streaming(broker_, {"sub", "a"});
  streaming.WaitForErrors("subscribed");
  Publish("a", "first");
  streaming.WaitForOutput("first");
  const std::string said = streaming.errors();
  streaming.CloseOutput();
  Publish("a", "second");
  EXPECT_EQ(streaming.WaitWithOpenInput().exit_code, 141);
  EXPECT_EQ(streaming.errors(), said);

  // Also when nothing more comes to be written.
  CliProcess idle(broker_, {"sub", "a"});
  idle.WaitForErrors("subscribed");
  idle.CloseOutput();
  EXPECT_EQ(idle.WaitWithOpenInput().exit_code, 141);
}

TEST_F(CliSubTest, SaysWhyItsOutputFailed) {
  const cli::Descriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  CliProcess sub(broker_, {"sub", "a"}, full.get());
  sub.WaitForErrors("subscribed");
  Publish("a", "x");
  EXPECT_EQ(sub.WaitWithOpenInput().exit_code, 1);
  EXPECT_THAT(sub.errors(), HasSubstr("No space left on device"));
}

class HighLimitsTest : public CliSubTest {
 protected:
  HighLimitsTest() : CliSubTest({"--pending-bytes-max=64MiB", "--session-bytes-max=64MiB"}) {}
};

TEST_F(HighLimitsTest, ASlowReaderOfTheOutputIsLagAtTheBroker) {
  CliProcess sub(broker_, {"sub", "a", "--raw", "--read-ahead", "64KiB"});
  sub.WaitForErrors("subscribed");
  // Nobody reads its output: what it reads ahead and what kernels hold is little, the rest waits at the
  // broker.
  const std::string payload(16 << 10, 'x');
  constexpr int kMessages = 1000;
  for (int i = 0; i < kMessages; ++i) Publish("a", payload);
  broker_.WaitForMetric("sluice_pending_bytes", Gt(1e6));
  // Read, and everything comes.
  sub.WaitForOutputBytes(kMessages * (payload.size() + 1));
  broker_.WaitForMetric("sluice_pending_bytes", 0);
  sub.Signal(SIGTERM);
  EXPECT_EQ(sub.WaitWithOpenInput().exit_code, 0);
}

TEST_F(HighLimitsTest, AReaderWhoDoesNotReadDoesNotKeepItFromEnding) {
  CliProcess sub(broker_, {"sub", "a", "--raw", "--read-ahead", "64KiB"});
  sub.WaitForErrors("subscribed");
  for (int i = 0; i < 1000; ++i) Publish("a", std::string(16 << 10, 'x'));
  broker_.WaitForMetric("sluice_pending_bytes", Gt(1e6));
  sub.Signal(SIGINT);
  broker_.WaitForMetric("sluice_subscriptions", 0);
}

class LowLimitsTest : public CliSubTest {
 protected:
  LowLimitsTest() : CliSubTest({"--pending-messages-max=50", "--retry-after=10ms"}) {}
};

TEST_F(LowLimitsTest, AnEndForWantOfCreditIsSaidWithWhatWasMissed) {
  CliProcess sub(broker_, {"sub", "a", "--raw", "--read-ahead", "1KiB", "--window", "16KiB"});
  sub.WaitForErrors("subscribed");
  for (int i = 0; i < 1000; ++i) Publish("a", std::string(16 << 10, 'x'));
  broker_.WaitForLog("slow consumer: subscription ended");
  EXPECT_EQ(sub.WaitWithOpenInput().exit_code, 1);
  EXPECT_THAT(sub.errors(), AllOf(HasSubstr("the broker ended the subscription: pending_messages ("),
                                  HasSubstr("at most 50 may"), HasSubstr("dropped by the broker")));
  EXPECT_THAT(broker_.LogLines("slow consumer disconnected"), SizeIs(0));
}

// Without a window its connection is what is full.
TEST_F(LowLimitsTest, BeingCutIsSaidWithWhatWasLost) {
  CliProcess sub(broker_, {"sub", "a", "--raw", "--read-ahead", "1KiB", "--window", "0"});
  sub.WaitForErrors("subscribed");
  for (int i = 0; i < 1000; ++i) Publish("a", std::string(16 << 10, 'x'));
  broker_.WaitForLog("slow consumer disconnected");
  sub.WaitForErrors("connected again");
  EXPECT_THAT(sub.errors(),
              AllOf(HasSubstr("disconnected: pending_messages"), HasSubstr("lost; reconnecting")));
  sub.Signal(SIGINT);
  EXPECT_EQ(sub.WaitWithOpenInput().exit_code, 1);
  EXPECT_THAT(sub.errors(), HasSubstr("missed"));
}

TEST_F(CliSubTest, GoesOnAtTheNextBrokerWhenOneDies) {
  BrokerProcess next;
  const std::string both = fmt::format("127.0.0.1:{},127.0.0.1:{}", broker_.port(), next.port());
  CliProcess sub(both, {"sub", "a"});
  sub.WaitForErrors("subscribed");
  broker_.Signal(SIGKILL);
  broker_.WaitForExit();
  sub.WaitForErrors("disconnected: connection_lost");
  sub.WaitForErrors(fmt::format("connected again to 127.0.0.1:{}", next.port()));
  next.WaitForMetric("sluice_subscriptions", 1);
  WireClient publisher(next.port());
  publisher.Connect("publisher");
  publisher.Publish("a", "again");
  sub.WaitForOutput("a again\n");
}

// A terminal: the master side is what a person sees.
struct Terminal {
  Terminal() : master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    EXPECT_EQ(::grantpt(master.get()), 0);
    EXPECT_EQ(::unlockpt(master.get()), 0);
    std::array<char, 100> name;
    EXPECT_EQ(::ptsname_r(master.get(), name.data(), name.size()), 0);
    slave = cli::Descriptor(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    EXPECT_TRUE(slave);
    termios settings = {};
    ::tcgetattr(slave.get(), &settings);
    ::cfmakeraw(&settings);
    ::tcsetattr(slave.get(), TCSANOW, &settings);
  }

  // Blocks until a whole line has come.
  std::string ReadLine() const {
    std::string line;
    for (char byte = 0; line.empty() || line.back() != '\n';) {
      if (::read(master.get(), &byte, 1) != 1) break;
      line.push_back(byte);
    }
    return line;
  }

  cli::Descriptor master;
  cli::Descriptor slave;
};

TEST_F(CliSubTest, OnATerminalNothingThatItObeysGetsThrough) {
  const Terminal terminal;
  CliProcess sub(broker_, {"sub", "a", "--count", "1"}, terminal.slave.get());
  sub.WaitForErrors("subscribed");
  Publish("a", "\x1b[2Jtext\n");
  EXPECT_EQ(terminal.ReadLine(), "\x1b[36ma\x1b[0m \\x1b[2Jtext\\n\n");
  EXPECT_EQ(sub.Wait().exit_code, 0);
}

TEST_F(CliSubTest, ElsewhereItIsLeftAsItIs) {
  CliProcess sub(broker_, {"sub", "a", "--count", "1"});
  sub.WaitForErrors("subscribed");
  Publish("a", "\x1b[2Jtext\n");
  EXPECT_EQ(sub.Wait().exit_code, 0);
  EXPECT_EQ(sub.output(), "a \x1b[2Jtext\n\n");
}

}  // namespace
}  // namespace sluice::testing
