// The publishers and subscribers of `sluice bench`, each with a connection of its own.
//
// Thread safety: as said at each method.
#ifndef SLUICE_CLIENT_CLI_BENCH_CLIENTS_H_
#define SLUICE_CLIENT_CLI_BENCH_CLIENTS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/cli/bench_report.h"
#include "client/cli/event.h"
#include "client/cli/flags.h"
#include "client/cli/flow_window.h"
#include "client/cli/sequence_check.h"
#include "client/mutex.h"

namespace sluice::cli {

struct BenchPlan {
  ConnectionFlags connection;
  uint64_t publishers = 1;
  uint64_t subscribers = 1;
  uint64_t payload_bytes = 128;
  std::vector<std::string> topics;
  // What subscribers ask for: all of the topics.
  std::string filter;
  // Whichever comes first.
  uint64_t messages_max = UINT64_MAX;
  absl::Duration duration = absl::InfiniteDuration();
  // Of all publishers together.
  std::optional<double> rate;
  Loop loop = Loop::kClosed;
  // How much the broker may send ahead of a subscriber; 0: no window. Nothing: the library's default.
  std::optional<uint64_t> subscriber_window_bytes;
  // Beside each subscriber, on its connection, another one to the same filter whose handler takes so long for
  // each message. It misses what it has no time for, and nobody waits for it. Nothing: there is none.
  std::optional<absl::Duration> slow_handler;
  // How long the broker, or a subscriber, may be silent before it is given up.
  absl::Duration patience;
};

class BenchSubscriber {
 public:
  // `plan` and `window` outlive it.
  BenchSubscriber(const BenchPlan* plan, uint32_t index, FlowWindow* window);
  ~BenchSubscriber();

  // The main thread.
  absl::Status Start(const Console& console);
  // Ends the slow one beside it, while the other goes on.
  void StopSlow();
  // No message is handled after this.
  void Stop();
  // Adds what was found, given how many each publisher has sent. After Stop().
  void Report(const std::vector<uint64_t>& sent, int64_t started_ns, BenchReport* report) const;

  // Any thread.
  uint64_t received() const { return received_.load(std::memory_order_relaxed); }
  // Without those that came again.
  uint64_t distinct() const { return distinct_.load(std::memory_order_relaxed); }
  bool healthy() const { return healthy_.load(); }

 private:
  // As the plan has it for both subscriptions.
  SubscribeOptions WithWindow() const;
  absl::Status StartSlow();
  // On the I/O thread: the fastest, and it does not block.
  void OnMessage(const MessageView& message);
  // On the dispatch thread.
  void OnSlowMessage(const MessageView& message);
  void OnDisconnected(const DisconnectedEvent& event);
  void OnEnd(const SubscriptionEnd& end);
  // It gets nothing more.
  void Fail(std::string problem);

  const BenchPlan& plan_;
  const uint32_t index_;
  FlowWindow& window_;
  std::unique_ptr<Client> client_;
  Subscription subscription_;

  // The I/O thread's, until Stop().
  std::vector<SequenceCheck> checks_;
  Histogram latency_ns_;
  uint64_t foreign_ = 0;
  int64_t last_received_ns_ = 0;

  Subscription slow_subscription_;
  Event stop_slow_;
  // The dispatch thread's, until StopSlow().
  uint64_t slow_handled_ = 0;
  Histogram staleness_ns_;
  uint64_t slow_missed_ = 0;

  std::atomic<uint64_t> received_{0};
  std::atomic<uint64_t> distinct_{0};
  std::atomic<bool> healthy_{true};
  mutable client::Mutex mutex_;
  std::string problem_ ABSL_GUARDED_BY(mutex_);
};

class BenchPublisher {
 public:
  // All outlive it.
  BenchPublisher(const BenchPlan* plan, uint32_t index, FlowWindow* window, const Event* stop);
  ~BenchPublisher();

  // The main thread.
  absl::Status Connect(const Console& console);
  void Start(int64_t start_ns);
  // Readable once all is published and confirmed, or failed.
  const Event& finished() const { return finished_; }
  // After it has finished.
  void Report(int64_t started_ns, BenchReport* report);

  // Any thread.
  uint64_t published() const { return published_.load(std::memory_order_relaxed); }

 private:
  void Run(int64_t start_ns);
  void PublishAll(int64_t start_ns);
  absl::Status PublishOne(std::string_view topic, std::string_view payload) const;
  bool IsStopped() const;
  // Its share of what all publish together.
  uint64_t messages_max() const;

  const BenchPlan& plan_;
  const uint32_t index_;
  FlowWindow& window_;
  const Event& stop_;
  std::unique_ptr<Client> client_;
  std::thread thread_;
  Event finished_;

  std::atomic<uint64_t> published_{0};
  // The thread's, until it has finished.
  uint64_t confirmed_ = 0;
  int64_t confirmed_ns_ = 0;
  std::string problem_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_BENCH_CLIENTS_H_
