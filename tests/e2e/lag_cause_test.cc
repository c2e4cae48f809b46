// Why a consumer lags, under real conditions: a reader that stands still, one that is too slow, one behind a
// slow link and one behind a lossy one. The latter two need root, for a network namespace.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "broker/net/file_descriptor.h"
#include "fmt/format.h"
#include "tests/support/broker_process.h"
#include "tests/support/command.h"
#include "tests/support/wire_client.h"

namespace sluice::testing {
namespace {

using ::testing::HasSubstr;

using Clock = std::chrono::steady_clock;

// A network namespace that a link connects with ours. Removed with the object.
class FarEnd {
 public:
  // Null and why not, where that is not possible.
  static std::unique_ptr<FarEnd> Make(std::string* why_not) {
    if (::geteuid() != 0) {
      *why_not = "a network namespace takes root";
      return nullptr;
    }
    std::unique_ptr<FarEnd> far(new FarEnd);
    const std::string& name = far->name_;
    const std::vector<std::vector<std::string>> steps = {
        {"tc", "-Version"},
        {"nft", "--version"},
        {"ip", "netns", "add", name},
        {"ip", "link", "add", name, "type", "veth", "peer", "name", "far", "netns", name},
        {"ip", "address", "add", Address(1) + "/30", "dev", name},
        {"ip", "link", "set", name, "up"},
        {"ip", "-n", name, "address", "add", Address(2) + "/30", "dev", "far"},
        {"ip", "-n", name, "link", "set", "far", "up"},
    };
    for (const std::vector<std::string>& step : steps) {
      *why_not = Try(step);
      if (!why_not->empty()) return nullptr;
    }
    return far;
  }
  FarEnd(const FarEnd&) = delete;
  FarEnd& operator=(const FarEnd&) = delete;
  ~FarEnd() {
    (void)Try({"ip", "link", "del", name_});
    (void)Try({"ip", "netns", "del", name_});
  }

  // On our end, so for what the far one receives.
  void LimitRate(const std::string& rate) {
    Must({"tc", "qdisc", "add", "dev", name_, "root", "tbf", "rate", rate, "burst", "16kb", "limit", "1mb"});
  }
  // Of what the far end receives; one of so many packets.
  void LoseOneOf(int packets) {
    for (const std::string& command :
         {std::string("add table ip loss"),
          std::string("add chain ip loss input { type filter hook input priority 0; }"),
          fmt::format("add rule ip loss input numgen random mod {} == 0 drop", packets)}) {
      Must({"ip", "netns", "exec", name_, "nft", command});
    }
  }

