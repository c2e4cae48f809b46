#include "metrics/families.h"

#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "metrics/catalogue.h"
#include "protocol/names.h"

namespace sluice {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr double kNsPerSecond = 1e9;

MetricFamily Family(std::string_view name, std::string_view help, MetricType type) {
  return {std::string(name), std::string(help), type, {}};
}

ClientMetric CounterValue(double value) {
  ClientMetric metric;
  metric.counter.value = value;
  return metric;
}

ClientMetric GaugeValue(double value) {
  ClientMetric metric;
  metric.gauge.value = value;
  return metric;
}

MetricFamily OneGauge(std::string_view name, std::string_view help, double value) {
  MetricFamily family = Family(name, help, MetricType::Gauge);
  family.metric.push_back(GaugeValue(value));
  return family;
}

// Adds up the buckets as Prometheus wants them: each with all that are below it. The total is taken from the
// buckets, so that a reader never sees a +Inf that differs from the count.
template <typename Histogram, typename BucketCount>
ClientMetric HistogramValue(const Histogram& bounds, double bounds_scale, double sum,
                            BucketCount bucket_count) {
  ClientMetric metric;
  uint64_t below = 0;
  for (size_t i = 0; i < bounds.size(); ++i) {
    below += bucket_count(i);
    metric.histogram.bucket.push_back({below, static_cast<double>(bounds[i]) / bounds_scale});
  }
  below += bucket_count(bounds.size());
  metric.histogram.bucket.push_back({below, std::numeric_limits<double>::infinity()});
  metric.histogram.sample_count = below;
  metric.histogram.sample_sum = sum;
  return metric;
}

using Shards = std::vector<const ShardCounters*>;

template <typename Member>
auto SumOf(const Shards& shards, Member member) {
  decltype((shards[0]->*member).Get()) sum = 0;
  for (const ShardCounters* shard : shards) sum += (shard->*member).Get();
  return sum;
}

ClientMetric Value(const Shards& shards, Counter ShardCounters::*member, MetricUnit unit) {
  const double sum = static_cast<double>(SumOf(shards, member));
  return CounterValue(unit == MetricUnit::kNanoseconds ? sum / kNsPerSecond : sum);
}

ClientMetric Value(const Shards& shards, Gauge ShardCounters::*member, MetricUnit) {
  return GaugeValue(static_cast<double>(SumOf(shards, member)));
}

ClientMetric Value(const Shards& shards, DurationHistogram ShardCounters::*member, MetricUnit) {
  double sum_ns = 0;
  for (const ShardCounters* shard : shards) sum_ns += static_cast<double>((shard->*member).SumNs());
  return HistogramValue(DurationHistogram::kBoundsNs, kNsPerSecond, sum_ns / kNsPerSecond,
                        [&](size_t bucket) {
                          uint64_t count = 0;
                          for (const ShardCounters* shard : shards)
                            count += (shard->*member).BucketCount(bucket);
                          return count;
                        });
}

MetricType TypeOf(const MetricInfo& info) {
  if (std::holds_alternative<Gauge ShardCounters::*>(info.member)) return MetricType::Gauge;
  if (std::holds_alternative<DurationHistogram ShardCounters::*>(info.member)) return MetricType::Histogram;
  return MetricType::Counter;
}

std::vector<ClientMetric> ReasonValues(const Shards& shards,
                                       std::array<Counter, kReasonsMax> ShardCounters::*member,
                                       MetricSeries series) {
  std::vector<ClientMetric> metrics;
  for (v1::Reason reason : AllReasons()) {
    if (series == MetricSeries::kPerSlowReason && !IsSlowConsumer(reason)) continue;
    uint64_t sum = 0;
    for (const ShardCounters* shard : shards) sum += (shard->*member)[static_cast<size_t>(reason)].Get();
    ClientMetric metric = CounterValue(static_cast<double>(sum));
    metric.label.push_back({"reason", std::string(ReasonName(reason))});
    metrics.push_back(std::move(metric));
  }
  return metrics;
}

std::vector<ClientMetric> CauseValues(const Shards& shards,
                                      std::array<Counter, kLagCausesMax> ShardCounters::*member) {
  std::vector<ClientMetric> metrics;
  for (size_t cause = 1; cause <= v1::LagCause_MAX; ++cause) {
    uint64_t sum = 0;
    for (const ShardCounters* shard : shards) sum += (shard->*member)[cause].Get();
    metrics.push_back(CounterValue(static_cast<double>(sum)));
    metrics.back().label.push_back({"cause", std::string(LagCauseName(static_cast<v1::LagCause>(cause)))});
  }
  return metrics;
}

template <typename Member>
std::vector<ClientMetric> Values(const Shards& shards, Member member, const MetricInfo& info) {
  if (info.series != MetricSeries::kPerShard) return {Value(shards, member, info.unit)};
  std::vector<ClientMetric> metrics;
  for (size_t shard = 0; shard < shards.size(); ++shard) {
    metrics.push_back(Value({shards[shard]}, member, info.unit));
    metrics.back().label.push_back({"shard", std::to_string(shard)});
  }
  return metrics;
}

MetricFamily DistributionFamily(std::string_view name, std::string_view help,
                                const Distribution& distribution) {
  MetricFamily family = Family(name, help, MetricType::Histogram);
  family.metric.push_back(HistogramValue(Distribution::kBoundValues, 1,
                                         static_cast<double>(distribution.Sum()),
                                         [&](size_t bucket) { return distribution.BucketCount(bucket); }));
  return family;
}

}  // namespace

