#include "client/cli/policies_demo.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "client/cli/bench_payload.h"
#include "client/cli/consumer_book.h"
#include "client/cli/event.h"
#include "client/cli/pacer.h"
#include "client/cli/raw_receiver.h"
#include "client/cli/text.h"
#include "client/mutex.h"
#include "protocol/names.h"

namespace sluice::cli {

// What the healthy subscriber has, and what the publishers were told.
struct PolicyFeed {
  struct OfLane {
    uint64_t received = 0;
    uint64_t out_of_order = 0;
    PausedEvent::State publisher = PausedEvent::State::kResumed;
  };

  Event changed;
  client::Mutex mutex;
  std::vector<OfLane> lanes ABSL_GUARDED_BY(mutex);
  int64_t newest_age_ns ABSL_GUARDED_BY(mutex) = 0;
};

namespace {

constexpr uint64_t kSteps = 40;
// A step of the feed publishes each topic so often; a step of a slow reader is a tenth of that.
constexpr uint64_t kTopics = 24;
constexpr uint64_t kRoundsPerStep = 10;
constexpr uint64_t kPayloadBytes = 960;
constexpr uint64_t kReadBytesPerStep = 24'000;
// The limit of each slow consumer, some steps' worth.
constexpr uint64_t kPendingMessagesMax = 2000;
// Small, so that little hides in the kernel.
constexpr int kReceiveBufferBytes = 16 << 10;

struct PolicyRow {
  v1::OverflowPolicy policy;
  // As `sluice sub --overflow` has it.
  std::string_view name;
  // What is to be seen in the table.
  std::string_view see;
  // Whether the policy did what it is for: a line of the result.
  void (*judge)(const PolicyLane& lane, DemoStage* stage);
};

}  // namespace

// A policy with its feed and its slow consumer.
struct PolicyLane {
  const PolicyRow* row = nullptr;
  uint32_t number = 0;
  std::unique_ptr<Client> publisher;
  std::unique_ptr<RawReceiver> slow;
  uint64_t published = 0;

  // When the feed was over: the newest message that it had, and its age.
  std::optional<BenchStamp> shown;
  int64_t shown_age_ns = 0;
  // At the end. `matched` is what the broker counted.
  ConsumerBook book;
  uint64_t matched = 0;

