#include "broker/broker.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <optional>
#include <utility>

#include "broker/clock.h"
#include "broker/consumer_survey.h"
#include "broker/http_token.h"
#include "broker/memory_limit.h"
#include "broker/net/address.h"
#include "broker/net/listener_socket.h"
#include "broker/settings.h"

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

// What a shard promised; nullopt: it has not answered by then.
template <typename Value>
std::optional<Value> Await(std::promise<Value>* promise, absl::Time until) {
  std::future<Value> value = promise->get_future();
  const absl::Duration left = std::max(absl::ZeroDuration(), until - MonotonicNow());
  if (value.wait_for(absl::ToChronoNanoseconds(left)) != std::future_status::ready) return std::nullopt;
  return value.get();
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
      limits_(std::make_shared<const SessionLimits>(config)),
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
        Shard::Create(options, limits().get(), &memory_, &records_, &episodes_, log_);
    if (!shard.ok()) return shard.status();
    shards_.push_back(*std::move(shard));
  }
  for (uint32_t i = 0; i < shards_.size(); ++i) shards_[i]->SetPeers(i, shards_);

  if (config_.http != Config::kOff) {
    absl::StatusOr<std::string> token = ReadHttpToken(config_.http_token_file);
    if (!token.ok()) return token.status();
    const ExporterOptions exporting = {
        .build = {.version = SLUICE_VERSION, .compiler = SLUICE_COMPILER, .build_type = BuildType()},
        .actions_token = *std::move(token),
        .top_consumers = config_.top_consumers};
    absl::StatusOr<std::unique_ptr<Exporter>> exporter = Exporter::Start(config_.http, exporting, this);
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
  for (const auto& one : shards_) {
    threads_.emplace_back([&one] { one->Run(); });
    // For top -H and gdb.
    const std::string name = fmt::format("shard-{}", threads_.size() - 1);
    ::pthread_setname_np(threads_.back().native_handle(), name.c_str());
  }
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
  for (const auto& shard : shards_)
    shard->Post(DrainCommand{config_.drain_timeout, config_.reconnect_spread});
}

void Broker::Reload(const Config& config) {
  size_t changed = 0;
  const auto note = [&](const std::string& setting, const std::string& before, const std::string& after,
                        bool taken) {
    if (before == after) return;
    if (!taken) {
      return log_->Warn("setting needs a restart, and stays as it was",
                        {{"setting", setting}, {"is", before}, {"would_be", after}});
    }
    ++changed;
    log_->Info("setting changed", {{"setting", setting}, {"was", before}, {"is", after}});
  };
  for (const Setting& setting : Settings()) {
    const std::string after = Show(setting, config);
    const bool taken = CanChangeAtRunTime(setting);
    note(setting.Path(), Show(setting, config_), after, taken);
    // It was good in the other configuration.
    if (taken) (void)Assign(setting, after, &config_);
  }
  note("subscription_rules", RulesToToml(config_), RulesToToml(config), true);
  config_.subscription_rules = config.subscription_rules;
  log_->SetLevel(config_.log_level);
  const auto limits = std::make_shared<const SessionLimits>(config_);
  {
    const MutexLock lock(&limits_mutex_);
    limits_ = limits;
  }
  for (const auto& shard : shards_) shard->Post(LimitsCommand{limits});
  log_->Info("configuration read again", {{"settings_changed", changed}});
}