  // A socket that lives there.
  net::Socket Connect(uint16_t port) {
    const net::FileDescriptor here(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    const net::FileDescriptor there(::open(("/run/netns/" + name_).c_str(), O_RDONLY | O_CLOEXEC));
    if (::setns(there.get(), CLONE_NEWNET) != 0) throw std::runtime_error("cannot enter " + name_);
    net::Socket socket = ConnectTo(port, {}, Address(1).c_str());
    if (::setns(here.get(), CLONE_NEWNET) != 0) throw std::runtime_error("cannot come back");
    return socket;
  }

 private:
  FarEnd() : name_(fmt::format("slc{}", ::getpid())) {}

  // In a network of four addresses that no other process of these tests uses.
  static std::string Address(int host) {
    const int network = ::getpid() % (1 << 14);
    return fmt::format("10.213.{}.{}", network / 64, network % 64 * 4 + host);
  }

  // What went wrong; empty: nothing.
  static std::string Try(const std::vector<std::string>& command) {
    try {
      const CommandResult result = RunCommand(command);
      return result.exit_code == 0 ? "" : fmt::format("{}: {}", command[0], result.output);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }
  static void Must(const std::vector<std::string>& command) {
    if (const std::string error = Try(command); !error.empty()) throw std::runtime_error(error);
  }

  const std::string name_;
};

class LagCauseTest : public ::testing::Test {
 protected:
  LagCauseTest()
      : broker_({"--max-message=16KiB", "--max-headers=1KiB", "--goodbye-timeout=100ms"}, "0.0.0.0:0"),
        publisher_(broker_.port()) {
    publisher_.Connect("publisher");
  }

  void Subscribe(WireClient* client, v1::OverflowPolicy policy) {
    client->Connect("lags");
    client->Subscribe(1, "feed", {.pending_bytes_max = 1 << 20, .overflow = policy});
  }

  // Publishes so many bytes per second, and lets `reader` take as many, until the broker has logged a line with
  // both texts, for a minute at most. Returns the line.
  static constexpr double kEverything = 1e12;
  std::string RunUntil(std::string_view message, std::string_view cause, double feed_per_second,
                       WireClient* reader, double read_per_second) {
    const std::string payload(4096, 'x');
    const Clock::time_point start = Clock::now();
    double fed = 0;
    double read = 0;
    while (true) {
      for (const std::string& line : broker_.LogLines(message)) {
        if (line.find(cause) != std::string::npos) return line;
      }
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      if (seconds > 60) return "none in a minute";
      // Not more at once than in a moment of steady feed, however long the machine was busy.
      for (int i = 0; i < 64 && fed < feed_per_second * seconds; ++i, fed += 4096) {
        publisher_.Publish("feed", payload);
      }
      const double may_read = std::min(read_per_second * seconds - read, 4e6);
      if (may_read >= 1) read += static_cast<double>(reader->ReadAvailable(static_cast<size_t>(may_read)));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  double Counted(std::string_view cause) {
    return broker_.Metric(fmt::format("sluice_lagging_causes_total{{cause=\"{}\"}}", cause));
  }

  BrokerProcess broker_;
  WireClient publisher_;
};

uint64_t NumberIn(const std::string& line, const std::string& key) {
  const size_t at = line.find(key + "=");
  return at == std::string::npos ? 0 : std::stoull(line.substr(at + key.size() + 1));
}

TEST_F(LagCauseTest, AReaderThatStandsStillIsTheApplication) {
  WireClient reader(broker_.port(), {.client_receive_buffer_bytes = 64 << 10});
  Subscribe(&reader, v1::OVERFLOW_POLICY_DISCONNECT);
  const std::string line = RunUntil("slow consumer disconnected", "cause=", 4e6, &reader, 0);
  EXPECT_THAT(line, HasSubstr(" cause=application "));
  EXPECT_THAT(line, HasSubstr(" reason=pending_bytes "));
  EXPECT_GT(NumberIn(line, "feed_bytes_per_second"), 100'000u);
}

TEST_F(LagCauseTest, AReaderThatIsSlowerThanItsFeedIsOverSubscribed) {
  WireClient reader(broker_.port(), {.client_receive_buffer_bytes = 64 << 10});
  Subscribe(&reader, v1::OVERFLOW_POLICY_DROP_OLDEST);
  const std::string line = RunUntil("cause of lag", "cause=over_subscribed", 4e6, &reader, 1e6);
  EXPECT_THAT(line, HasSubstr(" cause=over_subscribed "));
  EXPECT_LT(NumberIn(line, "drain_bytes_per_second"), NumberIn(line, "feed_bytes_per_second"));
  EXPECT_THAT(line, Not(HasSubstr("time_to_limit=inf")));
  EXPECT_GE(Counted("over_subscribed"), 1);
  // It reads, so it was told.
  v1::SlowConsumer warning;
  while (warning.cause() != v1::LAG_CAUSE_OVER_SUBSCRIBED) {
    warning = reader.NextOf(v1::ServerFrame::kSlowConsumer).slow_consumer();
  }
  EXPECT_EQ(warning.state(), v1::SlowConsumer::STATE_RAISED);
  EXPECT_LT(warning.drain_bytes_per_second(), warning.feed_bytes_per_second());
  EXPECT_GT(warning.time_to_limit_ms(), 0u);
}

TEST_F(LagCauseTest, ASlowLinkIsTheNetwork) {
  std::string why_not;
  const std::unique_ptr<FarEnd> far = FarEnd::Make(&why_not);
  if (far == nullptr) GTEST_SKIP() << why_not;
  WireClient reader(far->Connect(broker_.port()));
  Subscribe(&reader, v1::OVERFLOW_POLICY_DROP_OLDEST);
  far->LimitRate("4mbit");
  const std::string line = RunUntil("cause of lag", "cause=network_slow", 4e6, &reader, kEverything);
  EXPECT_THAT(line, HasSubstr(" cause=network_slow "));
  EXPECT_LT(NumberIn(line, "drain_bytes_per_second"), 1'500'000u);
  EXPECT_GE(Counted("network_slow"), 1);
}

TEST_F(LagCauseTest, ALinkThatLosesPacketsIsLossy) {
  std::string why_not;
  const std::unique_ptr<FarEnd> far = FarEnd::Make(&why_not);
  if (far == nullptr) GTEST_SKIP() << why_not;
  WireClient reader(far->Connect(broker_.port()));
  Subscribe(&reader, v1::OVERFLOW_POLICY_DROP_OLDEST);
  far->LoseOneOf(4);
  const std::string line = RunUntil("cause of lag", "cause=network_lossy", 16e6, &reader, kEverything);
  EXPECT_THAT(line, HasSubstr(" cause=network_lossy "));
  EXPECT_GE(Counted("network_lossy"), 1);
}

}  // namespace
}  // namespace sluice::testing
