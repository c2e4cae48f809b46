#include "client/cli/pub.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <system_error>

#include "client/cli/confirmed_publisher.h"
#include "client/cli/json.h"
#include "client/cli/line_numbers.h"
#include "client/cli/line_splitter.h"
#include "client/cli/notices.h"
#include "client/cli/pacer.h"
#include "client/cli/payload.h"
#include "client/cli/text.h"
#include "client/clock.h"
#include "protocol/frame.h"

namespace sluice::cli {
namespace {

struct PubFlags {
  ConnectionFlags connection;
  std::string topic;
  std::string payload;
  std::string file;
  bool lines = false;
  std::optional<uint64_t> size;
  std::optional<uint64_t> count;
  std::optional<double> rate;
  Headers headers;
  std::string reply_to;
  absl::Duration timeout = absl::Seconds(30);
  bool json = false;
  bool verbose = false;
};

// One run of `sluice pub`.
class Pub {
 public:
  Pub(const PubFlags& flags, Console* console)
      : flags_(flags), headers_(ViewOf(flags.headers)), console_(*console), notices_(console) {
    if (flags_.rate.has_value()) pacer_.emplace(*flags_.rate, NowNs(), WhenLate::kForget);
  }

  ExitCode Run();

 private:
  enum class Next { kGoOn, kStop };

  void PublishLines();
  Next PublishChunk(std::string_view bytes, LineSplitter* lines);
  void OnLine(const LineSplitter::Line& line);
  void PublishPayload(const std::string& payload);
  // kStop: a signal came, or the client gave up; why_stopped_ says so.
  Next PublishOne(std::string_view payload);
  Next WaitUntilDue();
  void ShowProgress();
  // How people count what is published.
  std::string Name(uint64_t number) const {
    return fmt::format("{} {}", flags_.lines ? "line" : "message", number);
  }
  uint64_t count_max() const { return flags_.count.value_or(flags_.lines ? UINT64_MAX : 1); }
  ExitCode Conclude(const PublishOutcome& outcome);
  void Summarize(const PublishOutcome& outcome) const;

  const PubFlags& flags_;
  const std::vector<HeaderView> headers_;
  Console& console_;
  Notices notices_;
  LineNumbers line_numbers_;
  std::unique_ptr<Client> client_;
  std::optional<ConfirmedPublisher> publisher_;
  std::optional<Pacer> pacer_;
  const absl::Time began_at_ = client::MonotonicNow();
  absl::Time shown_at_ = began_at_;