std::vector<MetricFamily> CounterFamilies(const Shards& shards) {
  std::vector<MetricFamily> families;
  for (const MetricInfo& info : Catalogue()) {
    MetricFamily family = Family(info.name, info.help, TypeOf(info));
    family.metric = std::visit(
        [&](auto member) -> std::vector<ClientMetric> {
          if constexpr (std::is_same_v<decltype(member), std::array<Counter, kReasonsMax> ShardCounters::*>) {
            return ReasonValues(shards, member, info.series);
          } else if constexpr (std::is_same_v<decltype(member),
                                              std::array<Counter, kLagCausesMax> ShardCounters::*>) {
            return CauseValues(shards, member);
          } else {
            return Values(shards, member, info);
          }
        },
        info.member);
    families.push_back(std::move(family));
  }
  return families;
}

std::vector<MetricFamily> BrokerFamilies(const BuildInfo& build,
                                         const SubscriptionDistributions& subscriptions,
                                         const MemoryUse& memory) {
  std::vector<MetricFamily> families;
  families.push_back(OneGauge("sluice_build_info", "Always 1; the labels say what is running.", 1));
  families.back().metric[0].label = {{"version", Printable(build.version)},
                                     {"compiler", Printable(build.compiler)},
                                     {"build_type", Printable(build.build_type)},
                                     {"protocol_version", std::to_string(kProtocolVersion)}};
  families.push_back(OneGauge("sluice_retained_bytes",
                              "Memory that queues and read buffers keep alive, shared bytes counted once.",
                              static_cast<double>(memory.retained_bytes)));
  families.push_back(
      OneGauge("sluice_memory_budget_bytes",
               "What sluice_retained_bytes may be: over it queues are shed, and then publishers "
               "wait.",
               static_cast<double>(memory.budget_bytes)));
  families.push_back(DistributionFamily("sluice_subscription_pending_bytes",
                                        "Pending bytes of each subscription at the moment of the scrape. Not "
                                        "cumulative: use it without rate().",
                                        subscriptions.pending_bytes));
  families.push_back(DistributionFamily("sluice_subscription_pending_messages",
                                        "Pending messages of each subscription at the moment of the scrape. "
                                        "Not cumulative: use it without rate().",
                                        subscriptions.pending_messages));
  families.push_back(OneGauge("sluice_scrape_shards_missing",
                              "Shards that did not answer this scrape in time: the two histograms of "
                              "subscriptions are without them.",
                              subscriptions.shards_missing));
  return families;
}

std::vector<MetricFamily> ProcessFamilies(const ProcessStats& stats) {
  std::vector<MetricFamily> families;
  families.push_back(
      Family("process_cpu_seconds_total", "Processor time that the process has used.", MetricType::Counter));
  families.back().metric.push_back(CounterValue(stats.cpu_seconds));
  families.push_back(OneGauge("process_start_time_seconds",
                              "Start of the process, in seconds since the epoch.", stats.start_time_seconds));
  families.push_back(OneGauge("process_resident_memory_bytes", "Resident memory of the process.",
                              static_cast<double>(stats.resident_memory_bytes)));
  families.push_back(OneGauge("process_virtual_memory_bytes", "Virtual memory of the process.",
                              static_cast<double>(stats.virtual_memory_bytes)));
  families.push_back(
      OneGauge("process_open_fds", "File descriptors open now.", static_cast<double>(stats.open_fds)));
  families.push_back(
      OneGauge("process_max_fds", "File descriptors that may be open.", static_cast<double>(stats.max_fds)));
  families.push_back(
      OneGauge("process_threads", "Threads of the process.", static_cast<double>(stats.threads)));
  return families;
}

}  // namespace sluice
