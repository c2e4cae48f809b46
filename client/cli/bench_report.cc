#include "client/cli/bench_report.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "client/cli/json.h"
#include "client/cli/text.h"
#include "client/cli/values.h"

namespace sluice::cli {
namespace {

constexpr std::array<std::pair<std::string_view, double>, 4> kQuantiles = {
    {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}}};
constexpr size_t kProblemsShown = 10;

double PerSecond(uint64_t count, absl::Duration time) {
  const double seconds = absl::ToDoubleSeconds(time);
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

std::string Rate(std::string_view what, uint64_t messages, uint64_t payload_bytes, absl::Duration time) {
  const double rate = PerSecond(messages, time);
  return fmt::format("{:<11} {} in {}: {}/s, {}/s\n", what, Counted(messages, "message"),
                     RoundedDuration(time), RoundedCount(rate),
                     RoundedBytes(rate * static_cast<double>(payload_bytes)));
}

std::string Latency(std::string_view what, const Histogram& latency) {
  std::string line = fmt::format("{:<11}", what);
  for (const auto& [name, quantile] : kQuantiles) {
    line += fmt::format(" {} {},", name, RoundedDuration(absl::Nanoseconds(latency.ValueAt(quantile))));
  }
  return line + fmt::format(" max {}\n", RoundedDuration(absl::Nanoseconds(latency.max())));
}

}  // namespace

bool BenchReport::sound() const {
  return lost == 0 && repeated == 0 && reordered == 0 && foreign == 0 && problems.empty() &&
         confirmed == published;
}

std::string ToText(const BenchReport& report) {
  const std::string loop = report.loop == Loop::kOpen
                               ? "open loop"
                               : fmt::format("closed loop, window {}", ShowSize(report.window_bytes));
  std::string text =
      fmt::format("{:<11} {}, {}, {} each, {}, {}\n", "bench", Counted(report.publishers, "publisher"),
                  Counted(report.subscribers, "subscriber"), ShowSize(report.payload_bytes),
                  Counted(report.topics, "topic"), loop);
  text += Rate("published", report.published, report.payload_bytes, report.publishing);
  if (report.confirmed != report.published) {
    text += fmt::format("{:<11} of these the broker confirmed {}\n", "", report.confirmed);
  }
  if (report.subscribers > 0) {
    text += Rate("delivered", report.delivered, report.payload_bytes, report.delivering);
    if (report.latency_ns.count() > 0) text += Latency("latency", report.latency_ns);
    text += fmt::format("{:<11} {} lost, {} repeated, {} reordered", "checked", report.lost, report.repeated,
                        report.reordered);
    if (report.foreign > 0) text += fmt::format(", {} not ours", report.foreign);
    text += "\n";
  }
  if (report.slow_handler.has_value()) {
    text += fmt::format("{:<11} one beside each, {} for each message: {} handled, {} missed\n", "slow",
                        RoundedDuration(*report.slow_handler), report.slow_handled, report.slow_missed);
    if (report.staleness_ns.count() > 0) text += Latency("stale", report.staleness_ns);
  }
  for (size_t i = 0; i < report.problems.size() && i < kProblemsShown; ++i) {
    text += fmt::format("{:<11} ", i == 0 ? "problems" : "");
    AppendForTerminal(report.problems[i], &text);
    text += "\n";
  }
  if (report.problems.size() > kProblemsShown) {
    text += fmt::format("{:<11} and {} more\n", "", report.problems.size() - kProblemsShown);
  }
  return text;
}

std::string ToJson(const BenchReport& report) {
  JsonObject object;
  object.Add("publishers", report.publishers).Add("subscribers", report.subscribers);
  object.Add("payload_bytes", report.payload_bytes).Add("topics", report.topics);
  object.Add("loop", report.loop == Loop::kOpen ? "open" : "closed").Add("window_bytes", report.window_bytes);
  object.Add("published", report.published).Add("confirmed", report.confirmed);
  object.Add("publish_seconds", absl::ToDoubleSeconds(report.publishing));
  object.Add("published_per_second", PerSecond(report.published, report.publishing));
  object.Add("delivered", report.delivered);
  object.Add("deliver_seconds", absl::ToDoubleSeconds(report.delivering));
  object.Add("delivered_per_second", PerSecond(report.delivered, report.delivering));
  object.Add("lost", report.lost).Add("repeated", report.repeated).Add("reordered", report.reordered);
  object.Add("foreign", report.foreign).Add("sound", report.sound());
  const auto add_times = [&](std::string_view what, const Histogram& times_ns) {
    if (times_ns.count() == 0) return;
    for (const auto& [name, quantile] : kQuantiles) {
      object.Add(fmt::format("{}_{}_seconds", what, name),
                 1e-9 * static_cast<double>(times_ns.ValueAt(quantile)));
    }
    object.Add(fmt::format("{}_max_seconds", what), 1e-9 * static_cast<double>(times_ns.max()));
  };
  add_times("latency", report.latency_ns);
  if (report.slow_handler.has_value()) {
    object.Add("slow_handler_seconds", absl::ToDoubleSeconds(*report.slow_handler));
    object.Add("slow_handled", report.slow_handled).Add("slow_missed", report.slow_missed);
    add_times("staleness", report.staleness_ns);
  }
  std::string problems = "[";
  for (const std::string& problem : report.problems) {
    if (problems.size() > 1) problems.push_back(',');
    JsonObject text;
    text.Add("text", problem).AppendTo(&problems);
  }
  object.AddRaw("problems", problems + "]");
  return object.ToString() + "\n";
}

}  // namespace sluice::cli