  // Messages that were wanted so far, those that were refused before they left included.
  uint64_t wanted_ = 0;
  uint64_t refused_here_ = 0;
  absl::Status why_stopped_;
};

ExitCode Pub::Run() {
  ClientOptions options;
  ConfirmedPublisher::Prepare(&options);
  notices_.NamePublishes([this](uint64_t publish) { return Name(line_numbers_.LineOf(publish)); });
  options.callbacks = notices_.callbacks();
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(flags_.connection, std::move(options), console_);
  if (!client.ok()) return console_.Fail(client.status());
  client_ = *std::move(client);
  publisher_.emplace(client_.get(), &notices_, &console_, flags_.timeout);

  if (flags_.lines) {
    PublishLines();
  } else if (flags_.file.empty()) {
    PublishPayload(flags_.payload);
  } else {
    absl::StatusOr<std::string> payload = ReadPayloadFile(flags_.file, client_->server().payload_bytes_max);
    if (!payload.ok()) return console_.Fail(std::string(payload.status().message()));
    PublishPayload(*payload);
  }
  const PublishOutcome outcome = publisher_->Finish();
  console_.Progress("");
  const ExitCode code = Conclude(outcome);
  // What is not confirmed by now has had its time.
  if (!outcome.status.ok()) client_->Close(absl::ZeroDuration()).IgnoreError();
  return code;
}

void Pub::PublishLines() {
  std::array<char, 64 << 10> buffer;
  const uint64_t told = client_->server().payload_bytes_max;
  LineSplitter lines(told > 0 ? told : kFrameBodyBytesMax);
  while (wanted_ < count_max()) {
    if (WaitFor({STDIN_FILENO, console_.interrupt().fd()}).has(1)) {
      why_stopped_ = absl::CancelledError("a signal came");
      return;
    }
    const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) {
      why_stopped_ = absl::DataLossError(
          fmt::format("cannot read standard input: {}", std::generic_category().message(errno)));
      return;
    }
    if (got == 0) {
      lines.Finish([this](const LineSplitter::Line& line) { OnLine(line); });
      return;
    }
    lines.Append({buffer.data(), static_cast<size_t>(got)},
                 [this](const LineSplitter::Line& line) { OnLine(line); });
    if (!why_stopped_.ok()) return;
  }
}

void Pub::OnLine(const LineSplitter::Line& line) {
  if (!why_stopped_.ok() || wanted_ >= count_max()) return;
  if (line.fits == LineSplitter::Line::Fits::kTooLong) {
    ++wanted_;
    ++refused_here_;
    line_numbers_.Skip(line.number);
    console_.Notice(fmt::format("{} was not published: it has {} bytes, and the broker takes at most {}",
                                Name(line.number), line.bytes, client_->server().payload_bytes_max));
    return;
  }
  const uint64_t refused_before = refused_here_;
  PublishOne(line.text);
  if (refused_here_ > refused_before) line_numbers_.Skip(line.number);
}

void Pub::PublishPayload(const std::string& payload) {
  while (wanted_ < count_max()) {
    const Next next = flags_.size.has_value() ? PublishOne(GeneratedPayload(wanted_ + 1, *flags_.size))
                                              : PublishOne(payload);
    // What is refused once is refused again.
    if (next == Next::kStop || refused_here_ > 0) return;
  }
}

Pub::Next Pub::PublishOne(std::string_view payload) {
  if (WaitUntilDue() == Next::kStop) return Next::kStop;
  ++wanted_;
  absl::Status status = publisher_->Publish(
      {.topic = flags_.topic, .payload = payload, .reply_to = flags_.reply_to, .headers = headers_});
  if (pacer_.has_value()) pacer_->Next(NowNs());
  if (status.code() == absl::StatusCode::kInvalidArgument) {
    ++refused_here_;
    console_.Notice(fmt::format("{} was not published: {}", Name(wanted_), std::string(status.message())));
  } else if (!status.ok()) {
    why_stopped_ = std::move(status);
    return Next::kStop;
  }
  ShowProgress();
  return Next::kGoOn;
}

Pub::Next Pub::WaitUntilDue() {
  // A signal is heard between messages also when there is nothing to wait for.
  if (console_.interrupt().exit_code().has_value() ||
      (pacer_.has_value() &&
       WaitFor({console_.interrupt().fd()}, absl::UnixEpoch() + absl::Nanoseconds(pacer_->due_ns()))
           .has(0))) {
    why_stopped_ = absl::CancelledError("a signal came");
    return Next::kStop;
  }
  return Next::kGoOn;
}

void Pub::ShowProgress() {
  constexpr uint64_t kLookEvery = 256;
  constexpr absl::Duration kShowEvery = absl::Milliseconds(250);
  if (!console_.notices_are_for_a_terminal() || (!pacer_.has_value() && wanted_ % kLookEvery != 0)) return;
  const absl::Time now = client::MonotonicNow();
  if (now - shown_at_ < kShowEvery) return;
  shown_at_ = now;
  const double rate = static_cast<double>(wanted_) / absl::ToDoubleSeconds(now - began_at_);
  const std::string of = flags_.count.has_value() ? fmt::format(" of {}", *flags_.count) : "";
  console_.Progress(fmt::format("published {}{}, {}/s", wanted_, of, RoundedCount(rate)));
}

ExitCode Pub::Conclude(const PublishOutcome& outcome) {
  Summarize(outcome);
  if (!outcome.status.ok()) console_.Notice(std::string(outcome.status.message()));
  if (absl::IsCancelled(why_stopped_) && console_.interrupt().exit_code().has_value()) {
    if (!flags_.json)
      console_.Notice(fmt::format("interrupted after {}", Counted(outcome.published, "message")));
    return *console_.interrupt().exit_code();
  }
  if (!why_stopped_.ok()) return console_.Fail(why_stopped_);
  if (!outcome.status.ok()) return ExitCodeOf(outcome.status);
  return refused_here_ > 0 ? ExitCode::kFailure : ExitCode::kDone;
}

void Pub::Summarize(const PublishOutcome& outcome) const {
  const double seconds = absl::ToDoubleSeconds(client::MonotonicNow() - began_at_);
  if (flags_.json) {
    JsonObject object;
    object.Add("published", outcome.published).Add("bytes", publisher_->published_bytes());
    object.Add("confirmed", outcome.receipt.messages - outcome.receipt.refused);
    object.Add("matched", outcome.receipt.matched).Add("queued", outcome.receipt.queued);
    object.Add("dropped", outcome.receipt.dropped).Add("blocked", outcome.receipt.blocked);
    object.Add("refused", outcome.refused + refused_here_);
    object.Add("unknown", outcome.unknown).Add("unsent", outcome.unsent).Add("seconds", seconds);
    // A reader who has gone is no reason to call publishing failed.
    static_cast<void>(console_.output().Write(object.ToString() + "\n"));
  } else if (flags_.verbose || console_.notices_are_for_a_terminal()) {
    const std::string blocked = outcome.receipt.pressure() == Pressure::kNone
                                    ? ""
                                    : fmt::format(" ({} over a limit: we waited)", outcome.receipt.blocked);
    console_.Notice(
        fmt::format("the broker has {} ({}); for subscriptions: {} queued{}, {} dropped; {:.3g} s",
                    Counted(outcome.receipt.messages - outcome.receipt.refused, "message"),
                    RoundedBytes(static_cast<double>(publisher_->published_bytes())), outcome.receipt.queued,
                    blocked, outcome.receipt.dropped, seconds));
  }
}

void CheckTogether(const CLI::App& app, const PubFlags& flags) {
  const bool has_payload = app.get_option("PAYLOAD")->count() > 0;
  const int sources = (has_payload ? 1 : 0) + (flags.file.empty() ? 0 : 1) + (flags.lines ? 1 : 0) +
                      (flags.size.has_value() ? 1 : 0);
  if (sources > 1) Refuse("only one of PAYLOAD, --file, --lines and --size can be published");
  if (flags.rate.has_value() && !flags.lines && !flags.count.has_value()) {
    Refuse("--rate needs --count or --lines: one message has no rate");
  }
}

}  // namespace

