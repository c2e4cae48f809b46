// The broker as a whole: its shards and their threads, the listener, the HTTP side. What main() starts and
// stops.
//
//   absl::StatusOr<std::unique_ptr<Broker>> broker = Broker::Start(config, &log);
//   if (!broker.ok()) ...                          // a sentence for the operator
//   log.Info("serving", {{"listen", (*broker)->client_address()}});
//   ...
//   (*broker)->Drain();                            // SIGTERM: what is queued is delivered, then Goodbye
//   (*broker)->Wait();
//
// Thread safety: Start, Reload, Drain and Wait by one thread; what SnapshotSource asks, by the HTTP threads.
#ifndef SLUICE_BROKER_BROKER_H_
#define SLUICE_BROKER_BROKER_H_

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "broker/acceptor.h"
#include "broker/config.h"
#include "broker/core/chunk.h"
#include "broker/episodes.h"
#include "broker/log.h"
#include "broker/session_limits.h"
#include "broker/session_records.h"
#include "broker/shard.h"
#include "metrics/exporter.h"
#include "protocol/mutex.h"

namespace sluice {

class Broker : private SnapshotSource {
 public:
  // Listens, and serves from then on. `log` outlives the broker. The error says what could not be done and
  // why: AlreadyExists (a port is in use), PermissionDenied, NotFound (no such address), ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<Broker>> Start(const Config& config, Logger* log);

  // Drains and waits, if that was not done.
  ~Broker() override;

  // HOST:PORT in use, the real ports where 0 was asked for. http_address() is empty when there is none.
  const std::string& client_address() const { return client_address_; }
  const std::string& http_address() const { return http_address_; }
  // What is in force: as of the start, but for what Reload() has changed.
  const Config& config() const { return config_; }

  // Takes no new connections, delivers what is queued for at most drain_timeout, says Goodbye to everybody.
  // Returns at once.
  void Drain();
  // Takes what a running broker can take of another configuration, and says in the log what has changed and what needs
  // a restart.
  void Reload(const Config& config);
  // Returns when every session has ended.
  void Wait();

  // Whether every shard has had a turn lately; any thread.
  absl::Status Healthy() const override;

 private:
  Broker(const Config& config, Logger* log);
  absl::Status Open();
  std::shared_ptr<const SessionLimits> limits() const ABSL_LOCKS_EXCLUDED(limits_mutex_);
  // The answers of the shards that come in time.
  std::vector<TopicsTask::Answer> AskForTopics(size_t loudest_max, const std::vector<std::string>& count_for,
                                               absl::Time until);

  std::vector<const ShardCounters*> Counters() const override;
  SurveyAnswer Survey(const SurveyRequest& request, absl::Duration wait_max) override;
  absl::Status Kick(const SessionName& session, absl::Duration wait_max) override;
  void BeginDrain() override;
  admin::BrokerInfo Describe() const override;
  admin::EpisodeList ListEpisodes(size_t episodes_max) const override;
  admin::TopicList ListTopics(size_t topics_max, absl::Duration wait_max) override;
  MemoryUse Memory() const override;
  absl::Status Ready() const override;

  Config config_;
  Logger* const log_;
  mutable Mutex limits_mutex_;
  std::shared_ptr<const SessionLimits> limits_ ABSL_GUARDED_BY(limits_mutex_);
  MemoryAccount memory_;
  SessionRecords records_;
  Episodes episodes_;
  ConnectionSlots slots_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::thread> threads_;
  enum class Phase { kStarting, kServing, kDraining };
  std::atomic<Phase> phase_{Phase::kStarting};
  const absl::Time started_ = absl::Now();
  std::string client_address_;
  std::string http_address_;
  // Last, so that it is gone before what it asks.
  std::unique_ptr<Exporter> exporter_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_BROKER_H_
