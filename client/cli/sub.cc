#include "client/cli/sub.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <iterator>
#include <string_view>
#include <utility>

#include "client/cli/message_format.h"
#include "client/cli/notices.h"
#include "client/cli/output_queue.h"
#include "client/cli/text.h"
#include "client/cli/values.h"
#include "client/clock.h"

namespace sluice::cli {
namespace {

struct SubFlags {
  ConnectionFlags connection;
  std::vector<std::string> filters;
  std::optional<uint64_t> count;
  std::optional<absl::Duration> timeout;
  std::string queue_group;
  std::string overflow;  // a name in kOverflowPolicies; empty: the broker's default
  std::string conflate_header;
  SubscriptionLimits limits;
  std::optional<uint64_t> window_bytes;
  uint64_t read_ahead_bytes = 64 << 20;
  bool raw = false;
  bool json = false;
  bool quiet = false;
};

// After a write the next one waits so long, unless so much has gathered: a stream of small messages is
// written in large pieces, and a single message at once.
constexpr absl::Duration kGatherFor = absl::Milliseconds(1);
constexpr size_t kGatherBytes = 64 << 10;

constexpr std::pair<std::string_view, OverflowPolicy> kOverflowPolicies[] = {
    {"disconnect", OverflowPolicy::kDisconnect},
    {"drop-oldest", OverflowPolicy::kDropOldest},
    {"drop-newest", OverflowPolicy::kDropNewest},
    {"conflate", OverflowPolicy::kConflate},
    {"block", OverflowPolicy::kBlock},
};

std::vector<std::string> NamesOfPolicies() {
  std::vector<std::string> names;
  for (const auto& [name, policy] : kOverflowPolicies) names.emplace_back(name);
  return names;
}

OverflowPolicy PolicyOf(const SubFlags& flags) {
  const auto named = std::find_if(std::begin(kOverflowPolicies), std::end(kOverflowPolicies),
                                  [&](const auto& one) { return one.first == flags.overflow; });
  return named == std::end(kOverflowPolicies) ? OverflowPolicy::kDefault : named->second;
}

std::string_view NameOf(OverflowPolicy policy) {
  const auto known = std::find_if(std::begin(kOverflowPolicies), std::end(kOverflowPolicies),
                                  [&](const auto& one) { return one.second == policy; });
  return known == std::end(kOverflowPolicies) ? "unknown" : known->first;
}

// What the broker holds a subscription to in place of what was asked for; empty: nothing else.
std::string DifferentTerms(OverflowPolicy overflow, const SubscriptionLimits& asked,
                           const SubscriptionTerms& terms) {
  std::vector<std::string> different;
  const auto compare = [&](std::string_view what, bool is_asked, const std::string& wanted,
                           const std::string& granted) {
    if (is_asked && wanted != granted)
      different.push_back(fmt::format("{} {} instead of {}", what, granted, wanted));
  };
  compare("--overflow", overflow != OverflowPolicy::kDefault, std::string(NameOf(overflow)),
          std::string(NameOf(terms.overflow)));
  compare("--pending-bytes-max", asked.pending_bytes_max > 0, ShowSize(asked.pending_bytes_max),
          ShowSize(terms.limits.pending_bytes_max));
  compare("--pending-messages-max", asked.pending_messages_max > 0,
          std::to_string(asked.pending_messages_max), std::to_string(terms.limits.pending_messages_max));
  compare("--pending-age-max", asked.pending_age_max > absl::ZeroDuration(),
          ShowDuration(asked.pending_age_max), ShowDuration(terms.limits.pending_age_max));
  if (terms.enforcement == SubscriptionTerms::Enforcement::kObserved)
    different.push_back("limits only observed: nothing is dropped or cut for them");
  return fmt::format("{}", fmt::join(different, ", "));
}

// Whether the broker may leave messages out, and tells.
bool LeavesOut(OverflowPolicy policy) {
  return policy == OverflowPolicy::kDropOldest || policy == OverflowPolicy::kDropNewest ||
         policy == OverflowPolicy::kConflate;
}

// One run of `sluice sub`.
class Sub {
 public:
  Sub(const SubFlags& flags, Console* console)
      : flags_(flags),
        console_(*console),
        notices_(console),
        // Half of what may be read ahead waits here as text, half in the library as it came.
        queue_(std::max<size_t>(flags.read_ahead_bytes / 2, 1)) {}
  ~Sub();

  ExitCode Run();

 private:
  absl::Status Subscribe();
  void OnMessage(const MessageView& message);
  void OnEnd(const SubscriptionEnd& end);
  ExitCode Pump();
  Output::Result WriteBatch();
  ExitCode Conclude();
  MessageFormat Format() const;
  uint64_t count_max() const { return flags_.count.value_or(UINT64_MAX); }

  const SubFlags& flags_;
  Console& console_;
  Notices notices_;
  OutputQueue queue_;
  const MessageFormat format_ = Format();
  const OverflowPolicy overflow_ = PolicyOf(flags_);
  std::unique_ptr<Client> client_;
  std::vector<Subscription> subscriptions_;
  std::string batch_;
  absl::Time written_at_ = absl::InfinitePast();

