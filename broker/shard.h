// One event loop: a thread's worth of sessions, with their subscriptions, timers and counters. Nothing in it
// is locked; other threads reach it through commands. Internal to the broker.
//
// A turn has fixed phases, each bounded, so that nobody's traffic can starve somebody else's:
//
//   wait for events -> commands, mail of other shards -> accept -> read and handle frames -> fan out and
//   write -> deadlines -> closing -> what the poller is to report
//
// `now` is read once per turn and passed down.
//
// Of several shards each knows all filters, and which other shards have members of them: what is published
// here is matched and assembled here, and goes to those by letter (broker/mailbox.h). What a client is told
// of its publishes and subscriptions waits until every shard that was written to has answered.
//
// Thread safety: Run() on the shard's thread; Post() and the functions marked so from any thread.
#ifndef SLUICE_BROKER_SHARD_H_
#define SLUICE_BROKER_SHARD_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <future>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "broker/acceptor.h"
#include "broker/consumer_events.h"
#include "broker/consumer_survey.h"
#include "broker/core/chunk.h"
#include "broker/core/deadline_queue.h"
#include "broker/core/fan_out.h"
#include "broker/core/filter_index.h"
#include "broker/core/lateness.h"
#include "broker/core/session_writer.h"
#include "broker/episodes.h"
#include "broker/log.h"
#include "broker/mailbox.h"
#include "broker/net/poller.h"
#include "broker/net/wakeup.h"
#include "broker/session.h"
#include "metrics/counters.h"
#include "metrics/survey.h"
#include "protocol/mutex.h"

namespace sluice {

// A survey of a shard's subscriptions, which takes as many turns as it needs.
struct SurveyTask {
  SurveyRequest request;
  std::promise<SurveyAnswer> answer;
};
// The topics that most is published on here, and how many subscriptions here get what is published on others.
struct TopicsTask {
  size_t loudest_max = 0;
  std::vector<std::string> count_for;
  struct Answer {
    std::vector<SampledTopic> loudest;
    // For each of count_for.
    std::vector<uint64_t> subscribers;
  };
  std::promise<Answer> answer;
};
// Ends a session; the answer says whether there is one of that name.
struct KickTask {
  uint64_t token = 0;
  enum class Outcome { kKicked, kNotFound };
  std::promise<Outcome> outcome;
};

// Serve no new connection, deliver what is queued, say goodbye, end. The clients are asked to come back at moments
// spread evenly over `reconnect_spread`.
struct DrainCommand {
  absl::Duration deliver_for;
  absl::Duration reconnect_spread;
};
struct SurveyCommand {
  std::shared_ptr<SurveyTask> task;
};
struct TopicsCommand {
  std::shared_ptr<TopicsTask> task;
};
struct KickCommand {
  std::shared_ptr<KickTask> task;
};
// From now on these limits apply, to what was accepted before as well; what a subscription has been granted it keeps.
struct LimitsCommand {
  std::shared_ptr<const SessionLimits> limits;
};
// Serve this connection, which another shard has accepted.
struct AdoptCommand {
  Accepted accepted;
};
using ShardCommand =
    std::variant<DrainCommand, SurveyCommand, TopicsCommand, KickCommand, LimitsCommand, AdoptCommand>;

struct ShardOptions {
  uint32_t chunk_bytes = 256 << 10;
  size_t match_cache_topics = 65'536;
};

class Shard {
 public:
  // Everything pointed to outlives the shard, but for the limits. Fails when the process is out of descriptors.
  static absl::StatusOr<std::unique_ptr<Shard>> Create(const ShardOptions& options,
                                                       const SessionLimits* limits, MemoryAccount* memory,
                                                       SessionRecords* records, Episodes* episodes,
                                                       Logger* log);
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // All shards, this one at `index`; before Run(). Without it there is this one only.
  void SetPeers(uint32_t index, const std::vector<std::unique_ptr<Shard>>& shards);

  // Accepts, for all shards in turn; before Run().
  absl::Status Listen(net::ListenerSocket listener, const net::SocketOptions& options,
                      ConnectionSlots* slots);

  // Serves until it has drained.
  void Run();

  // Any thread.
  void Post(ShardCommand command);
  void Put(Mail mail);
  const ShardCounters& counters() const { return counters_; }
  // Any thread: when the last turn began, monotonic. Turns come once a second at least.
  absl::Time last_turn() const { return absl::FromUnixNanos(last_turn_ns_.load(std::memory_order_relaxed)); }
  // Any thread: nothing is left to shed, and publishers wait.
  bool memory_used_up() const { return memory_ == Memory::kUsedUp; }

 private:
  struct Place {
    std::unique_ptr<Session> session;
    ConnectionSlots::Slot slot;
    uint32_t generation = 1;
    // On which of the turn's lists it stands.
    bool to_read = false;
    bool to_flush = false;
    bool touched = false;
    bool waits_for_shards = false;
    net::Interest interest = net::Interest::kRead;
    // The earliest entry for it in the deadline queue.
    absl::Time scheduled = absl::InfiniteFuture();
  };

  Shard(const ShardOptions& options, const SessionLimits* limits, MemoryAccount* memory,
        SessionRecords* records, Episodes* episodes, Logger* log, net::Poller poller, net::Wakeup wakeup);

