#include "client/cli/bench_clients.h"

#include <fmt/format.h>
#include <sys/prctl.h>

#include <algorithm>
#include <utility>

#include "client/cli/bench_payload.h"
#include "client/cli/notices.h"
#include "client/cli/pacer.h"
#include "client/clock.h"

namespace sluice::cli {
namespace {

// How soon a stop is heard while the outgoing buffer is full.
constexpr absl::Duration kStep = absl::Milliseconds(100);

absl::Time At(int64_t monotonic_ns) { return absl::UnixEpoch() + absl::Nanoseconds(monotonic_ns); }

}  // namespace

// ---- Subscriber ----

BenchSubscriber::BenchSubscriber(const BenchPlan* plan, uint32_t index, FlowWindow* window)
    : plan_(*plan), index_(index), window_(*window), checks_(plan->publishers) {}

BenchSubscriber::~BenchSubscriber() { Stop(); }

absl::Status BenchSubscriber::Start(const Console& console) {
  ClientOptions options;
  // What is lost with a connection is to be seen as lost.
  options.reconnect = Reconnect::kNo;
  options.callbacks.on_disconnected = [this](const DisconnectedEvent& event) { OnDisconnected(event); };
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(plan_.connection, std::move(options), console);
  if (!client.ok()) return client.status();
  client_ = *std::move(client);
  SubscribeOptions subscribe = WithWindow();
  subscribe.run = Run::kInline;
  subscribe.on_end = [this](const SubscriptionEnd& end) { OnEnd(end); };
  absl::StatusOr<Subscription> subscription = client_->Subscribe(
      plan_.filter, [this](const MessageView& message) { OnMessage(message); }, std::move(subscribe));
  if (!subscription.ok()) return subscription.status();
  subscription_ = *std::move(subscription);
  return plan_.slow_handler.has_value() ? StartSlow() : absl::OkStatus();
}

SubscribeOptions BenchSubscriber::WithWindow() const {
  SubscribeOptions options;
  if (plan_.subscriber_window_bytes.has_value()) {
    options.window_bytes = options.window_bytes_max = *plan_.subscriber_window_bytes;
  }
  return options;
}

absl::Status BenchSubscriber::StartSlow() {
  SubscribeOptions options = WithWindow();
  options.overflow = OverflowPolicy::kDropOldest;
  absl::StatusOr<Subscription> subscription = client_->Subscribe(
      plan_.filter, [this](const MessageView& message) { OnSlowMessage(message); }, std::move(options));
  if (!subscription.ok()) return subscription.status();
  slow_subscription_ = *std::move(subscription);
  return absl::OkStatus();
}

void BenchSubscriber::OnSlowMessage(const MessageView& message) {
  const std::optional<BenchStamp> stamp = ReadBenchStamp(message.payload);
  const auto stops = [this](absl::Time until) { return WaitFor({stop_slow_.fd()}, until).has(0); };
  if (!stamp.has_value() || stops(absl::InfinitePast())) return;
  ++slow_handled_;
  staleness_ns_.Record(static_cast<uint64_t>(std::max<int64_t>(0, NowNs() - stamp->sent_ns)));
  (void)stops(client::MonotonicNow() + *plan_.slow_handler);
}

void BenchSubscriber::StopSlow() {
  if (!slow_subscription_.valid()) return;
  stop_slow_.Set();
  slow_subscription_.Unsubscribe();
  slow_missed_ = slow_subscription_.stats().told_missing;
  slow_subscription_ = Subscription();
}

void BenchSubscriber::OnMessage(const MessageView& message) {
  const int64_t now_ns = NowNs();
  const std::optional<BenchStamp> stamp = ReadBenchStamp(message.payload);
  if (!stamp.has_value() || stamp->publisher >= checks_.size()) {
    ++foreign_;
    return;
  }
  SequenceCheck& check = checks_[stamp->publisher];
  const uint64_t repeated_before = check.repeated();
  check.OnReceived(stamp->sequence);
  latency_ns_.Record(static_cast<uint64_t>(std::max<int64_t>(0, now_ns - stamp->sent_ns)));
  last_received_ns_ = now_ns;
  received_.store(received_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (check.repeated() == repeated_before) {
    distinct_.store(distinct_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  window_.OnReceived(index_, message.payload.size());
}

void BenchSubscriber::OnDisconnected(const DisconnectedEvent& event) {
  // We closed it ourselves.
  if (event.reason == Reason::kClientClosed) return;
  Fail(fmt::format("subscriber {} {}", index_ + 1, Describe(event)));
}

void BenchSubscriber::OnEnd(const SubscriptionEnd& end) {
  // We may have ended it ourselves.
  if (!IsSlowConsumer(end.reason)) return;
  Fail(fmt::format("subscriber {}: {}", index_ + 1, std::string(end.status.message())));
}

void BenchSubscriber::Fail(std::string problem) {
  {
    client::MutexLock lock(&mutex_);
    problem_ = std::move(problem);
  }
  healthy_.store(false);
  window_.Leave(index_);
}

void BenchSubscriber::Stop() {
  StopSlow();
  if (subscription_.valid()) subscription_.Unsubscribe();
  if (client_ != nullptr) client_->Close(absl::ZeroDuration()).IgnoreError();
}

void BenchSubscriber::Report(const std::vector<uint64_t>& sent, int64_t started_ns,
                             BenchReport* report) const {
  report->delivered += received_.load();
  for (size_t publisher = 0; publisher < checks_.size(); ++publisher) {
    report->lost += checks_[publisher].Lost(sent[publisher]);
    report->repeated += checks_[publisher].repeated();
    report->reordered += checks_[publisher].reordered();
  }
  report->foreign += foreign_;
  report->latency_ns.Merge(latency_ns_);
  report->slow_handled += slow_handled_;
  report->slow_missed += slow_missed_;
  report->staleness_ns.Merge(staleness_ns_);
  report->delivering =
      std::max(report->delivering, absl::Nanoseconds(std::max<int64_t>(0, last_received_ns_ - started_ns)));
  client::MutexLock lock(&mutex_);
  if (!problem_.empty()) report->problems.push_back(problem_);
}

// ---- Publisher ----

BenchPublisher::BenchPublisher(const BenchPlan* plan, uint32_t index, FlowWindow* window, const Event* stop)
    : plan_(*plan), index_(index), window_(*window), stop_(*stop) {}

BenchPublisher::~BenchPublisher() {
  if (thread_.joinable()) thread_.join();
}

absl::Status BenchPublisher::Connect(const Console& console) {
  ClientOptions options;
  options.reconnect = Reconnect::kNo;
  options.publish_timeout = kStep;
  // Without a window, the broker is what it runs ahead of; it should not be the memory.
  options.outgoing_bytes_max = 1 << 20;
  absl::StatusOr<std::unique_ptr<Client>> client =
      cli::Connect(plan_.connection, std::move(options), console);
  if (!client.ok()) return client.status();
  client_ = *std::move(client);
  return absl::OkStatus();
}

void BenchPublisher::Start(int64_t start_ns) {
  thread_ = std::thread([this, start_ns] { Run(start_ns); });
}

void BenchPublisher::Run(int64_t start_ns) {
  // With the usual 50 µs, every sleep would add as much to the latency.
  ::prctl(PR_SET_TIMERSLACK, 1);
  PublishAll(start_ns);
  const absl::StatusOr<PublishReceipt> receipt = client_->Confirm(plan_.patience);
  confirmed_ns_ = NowNs();
  if (receipt.ok()) {
    confirmed_ = receipt->messages - receipt->refused;
  } else if (problem_.empty()) {
    problem_ = std::string(receipt.status().message());
  }
  finished_.Set();
}

uint64_t BenchPublisher::messages_max() const {
  const uint64_t all = std::min(plan_.messages_max, kBenchSequencesMax - 1);
  return all / plan_.publishers + (index_ < all % plan_.publishers ? 1 : 0);
}

bool BenchPublisher::IsStopped() const { return !WaitFor({stop_.fd()}, absl::InfinitePast()).none(); }

void BenchPublisher::PublishAll(int64_t start_ns) {
  std::string payload(plan_.payload_bytes, '.');
  std::optional<Pacer> pacer;
  if (plan_.rate.has_value()) {
    pacer.emplace(*plan_.rate / static_cast<double>(plan_.publishers), start_ns, WhenLate::kCatchUp);
  }
  const int64_t end_ns = plan_.duration == absl::InfiniteDuration()
                             ? INT64_MAX
                             : start_ns + absl::ToInt64Nanoseconds(plan_.duration);
  const uint64_t messages = messages_max();
  for (uint64_t sequence = 0; sequence < messages; ++sequence) {
    if (pacer.has_value() && pacer->due_ns() > NowNs() &&
        WaitFor({stop_.fd()}, At(std::min(end_ns, pacer->due_ns()))).has(0)) {
      return;
    }
    if (plan_.loop == Loop::kClosed && window_.Take(plan_.payload_bytes) == FlowWindow::Taken::kStopped)
      return;
    const int64_t now_ns = NowNs();
    if (now_ns >= end_ns) return;
    // At a given rate the clock starts when the message was due, so that waiting for a slow broker counts.
    WriteBenchStamp(
        {.sequence = sequence, .publisher = index_, .sent_ns = pacer.has_value() ? pacer->due_ns() : now_ns},
        payload.data());
    if (const absl::Status status = PublishOne(plan_.topics[sequence % plan_.topics.size()], payload);
        !status.ok()) {
      if (!absl::IsCancelled(status)) {
        problem_ = fmt::format("publisher {}: {}", index_ + 1, std::string(status.message()));
      }
      return;
    }
    published_.store(sequence + 1, std::memory_order_relaxed);
    if (pacer.has_value()) pacer->Next(now_ns);
  }
}

absl::Status BenchPublisher::PublishOne(std::string_view topic, std::string_view payload) const {
  absl::Status status = client_->Publish(topic, payload);
  for (absl::Duration waited; absl::IsDeadlineExceeded(status) && waited < plan_.patience; waited += kStep) {
    if (IsStopped()) return absl::CancelledError("stopped");
    status = client_->Publish(topic, payload);
  }
  return status;
}

void BenchPublisher::Report(int64_t started_ns, BenchReport* report) {
  thread_.join();
  report->published += published();
  report->confirmed += confirmed_;
  report->publishing = std::max(report->publishing, absl::Nanoseconds(confirmed_ns_ - started_ns));
  if (!problem_.empty()) report->problems.push_back(problem_);
}

}  // namespace sluice::cli
