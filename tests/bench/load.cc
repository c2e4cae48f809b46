#include "tests/bench/load.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>

#include "tests/bench/adapter.h"
#include "tests/bench/churner.h"
#include "tests/bench/clients.h"
#include "tests/bench/connection.h"
#include "tests/bench/publisher.h"
#include "tests/bench/stamp.h"
#include "tests/bench/subscriber.h"

namespace sluice::bench {
namespace {

constexpr size_t kReadBytes = 256 << 10;
constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kWaitMaxNs = kSecondNs / 10;
constexpr int64_t kStallMaxNs = 5 * kSecondNs;
constexpr int64_t kDrainStallMaxNs = 3 * kSecondNs;
constexpr int64_t kSampleNs = kSecondNs / 20;

int64_t NowNs() {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * kSecondNs + time.tv_nsec;
}

double Seconds(int64_t ns) { return static_cast<double>(ns) / kSecondNs; }

double OwnCpuSeconds() { return Seconds(testing::ProcessUse(::getpid()).cpu_ns()); }

enum class Source : uint32_t { kSubscriber, kPublisher };

uint64_t Token(Source source, size_t index) { return static_cast<uint64_t>(source) << 32 | index; }

class Load {
 public:
  explicit Load(const Workload& workload)
      : workload_(workload),
        adapter_(MakeAdapter(workload.protocol, workload.payload_bytes)),
        broker_(workload.pid),
        poller_(::epoll_create1(EPOLL_CLOEXEC)),
        room_(kReadBytes),
        sent_(size_t{workload.topics} * workload.publishers) {
    // Timers as exact as they can be: the kernel's default is up to 50 us late.
    ::prctl(PR_SET_TIMERSLACK, 1);
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load() { ::close(poller_); }

  LoadResult Run() {
    Connect();
    result_.rss_bytes_before = broker_.memory().rss_bytes;
    descriptors_before_ = broker_.descriptors();
    begin_ns_ = NowNs();
    next_sample_ns_ = begin_ns_;
    const int64_t measure_ns = begin_ns_ + absl::ToInt64Nanoseconds(workload_.warm_up);
    RunUntil(measure_ns);
    const LoadResult before = Totals();
    measuring_from_ns_ = measure_ns;
    const int64_t measured_from_ns = NowNs();
    RunUntil(measure_ns + absl::ToInt64Nanoseconds(workload_.duration));
    const LoadResult after = Totals();
    result_.seconds = Seconds(NowNs() - measured_from_ns);
    result_.messages = after.messages - before.messages;
    result_.deliveries = after.deliveries - before.deliveries;
    result_.broker_cpu_seconds = after.broker_cpu_seconds - before.broker_cpu_seconds;
    result_.broker_cpu.user_seconds = after.broker_cpu.user_seconds - before.broker_cpu.user_seconds;
    result_.broker_cpu.system_seconds = after.broker_cpu.system_seconds - before.broker_cpu.system_seconds;
    result_.generator_cpu_seconds = after.generator_cpu_seconds - before.generator_cpu_seconds;
    measuring_from_ns_ = INT64_MAX;
    Drain();
    result_.memory = broker_.memory();
    Judge();
    return std::move(result_);
  }

 private:
  void Connect() {
    Clients clients = OpenClients(workload_, *adapter_, broker_);
    result_.idle_connections = clients.idle_connections;
    result_.connections = clients.connections;
    result_.subscriptions = clients.subscriptions;
    idle_ = std::move(clients.idle);
    stuck_ = std::move(clients.stuck);
    for (uint32_t i = 0; i < workload_.subscribers; ++i) AddSubscriber(std::move(clients.subscribers[i]), i);
    for (auto& connection : clients.publishers) {
      connection->StopBlocking();
      Watch(connection->fd(), EPOLLIN | EPOLLOUT | EPOLLET, Token(Source::kPublisher, publishers_.size()));
      publishers_.push_back(std::make_unique<Publisher>(std::move(connection), *adapter_));
    }
    for (auto& connection : clients.churners) {
      churner_ = std::make_unique<Churner>(std::move(connection), workload_.churn);
    }
    if (!workload_.progress_file.empty()) MapProgress();
  }

  void AddSubscriber(std::unique_ptr<Connection> connection, uint32_t index) {
    connection->StopBlocking();
    Watch(connection->fd(), EPOLLIN, Token(Source::kSubscriber, index));
    const size_t streams = size_t{workload_.TopicsOf(index)} * workload_.publishers;
    subscribers_.push_back(std::make_unique<Subscriber>(std::move(connection), streams));
    received_.push_back(0);
  }

  void Watch(int fd, uint32_t interest, uint64_t token) const {
    epoll_event event = {.events = interest, .data = {.u64 = token}};
    ::epoll_ctl(poller_, EPOLL_CTL_ADD, fd, &event);
  }

  void MapProgress() {
    const int fd = ::open(workload_.progress_file.c_str(), O_RDONLY | O_CLOEXEC);
    void* const page = ::mmap(nullptr, sizeof(uint64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0) ::close(fd);
    if (page == MAP_FAILED) throw std::runtime_error("cannot map " + workload_.progress_file);
    progress_ = static_cast<const std::atomic<uint64_t>*>(page);
  }

  void RunUntil(int64_t end_ns) {
    for (int64_t now_ns = NowNs(); now_ns < end_ns; now_ns = NowNs()) {
      Sample(now_ns);
      int64_t wait_ns = std::min({end_ns - now_ns, kWaitMaxNs, next_sample_ns_ - now_ns});
      wait_ns = std::min(wait_ns, workload_.rate > 0 ? PublishDue(now_ns) : PublishWithinWindow(now_ns));
      if (churner_ != nullptr) wait_ns = std::min(wait_ns, Churn(now_ns));
      HandleEvents(std::max<int64_t>(0, wait_ns));
    }
  }

  // Deliveries under way to the healthy subscriber that is furthest behind.
  uint64_t UnderWay() const {
    if (workload_.layout == Layout::kSplit) {
      return messages_ - forgiven_ - std::min(messages_ - forgiven_, deliveries_);
    }
    uint64_t slowest = messages_;
    for (const uint64_t received : received_) slowest = std::min(slowest, received);
    if (progress_ != nullptr) slowest = std::min(slowest, progress_->load(std::memory_order_acquire));
    return messages_ - slowest;
  }

  int64_t PublishWithinWindow(int64_t now_ns) {
    const uint64_t window = workload_.window_messages();
    uint64_t under_way = UnderWay();
    if (under_way >= window && now_ns - last_progress_ns_ > kStallMaxNs && last_progress_ns_ > 0) {
      Forgive(now_ns);
      under_way = 0;
    }
    int64_t wait_ns = progress_ != nullptr ? kSecondNs / 10'000 : kWaitMaxNs;
    for (size_t i = 0; i < publishers_.size() && under_way < window; ++i) {
      const size_t p = (first_publisher_ + i) % publishers_.size();
      while (publishers_[p]->HasRoom() && under_way < window) {
        AddMessage(p, now_ns);
        ++under_way;
      }
      if (Flush(p) == FlushOutcome::kSent && under_way < window) wait_ns = 0;
    }
    first_publisher_ = (first_publisher_ + 1) % publishers_.size();
    return wait_ns;
  }

  // What was lost will not come: the window must not wait for it.
  void Forgive(int64_t now_ns) {
    ++result_.stalls;
    last_progress_ns_ = now_ns;
    for (uint64_t& received : received_) received = std::max(received, messages_);
    forgiven_ = messages_ - std::min(messages_, deliveries_);
  }

  int64_t PublishDue(int64_t now_ns) {
    const auto due_ns = [&] {
      return begin_ns_ + static_cast<int64_t>(static_cast<double>(messages_) / workload_.rate * 1e9);
    };
    while (due_ns() <= now_ns) {
      const size_t p = messages_ % publishers_.size();
      if (!publishers_[p]->HasRoom() && Flush(p) != FlushOutcome::kSent) return kWaitMaxNs;
      AddMessage(p, due_ns());
    }
    for (size_t p = 0; p < publishers_.size(); ++p) {
      if (publishers_[p]->HasUnsent()) (void)Flush(p);
    }
    return due_ns() - NowNs();
  }

  void AddMessage(size_t publisher, int64_t sent_ns) {
    const uint32_t topic = NextTopic();
    const uint32_t stream = workload_.StreamOf(topic, static_cast<uint32_t>(publisher));
    publishers_[publisher]->Add(topic, {.stream = stream, .sequence = sent_[stream]++, .sent_ns = sent_ns});
    ++messages_;
  }

  // xorshift64: the draw must not cost more than the message.
  uint32_t NextTopic() {
    if (workload_.topics == 1) return 0;
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return static_cast<uint32_t>((random_ >> 32) * workload_.topics >> 32);
  }

  FlushOutcome Flush(size_t publisher) {
    const FlushOutcome outcome = publishers_[publisher]->Flush();
    if (outcome == FlushOutcome::kClosed) throw std::runtime_error("the broker cut a publisher");
    return outcome;
  }

  int64_t Churn(int64_t now_ns) {
    Parsed parsed;
    while (begin_ns_ + churner_->due_ns() <= now_ns) churner_->Turn(*adapter_, &room_, &parsed);
    result_.errors += parsed.errors;
    return begin_ns_ + churner_->due_ns() - now_ns;
  }

  void HandleEvents(int64_t wait_ns) {
    std::array<epoll_event, 256> events;
    const timespec wait = {.tv_sec = wait_ns / kSecondNs, .tv_nsec = wait_ns % kSecondNs};
    const int count = ::epoll_pwait2(poller_, events.data(), events.size(), &wait, nullptr);
    for (int i = 0; i < count; ++i) {
      const uint64_t token = events[static_cast<size_t>(i)].data.u64;
      const size_t index = token & UINT32_MAX;
      if (static_cast<Source>(token >> 32) == Source::kSubscriber) {
        Receive(index);
      } else {
        parsed_.payloads.clear();
        publishers_[index]->ReadAnswers(*adapter_, &room_, &parsed_);
        if (publishers_[index]->HasUnsent()) (void)Flush(index);
      }
    }
  }

  void Receive(size_t index) {
    Subscriber& subscriber = *subscribers_[index];
    parsed_.payloads.clear();
    if (subscriber.Read(*adapter_, &room_, &parsed_) == ReadOutcome::kClosed) return LoseSubscriber(index);
    if (parsed_.payloads.empty()) return;
    const int64_t now_ns = NowNs();
    const bool every = workload_.rate > 0;
    if (!every) RecordLatency(ReadStamp(parsed_.payloads.front()), now_ns);
    for (const char* payload : parsed_.payloads) {
      const Stamp stamp = ReadStamp(payload);
      subscriber.checks().OnReceived(workload_.LocalStream(static_cast<uint32_t>(index), stamp.stream),
                                     stamp.sequence);
      if (every) RecordLatency(stamp, now_ns);
    }
    received_[index] += parsed_.payloads.size();
    deliveries_ += parsed_.payloads.size();
    last_progress_ns_ = now_ns;
  }

  void RecordLatency(const Stamp& stamp, int64_t now_ns) {
    if (stamp.sent_ns < measuring_from_ns_) return;
    result_.latency.Record(static_cast<uint64_t>(std::max<int64_t>(0, now_ns - stamp.sent_ns)));
  }

  void LoseSubscriber(size_t index) {
    ::epoll_ctl(poller_, EPOLL_CTL_DEL, subscribers_[index]->connection().fd(), nullptr);
    ++result_.healthy_cut;
    received_[index] = UINT64_MAX;  // no longer waited for
    if (result_.healthy_cut == workload_.subscribers) throw std::runtime_error("all subscribers were cut");
  }

  void Sample(int64_t now_ns) {
    if (now_ns < next_sample_ns_) return;
    next_sample_ns_ = now_ns + kSampleNs;
    const double seconds = Seconds(now_ns - begin_ns_);
    if (workload_.stuck > 0) {
      const uint64_t descriptors = broker_.descriptors() + result_.healthy_cut;
      const uint64_t cut = descriptors_before_ - std::min(descriptors_before_, descriptors);
      if (cut > result_.stuck_cut) {
        if (result_.stuck_cut == 0) result_.first_cut_seconds = seconds;
        result_.last_cut_seconds = seconds;
        result_.stuck_cut = cut;
      }
    }
    if (samples_++ % 5 != 0) return;
    result_.timeline.push_back({.seconds = seconds,
                                .deliveries = deliveries_,
                                .rss_bytes = broker_.memory().rss_bytes,
                                .stuck_cut = result_.stuck_cut});
  }

  LoadResult Totals() const {
    LoadResult totals;
    totals.messages = messages_;
    totals.deliveries = deliveries_;
    totals.broker_cpu_seconds = Seconds(broker_.cpu_ns());
    totals.broker_cpu = broker_.cpu();
    totals.generator_cpu_seconds = OwnCpuSeconds();
    return totals;
  }

  // Everything that is under way, as long as something comes.
  void Drain() {
    const uint64_t receivers = workload_.layout == Layout::kAll ? subscribers_.size() : 1;
    last_progress_ns_ = NowNs();
    while (deliveries_ < messages_ * receivers && NowNs() - last_progress_ns_ < kDrainStallMaxNs) {
      for (size_t p = 0; p < publishers_.size(); ++p) {
        if (publishers_[p]->HasUnsent()) (void)Flush(p);
      }
      HandleEvents(kWaitMaxNs);
    }
  }

  void Judge() {
    result_.messages_sent = messages_;
    result_.errors += parsed_.errors;
    if (churner_ != nullptr) result_.churned = churner_->pairs();
    for (uint32_t i = 0; i < workload_.subscribers; ++i) {
      const StreamChecks& checks = subscribers_[i]->checks();
      result_.repeated += checks.repeated();
      result_.reordered += checks.reordered();
      result_.foreign += checks.foreign();
      for (uint32_t k = 0; k < workload_.TopicsOf(i); ++k) {
        for (uint32_t p = 0; p < workload_.publishers; ++p) {
          const uint32_t stream = workload_.StreamOf(workload_.TopicOf(i, k), p);
          result_.lost += checks.Lost(workload_.LocalStream(i, stream), sent_[stream]);
        }
      }
    }
  }

  const Workload workload_;
  const std::unique_ptr<Adapter> adapter_;
  const testing::ProcessUse broker_;
  const int poller_;
  LoadResult result_;

  Connections idle_;
  Connections stuck_;
  std::vector<std::unique_ptr<Subscriber>> subscribers_;
  std::vector<std::unique_ptr<Publisher>> publishers_;
  std::unique_ptr<Churner> churner_;
  const std::atomic<uint64_t>* progress_ = nullptr;

  // Shared by all reads, so that it stays in the cache.
  std::vector<char> room_;
  Parsed parsed_;

  // Per stream.
  std::vector<uint32_t> sent_;
  uint64_t messages_ = 0;
  // Per subscriber, and of all.
  std::vector<uint64_t> received_;
  uint64_t deliveries_ = 0;
  uint64_t forgiven_ = 0;

  size_t first_publisher_ = 0;
  uint64_t random_ = 0x9e3779b97f4a7c15;
  int64_t begin_ns_ = 0;
  int64_t measuring_from_ns_ = INT64_MAX;
  int64_t last_progress_ns_ = 0;
  int64_t next_sample_ns_ = 0;
  uint64_t samples_ = 0;
  uint64_t descriptors_before_ = 0;
};

}  // namespace

LoadResult RunLoad(const Workload& workload) { return Load(workload).Run(); }

}  // namespace sluice::bench
