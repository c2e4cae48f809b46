// What a client sees of itself, for the /metrics page of the program that it is part of. Optional: the library itself
// knows nothing of prometheus-cpp; whoever includes this header links prometheus-cpp::core.
//
//   #include <sluice/prometheus.h>
//
//   std::shared_ptr<sluice::Client> client = *sluice::Client::Connect("sluice://127.0.0.1:7584");
//   auto metrics = std::make_shared<sluice::ClientCollectable>(client, "feed-handler");
//   exposer.RegisterCollectable(metrics);      // it keeps a weak pointer: hold `metrics` as long as it shall be shown
//
// Series have the label `client` with the name given here, those of subscriptions also `subscription` (its id in this
// client) and `filter`; they end with the subscription. Names and filters must be UTF-8, which filters always are, and
// two collectables of one page need different names. The broker shows its side of the same under sluice_top_consumer_*
// and /api/consumers.
//
// The numbers are those of Client::stats() and SubscriptionStats, read at the moment of the scrape: nothing is counted
// twice and nothing costs anything in between.
//
// Thread safety: any thread; Collect() comes from the threads of the exposer.
#ifndef SLUICE_CLIENT_PROMETHEUS_H_
#define SLUICE_CLIENT_PROMETHEUS_H_

#include <prometheus/client_metric.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "client/client.h"
#include "client/events.h"
#include "client/subscription.h"

namespace sluice {
inline namespace client_v1 {

class ClientCollectable : public prometheus::Collectable {
 public:
  // Keeps the client alive as long as it is there itself.
  ClientCollectable(std::shared_ptr<const Client> client, std::string name)
      : client_(std::move(client)), name_(std::move(name)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    std::vector<prometheus::MetricFamily> families;
    AddClient(client_->stats(), &families);
    AddSubscriptions(client_->subscriptions(), &families);
    return families;
  }

 private:
  using Families = std::vector<prometheus::MetricFamily>;
  using Labels = std::vector<prometheus::ClientMetric::Label>;

  void AddClient(const ClientStats& stats, Families* families) const {
    const auto add = [&](prometheus::MetricType type, const char* name, const char* help, double value) {
      families->push_back({std::string("sluice_client_") + name, help, type, {}});
      AddSeries({{"client", name_}}, value, &families->back());
    };
    const auto counter = prometheus::MetricType::Counter;
    const auto gauge = prometheus::MetricType::Gauge;
    add(gauge, "connected", "Whether there is a connection to a broker now.",
        stats.state == ClientState::kConnected ? 1 : 0);
    add(counter, "reconnects_total", "Connections made again after one was lost.", Number(stats.reconnects));
    add(counter, "messages_published_total", "Messages taken for publishing.",
        Number(stats.messages_published));
    add(counter, "messages_received_total", "Messages received, over all subscriptions.",
        Number(stats.messages_received));
    add(counter, "sent_bytes_total", "Bytes handed to the kernel.", Number(stats.bytes_sent));
    add(counter, "received_bytes_total", "Bytes read from the kernel.", Number(stats.bytes_received));
    add(counter, "sends_total", "System calls that sent bytes.", Number(stats.sends));
    add(counter, "receives_total", "System calls that received bytes.", Number(stats.receives));
    add(gauge, "outgoing_bytes",
        "Bytes in the outgoing buffer: the broker, or the path to it, is behind by them.",
        Number(stats.outgoing_bytes));
    add(gauge, "outgoing_messages", "Messages in the outgoing buffer.", Number(stats.outgoing_messages));
    add(counter, "publishes_unknown_total",
        "Messages of which a lost connection left open whether the broker has them.",
        Number(stats.publishes_unknown));
    add(gauge, "broker_paused", "Whether the broker has paused reading from this client.",
        stats.broker == PausedEvent::State::kPaused ? 1 : 0);
    add(gauge, "incoming_bytes", "Bytes received and not yet handled, over all subscriptions.",
        Number(stats.incoming_bytes));
    add(gauge, "reading_paused",
        "Whether this client reads nothing, because its handlers are behind by the whole incoming buffer.",
        stats.reading == Reading::kPausedBufferFull ? 1 : 0);
    add(counter, "reading_pauses_total", "Times that this client stopped reading for that.",
        Number(stats.reading_pauses));
    add(counter, "reading_paused_seconds_total", "Time that this client did not read for that.",
        absl::ToDoubleSeconds(stats.reading_paused_for));
  }

  void AddSubscriptions(const std::vector<SubscriptionInfo>& subscriptions, Families* families) const {
    if (subscriptions.empty()) return;
    const auto add = [&](prometheus::MetricType type, const char* name, const char* help,
                         uint64_t SubscriptionStats::*value) {
      families->push_back({std::string("sluice_client_subscription_") + name, help, type, {}});
      for (const SubscriptionInfo& one : subscriptions) {
        AddSeries({{"client", name_}, {"subscription", std::to_string(one.id)}, {"filter", one.filter}},
                  Number(one.stats.*value), &families->back());
      }
    };
    const auto counter = prometheus::MetricType::Counter;
    const auto gauge = prometheus::MetricType::Gauge;
    add(counter, "messages_received_total", "Messages received.", &SubscriptionStats::received);
    add(counter, "messages_handled_total", "Messages given to the handler, or taken by Next().",
        &SubscriptionStats::handled);
    add(gauge, "waiting_messages", "Messages received and not yet handled.",
        &SubscriptionStats::waiting_messages);
    add(gauge, "waiting_bytes", "Bytes of them.", &SubscriptionStats::waiting_bytes);
    add(counter, "messages_missed_total", "Messages that the overflow policy left out, as the broker told.",
        &SubscriptionStats::told_missing);
    add(counter, "messages_lost_total",
        "Messages lost with a session, as the broker told at its end or later.", &SubscriptionStats::lost);
    add(gauge, "window_bytes", "What the broker may send ahead of the handler; 0: as much as it likes.",
        &SubscriptionStats::window_bytes);
  }

  static double Number(uint64_t value) { return static_cast<double>(value); }

  static void AddSeries(Labels labels, double value, prometheus::MetricFamily* family) {
    prometheus::ClientMetric series;
    series.label = std::move(labels);
    (family->type == prometheus::MetricType::Counter ? series.counter.value : series.gauge.value) = value;
    family->metric.push_back(std::move(series));
  }

  const std::shared_ptr<const Client> client_;
  const std::string name_;
};

}  // namespace client_v1
}  // namespace sluice

#endif  // SLUICE_CLIENT_PROMETHEUS_H_
