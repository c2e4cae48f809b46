// Every number of ShardCounters with its name, its help text and how to read it: one table, from which the
// exporter builds the page, so that a counter without a line here is a failing test and not a silent hole.
//
// Names follow the conventions of Prometheus: prefix `sluice_`, base units (bytes, seconds), `_total` for
// counters. Labels are bounded: `shard` where the sum would hide what matters, `reason` for the wire's
// reasons and `cause` for its causes of lag; never a topic, a filter or a client's name.
//
// Thread safety: constants.
#ifndef SLUICE_METRICS_CATALOGUE_H_
#define SLUICE_METRICS_CATALOGUE_H_

#include <array>
#include <span>
#include <string_view>
#include <variant>

#include "metrics/counters.h"

namespace sluice {

// Counters that hold nanoseconds are shown in seconds.
enum class MetricUnit { kCount, kNanoseconds };

enum class MetricSeries {
  kOne,            // the sum over the shards
  kPerShard,       // one per shard, label `shard`
  kPerReason,      // the sum over the shards, one per reason, label `reason`
  kPerSlowReason,  // the same, only the reasons that mean a slow consumer
  kPerCause        // the sum over the shards, one per v1::LagCause, label `cause`
};

struct MetricInfo {
  // Where the number stands; what kind of member it is decides the Prometheus type.
  using Member =
      std::variant<Counter ShardCounters::*, Gauge ShardCounters::*, DurationHistogram ShardCounters::*,
                   std::array<Counter, kReasonsMax> ShardCounters::*,
                   std::array<Counter, kLagCausesMax> ShardCounters::*>;

  std::string_view name;
  std::string_view help;
  Member member;
  MetricSeries series = MetricSeries::kOne;
  MetricUnit unit = MetricUnit::kCount;
};

// In the order in which they are shown.
std::span<const MetricInfo> Catalogue();

}  // namespace sluice

#endif  // SLUICE_METRICS_CATALOGUE_H_
