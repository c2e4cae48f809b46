// bench_load: one run of the load generator against a broker that is there already. One JSON object comes
// out.
//
//   bench_load --protocol nats --port 4222 --pid 1234 --subscribers 100 --payload-bytes 1024 --duration 2s
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/time/time.h"
#include "tests/bench/load.h"
#include "tests/bench/stamp.h"

namespace sluice::bench {
namespace {

nlohmann::json ToJson(const StepResult& step) {
  return {{"count", step.count},
          {"seconds", step.seconds},
          {"broker_cpu_seconds", step.broker_cpu_seconds},
          {"rss_bytes_before", step.rss_bytes_before},
          {"rss_bytes_after", step.rss_bytes_after}};
}

nlohmann::json ToJson(const cli::Histogram& histogram) {
  nlohmann::json buckets = nlohmann::json::array();
  for (const auto& [value, count] : histogram.NonEmpty()) buckets.push_back({value, count});
  return {{"count", histogram.count()},        {"p50_ns", histogram.ValueAt(0.5)},
          {"p99_ns", histogram.ValueAt(0.99)}, {"p999_ns", histogram.ValueAt(0.999)},
          {"max_ns", histogram.max()},         {"buckets", std::move(buckets)}};
}

nlohmann::json ToJson(const LoadResult& result) {
  nlohmann::json timeline = nlohmann::json::array();
  for (const TimelinePoint& point : result.timeline) {
    timeline.push_back({point.seconds, point.deliveries, point.rss_bytes, point.stuck_cut});
  }
  return {{"idle_connections", ToJson(result.idle_connections)},
          {"connections", ToJson(result.connections)},
          {"subscriptions", ToJson(result.subscriptions)},
          {"seconds", result.seconds},
          {"messages", result.messages},
          {"deliveries", result.deliveries},
          {"broker_cpu_seconds", result.broker_cpu_seconds},
          {"broker_user_seconds", result.broker_cpu.user_seconds},
          {"broker_system_seconds", result.broker_cpu.system_seconds},
          {"generator_cpu_seconds", result.generator_cpu_seconds},
          {"rss_bytes_before", result.rss_bytes_before},
          {"rss_bytes", result.memory.rss_bytes},
          {"rss_bytes_peak", result.memory.rss_bytes_peak},
          {"latency", ToJson(result.latency)},
          {"messages_sent", result.messages_sent},
          {"lost", result.lost},
          {"repeated", result.repeated},
          {"reordered", result.reordered},
          {"foreign", result.foreign},
          {"errors", result.errors},
          {"healthy_cut", result.healthy_cut},
          {"stalls", result.stalls},
          {"churned", result.churned},
          {"stuck_cut", result.stuck_cut},
          {"first_cut_seconds", result.first_cut_seconds},
          {"last_cut_seconds", result.last_cut_seconds},
          {"timeline", std::move(timeline)}};
}

int Main(int argc, char** argv) {
  Workload workload;
  double warm_up_seconds = absl::ToDoubleSeconds(workload.warm_up);
  double seconds = absl::ToDoubleSeconds(workload.duration);
  const std::map<std::string, Protocol> protocols = {{"sluice", Protocol::kSluice},
                                                     {"nats", Protocol::kNats},
                                                     {"redis", Protocol::kRedis},
                                                     {"mqtt", Protocol::kMqtt},
                                                     {"limit", Protocol::kLimit}};
  const std::map<std::string, Layout> layouts = {{"all", Layout::kAll}, {"split", Layout::kSplit}};
  CLI::App app("One run of Sluice's load generator against a broker that is there already");
  app.option_defaults()->always_capture_default();
  app.add_option("--protocol", workload.protocol, "what the broker speaks")
      ->required()
      ->transform(CLI::CheckedTransformer(protocols));
  app.add_option("--port", workload.port, "where it listens, on 127.0.0.1")->required();
  app.add_option("--pid", workload.pid, "its process, whose CPU time and memory are read")->required();
  app.add_option("--publishers", workload.publishers)->check(CLI::Range(1, 1000));
  app.add_option("--subscribers", workload.subscribers)->check(CLI::Range(0, 100000));
  app.add_option("--payload-bytes", workload.payload_bytes)->check(CLI::Range(kStampBytes, 64U << 20));
  app.add_option("--topics", workload.topics, "each message goes to one of them at random")
      ->check(CLI::Range(1U, kTopicsMax));
  app.add_option("--layout", workload.layout,
                 "who subscribes to which topics: all to all, or each to its share")
      ->transform(CLI::CheckedTransformer(layouts));
  app.add_option("--rate", workload.rate,
                 "messages per second; 0: as fast as the slowest subscriber takes it");
  app.add_option("--window-bytes", workload.window_bytes, "how far the publishers may be ahead, with rate 0");
  app.add_option("--stuck", workload.stuck, "more subscribers, which never read");
  app.add_option("--idle", workload.idle, "connections that do nothing");
  app.add_option("--churn", workload.churn, "subscribes, and unsubscribes, per second on another connection");
  app.add_option("--warm-up", warm_up_seconds, "seconds before the measurement");
  app.add_option("--duration", seconds, "seconds of the measurement");
  app.add_option("--progress-file", workload.progress_file, "the window waits for the count in it, too");
  CLI11_PARSE(app, argc, argv);
  workload.warm_up = absl::Seconds(warm_up_seconds);
  workload.duration = absl::Seconds(seconds);
  nlohmann::json json = ToJson(RunLoad(workload));
  json["window_messages"] = workload.rate > 0 ? 0 : workload.window_messages();
  fmt::print("{}\n", json.dump());
  return 0;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  try {
    return sluice::bench::Main(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_load: {}\n", error.what());
    return 1;
  }
}
