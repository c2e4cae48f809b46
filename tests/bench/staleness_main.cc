// How old is what a slow subscriber that conflates reads, with these flags of the broker?
//
//   PATH=build/release/broker:$PATH build/release/tests/bench/staleness 150 --notsent-lowat=16KiB
//
// A broker of its own, a feed of 1 MB/s in 50 topics, and a subscriber with the kernel's own receive buffer
// that reads a steady 40 KB/s for so many seconds. The broker conflates what waits in its queue; what the
// kernels have taken stays as old as it is. Prints the age of the messages read in the last quarter of the
// time.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "client/cli/bench_payload.h"
#include "client/cli/console.h"
#include "client/cli/demo_stage.h"
#include "client/cli/interrupt.h"
#include "client/cli/pacer.h"
#include "client/cli/raw_receiver.h"
#include "client/cli/text.h"

namespace sluice::cli {
namespace {

constexpr uint64_t kTopics = 50;
constexpr uint64_t kPayloadBytes = 1000;
constexpr int64_t kStepsPerSecond = 20;
constexpr uint64_t kMessagesPerStep = 50;
constexpr uint64_t kReadBytesPerStep = 2000;

absl::Status Feed(Client* publisher, uint64_t* published) {
  std::string payload(kPayloadBytes, '.');
  for (uint64_t i = 0; i < kMessagesPerStep; ++i, ++*published) {
    WriteBenchStamp({.sequence = *published, .sent_ns = NowNs()}, payload.data());
    absl::Status status = publisher->Publish(fmt::format("price.{}", *published % kTopics), payload);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// The ages of the messages that came behind the first `seen`.
std::vector<int64_t> AgesBehind(size_t seen, const RawReceiver& receiver) {
  std::vector<int64_t> ages_ns;
  for (size_t i = seen; i < receiver.stream().size(); ++i) {
    const std::optional<BenchStamp> stamp = ReadBenchStamp(receiver.stream()[i].message().payload());
    if (stamp.has_value()) ages_ns.push_back(NowNs() - stamp->sent_ns);
  }
  return ages_ns;
}

absl::Status Measure(int64_t seconds, std::vector<std::string> broker_flags, DemoStage* stage) {
  if (absl::Status status = stage->Start({.flags = std::move(broker_flags)}); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<Client>> publisher = stage->ConnectClient("feed");
  if (!publisher.ok()) return publisher.status();
  absl::StatusOr<std::unique_ptr<RawReceiver>> slow = RawReceiver::Connect(stage->address(), "slow", 0);
  if (!slow.ok()) return slow.status();
  v1::Subscribe subscribe;
  subscribe.set_filter("price.*");
  subscribe.set_overflow(v1::OVERFLOW_POLICY_CONFLATE);
  if (absl::Status status = (*slow)->Subscribe(std::move(subscribe)); !status.ok()) return status;

  std::vector<int64_t> ages_ns;
  uint64_t published = 0;
  Pacer pacer(kStepsPerSecond, NowNs(), WhenLate::kCatchUp);
  for (int64_t step = 0; step < seconds * kStepsPerSecond; ++step) {
    if (absl::Status status = Feed(publisher->get(), &published); !status.ok()) return status;
    const size_t seen = (*slow)->stream().size();
    if (const auto read = (*slow)->Read(kReadBytesPerStep); !read.ok()) return read.status();
    if ((*slow)->ended()) return absl::UnavailableError("the broker cut the slow one");
    if (step >= seconds * kStepsPerSecond * 3 / 4) {
      for (const int64_t age_ns : AgesBehind(seen, **slow)) ages_ns.push_back(age_ns);
    }
    pacer.Next(NowNs());
    const absl::Duration pause = absl::Nanoseconds(std::max<int64_t>(0, pacer.due_ns() - NowNs()));
    if (absl::Status status = stage->Pause(pause); !status.ok()) return status;
  }
  if (ages_ns.empty()) return absl::UnavailableError("nothing came in the last quarter");
  std::sort(ages_ns.begin(), ages_ns.end());
  stage->Print(fmt::format("age: median {}, highest {}; read {} of {} published",
                           RoundedDuration(absl::Nanoseconds(ages_ns[ages_ns.size() / 2])),
                           RoundedDuration(absl::Nanoseconds(ages_ns.back())),
                           RoundedBytes(static_cast<double>((*slow)->bytes_read())),
                           RoundedBytes(static_cast<double>(published * kPayloadBytes))));
  return absl::OkStatus();
}

ExitCode Main(const std::vector<std::string>& arguments) {
  const Interrupt interrupt;
  Console console(&interrupt);
  const int64_t seconds = arguments.empty() ? 0 : std::atoll(arguments[0].c_str());
  if (seconds <= 0) return console.Fail("staleness SECONDS [BROKER_FLAG...]");
  DemoStage stage(&console, "", [&](const LogLine& line) {
    if (line.level != "info") stage.Print(line.text);
  });
  const absl::Status status = Measure(seconds, {arguments.begin() + 1, arguments.end()}, &stage);
  return status.ok() ? ExitCode::kDone : console.Fail(status);
}

}  // namespace
}  // namespace sluice::cli

int main(int argc, char** argv) { return static_cast<int>(sluice::cli::Main({argv + 1, argv + argc})); }
