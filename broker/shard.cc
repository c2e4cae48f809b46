#include "broker/shard.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "broker/clock.h"

namespace sluice {
namespace {

// What one turn reads from all sessions together; and with less than the second, or than the third for each
// group that has taken something, it goes round once more, since a turn has its price at every subscription,
// and one publisher's read is little for it.
constexpr uint64_t kTurnReadBytesMax = 1 << 20;
constexpr uint64_t kTurnReadBytesWanted = 256 << 10;
constexpr uint64_t kGroupReadBytesWanted = 8 << 10;
constexpr absl::Duration kHouseKeepEvery = absl::Seconds(1);
constexpr absl::Duration kMemoryLookEvery = absl::Milliseconds(10);
// How soon a publisher is read again that waited for a consumer of another shard.
constexpr absl::Duration kHeldUpLookEvery = absl::Milliseconds(10);
// How much of a survey one turn looks at: about a quarter of a millisecond.
constexpr size_t kTurnSurveyWork = 2048;
constexpr uint32_t kFlushesPerSample = 64;
// Those over the maximum who are told so at the same time; more are closed without a word.
constexpr uint64_t kTurnedAwayMax = 64;

// No session has these: their place would be beyond what descriptors allow.
constexpr uint64_t kWakeupToken = UINT64_MAX;
constexpr uint64_t kListenerToken = UINT64_MAX - 1;

uint64_t TokenOf(size_t place, uint32_t generation) {
  return static_cast<uint64_t>(generation) << 32 | static_cast<uint32_t>(place);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Shard>> Shard::Create(const ShardOptions& options, const SessionLimits* limits,
                                                     MemoryAccount* memory, SessionRecords* records,
                                                     Episodes* episodes, Logger* log) {
  absl::StatusOr<net::Poller> poller = net::Poller::Create();
  if (!poller.ok()) return poller.status();
  absl::StatusOr<net::Wakeup> wakeup = net::Wakeup::Create();
  if (!wakeup.ok()) return wakeup.status();
  const absl::Status added = poller->Add(wakeup->fd(), kWakeupToken, net::Interest::kReadLevel);
  if (!added.ok()) return added;
  return std::unique_ptr<Shard>(
      new Shard(options, limits, memory, records, episodes, log, *std::move(poller), *std::move(wakeup)));
}

Shard::Shard(const ShardOptions& options, const SessionLimits* limits, MemoryAccount* memory,
             SessionRecords* records, Episodes* episodes, Logger* log, net::Poller poller, net::Wakeup wakeup)
    : log_(log),
      limits_(*limits),
      poller_(std::move(poller)),
      wakeup_(std::move(wakeup)),
      pool_(options.chunk_bytes, memory),
      read_chunk_(&pool_),
      scratch_(std::make_unique<WriteScratch>()),
      backlogs_(memory),
      index_(options.match_cache_topics),
      fan_out_(&pool_),
      events_(&index_, &fan_out_, &read_chunk_, &counters_.consumer_events),
      context_{limits_,   index_,         fan_out_,  read_chunk_, *scratch_, *memory,
               backlogs_, shared_limits_, counters_, *records,    *log},
      refused_lines_(1),
      next_housekeeping_(MonotonicNow()),
      turn_ended_(next_housekeeping_),
      last_turn_ns_(absl::ToUnixNanos(MonotonicNow())) {
  context_.events = &events_;
  context_.episodes = episodes;
}

absl::Status Shard::Listen(net::ListenerSocket listener, const net::SocketOptions& options,
                           ConnectionSlots* slots) {
  slots_ = slots;
  acceptor_.emplace(std::move(listener), options, slots, &counters_, log_);
  return poller_.Add(acceptor_->fd(), kListenerToken, net::Interest::kReadLevel);
}

void Shard::SetPeers(uint32_t index, const std::vector<std::unique_ptr<Shard>>& shards) {
  index_of_this_ = index;
  context_.shard = index;
  for (const auto& shard : shards) shards_.push_back(shard.get());
  if (shards_.size() > 1) outbox_.emplace(index, shards_.size());
}

void Shard::Put(Mail mail) {
  mailbox_.Put(std::move(mail));
  if (sleeping_.exchange(false)) wakeup_.Notify();
}

void Shard::Post(ShardCommand command) {
  {
    const MutexLock lock(&commands_mutex_);
    commands_.push_back(std::move(command));
  }
  wakeup_.Notify();
}

void Shard::Run() {
  while (!AllDrained()) Turn();
}

// Those without sessions go on answering letters until nobody has any.
bool Shard::AllDrained() {
  if (phase_ == Phase::kServing || session_count_ > 0) return false;
  if (!drained_.exchange(true)) {
    for (Shard* shard : shards_) shard->wakeup_.Notify();
  }
  return std::all_of(shards_.begin(), shards_.end(),
                     [](const Shard* shard) { return shard->drained_.load(); });
}

void Shard::Turn() {
  const absl::Time before = MonotonicNow();
  absl::Duration wait_max = WaitMax(before);
  if (wait_max > absl::ZeroDuration() && outbox_.has_value()) {
    // Said first, looked second: a letter that comes after the look sees it and wakes us.
    sleeping_ = true;
    if (!mailbox_.empty()) wait_max = absl::ZeroDuration();
  }
  const std::span<const net::Event> events = poller_.Wait(wait_max);
  sleeping_ = false;
  const absl::Time woke = MonotonicNow();
  last_turn_ns_.store(absl::ToUnixNanos(woke), std::memory_order_relaxed);
  turn_began_ = woke;
  const absl::Time now = clock_.Woke(before, wait_max, woke);

  ++context_.turn;
  TakeEvents(events);
  RunCommands(now);
  ReadMail(now);
  AcceptConnections(now);
  ReadReady(now);
  events_.Publish();
  FanOutAndFlush(now);
  CheckDeadlines(now);
  RelieveMemory(now);
  SettleTouched(now);
  ResumeHeldUp(now);
  SendMail();
  index_.RemoveEmptyGroups();
  ContinueSurveys(now);
  HouseKeep(now);

  CountTimes(MonotonicNow());
}

void Shard::CountTimes(absl::Time ended) {
  counters_.turns.Add();
  counters_.turn.ObserveNs(absl::ToInt64Nanoseconds(ended - turn_began_));
  if (const int64_t blocked = counters_.publishers_blocked.Get(); blocked > 0) {
    counters_.publishers_blocked_ns.Add(
        static_cast<uint64_t>(blocked * absl::ToInt64Nanoseconds(ended - turn_ended_)));
  }
  turn_ended_ = ended;
  clock_.TurnEnded(ended);
  counters_.late_turns.Add(clock_.late_count() - counters_.late_turns.Get());
  counters_.lateness_ns.Add(static_cast<uint64_t>(absl::ToInt64Nanoseconds(clock_.late_total())) -
                            counters_.lateness_ns.Get());
}

absl::Duration Shard::WaitMax(absl::Time before) const {
  if (!to_read_.empty() || !to_flush_.empty() || !fan_out_.idle() || !to_answer_.empty() ||
      !events_.empty() || !surveys_.empty()) {
    return absl::ZeroDuration();
  }
  absl::Time next = std::min({deadlines_.next(), next_housekeeping_, next_look_at_held_up_});
  const absl::Time now = before - clock_.late_total();
  // Another shard may free it.
  if (memory_ != Memory::kEnough) next = std::min(next, now + kMemoryLookEvery);
  if (acceptor_.has_value()) next = std::min(next, acceptor_->paused_until());
  return std::max(absl::ZeroDuration(), next - now);
}

Shard::Place* Shard::Find(uint64_t token) {
  const size_t at = static_cast<uint32_t>(token);
  if (at >= places_.size()) return nullptr;
  Place& place = places_[at];
  return place.session != nullptr && place.generation == token >> 32 ? &place : nullptr;
}

void Shard::WantRead(uint64_t token, Place* place) {
  if (std::exchange(place->to_read, true)) return;
  to_read_.push_back(token);
}

void Shard::WantFlush(uint64_t token, Place* place) {
  if (std::exchange(place->to_flush, true)) return;
  to_flush_.push_back(token);
}

void Shard::Touch(uint64_t token, Place* place) {
  if (std::exchange(place->touched, true)) return;
  touched_.push_back(token);
}

void Shard::TakeEvents(std::span<const net::Event> events) {
  for (const net::Event& event : events) {
    if (event.token == kWakeupToken) {
      wakeup_.Drain();
      continue;
    }
    if (event.token == kListenerToken) {
      to_accept_ = true;
      continue;
    }
    Place* place = Find(event.token);
    if (place == nullptr) continue;  // it has ended since
    Touch(event.token, place);
    if (event.failed) place->session->Failed();
    if (event.peer_closed) place->session->PeerClosed();
    if (event.readable || event.peer_closed || event.failed) WantRead(event.token, place);
    if (event.writable) {
      place->session->BecameWritable();
      WantFlush(event.token, place);
    }
  }
}

void Shard::RunCommands(absl::Time now) {
  std::vector<ShardCommand> commands;
  {
    const MutexLock lock(&commands_mutex_);
    if (commands_.empty()) return;
    commands.swap(commands_);
  }
  for (ShardCommand& command : commands) {
    if (const auto* drain = std::get_if<DrainCommand>(&command)) Drain(now, *drain);
    if (auto* survey = std::get_if<SurveyCommand>(&command)) {
      surveys_.push_back({survey->task, ConsumerSurvey(survey->task->request, index_of_this_)});
    }
    if (const auto* topics = std::get_if<TopicsCommand>(&command)) ListTopics(topics->task.get(), now);
    if (const auto* kick = std::get_if<KickCommand>(&command)) Kick(kick->task.get());
    if (const auto* changed = std::get_if<LimitsCommand>(&command)) limits_ = *changed->limits;
    if (auto* adopt = std::get_if<AdoptCommand>(&command)) {
      if (phase_ == Phase::kServing) Add(std::move(adopt->accepted), now);
    }
  }
}

void Shard::ReadMail(absl::Time now) {
  if (!outbox_.has_value()) return;
  for (const Mail& mail : mailbox_.Take()) {
    for (const Letter& letter : mail.letters) {
      if (const auto* deliver = std::get_if<DeliverLetter>(&letter)) {
        OnDeliver(mail.from, *deliver);
      } else if (const auto* returned = std::get_if<ReturnLetter>(&letter)) {
        OnReturn(mail.from, *returned);
      } else if (const auto* turn = std::get_if<TurnLetter>(&letter)) {
        to_answer_.emplace_back(mail.from, DoneLetter{turn->turn, turn->bytes});
      } else if (const auto* tally = std::get_if<TallyLetter>(&letter)) {
        tally->AddToTally();
      } else if (const auto* done = std::get_if<DoneLetter>(&letter)) {
        OnDone(mail.from, *done, now);
      } else if (const auto* interest = std::get_if<InterestLetter>(&letter)) {
        OnInterest(mail.from, *interest, now);
      }
    }
  }
}

void Shard::OnDeliver(uint32_t from, const DeliverLetter& letter) {
  FilterGroup* group = index_.FindById(letter.group);
  if (group != nullptr && !group->members.empty()) return fan_out_.TakeArrived(group, from, letter);
  if (letter.return_to != 0)
    outbox_->Write(from, ReturnLetter{letter.return_to, letter.slices, letter.parts});
}

void Shard::OnReturn(uint32_t from, const ReturnLetter& letter) {
  FilterGroup* group = index_.FindById(letter.group);
  if (group == nullptr) return;  // nobody has members any more
  fan_out_.TakeReturned(group, letter);
  outbox_->Returned(from, context_.turn);
}

void Shard::OnInterest(uint32_t from, const InterestLetter& letter, absl::Time now) {
  FilterGroup* group = index_.FindOrCreate(letter.filter, letter.queue_group);
  fan_out_.Settle(group, now);
  index_.SetRemote(group, from, letter.members, letter.group);
}

void Shard::OnDone(uint32_t from, const DoneLetter& letter, absl::Time now) {
  outbox_->Done(from, letter);
  for (const uint64_t token : std::exchange(waiting_for_shards_, {})) {
    Place* place = Find(token);
    if (place == nullptr) continue;
    place->waits_for_shards = false;
    WantFlush(token, place);
  }
  if (!publishers_wait()) ResumePaused(now);
}

bool Shard::publishers_wait() const {
  return memory_ != Memory::kEnough || (outbox_.has_value() && outbox_->full());
}

// Whether it is paused instead of read: with all publishers, or because consumers hold it up.
bool Shard::PausedInstead(uint64_t token, Place* place, absl::Time now) {
  Session& session = *place->session;
  if (publishers_wait() && session.publishes()) {
    session.PauseReads();
    paused_.push_back(token);
    (memory_ != Memory::kEnough ? counters_.memory_paused : counters_.mailbox_paused).Add();
  } else if (session.WaitsForConsumers()) {
    session.PauseForConsumers();
    held_up_.push_back(token);
    next_look_at_held_up_ = std::min(next_look_at_held_up_, now + kHeldUpLookEvery);
    counters_.block_paused.Add();
    counters_.publishers_blocked.Set(static_cast<int64_t>(held_up_.size()));
  } else {
    return false;
  }
  counters_.clients_paused.Add();
  return true;
}

void Shard::ResumePaused(absl::Time now) {
  for (const uint64_t token : std::exchange(paused_, {})) Resume(token, now);
}

// Those whose consumers have room. Of other shards nobody says so.
void Shard::ResumeHeldUp(absl::Time now) {
  const auto unblocked = std::exchange(context_.unblocked, SessionContext::Unblocked::kNobody);
  if (held_up_.empty()) return;
  if (unblocked == SessionContext::Unblocked::kNobody && now < next_look_at_held_up_) return;
  std::erase_if(held_up_, [&](uint64_t token) {
    Place* place = Find(token);
    if (place != nullptr && place->session->WaitsForConsumers()) return false;
    Resume(token, now);
    return true;
  });
  next_look_at_held_up_ = held_up_.empty() ? absl::InfiniteFuture() : now + kHeldUpLookEvery;
  counters_.publishers_blocked.Set(static_cast<int64_t>(held_up_.size()));
}

// One that was paused.
void Shard::Resume(uint64_t token, absl::Time now) {
  Place* place = Find(token);
  if (place == nullptr) return;
  place->session->ResumeReads(now);
  to_read_.push_back(token);
  WantFlush(token, place);
}

// Once behind the turn's fan-out, so that others can go on with it while this shard writes to its own
// sessions, and once at the end of the turn.
void Shard::SendMail() {
  std::vector<FilterGroup*> changed = index_.TakeAnnouncementsDue();
  std::vector<FanOut::Outgoing> letters = fan_out_.TakeLetters();
  if (!outbox_.has_value()) return;
  for (FanOut::Outgoing& outgoing : letters) {
    if (std::holds_alternative<DeliverLetter>(outgoing.letter)) counters_.mailbox_slices_sent.Add();
    outbox_->Write(outgoing.shard, std::move(outgoing.letter));
  }
  for (FilterGroup* group : changed) {
    for (uint32_t to = 0; to < shards_.size(); ++to) {
      if (to == index_of_this_) continue;
      outbox_->Write(to, InterestLetter{std::string(group->filter()), std::string(group->queue_group()),
                                        group->announced_members, index_.IdOf(group)});
    }
  }
  for (const auto& [to, done] : std::exchange(to_answer_, {})) outbox_->Write(to, done);
  outbox_->Send(context_.turn, [this](uint32_t to, Mail mail) { shards_[to]->Put(std::move(mail)); });
  counters_.mailbox_bytes.Set(static_cast<int64_t>(outbox_->bytes_under_way()));
}

void Shard::AcceptConnections(absl::Time now) {
  if (!acceptor_.has_value()) return;
  if (now >= acceptor_->paused_until()) acceptor_->Resume();
  if (std::exchange(to_accept_, false)) {
    acceptor_->Accept(now, &accepted_);
    for (Accepted& accepted : accepted_) {
      // Who is turned away is so here.
      const size_t shard =
          shards_.empty() || !accepted.slot ? index_of_this_ : next_shard_++ % shards_.size();
      if (shard == index_of_this_) {
        Add(std::move(accepted), now);
      } else {
        shards_[shard]->Post(AdoptCommand{std::move(accepted)});
      }
    }
    accepted_.clear();
  }
  if (acceptor_->interest() == acceptor_interest_) return;
  acceptor_interest_ = acceptor_->interest();
  const absl::Status modified = poller_.Modify(acceptor_->fd(), kListenerToken, acceptor_interest_);
  if (!modified.ok()) log_->Error("listener lost", {{"error", std::string(modified.message())}});
}

void Shard::Add(Accepted accepted, absl::Time now) {
  if (!accepted.slot) {
    if (const std::optional<uint64_t> suppressed = refused_lines_.Admit(now)) {
      log_->Warn("connection turned away: too many", {{"address", accepted.peer.ToString()},
                                                      {"connections_max", slots_->slots_max()},
                                                      {"suppressed", *suppressed}});
    }
    if (session_count_ >= slots_->slots_max() + kTurnedAwayMax) return;
  }
  if (free_places_.empty()) {
    free_places_.push_back(static_cast<uint32_t>(places_.size()));
    // Doubled, half of the room would stay empty.
    if (places_.size() == places_.capacity()) places_.reserve(places_.size() + places_.size() / 8 + 64);
    places_.emplace_back();
  }
  const uint32_t at = free_places_.back();
  Place& place = places_[at];
  const uint64_t token = TokenOf(at, place.generation);
  auto session = std::make_unique<Session>(token, std::move(accepted.socket), accepted.peer, &context_, now);
  const absl::Status added = poller_.Add(session->fd(), token, net::Interest::kRead);
  if (!added.ok()) {
    counters_.accept_errors.Add();
    log_->Error("connection dropped: the kernel cannot watch it", {{"error", std::string(added.message())}});
    return;
  }
  free_places_.pop_back();
  ++session_count_;
  place.session = std::move(session);
  place.interest = net::Interest::kRead;
  place.scheduled = absl::InfiniteFuture();
  if (!accepted.slot) {
    place.session->TurnAway(
        v1::REASON_TOO_MANY_CONNECTIONS,
        absl::StrCat("the broker has ", slots_->slots_max(), " connections, and may have no more"));
  }
  place.slot = std::move(accepted.slot);
  Touch(token, &place);
}

void Shard::ReadReady(absl::Time now) {
  const uint64_t bytes_before = counters_.read_bytes.Get();
  const auto bytes_read = [&] { return counters_.read_bytes.Get() - bytes_before; };
  const auto enough = [&] {
    return bytes_read() >= std::max(kTurnReadBytesWanted, fan_out_.groups_taking() * kGroupReadBytesWanted);
  };
  for (size_t left = to_read_.size(); bytes_read() < kTurnReadBytesMax; --left) {
    if (left == 0) {
      left = to_read_.size();
      if (left == 0 || enough()) return;
    }
    const uint64_t token = to_read_.front();
    to_read_.pop_front();
    Place* place = Find(token);
    if (place == nullptr) continue;
    Touch(token, place);
    if (PausedInstead(token, place, now)) continue;
    place->to_read = false;
    if (place->session->Read(now) == Session::ReadOutcome::kMore) WantRead(token, place);
    if (place->session->has_answers() || place->session->wants_flush()) WantFlush(token, place);
  }
}

void Shard::FanOutAndFlush(absl::Time now) {
  while (Subscriber* subscriber = fan_out_.Next(now)) Flush(subscriber->token(), now);
  DetachEnded();
  SendMail();
  context_.turn_done = outbox_.has_value() ? outbox_->TurnDone(context_.turn) : context_.turn;
  const FanOut::Report report = fan_out_.TakeReport();
  counters_.pending_messages.Add(static_cast<int64_t>(report.queued_messages));
  counters_.pending_bytes.Add(static_cast<int64_t>(report.queued_bytes));
  counters_.messages_dropped.Add(report.dropped_messages);
  counters_.match_cache_hits.Add(index_.cache_hits() - counters_.match_cache_hits.Get());
  counters_.match_cache_misses.Add(index_.cache_misses() - counters_.match_cache_misses.Get());

  // What is left: answers, resumed writes, and those that reached their bound in the last turn.
  for (const uint64_t token : std::exchange(to_flush_, {})) {
    Place* place = Find(token);
    if (place == nullptr) continue;
    place->to_flush = false;
    if (place->session->has_answers()) {
      place->session->Answer();
      if (place->session->has_answers() && !std::exchange(place->waits_for_shards, true)) {
        waiting_for_shards_.push_back(token);
      }
    }
    Flush(token, now);
  }
}

void Shard::Flush(uint64_t token, absl::Time now) {
  Place* place = Find(token);
  if (place == nullptr) return;
  Touch(token, place);
  if (!place->session->wants_flush()) return;
  const Subscription* sampled = nullptr;
  if (--flushes_to_sample_ == 0) {
    flushes_to_sample_ = kFlushesPerSample;
    sampled = place->session->subscriber().writer().active();
  }
  const absl::Time queued = sampled == nullptr ? absl::InfiniteFuture() : sampled->queue().state().oldest;
  const uint64_t sent_before = counters_.messages_out.Get();
  if (place->session->Flush(now) == Session::Flushed::kMore) WantFlush(token, place);
  if (queued < absl::InfiniteFuture() && counters_.messages_out.Get() > sent_before) {
    counters_.delivery.ObserveNs(absl::ToInt64Nanoseconds((now - queued) + (MonotonicNow() - turn_began_)));
  }
}

void Shard::CheckDeadlines(absl::Time now) {
  while (const std::optional<uint64_t> token = deadlines_.PopDue(now)) {
    Place* place = Find(*token);
    if (place == nullptr || place->scheduled > now) continue;
    place->scheduled = absl::InfiniteFuture();
    Touch(*token, place);
    place->session->CheckDeadlines(now);
    Flush(*token, now);
  }
}

// Sheds while that helps; what does not help any more is to read publishers. Nobody is cut here before the
// other shards have dropped what they can.
void Shard::RelieveMemory(absl::Time now) {
  const MemoryAccount& memory = context_.memory;
  if (memory.over_budget()) {
    if (memory_ == Memory::kEnough) {
      memory_ = Memory::kShort;
      turns_when_short_.clear();
      for (const Shard* shard : shards_) {
        turns_when_short_.push_back(shard->counters_.turns.Get());
        if (shard != this) shard->wakeup_.Notify();
      }
    }
    const Shedding shedding = OthersHaveShed() ? Shedding::kDropAndCut : Shedding::kDrop;
    ShedMemory(shedding, now);
    if (memory.over_budget() && shedding == Shedding::kDropAndCut && memory_ != Memory::kUsedUp) {
      memory_ = Memory::kUsedUp;
      memory_used_up_at_ = now;
      log_->Warn("memory used up: publishers wait",
                 {{"retained_bytes", memory.bytes()}, {"budget_bytes", memory.budget_bytes()}});
    }
  }
  if (memory_ == Memory::kEnough) return;
  if (memory_ == Memory::kShort ? !memory.over_budget() : memory.within_low_mark()) {
    if (memory_ == Memory::kUsedUp) {
      log_->Info("memory is enough again: publishers go on",
                 {{"retained_bytes", memory.bytes()}, {"waited_for", now - memory_used_up_at_}});
    }
    memory_ = Memory::kEnough;
    if (!publishers_wait()) ResumePaused(now);
    return;
  }
  if (memory_ == Memory::kShort) return;
  // Large frames that publishers began and cannot end now would hold the memory for ever.
  if (now < memory_used_up_at_ + context_.limits.frame_timeout) return;
  for (const uint64_t token : paused_) {
    Place* place = Find(token);
    if (place == nullptr) continue;
    place->session->GiveUpUnfinishedFrame();
    Touch(token, place);
  }
}

// Whether each other shard has ended a turn that began when the memory was short already.
bool Shard::OthersHaveShed() const {
  for (size_t i = 0; i < shards_.size(); ++i) {
    if (i != index_of_this_ && shards_[i]->counters_.turns.Get() < turns_when_short_[i] + 2) return false;
  }
  return true;
}

// Those that keep the most alive go first: by their overflow policy while there is one that helps, and then
// they are cut.
void Shard::ShedMemory(Shedding shedding, absl::Time now) {
  const MemoryAccount& memory = context_.memory;
  const int64_t retained_before = memory.bytes();
  struct Waiting {
    uint64_t token;
    Subscription* subscription;
    uint64_t kept_bytes;
  };
  std::vector<Waiting> all_waiting;
  // The members of a group that are full share what waits.
  absl::flat_hash_map<const FilterGroup*, uint64_t> sharing;
  for (size_t at = 0; at < places_.size(); ++at) {
    const Place& place = places_[at];
    if (place.session == nullptr || place.session->closing()) continue;
    const auto add = [&](Subscription* subscription) {
      if (subscription->queue().state().waiting_bytes == 0) return;
      ++sharing[subscription->group];
      all_waiting.push_back({TokenOf(at, place.generation), subscription, 0});
    };
    const Subscriber& subscriber = place.session->subscriber();
    if (subscriber.blocked()) subscriber.ForEachActive(add);
    subscriber.ForEachStarved(add);
  }
  for (Waiting& waiting : all_waiting) {
    const Subscription& subscription = *waiting.subscription;
    const bool shared = subscription.group != nullptr && subscription.group->kind() == GroupKind::kShared &&
                        subscription.conflation() == nullptr;
    const SendQueue& queue = subscription.queue();
    waiting.kept_bytes =
        queue.slices_bytes() + queue.state().waiting_bytes / (shared ? sharing[subscription.group] : 1);
  }
  std::sort(all_waiting.begin(), all_waiting.end(),
            [](const Waiting& a, const Waiting& b) { return a.kept_bytes > b.kept_bytes; });

  // What was shed may still stand in the chunks that are kept for its group.
  uint64_t shed_bytes = 0;
  const auto enough = [&] {
    if (memory.bytes() - static_cast<int64_t>(shed_bytes) > memory.low_mark_bytes()) return false;
    fan_out_.ReleaseKept();
    shed_bytes = 0;
    return memory.within_low_mark();
  };
  Missing dropped;
  for (bool helps = true; helps && !enough();) {
    helps = false;
    for (const Waiting& waiting : all_waiting) {
      if (enough()) break;
      const Missing one = waiting.subscription->subscriber->DropHalf(waiting.subscription, now);
      dropped += one;
      shed_bytes += std::min(one.bytes, waiting.kept_bytes);
      // With other shards, which drop as well, one round per turn.
      helps = helps || (one.messages > 0 && shards_.size() <= 1);
      Touch(waiting.token, Find(waiting.token));
    }
  }
  uint64_t cut = 0;
  for (const Waiting& waiting : all_waiting) {
    if (shedding == Shedding::kDrop || enough()) break;
    if (Drops(waiting.subscription->policy)) continue;  // a message is left of it at the most
    const Place* place = Find(waiting.token);
    if (place == nullptr || place->session->closing()) continue;
    waiting.subscription->subscriber->CutForMemory(*waiting.subscription);
    Settle(waiting.token, now);
    shed_bytes += waiting.kept_bytes;
    ++cut;
  }
  if (dropped.messages == 0 && cut == 0) return;
  counters_.memory_sheds.Add();
  if (const std::optional<uint64_t> suppressed = shed_lines_.Admit(now)) {
    log_->Warn("memory over its budget: queues shed", {{"budget_bytes", memory.budget_bytes()},
                                                       {"retained_bytes", retained_before},
                                                       {"left_bytes", memory.bytes()},
                                                       {"dropped_messages", dropped.messages},
                                                       {"disconnected", cut},
                                                       {"suppressed", *suppressed}});
  }
}

void Shard::SettleTouched(absl::Time now) {
  for (size_t i = 0; i < touched_.size(); ++i) Settle(touched_[i], now);
  touched_.clear();
}

// Counts, closes, and tells the poller and the timer what has become of the session in this turn.
void Shard::Settle(uint64_t token, absl::Time now) {
  Place* place = Find(token);
  if (place == nullptr) return;
  place->touched = false;
  Session& session = *place->session;
  session.CountLagging(now);
  session.EndCutSubscriptions(now);
  if (session.closing()) {
    const Session::Life life = session.Advance(now);
    DetachEnded();
    if (life == Session::Life::kEnded) return Remove(token);
  }
  if (session.wants_flush()) WantFlush(token, place);
  if (session.interest() != place->interest) {
    place->interest = session.interest();
    if (place->interest == net::Interest::kReadWrite) counters_.epollout_arms.Add();
    const absl::Status modified = poller_.Modify(session.fd(), token, place->interest);
    if (!modified.ok()) log_->Error("socket lost", {{"error", std::string(modified.message())}});
  }
  if (const absl::Time next = session.NextDeadline(); next < place->scheduled) {
    place->scheduled = next;
    deadlines_.Schedule(token, next);
  }
}

// Subscriptions that got their last message.
void Shard::DetachEnded() {
  for (Subscription* ended : fan_out_.TakeEnded()) {
    if (ended->group == nullptr) continue;
    index_.Detach(ended);
    counters_.subscriptions.Add(-1);
    ended->subscriber->RemoveEnded();
  }
}

void Shard::Remove(uint64_t token) {
  const uint32_t at = static_cast<uint32_t>(token);
  Place& place = places_[at];
  place.session.reset();
  place.slot = ConnectionSlots::Slot();
  place.to_read = place.to_flush = place.touched = place.waits_for_shards = false;
  ++place.generation;
  free_places_.push_back(at);
  --session_count_;
}

void Shard::HouseKeep(absl::Time now) {
  if (now < next_housekeeping_) return;
  next_housekeeping_ = now + kHouseKeepEvery;
  fan_out_.ReleaseKept();
  // A pause that lasts is told, so that a publisher knows why nothing moves.
  const auto tell = [this](const std::vector<uint64_t>& tokens, v1::Paused::Cause cause) {
    for (const uint64_t token : tokens) {
      Place* place = Find(token);
      if (place == nullptr) continue;
      place->session->TellPaused(cause);
      WantFlush(token, place);
    }
  };
  tell(paused_, memory_ != Memory::kEnough ? v1::Paused::CAUSE_MEMORY : v1::Paused::CAUSE_SHARD_BUSY);
  tell(held_up_, v1::Paused::CAUSE_BLOCKED_BY_CONSUMER);
}

void Shard::Drain(absl::Time now, const DrainCommand& how) {
  phase_ = Phase::kDraining;
  size_t told = 0;
  if (acceptor_.has_value()) {
    (void)poller_.Remove(acceptor_->fd());
    acceptor_.reset();
  }
  for (size_t at = 0; at < places_.size(); ++at) {
    Place& place = places_[at];
    if (place.session == nullptr) continue;
    const double share = static_cast<double>(told++) / static_cast<double>(session_count_);
    place.session->Drain(now, now + how.deliver_for, how.reconnect_spread * share);
    const uint64_t token = TokenOf(at, place.generation);
    Touch(token, &place);
    if (place.session->wants_flush()) WantFlush(token, &place);
  }
}

void Shard::Kick(KickTask* task) {
  Place* place = Find(task->token);
  if (place == nullptr || place->session->closing()) {
    return task->outcome.set_value(KickTask::Outcome::kNotFound);
  }
  place->session->Kick();
  Touch(task->token, place);
  task->outcome.set_value(KickTask::Outcome::kKicked);
}

void Shard::ListTopics(TopicsTask* task, absl::Time now) {
  TopicsTask::Answer answer;
  answer.loudest = context_.topics.Loudest(task->loudest_max, now);
  for (const std::string& topic : task->count_for) {
    uint64_t subscribers = 0;
    for (const FilterGroup* group : index_.Match(topic)) subscribers += group->members.size();
    answer.subscribers.push_back(subscribers);
  }
  task->answer.set_value(std::move(answer));
}

void Shard::ContinueSurveys(absl::Time now) {
  for (size_t work = 0; !surveys_.empty() && work < kTurnSurveyWork;) {
    Survey& survey = surveys_.front();
    for (; survey.next_place < places_.size() && work < kTurnSurveyWork; ++survey.next_place, ++work) {
      const Place& place = places_[survey.next_place];
      if (place.session != nullptr) work += survey.found.Look(*place.session, now);
    }
    if (survey.next_place < places_.size()) return;
    survey.task->answer.set_value(FinishSurvey(&survey.found, now));
    surveys_.pop_front();
  }
}

SurveyAnswer Shard::FinishSurvey(ConsumerSurvey* survey, absl::Time now) {
  SurveyAnswer answer;
  answer.distributions = survey->distributions();
  const absl::Time wall = absl::Now();
  for (const ConsumerSurvey::Found& found : survey->TakeFirst()) {
    const Place* place = Find(found.token);
    if (place == nullptr) continue;
    const Subscription* subscription = place->session->subscriber().Find(found.subscription);
    if (subscription == nullptr) continue;
    answer.consumers.push_back(
        {found.key, DescribeConsumer(*place->session, *subscription, index_of_this_, now, wall)});
  }
  return answer;
}

}  // namespace sluice
