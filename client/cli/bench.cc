#include "client/cli/bench.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <random>

#include "client/cli/bench_clients.h"
#include "client/cli/bench_payload.h"
#include "client/cli/pacer.h"
#include "client/cli/text.h"
#include "client/clock.h"

namespace sluice::cli {
namespace {

constexpr absl::Duration kDefaultDuration = absl::Seconds(5);
constexpr absl::Duration kLookEvery = absl::Milliseconds(250);

struct BenchFlags {
  ConnectionFlags connection;
  uint64_t publishers = 1;
  uint64_t subscribers = 1;
  uint64_t size = 128;
  uint64_t topics = 1;
  std::optional<uint64_t> messages;
  std::optional<absl::Duration> duration;
  std::optional<double> rate;
  uint64_t window = 1 << 20;
  std::optional<uint64_t> subscriber_window;
  std::optional<absl::Duration> slow_handler;
  bool open_loop = false;
  absl::Duration timeout = absl::Seconds(10);
  bool json = false;
};

BenchPlan PlanOf(const BenchFlags& flags) {
  BenchPlan plan;
  plan.connection = flags.connection;
  plan.publishers = flags.publishers;
  plan.subscribers = flags.subscribers;
  plan.payload_bytes = flags.size;
  if (flags.messages.has_value()) plan.messages_max = *flags.messages;
  if (flags.duration.has_value()) plan.duration = *flags.duration;
  if (!flags.messages.has_value() && !flags.duration.has_value()) plan.duration = kDefaultDuration;
  plan.rate = flags.rate;
  plan.loop = flags.open_loop ? Loop::kOpen : Loop::kClosed;
  plan.patience = flags.timeout;
  plan.subscriber_window_bytes = flags.subscriber_window;
  plan.slow_handler = flags.slow_handler;
  // So that two benches at one broker do not hear each other.
  const std::string prefix = fmt::format("bench.{:08x}", std::random_device()());
  for (uint64_t topic = 0; topic < flags.topics; ++topic)
    plan.topics.push_back(fmt::format("{}.{}", prefix, topic));
  plan.filter = flags.topics == 1 ? plan.topics[0] : prefix + ".>";
  return plan;
}

// Each client needs a few descriptors, and the usual limit is 1024.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// One run of `sluice bench`.
class Bench {
 public:
  Bench(const BenchFlags& flags, Console* console)
      : flags_(flags),
        console_(*console),
        plan_(PlanOf(flags)),
        window_(std::max(flags.window, flags.size), static_cast<uint32_t>(flags.subscribers)) {}
  ~Bench();

  ExitCode Run();

 private:
  absl::Status Start();
  void WaitForPublishers();
  void WaitForSubscribers();
  // Whether anything was published or received within the last `patience`.
  bool IsMoving();
  void StopPublishers();
  void ShowProgress();
  bool interrupted() const { return console_.interrupt().exit_code().has_value(); }
  uint64_t Published() const;
  uint64_t Received() const;
  BenchReport Conclude();

  const BenchFlags& flags_;
  Console& console_;
  const BenchPlan plan_;
  FlowWindow window_;
  Event stop_;
  std::vector<std::unique_ptr<BenchSubscriber>> subscribers_;
  std::vector<std::unique_ptr<BenchPublisher>> publishers_;
  int64_t started_ns_ = 0;

