#include "client/cli/reply.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>

#include "client/cli/command_runner.h"
#include "client/cli/notices.h"
#include "client/cli/text.h"
#include "protocol/names.h"

namespace sluice::cli {
namespace {

struct ReplyFlags {
  ConnectionFlags connection;
  std::string topic;
  bool echo = false;
  std::string command;
  absl::Duration command_timeout = absl::Seconds(30);
  std::string queue_group;
  std::optional<uint64_t> count;
  bool quiet = false;
};

// One run of `sluice reply`.
class Replier {
 public:
  Replier(const ReplyFlags& flags, Console* console) : flags_(flags), console_(*console), notices_(console) {}
  ~Replier();

  ExitCode Run();

 private:
  // On the dispatch thread, one request after the other.
  void OnRequest(const MessageView& request);
  CommandResult Answer(const MessageView& request) const;

  const ReplyFlags& flags_;
  Console& console_;
  Notices notices_;
  std::unique_ptr<Client> client_;
  std::optional<CommandRunner> runner_;
  Subscription subscription_;
  Event ended_;
  std::atomic<uint64_t> answered_{0};
  std::atomic<uint64_t> failed_{0};
};

Replier::~Replier() {
  if (subscription_.valid()) subscription_.Unsubscribe();
}

ExitCode Replier::Run() {
  ClientOptions options;
  // A signal ends the wait for room: closing does.
  options.callbacks = notices_.callbacks();
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(flags_.connection, std::move(options), console_);
  if (!client.ok()) return console_.Fail(client.status());
  client_ = *std::move(client);
  runner_.emplace(CommandRunner::Options{.command = flags_.command,
                                         .timeout = flags_.command_timeout,
                                         .output_bytes_max = client_->server().payload_bytes_max},
                  console_.interrupt().fd());
  SubscribeOptions subscribe;
  subscribe.queue_group = flags_.queue_group;
  subscribe.messages_max = flags_.count.value_or(0);
  subscribe.on_end = [this](const SubscriptionEnd& end) {
    if (!end.status.ok()) console_.Notice(std::string(end.status.message()));
    ended_.Set();
  };
  absl::StatusOr<Subscription> subscription = client_->Subscribe(
      flags_.topic, [this](const MessageView& request) { OnRequest(request); }, std::move(subscribe));
  if (!subscription.ok()) return console_.Fail(subscription.status());
  subscription_ = *std::move(subscription);
  if (!flags_.quiet) {
    console_.Notice(fmt::format("answering requests to {} at {}", flags_.topic, client_->server().address));
  }

  const bool ended = WaitFor({ended_.fd(), console_.interrupt().fd(), notices_.gave_up().fd()}).has(0);
  subscription_.Unsubscribe();
  const absl::Status flushed = client_->Flush(absl::Seconds(5));
  if (!flushed.ok()) console_.Notice(fmt::format("replies may be lost: {}", std::string(flushed.message())));
  if (!flags_.quiet) console_.Notice(fmt::format("answered {}", Counted(answered_.load(), "request")));

  const bool counted = flags_.count.has_value();
  if (!flushed.ok() || failed_.load() > 0) return ExitCode::kFailure;
  if (ended) return counted ? ExitCode::kDone : ExitCode::kFailure;
  if (!console_.interrupt().exit_code().has_value()) return ExitCode::kFailure;
  // Without a count, a signal is how it should end.
  return counted ? *console_.interrupt().exit_code() : ExitCode::kDone;
}

void Replier::OnRequest(const MessageView& request) {
  if (request.reply_to.empty()) {
    return console_.Notice(fmt::format("a message to {} wants no reply: left alone", request.topic));
  }
  const CommandResult answer = Answer(request);
  MessageView reply{.topic = request.reply_to, .payload = answer.output};
  if (!answer.error.empty()) {
    failed_.fetch_add(1);
    console_.Notice(fmt::format("the command {}", answer.error));
    reply.headers.push_back({.name = kReplyErrorHeader, .value = answer.error});
  }
  const absl::Status published = client_->Publish(reply);
  if (!published.ok()) {
    failed_.fetch_add(1);
    return console_.Notice(fmt::format("a reply was not sent: {}", std::string(published.message())));
  }
  answered_.fetch_add(1);
}

CommandResult Replier::Answer(const MessageView& request) const {
  if (flags_.echo) return {.output = std::string(request.payload), .error = ""};
  return runner_->Run(request);
}

}  // namespace

Subcommand AddReply(CLI::App* parent) {
  const auto flags = std::make_shared<ReplyFlags>();
  CLI::App* app = parent->add_subcommand("reply", "Answer requests");
  AddTopic(app, &flags->topic, "whose requests to answer");
  CLI::Option* echo = app->add_flag("-e,--echo", flags->echo, "answer with what the request holds");
  CLI::Option* command =
      app->add_option(
             "-c,--command", flags->command,
             "answer with what this shell command prints; the request is its standard input, the topic is in "
             "SLUICE_TOPIC. One at a time. If it fails, the reply says so and `sluice request` fails too")
          ->type_name("COMMAND")
          ->excludes(echo);
  AddDuration(app, "--command-timeout", &flags->command_timeout, {absl::Milliseconds(1), absl::Hours(24)},
              "a command that takes longer is killed");
  app->add_option("-q,--queue", flags->queue_group,
                  "share the requests with the other members of this queue group: each goes to one of them")
      ->type_name("GROUP");
  AddCount(app, "-n,--count", &flags->count, {1, 1'000'000'000'000}, "end after so many requests");
  app->add_flag("--quiet", flags->quiet, "say nothing on standard error but errors");
  AddConnectionFlags(app, &flags->connection);
  SetFooter(app,
            "  sluice reply time.now --command date\n"
            "  sluice reply text.upper --command 'tr a-z A-Z' --queue workers\n"
            "Without --count it ends with Ctrl-C, with 0 if every request was answered.\n");
  app->final_callback([flags, command] {
    if (!flags->echo && command->count() == 0) Refuse("one of --echo and --command is needed");
  });
  return {app, [flags](Console& console) { return Replier(*flags, &console).Run(); }};
}

}  // namespace sluice::cli
