#include "metrics/families.h"

#include <fmt/format.h>

#include <array>
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

// `scale`: how many units of the distribution are one of the metric.
template <typename Bounds>
MetricFamily DistributionFamily(std::string_view name, std::string_view quantity,
                                const DistributionOver<Bounds>& distribution, double scale = 1) {
  MetricFamily family =
      Family(name,
             fmt::format("{} of each subscription at the moment of the scrape. Not cumulative: use it "
                         "without rate().",
                         quantity),
             MetricType::Histogram);
  family.metric.push_back(HistogramValue(DistributionOver<Bounds>::kBoundValues, scale,
                                         static_cast<double>(distribution.Sum()) / scale,
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
  families.push_back(
      DistributionFamily("sluice_subscription_pending_bytes", "Pending bytes", subscriptions.pending_bytes));
  families.push_back(DistributionFamily("sluice_subscription_pending_messages", "Pending messages",
                                        subscriptions.pending_messages));
  families.push_back(DistributionFamily("sluice_subscription_limit_share", "Used share of the nearest limit",
                                        subscriptions.limit_share));
  families.push_back(DistributionFamily("sluice_subscription_oldest_age_seconds",
                                        "Age of the oldest message that waits, 0 where none does,",
                                        subscriptions.oldest_age_ms, 1000));
  families.push_back(OneGauge("sluice_oldest_age_seconds",
                              "Age of the oldest message that waits for any subscription.",
                              subscriptions.oldest_age_seconds_max));
  families.push_back(OneGauge("sluice_scrape_shards_missing",
                              "Shards that did not answer this scrape in time: histograms of "
                              "subscriptions and top consumers are without them.",
                              subscriptions.shards_missing));
  return families;
}

// What is not a number, apart: else each change would end the series of all the numbers.
MetricFamily ConsumerInfo(const std::vector<SurveyedConsumer>& consumers) {
  MetricFamily family = Family(
      "sluice_top_consumer_info",
      "Always 1; the labels say which limit is the nearest of each of the consumers with the most pending "
      "bytes, and why it lags, as far as that is known.",
      MetricType::Gauge);
  for (const SurveyedConsumer& one : consumers) {
    if (one.key == 0) continue;
    ClientMetric metric = GaugeValue(1);
    metric.label = {{"consumer", one.consumer.id()},
                    {"policy", one.consumer.policy()},
                    {"limit", one.consumer.nearest_limit()},
                    {"cause", one.consumer.cause()}};
    family.metric.push_back(std::move(metric));
  }
  return family;
}

std::vector<MetricFamily> ConsumerFamilies(const std::vector<SurveyedConsumer>& consumers) {
  struct Shown {
    std::string_view name;
    std::string_view help;
    double (admin::Consumer::*value)() const;
  };
  const std::array<Shown, 3> all_shown = {
      Shown{"sluice_top_consumer_pending_bytes", "Pending bytes", &admin::Consumer::pending_bytes},
      Shown{"sluice_top_consumer_limit_share", "Used share of the nearest limit",
            &admin::Consumer::limit_share},
      Shown{"sluice_top_consumer_oldest_age_seconds", "Age of the oldest message that waits",
            &admin::Consumer::oldest_age_seconds}};
  std::vector<MetricFamily> families;
  for (const Shown& shown : all_shown) {
    MetricFamily family =
        Family(shown.name,
               fmt::format("{} of each of the consumers with the most pending bytes. A series ends "
                           "when its consumer is none of them any more.",
                           shown.help),
               MetricType::Gauge);
    for (const SurveyedConsumer& one : consumers) {
      if (one.key == 0) continue;
      const admin::Consumer& consumer = one.consumer;
      ClientMetric metric = GaugeValue((consumer.*shown.value)());
      metric.label = {{"consumer", consumer.id()},
                      {"client", Printable(consumer.client_name())},
                      {"address", consumer.address()},
                      {"filter", Printable(consumer.filter())}};
      family.metric.push_back(std::move(metric));
    }
    families.push_back(std::move(family));
  }
  families.push_back(ConsumerInfo(consumers));
  return families;
}

std::vector<MetricFamily> LimitFamilies(const admin::BrokerInfo& broker) {
  const admin::Limits& limits = broker.default_limits();
  std::vector<MetricFamily> families;
  families.push_back(
      OneGauge("sluice_pending_bytes_limit",
               "Bytes that may wait for a subscription that asks for nothing else; 0: no limit.",
               limits.pending_bytes_max()));
  families.push_back(
      OneGauge("sluice_pending_messages_limit",
               "Messages that may wait for a subscription that asks for nothing else; 0: no limit.",
               limits.pending_messages_max()));
  families.push_back(
      OneGauge("sluice_pending_age_limit_seconds",
               "Time that a message may wait for a subscription that asks for nothing else; 0: no limit.",
               limits.pending_age_max_seconds()));
  families.push_back(OneGauge("sluice_session_bytes_limit",
                              "Bytes that may wait for all subscriptions of a client; 0: no limit.",
                              broker.session_bytes_max()));
  families.push_back(OneGauge("sluice_write_timeout_seconds",
                              "A client that takes nothing for so long is cut; 0: never.",
                              broker.write_timeout_seconds()));
  families.push_back(OneGauge("sluice_connections_limit", "Connections that may be open at a time.",
                              broker.connections_max()));
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