  std::string problem_;
  uint64_t moved_ = 0;
  absl::Time moved_at_ = client::MonotonicNow();
  uint64_t shown_published_ = 0;
  uint64_t shown_received_ = 0;
  absl::Time shown_at_ = client::MonotonicNow();
};

Bench::~Bench() { StopPublishers(); }

ExitCode Bench::Run() {
  RaiseDescriptorLimit();
  if (const absl::Status started = Start(); !started.ok()) return console_.Fail(started);
  WaitForPublishers();
  WaitForSubscribers();
  console_.Progress("");
  const BenchReport report = Conclude();
  const std::string text = flags_.json ? ToJson(report) : ToText(report);
  if (console_.output().Write(text) != Output::Result::kWritten) return console_.Fail(console_.output());
  if (!report.sound()) return ExitCode::kFailure;
  return console_.interrupt().exit_code().value_or(ExitCode::kDone);
}

absl::Status Bench::Start() {
  for (uint32_t i = 0; i < plan_.subscribers; ++i) {
    subscribers_.push_back(std::make_unique<BenchSubscriber>(&plan_, i, &window_));
    if (absl::Status status = subscribers_.back()->Start(console_); !status.ok()) return status;
  }
  for (uint32_t i = 0; i < plan_.publishers; ++i) {
    publishers_.push_back(std::make_unique<BenchPublisher>(&plan_, i, &window_, &stop_));
    if (absl::Status status = publishers_.back()->Connect(console_); !status.ok()) return status;
  }
  started_ns_ = NowNs();
  for (const auto& publisher : publishers_) publisher->Start(started_ns_);
  return absl::OkStatus();
}

void Bench::WaitForPublishers() {
  moved_at_ = client::MonotonicNow();
  for (const auto& publisher : publishers_) {
    for (;;) {
      const bool stopping = interrupted() || !problem_.empty();
      const Ready ready = WaitFor({publisher->finished().fd(), stopping ? -1 : console_.interrupt().fd()},
                                  client::MonotonicNow() + kLookEvery);
      if (ready.has(0)) break;
      if (interrupted()) StopPublishers();
      if (problem_.empty() && !IsMoving()) {
        problem_ =
            fmt::format("nothing was published or received for {}", absl::FormatDuration(plan_.patience));
        StopPublishers();
      }
      ShowProgress();
    }
  }
}

void Bench::WaitForSubscribers() {
  const uint64_t published = Published();
  moved_at_ = client::MonotonicNow();
  const auto complete = [&] {
    return std::all_of(subscribers_.begin(), subscribers_.end(), [&](const auto& subscriber) {
      return !subscriber->healthy() || subscriber->distinct() >= published;
    });
  };
  // The last messages come within a moment; nobody tells us.
  constexpr absl::Duration kSoon = absl::Milliseconds(2);
  while (!complete() && IsMoving()) {
    if (interrupted() && client::MonotonicNow() - moved_at_ > kLookEvery) return;
    WaitFor({}, client::MonotonicNow() + kSoon);
    ShowProgress();
  }
}

bool Bench::IsMoving() {
  const uint64_t moved = Published() + Received();
  const absl::Time now = client::MonotonicNow();
  if (moved != moved_) {
    moved_ = moved;
    moved_at_ = now;
  }
  // At a low rate nothing moves for long, and that is what was asked for.
  const absl::Duration interval =
      plan_.rate.has_value() ? absl::Seconds(2 / *plan_.rate) : absl::ZeroDuration();
  return now - moved_at_ < plan_.patience + interval;
}

void Bench::StopPublishers() {
  stop_.Set();
  window_.Stop();
}

uint64_t Bench::Published() const {
  uint64_t published = 0;
  for (const auto& publisher : publishers_) published += publisher->published();
  return published;
}

uint64_t Bench::Received() const {
  uint64_t received = 0;
  for (const auto& subscriber : subscribers_) received += subscriber->received();
  return received;
}

void Bench::ShowProgress() {
  const absl::Time now = client::MonotonicNow();
  if (!console_.notices_are_for_a_terminal() || now - shown_at_ < kLookEvery) return;
  const uint64_t published = Published();
  const uint64_t received = Received();
  const double seconds = absl::ToDoubleSeconds(now - shown_at_);
  const auto rate = [&](uint64_t count, uint64_t before) {
    return RoundedCount(static_cast<double>(count - before) / seconds);
  };
  console_.Progress(fmt::format(
      "{:.1f} s: published {} ({}/s), delivered {} ({}/s)", 1e-9 * static_cast<double>(NowNs() - started_ns_),
      RoundedCount(static_cast<double>(published)), rate(published, shown_published_),
      RoundedCount(static_cast<double>(received)), rate(received, shown_received_)));
  shown_published_ = published;
  shown_received_ = received;
  shown_at_ = now;
}

BenchReport Bench::Conclude() {
  BenchReport report;
  report.publishers = plan_.publishers;
  report.subscribers = plan_.subscribers;
  report.payload_bytes = plan_.payload_bytes;
  report.topics = plan_.topics.size();
  report.loop = plan_.loop;
  report.window_bytes = flags_.window;
  report.slow_handler = plan_.slow_handler;
  std::vector<uint64_t> sent;
  for (const auto& publisher : publishers_) {
    publisher->Report(started_ns_, &report);
    sent.push_back(publisher->published());
  }
  for (const auto& subscriber : subscribers_) {
    subscriber->Stop();
    subscriber->Report(sent, started_ns_, &report);
  }
  if (!problem_.empty()) report.problems.push_back(problem_);
  return report;
}

}  // namespace

Subcommand AddBench(CLI::App* parent) {
  const auto flags = std::make_shared<BenchFlags>();
  CLI::App* app = parent->add_subcommand("bench", "Measure a broker, and check what arrives");
  AddCount(app, "-p,--publishers", &flags->publishers, {1, 1000}, "publishers, each with its own connection");
  AddCount(app, "-c,--subscribers", &flags->subscribers, {0, 1000}, "subscribers; each gets every message");
  AddSize(app, "--size", &flags->size, {kBenchPayloadBytesMin, 64 << 20},
          "payload; it carries publisher, number and time");
  AddCount(app, "-n,--messages", &flags->messages, {1, kBenchSequencesMax - 1},
           "messages, all publishers together");
  AddDuration(app, "-d,--duration", &flags->duration, {absl::Milliseconds(1), absl::Hours(24 * 30)},
              "how long to publish; 5s unless --messages is given");
  AddCount(app, "--topics", &flags->topics, {1, 1'000'000}, "topics to publish to in turn");
  AddRate(
      app, "-r,--rate", &flags->rate, {0.001, 1e9},
      "publish so many a second, all publishers together; latency then counts from when a message was due");
  CLI::Option* window = AddSize(
      app, "-w,--window", &flags->window, {1, 1 << 30},
      "publishers stay at most so many bytes ahead of the slowest subscriber, so that none is cut by the "
      "measurement");
  AddSize(app, "--subscriber-window", &flags->subscriber_window, {0, 1 << 30},
          "how much the broker may send ahead of a subscriber; 0: all that the connection takes; without the "
          "flag it grows while the subscriber keeps up");
  AddDuration(
      app, "--slow-handler", &flags->slow_handler, {absl::Microseconds(1), absl::Hours(1)},
      "beside each subscriber, on its connection, another one that takes so long for each message: shows "
      "what it holds up, and how old its messages are");
  app->add_flag("--open-loop", flags->open_loop, "publish as fast as the broker reads, whoever keeps up")
      ->excludes(window);
  AddDuration(app, "-t,--timeout", &flags->timeout, {absl::Milliseconds(100), absl::Hours(1)},
              "give up what does not move for so long");
  app->add_flag("-j,--json", flags->json, "print the result as a JSON object; times in seconds");
  AddConnectionFlags(app, &flags->connection);
  SetFooter(app,
            "  sluice bench --subscribers 10\n"
            "  sluice bench --publishers 4 --size 1KiB --messages 1M --topics 100 --json\n"
            "  sluice bench --rate 20k --duration 1m\n"
            "  sluice bench --rate 20k --slow-handler 1ms                          a slow handler...\n"
            "  sluice bench --rate 20k --slow-handler 1ms --subscriber-window 0    ...and without a window\n"
            "A lost, repeated or reordered message, or one that was not confirmed, is a failure.\n");
  return {app, [flags](Console& console) { return Bench(*flags, &console).Run(); }};
}

}  // namespace sluice::cli