Subcommand AddPub(CLI::App* parent) {
  const auto flags = std::make_shared<PubFlags>();
  CLI::App* app = parent->add_subcommand("pub", "Publish a message, or each line of standard input");
  AddTopic(app, &flags->topic, "where to publish");
  app->add_option("PAYLOAD", flags->payload, "the message; empty if nothing is given")->type_name("");
  app->add_flag(
      "-l,--lines", flags->lines,
      "publish each line of standard input, empty ones too, as it arrives; a line that is longer than the "
      "broker's largest payload is told by its number and left out, the others go on");
  app->add_option("-f,--file", flags->file, "publish what a file holds, as one message; - is standard input")
      ->type_name("PATH");
  AddSize(app, "--size", &flags->size, {0, 64 << 20}, "publish generated messages of that size");
  AddCount(app, "-n,--count", &flags->count, {1, 1'000'000'000'000},
           "publish it so many times; with --lines: stop after so many lines");
  AddRate(app, "-r,--rate", &flags->rate, {0.001, 1e9}, "publish no more than so many messages a second");
  AddHeaders(app, &flags->headers);
  app->add_option("--reply-to", flags->reply_to, "where a reply is wanted")->type_name("TOPIC");
  AddDuration(app, "-t,--timeout", &flags->timeout, {absl::Milliseconds(1), absl::Hours(24)},
              "give up when the broker takes and confirms nothing for so long");
  app->add_flag("-j,--json", flags->json, "print the result as a JSON object");
  app->add_flag("-v,--verbose", flags->verbose, "print the result also when nobody watches");
  AddConnectionFlags(app, &flags->connection);
  SetFooter(app,
            "  sluice pub ticks.nyse.IBM 187.2\n"
            "  sluice pub ticks.nyse.IBM -- -5             # a payload that looks like a flag\n"
            "  tail -F /var/log/syslog | sluice pub logs.syslog --lines\n"
            "  sluice pub load.test --size 1KiB --count 100k --rate 5k\n");
  app->final_callback([app, flags] { CheckTogether(*app, *flags); });
  return {app, [flags](Console& console) { return Pub(*flags, &console).Run(); }};
}

}  // namespace sluice::cli
