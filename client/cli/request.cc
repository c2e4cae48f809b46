#include "client/cli/request.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "client/cli/message_format.h"
#include "client/cli/notices.h"
#include "client/cli/payload.h"
#include "client/cli/reply.h"
#include "client/cli/text.h"
#include "client/mutex.h"

namespace sluice::cli {
namespace {

struct RequestFlags {
  ConnectionFlags connection;
  std::string topic;
  std::string payload;
  std::string file;
  Headers headers;
  absl::Duration timeout = absl::Seconds(5);
  bool raw = false;
  bool json = false;
};

// Where the reply arrives; the callback shares it, so that a late one finds it.
struct Answer {
  Event came;
  client::Mutex mutex;
  absl::StatusOr<ReceivedMessage> message ABSL_GUARDED_BY(mutex) = absl::UnknownError("no answer");
};

ExitCode Print(const ReceivedMessage& reply, const RequestFlags& flags, Console& console) {
  std::string text;
  if (flags.json || flags.raw) {
    AppendMessage(reply.view(), {.style = flags.raw ? MessageStyle::kRaw : MessageStyle::kJson}, &text);
  } else {
    // The topic of a reply is an inbox, which says nothing to people.
    if (console.output_is_terminal()) {
      AppendForTerminal(reply.payload(), &text);
    } else {
      text = reply.payload();
    }
    text.push_back('\n');
  }
  if (console.output().Write(text) != Output::Result::kWritten) return console.Fail(console.output());
  if (const std::string_view error = reply.header(kReplyErrorHeader); !error.empty()) {
    return console.Fail(fmt::format("the reply says that it failed: {}", error));
  }
  return ExitCode::kDone;
}

ExitCode Run(const RequestFlags& flags, Console& console) {
  Notices notices(&console);
  ClientOptions options;
  options.callbacks = notices.callbacks();
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(flags.connection, std::move(options), console);
  if (!client.ok()) return console.Fail(client.status());

  std::string payload = flags.payload;
  if (!flags.file.empty()) {
    absl::StatusOr<std::string> read = ReadPayloadFile(flags.file, (*client)->server().payload_bytes_max);
    if (!read.ok()) return console.Fail(std::string(read.status().message()));
    payload = *std::move(read);
  }
  const auto answer = std::make_shared<Answer>();
  const absl::Status asked =
      (*client)->Request({.topic = flags.topic, .payload = payload, .headers = ViewOf(flags.headers)},
                         flags.timeout, [answer](absl::StatusOr<ReceivedMessage> message) {
                           {
                             client::MutexLock lock(&answer->mutex);
                             answer->message = std::move(message);
                           }
                           answer->came.Set();
                         });
  if (!asked.ok()) return console.Fail(asked);
  if (!WaitFor({answer->came.fd(), console.interrupt().fd()}).has(0)) return *console.interrupt().exit_code();
  client::MutexLock lock(&answer->mutex);
  if (!answer->message.ok()) return console.Fail(answer->message.status());
  return Print(*answer->message, flags, console);
}

}  // namespace

Subcommand AddRequest(CLI::App* parent) {
  const auto flags = std::make_shared<RequestFlags>();
  CLI::App* app = parent->add_subcommand("request", "Publish a message and print the first reply");
  AddTopic(app, &flags->topic, "where to publish");
  CLI::Option* payload = app->add_option("PAYLOAD", flags->payload, "the message; empty if nothing is given");
  payload->type_name("");
  app->add_option("-f,--file", flags->file, "send what a file holds; - is standard input")
      ->type_name("PATH")
      ->excludes(payload);
  AddHeaders(app, &flags->headers);
  AddDuration(app, "-t,--timeout", &flags->timeout, {absl::Milliseconds(1), absl::Hours(24)},
              "how long to wait for the reply; that nobody subscribes to the topic is known at once");
  CLI::Option* raw = app->add_flag("-r,--raw", flags->raw, "print the reply byte for byte, and a newline");
  app->add_flag("-j,--json", flags->json, "print the reply as a JSON object")->excludes(raw);
  AddConnectionFlags(app, &flags->connection);
  SetFooter(app, "  sluice request time.now\n  sluice request jobs.hash --file picture.png --timeout 30s\n");
  return {app, [flags](Console& console) { return Run(*flags, console); }};
}

}  // namespace sluice::cli
