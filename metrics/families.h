// Builds what stands on /metrics from numbers that were read once.
//
// Internal to metrics. Thread safety: pure functions.
#ifndef SLUICE_METRICS_FAMILIES_H_
#define SLUICE_METRICS_FAMILIES_H_

#include <prometheus/metric_family.h>

#include <vector>

#include "metrics/exporter.h"
#include "metrics/process.h"

namespace sluice {

// The catalogue: one family per line.
std::vector<prometheus::MetricFamily> CounterFamilies(const std::vector<const ShardCounters*>& shards);

// Everything else.
std::vector<prometheus::MetricFamily> BrokerFamilies(const BuildInfo& build,
                                                     const SubscriptionDistributions& subscriptions,
                                                     const MemoryUse& memory);
// The consumers given, by name: their series come and go with them.
std::vector<prometheus::MetricFamily> ConsumerFamilies(const std::vector<SurveyedConsumer>& consumers);
// What applies where nothing else was asked for, so that alerts can divide by it. 0: no limit.
std::vector<prometheus::MetricFamily> LimitFamilies(const admin::BrokerInfo& broker);
std::vector<prometheus::MetricFamily> ProcessFamilies(const ProcessStats& stats);

}  // namespace sluice

#endif  // SLUICE_METRICS_FAMILIES_H_