std::shared_ptr<const SessionLimits> Broker::limits() const {
  const MutexLock lock(&limits_mutex_);
  return limits_;
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

SurveyAnswer Broker::Survey(const SurveyRequest& request, absl::Duration wait_max) {
  const absl::Time until = MonotonicNow() + wait_max;
  // Kept until the end, so that a shard that ends meanwhile breaks no promise.
  std::vector<std::shared_ptr<SurveyTask>> tasks;
  for (const auto& shard : shards_) {
    tasks.push_back(std::make_shared<SurveyTask>());
    tasks.back()->request = request;
    shard->Post(SurveyCommand{tasks.back()});
  }
  SurveyAnswer all;
  for (const auto& task : tasks) {
    if (std::optional<SurveyAnswer> answer = Await(&task->answer, until)) {
      all.Merge(*std::move(answer), request.consumers_max);
    } else {
      ++all.distributions.shards_missing;
    }
  }
  return all;
}

absl::Status Broker::Kick(const SessionName& session, absl::Duration wait_max) {
  if (session.shard >= shards_.size()) return absl::NotFoundError("there is no such shard");
  const auto task = std::make_shared<KickTask>();
  task->token = session.token;
  shards_[session.shard]->Post(KickCommand{task});
  const std::optional<KickTask::Outcome> outcome = Await(&task->outcome, MonotonicNow() + wait_max);
  if (!outcome.has_value()) return absl::DeadlineExceededError("the shard does not answer");
  return *outcome == KickTask::Outcome::kKicked ? absl::OkStatus()
                                                : absl::NotFoundError("there is no such session");
}

// It is the main thread's to end the process.
void Broker::BeginDrain() {
  log_->Info("drain asked for over HTTP");
  ::kill(::getpid(), SIGTERM);
}

admin::BrokerInfo Broker::Describe() const {
  admin::BrokerInfo info;
  info.set_version(SLUICE_VERSION);
  info.mutable_started()->set_seconds(absl::ToUnixSeconds(started_));
  info.set_uptime_seconds(absl::ToDoubleSeconds(absl::Now() - started_));
  info.set_state(phase_ == Phase::kDraining ? "draining" : "serving");
  info.set_listen(client_address_);
  const std::shared_ptr<const SessionLimits> limits = this->limits();
  *info.mutable_default_limits() = ShowLimits(limits->queue);
  info.set_session_bytes_max(static_cast<double>(limits->subscriber.session_bytes_max));
  info.set_write_timeout_seconds(absl::ToDoubleSeconds(limits->subscriber.write_timeout));
  info.set_dashboard_url(config_.dashboard_url);
  info.set_connections_max(static_cast<double>(slots_.slots_max()));
  return info;
}

std::vector<TopicsTask::Answer> Broker::AskForTopics(size_t loudest_max,
                                                     const std::vector<std::string>& count_for,
                                                     absl::Time until) {
  std::vector<std::shared_ptr<TopicsTask>> tasks;
  for (const auto& shard : shards_) {
    tasks.push_back(std::make_shared<TopicsTask>());
    tasks.back()->loudest_max = loudest_max;
    tasks.back()->count_for = count_for;
    shard->Post(TopicsCommand{tasks.back()});
  }
  std::vector<TopicsTask::Answer> answers;
  for (const auto& task : tasks) {
    if (std::optional<TopicsTask::Answer> answer = Await(&task->answer, until)) {
      answers.push_back(*std::move(answer));
    }
  }
  return answers;
}

// Topics are known where they are published, subscriptions everywhere.
admin::TopicList Broker::ListTopics(size_t topics_max, absl::Duration wait_max) {
  const absl::Time until = MonotonicNow() + wait_max;
  std::vector<std::vector<SampledTopic>> of_shards;
  for (TopicsTask::Answer& answer : AskForTopics(kTopicsSampledMax, {}, until)) {
    of_shards.push_back(std::move(answer.loudest));
  }
  const std::vector<SampledTopic> loudest = MergedTopics(of_shards, topics_max);
  std::vector<std::string> names;
  for (const SampledTopic& one : loudest) names.push_back(one.topic);
  const std::vector<TopicsTask::Answer> counted = AskForTopics(0, names, until);

  admin::TopicList list;
  for (size_t i = 0; i < loudest.size(); ++i) {
    admin::Topic* topic = list.add_topics();
    topic->set_topic(loudest[i].topic);
    topic->set_messages_per_second(loudest[i].messages_per_second);
    topic->set_bytes_per_second(loudest[i].bytes_per_second);
    double subscribers = 0;
    for (const TopicsTask::Answer& answer : counted)
      subscribers += static_cast<double>(answer.subscribers[i]);
    topic->set_subscribers(subscribers);
    for (const PublisherShare& one : loudest[i].publishers) {
      admin::Share* share = topic->add_publishers();
      share->set_name(one.publisher);
      share->set_share(one.share);
    }
  }
  list.set_shards_missing(static_cast<double>(shards_.size() - std::min(shards_.size(), counted.size())));
  return list;
}

admin::EpisodeList Broker::ListEpisodes(size_t episodes_max) const {
  return episodes_.List(episodes_max, MonotonicNow(), absl::Now());
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
      break;
    case Phase::kStarting:
      return absl::UnavailableError("starting");
    case Phase::kDraining:
      return absl::UnavailableError("draining: going down");
  }
  if (std::any_of(shards_.begin(), shards_.end(),
                  [](const auto& shard) { return shard->memory_used_up(); })) {
    return absl::UnavailableError(fmt::format("the memory budget is used up, publishers wait: {} of {} bytes",
                                              memory_.bytes(), memory_.budget_bytes()));
  }
  return Healthy();
}

}  // namespace sluice