  bool cut() const { return slow->goodbye().has_value(); }
  // Matched and neither delivered nor told by a gap: what the Goodbye of one that is cut says.
  uint64_t lost() const { return matched - book.delivered - book.told(); }
  // One that is cut is subscribed until then, and loses what waited then, but for a message that was half on
  // the wire. The others get or are told the whole feed.
  bool BookFits() const {
    if (book.gaps_wrong != 0) return false;
    if (!cut()) return matched == published && lost() == 0;
    const uint64_t waited = slow->goodbye()->pending_messages();
    return matched <= published && (lost() == waited || lost() + 1 == waited);
  }
  // How many newer ones there were than the one that it showed.
  uint64_t behind() const { return shown.has_value() ? published - 1 - shown->sequence : published; }
};

namespace {

void JudgeDisconnect(const PolicyLane& lane, DemoStage* stage) {
  if (!lane.cut()) return stage->Result(false, "disconnect was not cut");
  const v1::Goodbye& goodbye = *lane.slow->goodbye();
  stage->Result(
      goodbye.reason() == v1::REASON_PENDING_MESSAGES && lane.book.out_of_place == 0 && lane.lost() > 0,
      fmt::format("disconnect got the first {} without a gap, was cut and told: {}",
                  Counted(lane.book.delivered, "message"), goodbye.text()));
}

void JudgeDropOldest(const PolicyLane& lane, DemoStage* stage) {
  const bool newest_came = lane.book.newest.has_value() && lane.book.newest->sequence == lane.published - 1;
  stage->Result(
      !lane.cut() && lane.book.dropped > 0 && lane.book.conflated == 0 && lane.book.out_of_place == 0 &&
          newest_came && lane.book.delivered_before_gaps < kPendingMessagesMax,
      fmt::format("drop-oldest got {} in order, the newest among them; the first gap stood behind {}",
                  Counted(lane.book.delivered, "message"), lane.book.delivered_before_gaps));
}

void JudgeDropNewest(const PolicyLane& lane, DemoStage* stage) {
  stage->Result(!lane.cut() && lane.book.dropped > 0 && lane.book.conflated == 0 &&
                    lane.book.out_of_place == 0 && lane.book.delivered_before_gaps >= kPendingMessagesMax,
                fmt::format("drop-newest got {} in order; the first gap stood behind {}",
                            Counted(lane.book.delivered, "message"), lane.book.delivered_before_gaps));
}

void JudgeConflate(const PolicyLane& lane, DemoStage* stage) {
  const uint64_t last_round = lane.published - kTopics;
  const auto& newest = lane.book.newest_by_topic;
  const auto newest_came =
      std::count_if(newest.begin(), newest.end(), [&](const auto& one) { return one.second >= last_round; });
  stage->Result(!lane.cut() && lane.book.dropped == 0 && lane.book.conflated > 0 &&
                    static_cast<uint64_t>(newest_came) == kTopics,
                fmt::format("conflate got the newest message of {} of {} topics", newest_came, kTopics));
}

void JudgeBlock(const PolicyLane& lane, DemoStage* stage) {
  stage->Result(
      !lane.cut() && lane.book.delivered == lane.published && lane.book.out_of_place == 0 &&
          lane.published < kSteps * kTopics * kRoundsPerStep,
      fmt::format("block got all of the {} that its feed could bring", Counted(lane.published, "message")));
}

constexpr PolicyRow kRows[] = {
    {v1::OVERFLOW_POLICY_DISCONNECT, "disconnect",
     "is cut at its limit: it has the beginning without a gap, and knows why and how many it lost.",
     &JudgeDisconnect},
    {v1::OVERFLOW_POLICY_DROP_OLDEST, "drop-oldest",
     "stays, as far behind as its queue is long: its gaps stand in front of what waits.", &JudgeDropOldest},
    {v1::OVERFLOW_POLICY_DROP_NEWEST, "drop-newest",
     "stays, and works through the beginning: its gap stands behind that, and what it shows grows old.",
     &JudgeDropNewest},
    {v1::OVERFLOW_POLICY_CONFLATE, "conflate",
     "stays, and is the freshest: only the newest message of each topic waits, behind what the kernel holds.",
     &JudgeConflate},
    {v1::OVERFLOW_POLICY_BLOCK, "block",
     "stays and gets everything: its feed waits for it, and falls behind the others.", &JudgeBlock},
};

constexpr char kLine[] = "{:<12}{:>9}{:>11}{:>11}{:>9}{:>7}{:>6}{:>9}{:>9}  {}";

std::string Age(int64_t ns) { return RoundedDuration(absl::Nanoseconds(ns)); }

// Whether the healthy subscriber has all that was published on the lane. kPassOver: or the broker holds its
// publisher up.
enum class HeldUp { kWaitFor, kPassOver };
bool HasAll(const PolicyLane& lane, HeldUp held_up, PolicyFeed* feed) {
  feed->changed.Clear();
  client::MutexLock lock(&feed->mutex);
  const PolicyFeed::OfLane& of_lane = feed->lanes[lane.number];
  return of_lane.received >= lane.published ||
         (held_up == HeldUp::kPassOver && of_lane.publisher == PausedEvent::State::kPaused);
}

}  // namespace

PoliciesDemo::PoliciesDemo(PoliciesOptions options, Console* console)
    : options_(std::move(options)),
      stage_(console, options_.broker,
             [this](const LogLine& line) {
               if (line.message == "slow consumer disconnected") stage_.Print("  " + line.text);
             }),
      feed_(std::make_shared<PolicyFeed>()) {}

PoliciesDemo::~PoliciesDemo() = default;

ExitCode PoliciesDemo::Run() {
  const absl::Status status = RunAll();
  if (status.ok()) {
    PrintTable();
    PrintResults();
    stage_.StopBroker();
  }
  return stage_.End(status);
}

absl::Status PoliciesDemo::RunAll() {
  using Step = absl::Status (PoliciesDemo::*)();
  for (const Step step :
       {&PoliciesDemo::Prepare, &PoliciesDemo::RunFeed, &PoliciesDemo::CatchUp, &PoliciesDemo::TakeLeave}) {
    if (absl::Status status = (this->*step)(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// ---- The acts ----

absl::Status PoliciesDemo::Prepare() {
  // Nothing but the limit in messages is to be passed, however slow the machine; the one that is cut reads its
  // goodbye when the script comes to it. Little is to hide in the kernel.
  absl::Status started =
      stage_.Start({.flags = {"--notsent-lowat=16KiB", "--pending-bytes-max=64MiB",
                              "--session-bytes-max=64MiB", "--pending-age-max=1h", "--write-timeout=10m",
                              "--block-timeout=1h", "--goodbye-timeout=1m"}});
  if (!started.ok()) return started;
  stage_.Print(
      fmt::format("A broker of our own serves at {}. For each policy there is a feed of {} topics and a "
                  "slow consumer;\none healthy consumer gets all feeds.",
                  stage_.address(), kTopics));
  if (absl::Status status = SubscribeHealthy(); !status.ok()) return status;
  for (const PolicyRow& row : kRows) {
    lanes_.push_back(std::make_unique<PolicyLane>());
    lanes_.back()->row = &row;
    lanes_.back()->number = static_cast<uint32_t>(lanes_.size() - 1);
    if (absl::Status status = AddLane(lanes_.back().get()); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status PoliciesDemo::SubscribeHealthy() {
  {
    client::MutexLock lock(&feed_->mutex);
    feed_->lanes.resize(std::size(kRows));
  }
  absl::StatusOr<std::unique_ptr<Client>> healthy = stage_.ConnectClient("healthy");
  if (!healthy.ok()) return healthy.status();
  healthy_ = *std::move(healthy);
  absl::StatusOr<Subscription> subscription =
      healthy_->Subscribe("demo.>", [feed = feed_](const MessageView& message) {
        const std::optional<BenchStamp> stamp = ReadBenchStamp(message.payload);
        const int64_t now_ns = NowNs();
        {
          client::MutexLock lock(&feed->mutex);
          if (!stamp.has_value() || stamp->publisher >= feed->lanes.size()) return;
          PolicyFeed::OfLane& lane = feed->lanes[stamp->publisher];
          if (stamp->sequence != lane.received) ++lane.out_of_order;
          ++lane.received;
          feed->newest_age_ns = now_ns - stamp->sent_ns;
        }
        feed->changed.Set();
      });
  if (!subscription.ok()) return subscription.status();
  subscription_ = *std::move(subscription);
  return absl::OkStatus();
}

absl::Status PoliciesDemo::AddLane(PolicyLane* lane) {
  const std::string name(lane->row->name);
  ClientOptions options;
  options.callbacks.on_paused = [feed = feed_, number = lane->number](const PausedEvent& event) {
    {
      client::MutexLock lock(&feed->mutex);
      feed->lanes[number].publisher = event.state;
    }
    feed->changed.Set();
  };
  absl::StatusOr<std::unique_ptr<Client>> publisher =
      stage_.ConnectClient("feed-" + name, std::move(options));
  if (!publisher.ok()) return publisher.status();
  lane->publisher = *std::move(publisher);

  absl::StatusOr<std::unique_ptr<RawReceiver>> slow =
      RawReceiver::Connect(stage_.address(), name, kReceiveBufferBytes);
  if (!slow.ok()) return slow.status();
  lane->slow = *std::move(slow);
  v1::Subscribe subscribe;
  subscribe.set_filter(fmt::format("demo.{}.*", name));
  subscribe.set_overflow(lane->row->policy);
  subscribe.mutable_limits()->set_pending_messages_max(kPendingMessagesMax);
  return lane->slow->Subscribe(std::move(subscribe));
}

absl::Status PoliciesDemo::RunFeed() {
  stage_.Print(
      fmt::format("\n{} steps, {} apart. In each a feed brings {} messages of 1 kB, and a slow consumer "
                  "reads {} kB of them.\nNo more than {} messages may wait for it. The broker says:",
                  kSteps, absl::FormatDuration(options_.pause), kTopics * kRoundsPerStep,
                  kReadBytesPerStep / 1000, kPendingMessagesMax));
  const auto never = [] { return false; };
  for (uint64_t step = 0; step < kSteps; ++step) {
    for (const auto& lane : lanes_) {
      if (absl::Status status = PublishStep(lane.get()); !status.ok()) return status;
    }
    const auto all_have_it = [&] {
      return std::all_of(lanes_.begin(), lanes_.end(),
                         [&](const auto& lane) { return HasAll(*lane, HeldUp::kPassOver, feed_.get()); });
    };
    absl::Status status =
        stage_.WaitUntil(all_have_it, "the healthy subscriber's messages", feed_->changed.fd());
    for (const auto& lane : lanes_) {
      if (status.ok()) {
        status = stage_.Read(lane->slow.get(), kReadBytesPerStep, never, "what waits for the slow consumer");
      }
    }
    if (status.ok() && step + 1 < kSteps) status = stage_.Pause(options_.pause);
    if (!status.ok()) return status;
  }
  {
    client::MutexLock lock(&feed_->mutex);
    healthy_age_ns_ = feed_->newest_age_ns;
  }
  for (const auto& lane : lanes_) {
    lane->shown = ReadBook(lane->slow->stream()).newest;
    if (lane->shown.has_value()) lane->shown_age_ns = NowNs() - lane->shown->sent_ns;
  }
  return absl::OkStatus();
}

absl::Status PoliciesDemo::PublishStep(PolicyLane* lane) {
  // One that is held up has not got the last step through.
  if (!HasAll(*lane, HeldUp::kWaitFor, feed_.get())) return absl::OkStatus();
  std::string payload(kPayloadBytes, '.');
  for (uint64_t i = 0; i < kTopics * kRoundsPerStep; ++i) {
    WriteBenchStamp({.sequence = lane->published, .publisher = lane->number, .sent_ns = NowNs()},
                    payload.data());
    const std::string topic = fmt::format("demo.{}.price-{}", lane->row->name, lane->published % kTopics);
    if (absl::Status status = lane->publisher->Publish(topic, payload); !status.ok()) return status;
    ++lane->published;
  }
  return absl::OkStatus();
}

// The slow ones read what is left for them.
absl::Status PoliciesDemo::CatchUp() {
  for (const auto& lane : lanes_) {
    RawReceiver& slow = *lane->slow;
    const auto has_all = [&] { return HasAll(*lane, HeldUp::kWaitFor, feed_.get()); };
    absl::Status status =
        stage_.Read(&slow, UINT64_MAX, has_all, "the rest of the feed", feed_->changed.fd());
    if (status.ok() && !slow.ended()) status = slow.Unsubscribe();
    const auto unsubscribed = [&] { return slow.unsubscribed().has_value(); };
    if (status.ok()) status = stage_.Read(&slow, UINT64_MAX, unsubscribed, "the end of the subscription");
    if (!status.ok()) return status;
    lane->book = ReadBook(slow.stream());
    if (slow.unsubscribed().has_value()) lane->matched = slow.unsubscribed()->offered();
    if (lane->cut() && slow.goodbye()->subscriptions_size() == 1)
      lane->matched = slow.goodbye()->subscriptions(0).offered();
  }
  return absl::OkStatus();
}

absl::Status PoliciesDemo::TakeLeave() {
  subscription_.Unsubscribe();
  for (const auto& lane : lanes_) {
    lane->slow->Close();
    lane->publisher->Close().IgnoreError();
  }
  healthy_->Close().IgnoreError();
  return absl::OkStatus();
}

// ---- The numbers ----

void PoliciesDemo::PrintTable() {
  stage_.Print(
      "\nWhat each saw; age of the newest message that it had when the feed was over, and how many newer "
      "ones\nthere were:\n");
  stage_.Print(fmt::format(kLine, "consumer", "matched", "delivered", "conflated", "dropped", "lost", "gaps",
                           "age", "behind", "cut"));
  uint64_t published = 0;
  for (const auto& lane : lanes_) published += lane->published;
  {
    client::MutexLock lock(&feed_->mutex);
    uint64_t received = 0;
    for (const PolicyFeed::OfLane& lane : feed_->lanes) received += lane.received;
    stage_.Print(fmt::format(kLine, "healthy", published, received, 0, 0, published - received, 0,
                             Age(healthy_age_ns_), 0, "no"));
  }
  for (const auto& lane : lanes_) {
    const ConsumerBook& book = lane->book;
    stage_.Print(fmt::format(kLine, lane->row->name, lane->matched, book.delivered, book.conflated,
                             book.dropped, lane->lost(), book.gaps, Age(lane->shown_age_ns), lane->behind(),
                             lane->cut() ? ReasonName(lane->slow->goodbye()->reason()) : "no"));
  }
  stage_.Print("");
  for (const PolicyRow& row : kRows) stage_.Print(fmt::format("{:<12}{}", row.name, row.see));
}

void PoliciesDemo::PrintResults() {
  stage_.Print("");
  {
    client::MutexLock lock(&feed_->mutex);
    bool all_in_order = true;
    for (const auto& lane : lanes_) {
      const PolicyFeed::OfLane& of_lane = feed_->lanes[lane->number];
      if (of_lane.received != lane->published || of_lane.out_of_order != 0) all_in_order = false;
    }
    stage_.Result(all_in_order, "the healthy consumer got every message of every feed, in order");
  }
  for (const auto& lane : lanes_) {
    const ConsumerBook& book = lane->book;
    stage_.Result(
        lane->BookFits(),
        fmt::format("{}: {} delivered + {} told missing{} = {} matched", lane->row->name, book.delivered,
                    book.told(), lane->cut() ? fmt::format(" + {} told lost", lane->lost()) : "",
                    lane->matched));
    lane->row->judge(*lane, &stage_);
  }
  const auto behind = [&](v1::OverflowPolicy policy) {
    uint64_t messages = 0;
    for (const auto& lane : lanes_) messages += lane->row->policy == policy ? lane->behind() : 0;
    return messages;
  };
  const uint64_t conflate = behind(v1::OVERFLOW_POLICY_CONFLATE);
  const uint64_t drop_oldest = behind(v1::OVERFLOW_POLICY_DROP_OLDEST);
  const uint64_t drop_newest = behind(v1::OVERFLOW_POLICY_DROP_NEWEST);
  stage_.Result(conflate < drop_oldest && drop_oldest < drop_newest,
                fmt::format("behind the feed: conflate {}, drop-oldest {}, drop-newest {} messages", conflate,
                            drop_oldest, drop_newest));
}

}  // namespace sluice::cli
