#include "tests/bench/clients.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>

namespace sluice::bench {
namespace {

// Connections that are opened, and filters of one session that are asked for, before answers are awaited.
constexpr size_t kConnectionsPerStep = 256;
constexpr uint32_t kFiltersPerStep = 500;

class Opener {
 public:
  Opener(const Workload& workload, const Adapter& adapter, const testing::ProcessUse& broker)
      : workload_(workload), adapter_(adapter), broker_(broker) {}

  Connections Open(size_t count, Role role) {
    Connections connections;
    while (connections.size() < count) {
      const size_t first = connections.size();
      for (size_t i = first; i < std::min(count, first + kConnectionsPerStep); ++i) {
        connections.push_back(std::make_unique<Connection>(workload_.port));
        connections.back()->Send(adapter_.Open(role, clients_++));
      }
      for (size_t i = first; i < connections.size(); ++i) connections[i]->AwaitAnswers(adapter_);
    }
    return connections;
  }

  void SubscribeEach(const Connections& connections, const std::string& name) const {
    for (const auto& connection : connections) {
      connection->Send(adapter_.Subscribe({{.id = 1, .name = name, .kind = FilterKind::kTopic}}));
    }
    for (const auto& connection : connections) connection->AwaitAnswers(adapter_);
  }

  // Each to its share of the topics.
  void SubscribeByLayout(const Connections& subscribers) const {
    for (uint32_t first = 0; first < workload_.topics; first += kFiltersPerStep) {
      for (uint32_t i = 0; i < subscribers.size(); ++i) {
        std::vector<Filter> filters;
        for (uint32_t k = first; k < std::min(workload_.TopicsOf(i), first + kFiltersPerStep); ++k) {
          filters.push_back(
              {.id = k + 1, .name = TopicName(workload_.TopicOf(i, k)), .kind = FilterKind::kTopic});
        }
        if (!filters.empty()) subscribers[i]->Send(adapter_.Subscribe(filters));
      }
      for (const auto& connection : subscribers) connection->AwaitAnswers(adapter_);
    }
  }

  StepResult Measure(uint64_t count, const std::function<void()>& step) const {
    StepResult result = {.count = count, .rss_bytes_before = broker_.memory().rss_bytes};
    const int64_t cpu_ns = broker_.cpu_ns();
    const auto begin = std::chrono::steady_clock::now();
    step();
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    result.broker_cpu_seconds = static_cast<double>(broker_.cpu_ns() - cpu_ns) / 1e9;
    result.rss_bytes_after = broker_.memory().rss_bytes;
    return result;
  }

 private:
  const Workload& workload_;
  const Adapter& adapter_;
  const testing::ProcessUse& broker_;
  uint32_t clients_ = 0;
};

}  // namespace

Clients OpenClients(const Workload& workload, const Adapter& adapter, const testing::ProcessUse& broker) {
  Opener opener(workload, adapter, broker);
  Clients clients;
  clients.idle_connections = opener.Measure(workload.idle, [&] {
    clients.idle = opener.Open(workload.idle, Role::kSubscriber);
    opener.SubscribeEach(clients.idle, "idle.topic");
  });
  clients.connections = opener.Measure(workload.subscribers, [&] {
    clients.subscribers = opener.Open(workload.subscribers, Role::kSubscriber);
  });
  uint64_t subscriptions = 0;
  for (uint32_t i = 0; i < workload.subscribers; ++i) subscriptions += workload.TopicsOf(i);
  clients.subscriptions =
      opener.Measure(subscriptions, [&] { opener.SubscribeByLayout(clients.subscribers); });
  clients.stuck = opener.Open(workload.stuck, Role::kSubscriber);
  opener.SubscribeEach(clients.stuck, TopicName(0));
  clients.publishers = opener.Open(workload.publishers, Role::kPublisher);
  if (workload.churn > 0) clients.churners = opener.Open(1, Role::kSubscriber);
  return clients;
}

}  // namespace sluice::bench
