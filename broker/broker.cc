#include "broker/broker.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "broker/clock.h"
#include "broker/memory_limit.h"
#include "broker/net/address.h"
#include "broker/net/listener_socket.h"

namespace sluice {
namespace {

// What a broker opens besides its clients' connections.
constexpr uint64_t kDescriptorsOfOurOwn = 128;
constexpr absl::Duration kStuckAfter = absl::Seconds(10);

// As many connections as descriptors allow; raises the process' soft limit to its hard one for that.
uint64_t ConnectionsMax(uint64_t wanted, Logger* log) {
  rlimit files = {};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return wanted;
  if (files.rlim_cur < wanted + kDescriptorsOfOurOwn && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, wanted + kDescriptorsOfOurOwn);
    (void)::setrlimit(RLIMIT_NOFILE, &files);
    (void)::getrlimit(RLIMIT_NOFILE, &files);
  }
  if (files.rlim_cur >= wanted + kDescriptorsOfOurOwn) return wanted;
  const uint64_t possible =
      files.rlim_cur > 2 * kDescriptorsOfOurOwn ? files.rlim_cur - kDescriptorsOfOurOwn : files.rlim_cur / 2;
  log->Warn("connections_max is lowered to what the limit of open files allows",
            {{"connections_max", wanted}, {"lowered_to", possible}, {"open_files_max", files.rlim_cur}});
  return possible;
}

// Half of what the process may have: the other half is for connections, subscriptions and the kernel's buffers.
int64_t BudgetBytes(uint64_t configured) {
  const uint64_t bytes = configured != 0 ? configured : MemoryLimitBytes() / 2;
  return static_cast<int64_t>(std::min<uint64_t>(bytes, INT64_MAX));
}

std::string BuildType() {
#if defined(__SANITIZE_ADDRESS__)
  return "address sanitizer";
#elif defined(__SANITIZE_THREAD__)
  return "thread sanitizer";
#elif defined(NDEBUG)
  return "release";
#else
  return "debug";
#endif
}

}  // namespace

Broker::Broker(const Config& config, Logger* log)
    : config_(config),
      log_(log),
      limits_(config),
      memory_(BudgetBytes(config.memory_budget_bytes)),
      slots_(ConnectionsMax(config.connections_max, log)) {}

absl::StatusOr<std::unique_ptr<Broker>> Broker::Start(const Config& config, Logger* log) {
  std::unique_ptr<Broker> broker(new Broker(config, log));
  if (const absl::Status opened = broker->Open(); !opened.ok()) return opened;
  return broker;
}

absl::Status Broker::Open() {
  const absl::StatusOr<net::HostPort> where = net::HostPort::Parse(config_.listen);
  if (!where.ok()) return where.status();
  absl::StatusOr<net::ListenerSocket> listener = net::ListenerSocket::Listen(*where, net::kBacklogDefault);
  if (!listener.ok()) return listener.status();
  client_address_ = listener->address().ToString();

  const ShardOptions options = {.chunk_bytes = static_cast<uint32_t>(config_.chunk_bytes),
                                .match_cache_topics = config_.match_cache_topics};
  for (uint64_t i = 0; i < config_.shards; ++i) {
    absl::StatusOr<std::unique_ptr<Shard>> shard =
        Shard::Create(options, &limits_, &memory_, &records_, log_);
    if (!shard.ok()) return shard.status();
    shards_.push_back(*std::move(shard));
  }
  for (uint32_t i = 0; i < shards_.size(); ++i) shards_[i]->SetPeers(i, shards_);

  if (config_.http != Config::kOff) {
    const BuildInfo build = {
        .version = SLUICE_VERSION, .compiler = SLUICE_COMPILER, .build_type = BuildType()};
    absl::StatusOr<std::unique_ptr<Exporter>> exporter = Exporter::Start(config_.http, build, this);
    if (!exporter.ok()) return exporter.status();
    exporter_ = *std::move(exporter);
    absl::StatusOr<net::HostPort> http = net::HostPort::Parse(config_.http);
    if (!http.ok()) return http.status();
    http->port = exporter_->port();
    http_address_ = http->ToString();
  }

  net::SocketOptions socket_options;
  socket_options.notsent_lowat_bytes = static_cast<uint32_t>(config_.notsent_lowat_bytes);
  socket_options.send_buffer_bytes = static_cast<uint32_t>(config_.send_buffer_bytes);
  absl::Status listening = shards_.front()->Listen(*std::move(listener), socket_options, &slots_);
  if (!listening.ok()) return listening;
  for (const auto& one : shards_) threads_.emplace_back([&one] { one->Run(); });
  phase_ = Phase::kServing;
  return absl::OkStatus();
}

Broker::~Broker() {
  Drain();
  Wait();
  exporter_.reset();
}

void Broker::Drain() {
  if (phase_.exchange(Phase::kDraining) == Phase::kDraining) return;
  for (const auto& shard : shards_) shard->Post(DrainCommand{config_.drain_timeout});
}

void Broker::Wait() {
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

std::vector<const ShardCounters*> Broker::Counters() const {
  std::vector<const ShardCounters*> counters;
  for (const auto& shard : shards_) counters.push_back(&shard->counters());
  return counters;
}

SubscriptionDistributions Broker::AskDistributions(absl::Duration wait_max) {
  const absl::Time until = MonotonicNow() + wait_max;
  std::vector<std::shared_ptr<DistributionAnswer>> answers;
  for (const auto& shard : shards_) {
    answers.push_back(std::make_shared<DistributionAnswer>());
    shard->Post(AskDistributionCommand{answers.back()});
  }
  SubscriptionDistributions all;
  for (const auto& answer : answers) {
    const absl::Duration left = std::max(absl::ZeroDuration(), until - MonotonicNow());
    if (answer->ready.get_future().wait_for(absl::ToChronoNanoseconds(left)) != std::future_status::ready) {
      ++all.shards_missing;
      continue;
    }
    all.pending_bytes.Merge(answer->pending_bytes);
    all.pending_messages.Merge(answer->pending_messages);
  }
  return all;
}

MemoryUse Broker::Memory() const {
  return {.retained_bytes = static_cast<uint64_t>(std::max<int64_t>(0, memory_.bytes())),
          .budget_bytes = static_cast<uint64_t>(memory_.budget_bytes())};
}

absl::Status Broker::Healthy() const {
  for (size_t i = 0; i < shards_.size(); ++i) {
    const absl::Duration still = MonotonicNow() - shards_[i]->last_turn();
    if (still < kStuckAfter || phase_ != Phase::kServing) continue;
    return absl::UnavailableError(
        fmt::format("shard {} has not turned for {}", i, absl::FormatDuration(still)));
  }
  return absl::OkStatus();
}

absl::Status Broker::Ready() const {
  switch (phase_) {
    case Phase::kServing:
      return Healthy();
    case Phase::kStarting:
      return absl::UnavailableError("starting");
    case Phase::kDraining:
      return absl::UnavailableError("draining: going down");
  }
  return absl::OkStatus();
}

}  // namespace sluice
