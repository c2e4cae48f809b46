// A broker of numbers only, for tests of what the exporter shows.
#ifndef SLUICE_TESTS_METRICS_FAKE_SOURCE_H_
#define SLUICE_TESTS_METRICS_FAKE_SOURCE_H_

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "metrics/exporter.h"

namespace sluice::testing {

class FakeSource : public SnapshotSource {
 public:
  // Its two shards; count in them as the shards do.
  std::array<ShardCounters, 2> shards;

  void SetDistributions(const SubscriptionDistributions& distributions) {
    const std::scoped_lock lock(mutex_);
    distributions_ = distributions;
  }
  void SetHealthy(const absl::Status& status) {
    const std::scoped_lock lock(mutex_);
    healthy_ = status;
  }
  void SetReady(const absl::Status& status) {
    const std::scoped_lock lock(mutex_);
    ready_ = status;
  }
  // One shard does not answer any more: who asks waits as long as it is willing to.
  enum class Shards { kAnswer, kOneIsStuck };
  void SetShards(Shards shards_now) {
    const std::scoped_lock lock(mutex_);
    shards_now_ = shards_now;
    changed_.notify_all();
  }
  void SetConsumers(const std::vector<SurveyedConsumer>& consumers) {
    const std::scoped_lock lock(mutex_);
    consumers_ = consumers;
  }
  // Sessions that Kick() finds.
  void SetSessions(const std::vector<SessionName>& sessions) {
    const std::scoped_lock lock(mutex_);
    sessions_ = sessions;
  }
  SurveyRequest last_request() const {
    const std::scoped_lock lock(mutex_);
    return last_request_;
  }
  std::vector<SessionName> kicked() const {
    const std::scoped_lock lock(mutex_);
    return kicked_;
  }
  int drains() const {
    const std::scoped_lock lock(mutex_);
    return drains_;
  }
  // How often it was asked.
  int asked() const {
    const std::scoped_lock lock(mutex_);
    return asked_;
  }

  std::vector<const ShardCounters*> Counters() const override { return {&shards[0], &shards[1]}; }
  SurveyAnswer Survey(const SurveyRequest& request, absl::Duration wait_max) override {
    std::unique_lock lock(mutex_);
    ++asked_;
    last_request_ = request;
    SurveyAnswer answer = {distributions_, consumers_};
    if (answer.consumers.size() > request.consumers_max) answer.consumers.resize(request.consumers_max);
    if (!WaitForShards(&lock, wait_max)) ++answer.distributions.shards_missing;
    return answer;
  }
  absl::Status Kick(const SessionName& session, absl::Duration wait_max) override {
    std::unique_lock lock(mutex_);
    if (!WaitForShards(&lock, wait_max)) return absl::DeadlineExceededError("stuck");
    if (std::find(sessions_.begin(), sessions_.end(), session) == sessions_.end()) {
      return absl::NotFoundError("no such session");
    }
    kicked_.push_back(session);
    return absl::OkStatus();
  }
  void BeginDrain() override {
    const std::scoped_lock lock(mutex_);
    ++drains_;
  }
  admin::EpisodeList ListEpisodes(size_t episodes_max) const override {
    admin::EpisodeList list;
    for (size_t i = 0; i < std::min<size_t>(episodes_max, 3); ++i)
      list.add_episodes()->set_outcome("recovered");
    list.set_episodes_total(3);
    return list;
  }
  admin::TopicList ListTopics(size_t topics_max, absl::Duration) override {
    admin::TopicList list;
    for (size_t i = 0; i < std::min<size_t>(topics_max, 3); ++i) list.add_topics()->set_topic("a");
    return list;
  }
  admin::BrokerInfo Describe() const override {
    admin::BrokerInfo info;
    info.set_version("1.2.3");
    info.set_state("serving");
    info.mutable_default_limits()->set_pending_bytes_max(8e6);
    info.set_write_timeout_seconds(10);
    return info;
  }
  MemoryUse Memory() const override { return {.retained_bytes = 4096, .budget_bytes = 8192}; }
  absl::Status Healthy() const override {
    const std::scoped_lock lock(mutex_);
    return healthy_;
  }
  absl::Status Ready() const override {
    const std::scoped_lock lock(mutex_);
    return ready_;
  }

 private:
  bool WaitForShards(std::unique_lock<std::mutex>* lock, absl::Duration wait_max) {
    const auto all_answer = [this] { return shards_now_ == Shards::kAnswer; };
    return changed_.wait_for(*lock, absl::ToChronoNanoseconds(wait_max), all_answer);
  }

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  SubscriptionDistributions distributions_;
  absl::Status healthy_;
  absl::Status ready_;
  Shards shards_now_ = Shards::kAnswer;
  int asked_ = 0;
  std::vector<SurveyedConsumer> consumers_;
  std::vector<SessionName> sessions_;
  std::vector<SessionName> kicked_;
  SurveyRequest last_request_;
  int drains_ = 0;
};

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_METRICS_FAKE_SOURCE_H_