  // The dispatch thread's.
  uint64_t taken_ = 0;

  std::atomic<uint64_t> printed_{0};
  // Nothing more will be pushed: the count is reached, or every subscription has ended.
  Event complete_;
  std::atomic<size_t> ended_{0};
};

Sub::~Sub() {
  // A handler that waits for room in the queue would keep the client from closing.
  queue_.Close();
  for (Subscription& subscription : subscriptions_) subscription.Unsubscribe();
}

MessageFormat Sub::Format() const {
  const bool for_people = !flags_.raw && !flags_.json;
  return {.style = flags_.raw    ? MessageStyle::kRaw
                   : flags_.json ? MessageStyle::kJson
                                 : MessageStyle::kReadable,
          .control = console_.output_is_terminal() ? ControlCharacters::kEscape : ControlCharacters::kKeep,
          .colour = for_people ? console_.colour() : Colour::kNo};
}

ExitCode Sub::Run() {
  ClientOptions options;
  options.incoming_bytes_max = std::max<uint64_t>(flags_.read_ahead_bytes / 2, 1);
  options.callbacks = notices_.callbacks();
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(flags_.connection, std::move(options), console_);
  if (!client.ok()) return console_.Fail(client.status());
  client_ = *std::move(client);
  if (const absl::Status subscribed = Subscribe(); !subscribed.ok()) return console_.Fail(subscribed);
  if (!flags_.quiet) {
    console_.Notice(
        fmt::format("subscribed to {} at {}", fmt::join(flags_.filters, ", "), client_->server().address));
    for (const Subscription& subscription : subscriptions_) {
      const std::string different = DifferentTerms(overflow_, flags_.limits, subscription.terms());
      if (different.empty()) continue;
      console_.Notice(fmt::format("the broker's terms for {}: {}", subscription.filter(), different));
    }
  }
  return Pump();
}

absl::Status Sub::Subscribe() {
  SubscribeOptions options;
  options.queue_group = flags_.queue_group;
  options.overflow = overflow_;
  options.conflate_header = flags_.conflate_header;
  options.limits = flags_.limits;
  if (flags_.window_bytes.has_value()) options.window_bytes = options.window_bytes_max = *flags_.window_bytes;
  // The broker counts, so that no other member of the group misses what this one would not print; but it
  // counts what it leaves out, too.
  if (!LeavesOut(overflow_)) options.messages_max = flags_.count.value_or(0);
  options.on_end = [this](const SubscriptionEnd& end) { OnEnd(end); };
  for (const std::string& filter : flags_.filters) {
    absl::StatusOr<Subscription> subscription = client_->Subscribe(
        filter, [this](const MessageView& message) { OnMessage(message); }, options);
    if (!subscription.ok()) return subscription.status();
    subscriptions_.push_back(*std::move(subscription));
  }
  return absl::OkStatus();
}

// Runs on the dispatch thread, as OnEnd() does.
void Sub::OnMessage(const MessageView& message) {
  // With several filters the broker counts for each.
  if (taken_ >= count_max()) return;
  // Counted with the queue's lock held: what the writer takes and what it is told of go together.
  const auto append = [&](std::string* out) {
    AppendMessage(message, format_, out);
    printed_.store(++taken_, std::memory_order_relaxed);
  };
  if (queue_.Push(append) == OutputQueue::Pushed::kClosed) return;
  if (taken_ == count_max()) complete_.Set();
}

void Sub::OnEnd(const SubscriptionEnd& end) {
  if (!end.status.ok()) console_.Notice(std::string(end.status.message()));
  if (ended_.fetch_add(1) + 1 == flags_.filters.size()) complete_.Set();
}

ExitCode Sub::Pump() {
  const absl::Time deadline = client::DeadlineIn(flags_.timeout.value_or(absl::InfiniteDuration()));
  for (;;) {
    queue_.WakeAt(1);
    const Ready ready = WaitFor({console_.interrupt().fd(), complete_.fd(), notices_.gave_up().fd(),
                                 console_.output().hangup_fd(), queue_.fd()},
                                deadline);
    const bool ends = ready.none() || ready.has(0) || ready.has(1) || ready.has(2);
    if (!ends && ready.has(3) && console_.output().CheckReader() != Output::Result::kWritten) {
      return console_.Fail(console_.output());
    }
    if (!ends && client::MonotonicNow() - written_at_ < kGatherFor) {
      queue_.WakeAt(kGatherBytes);
      WaitFor({console_.interrupt().fd(), complete_.fd(), queue_.fd()},
              std::min(deadline, written_at_ + kGatherFor));
    }
    // What is pushed after this would not be printed.
    if (ends) queue_.Close();
    if (WriteBatch() != Output::Result::kWritten) return console_.Fail(console_.output());
    if (ends) return Conclude();
  }
}

Output::Result Sub::WriteBatch() {
  queue_.Take(&batch_);
  written_at_ = client::MonotonicNow();
  return console_.output().Write(batch_);
}

ExitCode Sub::Conclude() {
  const uint64_t printed = printed_.load();
  const uint64_t missed = notices_.lost() + notices_.left_out();
  // What was asked for is no failure.
  const uint64_t unwanted = notices_.lost() + (LeavesOut(overflow_) ? 0 : notices_.left_out());
  const bool counted = flags_.count.has_value();
  const bool interrupted = console_.interrupt().exit_code().has_value();
  if (counted && printed == *flags_.count) return ExitCode::kDone;
  if (!flags_.quiet) {
    const std::string lost = missed > 0 ? fmt::format("; {} missed", missed) : "";
    console_.Notice(fmt::format("received {}{}", Counted(printed, "message"), lost));
  }
  if (interrupted) {
    // Without a count, to be interrupted is how it ends.
    if (counted) return *console_.interrupt().exit_code();
    return unwanted > 0 ? ExitCode::kFailure : ExitCode::kDone;
  }
  if (WaitFor({complete_.fd(), notices_.gave_up().fd()}, absl::InfinitePast()).none()) {
    // The time is over.
    if (counted) return ExitCode::kTimeout;
    return unwanted > 0 ? ExitCode::kFailure : ExitCode::kDone;
  }
  return ExitCode::kFailure;
}

void CheckTogether(const SubFlags& flags) {
  if (flags.count.has_value() && !flags.queue_group.empty() && flags.filters.size() > 1) {
    Refuse(
        "--count with --queue allows one FILTER: the broker counts for each, and would deal this member too "
        "many");
  }
  if (!flags.conflate_header.empty() && PolicyOf(flags) != OverflowPolicy::kConflate) {
    Refuse("--conflate-header goes with --overflow conflate");
  }
}

}  // namespace

Subcommand AddSub(CLI::App* parent) {
  const auto flags = std::make_shared<SubFlags>();
  CLI::App* app = parent->add_subcommand("sub", "Print what is published");
  AddFilters(app, &flags->filters,
             "topics to print: '*' stands for one token, a last '>' for one or more; several are separate "
             "subscriptions");
  AddCount(app, "-n,--count", &flags->count, {1, 1'000'000'000'000},
           "end after so many messages, all filters together");
  AddDuration(app, "-t,--timeout", &flags->timeout, {absl::Milliseconds(1), absl::Hours(24 * 365)},
              "end after so long; a failure if --count has not been reached");
  CLI::Option* raw = app->add_flag("-r,--raw", flags->raw,
                                   "print the payload and a newline, byte for byte, and nothing else");
  app->add_flag("-j,--json", flags->json,
                "print a JSON object on each line: topic, payload (payload_base64 if it is not UTF-8), "
                "reply_to, headers")
      ->excludes(raw);
  app->add_option("-q,--queue", flags->queue_group,
                  "share the messages with the other members of this queue group: each goes to one of them")
      ->type_name("GROUP");
  CLI::Option* overflow =
      app->add_option(
             "--overflow", flags->overflow,
             "what the broker does when we fall behind our limits: disconnect, drop-oldest, drop-newest, "
             "conflate (only the newest message of each topic waits), or block (publishers wait for us, "
             "for a time); said on standard error")
          ->check(CLI::IsMember(NamesOfPolicies()).description(""))
          ->type_name("POLICY");
  app->add_option("--conflate-header", flags->conflate_header,
                  "with --overflow conflate: the newest of each value of this header, instead of each topic")
      ->type_name("NAME")
      ->needs(overflow);
  AddSize(app, "--pending-bytes-max", &flags->limits.pending_bytes_max, {0, 1 << 30},
          "the most that may wait at the broker for each FILTER; 0: the broker's default");
  AddCount(app, "--pending-messages-max", &flags->limits.pending_messages_max, {0, 1'000'000'000},
           "the same in messages");
  AddDuration(app, "--pending-age-max", &flags->limits.pending_age_max,
              {absl::ZeroDuration(), absl::Hours(24 * 365)}, "how long a message may wait there");
  AddSize(
      app, "--window", &flags->window_bytes, {0, 1 << 30},
      "how much the broker may send ahead of what is printed, for each FILTER; 0: all that the connection "
      "takes; without the flag it grows while the output keeps up");
  AddSize(app, "--read-ahead", &flags->read_ahead_bytes, {1 << 10, 1 << 30},
          "how far to read ahead of a slow reader of the output; then nothing is read from the broker, which "
          "sees the "
          "lag");
  app->add_flag("--quiet", flags->quiet, "say nothing on standard error but errors");
  AddConnectionFlags(app, &flags->connection);
  SetFooter(app,
            "  sluice sub 'ticks.>'\n"
            "  sluice sub logs.syslog --raw | grep sshd\n"
            "  sluice sub 'jobs.*' --queue workers --count 10 --json\n"
            "  sluice sub 'ticks.>' --overflow conflate\n"
            "Without --count it ends with Ctrl-C or at --timeout, with 0 if no message was missed.\n");
  app->final_callback([flags] { CheckTogether(*flags); });
  return {app, [flags](Console& console) { return Sub(*flags, &console).Run(); }};
}

}  // namespace sluice::cli