  bool AllDrained();
  void Turn();
  absl::Duration WaitMax(absl::Time before) const;
  void TakeEvents(std::span<const net::Event> events);
  void RunCommands(absl::Time now);
  void ReadMail(absl::Time now);
  void OnDeliver(uint32_t from, const DeliverLetter& letter);
  void OnReturn(uint32_t from, const ReturnLetter& letter);
  void OnInterest(uint32_t from, const InterestLetter& letter, absl::Time now);
  void OnDone(uint32_t from, const DoneLetter& letter, absl::Time now);
  void SendMail();
  bool publishers_wait() const;
  bool PausedInstead(uint64_t token, Place* place, absl::Time now);
  void ResumePaused(absl::Time now);
  void ResumeHeldUp(absl::Time now);
  void Resume(uint64_t token, absl::Time now);
  void AcceptConnections(absl::Time now);
  void Add(Accepted accepted, absl::Time now);
  void ReadReady(absl::Time now);
  void FanOutAndFlush(absl::Time now);
  void Flush(uint64_t token, absl::Time now);
  void CountTimes(absl::Time ended);
  void CheckDeadlines(absl::Time now);
  void RelieveMemory(absl::Time now);
  enum class Shedding { kDrop, kDropAndCut };
  void ShedMemory(Shedding shedding, absl::Time now);
  bool OthersHaveShed() const;
  void SettleTouched(absl::Time now);
  void Settle(uint64_t token, absl::Time now);
  void DetachEnded();
  void HouseKeep(absl::Time now);
  void Remove(uint64_t token);

  Place* Find(uint64_t token);
  void WantRead(uint64_t token, Place* place);
  void WantFlush(uint64_t token, Place* place);
  void Touch(uint64_t token, Place* place);

  void Drain(absl::Time now, const DrainCommand& how);
  void Kick(KickTask* task);
  void ListTopics(TopicsTask* task, absl::Time now);
  void ContinueSurveys(absl::Time now);
  SurveyAnswer FinishSurvey(ConsumerSurvey* survey, absl::Time now);

  Logger* const log_;
  SessionLimits limits_;
  net::Poller poller_;
  net::Wakeup wakeup_;
  ShardCounters counters_;
  ChunkPool pool_;
  OpenChunk read_chunk_;
  std::unique_ptr<WriteScratch> scratch_;
  BacklogPool backlogs_;
  SharedLimitsPool shared_limits_;
  FilterIndex index_;
  FanOut fan_out_;
  ConsumerEvents events_;
  SessionContext context_;
  std::optional<Acceptor> acceptor_;
  net::Interest acceptor_interest_ = net::Interest::kReadLevel;
  bool to_accept_ = false;
  ConnectionSlots* slots_ = nullptr;
  RateLimit refused_lines_;

  std::vector<Place> places_;
  std::vector<uint32_t> free_places_;
  size_t session_count_ = 0;

  FairClock clock_;
  DeadlineQueue deadlines_;
  absl::Time next_housekeeping_;
  // Of the turn that goes on, and the last one.
  absl::Time turn_began_;
  absl::Time turn_ended_;
  uint32_t flushes_to_sample_ = 1;

  // In turn; the first one goes on with the session at its place.
  struct Survey {
    std::shared_ptr<SurveyTask> task;
    ConsumerSurvey found;
    size_t next_place = 0;
  };
  std::deque<Survey> surveys_;

  // Sessions with more to read, in turn.
  std::deque<uint64_t> to_read_;
  std::vector<uint64_t> to_flush_;
  std::vector<uint64_t> touched_;
  std::vector<Accepted> accepted_;

  // Other shards.
  uint32_t index_of_this_ = 0;
  std::vector<Shard*> shards_;
  size_t next_shard_ = 0;
  Mailbox mailbox_;
  std::optional<Outbox> outbox_;
  // Answered when the fan-out of what came is done.
  std::vector<std::pair<uint32_t, DoneLetter>> to_answer_;
  // Sessions whose answers wait for other shards, and publishers that are not read while a mailbox is full or
  // the memory used up.
  std::vector<uint64_t> waiting_for_shards_;
  std::vector<uint64_t> paused_;
  // Publishers that wait for consumers with the policy block, and when to look after those of other shards.
  std::vector<uint64_t> held_up_;
  absl::Time next_look_at_held_up_ = absl::InfiniteFuture();
  // Publishers are not read while it is short (other shards have not shed yet), and, once nothing is left to
  // shed, until it is within its low mark.
  enum class Memory { kEnough, kShort, kUsedUp };
  std::atomic<Memory> memory_{Memory::kEnough};
  // Of each shard, when it became short.
  std::vector<uint64_t> turns_when_short_;
  absl::Time memory_used_up_at_;
  RateLimit shed_lines_{1};
  // Whether this shard waits in the poller, or is about to: then a letter must wake it.
  std::atomic<bool> sleeping_{false};

  enum class Phase { kServing, kDraining } phase_ = Phase::kServing;
  std::atomic<bool> drained_{false};
  std::atomic<int64_t> last_turn_ns_;

  Mutex commands_mutex_;
  std::vector<ShardCommand> commands_ ABSL_GUARDED_BY(commands_mutex_);
};

}  // namespace sluice

#endif  // SLUICE_BROKER_SHARD_H_
