#include "client/cli/live_demo.h"

#include <errno.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "client/cli/demo_cast.h"
#include "client/cli/flags.h"
#include "client/cli/http.h"
#include "client/cli/pacer.h"
#include "client/cli/table.h"
#include "client/cli/text.h"
#include "client/cli/top.h"
#include "client/clock.h"

namespace sluice::cli {
namespace {

constexpr absl::Duration kStep = absl::Milliseconds(20);
// How often the broker is asked.
constexpr absl::Duration kLookInterval = absl::Seconds(1);
constexpr absl::Duration kLookIntervalOfChecks = absl::Milliseconds(250);
// For everything to be seen, and for the rest to be read.
constexpr absl::Duration kPatience = absl::Minutes(2);

constexpr char kAnyPort[] = "127.0.0.1:0";
constexpr char kDefaultListen[] = "127.0.0.1:7584";
constexpr char kDefaultHttp[] = "127.0.0.1:7585";
constexpr char kDefaultPrometheus[] = "127.0.0.1:9090";

}  // namespace

LiveDemo::LiveDemo(LiveDemoOptions options, Console* console)
    : options_(std::move(options)),
      console_(*console),
      stage_(console, options_.broker, [](const LogLine&) {}),
      board_(console),
      held_up_(sightings_.Expect(fmt::format("{} was told that a consumer holds it up", kHeldUp))),
      goes_on_(sightings_.Expect(fmt::format("{} was told that it goes on", kHeldUp))),
      page_(sightings_.Expect("the status page answers")),
      metrics_(
          sightings_.Expect("/metrics counts drops, conflated messages, cuts and publishers that waited")) {}

ExitCode LiveDemo::Run() {
  absl::Status status = Prepare();
  if (!status.ok()) return stage_.End(status);
  status = Play();
  // What was told since the last look; in place of the table.
  board_.Show(TakeNews(), {});
  if (checks() && status.ok()) status = CatchUp();
  PrintSummary();
  const bool judges = checks() && status.ok();
  if (judges) PrintResults();
  TakeLeave();
  if (judges) stage_.StopBroker();
  return judges || !status.ok() ? stage_.End(status) : ExitCode::kDone;
}

// ---- The acts ----

absl::Status LiveDemo::Prepare() {
  for (const auto act : {&LiveDemo::StartPrometheus, &LiveDemo::StartBroker, &LiveDemo::StartClients}) {
    if (absl::Status status = (this->*act)(); !status.ok()) return status;
  }
  PrintAddresses();
  return absl::OkStatus();
}

// Before the broker, which is told where the dashboards are.
absl::Status LiveDemo::StartPrometheus() {
  if (options_.prometheus == "off") return absl::OkStatus();
  const bool wanted = options_.prometheus != "auto";
  DemoPrometheus::Options options = {.program = wanted ? options_.prometheus : "prometheus"};
  absl::StatusOr<std::string> files = FindPrometheusFiles();
  absl::Status status = files.status();
  if (files.ok()) {
    options.files = *std::move(files);
    absl::StatusOr<std::unique_ptr<DemoPrometheus>> prometheus = absl::UnavailableError("");
    if (!checks()) {
      options.listen = kDefaultPrometheus;
      prometheus = DemoPrometheus::Start(options, console_.interrupt().fd());
    }
    if (absl::IsUnavailable(prometheus.status())) {
      // Somebody has that port.
      options.listen = kAnyPort;
      prometheus = DemoPrometheus::Start(options, console_.interrupt().fd());
    }
    status = prometheus.status();
    if (prometheus.ok()) prometheus_ = *std::move(prometheus);
  }
  if (!status.ok()) {
    if (wanted || absl::IsCancelled(status)) return status;
    stage_.Print(absl::IsNotFound(status) && !options.files.empty()
                     ? "Prometheus is not installed: without it."
                     : fmt::format("Without Prometheus: {}", std::string(status.message())));
    return absl::OkStatus();
  }
  queries_ = sightings_.Expect("a query of Prometheus returns what the broker counts");
  console_page_ = sightings_.Expect("the dashboard of Prometheus answers");
  return absl::OkStatus();
}

absl::Status LiveDemo::StartBroker() {
  DemoBroker::Options options = {
      .listen = options_.listen.empty() ? (checks() ? kAnyPort : kDefaultListen) : options_.listen,
      .http = options_.http.empty() ? (checks() ? kAnyPort : kDefaultHttp) : options_.http,
      // We may be stopped for a while; that is not to end what we show.
      .flags = {"--block-timeout=10m", "--pending-age-max=10m"}};
  if (prometheus_ != nullptr) options.flags.push_back("--dashboard-url=" + prometheus_->console_url());
  absl::Status status = stage_.Start(options);
  if (absl::IsUnavailable(status) && options_.listen.empty() && options_.http.empty()) {
    // Somebody has these ports.
    options.listen = options.http = kAnyPort;
    status = stage_.Start(options);
  }
  if (!status.ok()) return status;
  broker_http_.url = "http://" + stage_.http_address();
  return prometheus_ == nullptr ? absl::OkStatus() : prometheus_->Scrape(stage_.http_address());
}

absl::Status LiveDemo::StartClients() {
  for (const DemoRole& role : DemoConsumers()) {
    consumers_.push_back(std::make_unique<DemoConsumer>(role, &news_));
    absl::StatusOr<std::unique_ptr<Client>> client =
        stage_.ConnectClient(std::string(role.name), consumers_.back()->options());
    if (!client.ok()) return client.status();
    if (absl::Status status = consumers_.back()->Start(*std::move(client)); !status.ok()) return status;
  }
  for (DemoPublisherRole& role : DemoPublishers()) {
    publishers_.push_back(std::make_unique<DemoPublisher>(role.name, std::move(role.feed), &news_));
    ClientOptions options;
    options.callbacks = publishers_.back()->callbacks();
    absl::StatusOr<std::unique_ptr<Client>> client = stage_.ConnectClient(role.name, std::move(options));
    if (!client.ok()) return client.status();
    publishers_.back()->Use(*std::move(client));
  }
  return absl::OkStatus();
}

void LiveDemo::PrintAddresses() {
  const std::string program = program_invocation_name;
  const bool by_default = stage_.address() == kDefaultListen && stage_.http_address() == kDefaultHttp;
  const std::string server = by_default ? "" : " --server " + stage_.address();
  const std::string http = by_default ? "" : " --http " + broker_http_.url;
  std::string text = "To open in a browser:\n";
  text += fmt::format("  status page  {}/\n", broker_http_.url);
  if (prometheus_ != nullptr) text += fmt::format("  dashboard    {}\n", prometheus_->console_url());
  text += fmt::format("  metrics      {}/metrics\n", broker_http_.url);
  text += fmt::format(
      "To try in another terminal:\n  {0} top{1}\n  {0} episodes{1}\n  {0} sub 'ticks.nyse.*'{2}\n\n",
      program, http, server);
  text += fmt::format("{} feeds, and {} consumers:\n", publishers_.size(), consumers_.size());
  for (const DemoRole& role : DemoConsumers()) {
    text += fmt::format("  {:<14}{:<15}{:<13}{}\n", role.name, role.filter, role.policy, role.see);
  }
  const std::string how_long =
      checks()            ? "Until everything was seen that is to be seen"
      : options_.duration ? fmt::format("For {}, or until Ctrl-C", absl::FormatDuration(*options_.duration))
                          : "Until Ctrl-C";
  text += fmt::format("\n{}. What they are told:", how_long);
  stage_.Print(text);
}

absl::Status LiveDemo::Play() {
  const absl::Time begin = client::MonotonicNow();
  const absl::Time end = begin + options_.duration.value_or(checks() ? kPatience : absl::InfiniteDuration());
  for (;;) {
    const int64_t now_ns = NowNs();
    for (const auto& publisher : publishers_) {
      if (absl::Status status = publisher->Publish(now_ns); !status.ok()) return status;
    }
    for (const auto& consumer : consumers_) consumer->Read(now_ns, PublishedFor(*consumer));
    if (absl::Status status = Look(); !status.ok()) return status;
    if (client::MonotonicNow() >= end || (checks() && sightings_.all_seen())) return absl::OkStatus();
    if (absl::Status status = stage_.Pause(kStep); !status.ok()) return status;
  }
}

absl::Status LiveDemo::CatchUp() {
  const absl::Time deadline = client::DeadlineIn(kPatience);
  const auto is_behind = [this](const auto& consumer) { return !HasWhatIsLeft(*consumer); };
  for (;;) {
    bool all_sent = true;
    for (const auto& publisher : publishers_) {
      if (absl::Status status = publisher->SendRest(); !status.ok()) return status;
      if (!publisher->all_sent()) all_sent = false;
    }
    for (const auto& consumer : consumers_) consumer->ReadAll();
    // Who has not got it by then fails in the results.
    if ((all_sent && std::none_of(consumers_.begin(), consumers_.end(), is_behind)) ||
        client::MonotonicNow() >= deadline) {
      return absl::OkStatus();
    }
    if (absl::Status status = stage_.Pause(kStep); !status.ok()) return status;
  }
}

void LiveDemo::TakeLeave() {
  consumers_.clear();
  publishers_.clear();
  prometheus_.reset();
}

// ---- What is seen meanwhile ----

std::vector<std::string> LiveDemo::TakeNews() {
  std::vector<std::string> news = news_.Take();
  for (std::string& line : news)
    line = absl::FormatTime("%H:%M:%S ", absl::Now(), absl::LocalTimeZone()) + line;
  return news;
}

absl::Status LiveDemo::Look() {
  const std::vector<std::string> news = TakeNews();
  const absl::Time now = client::MonotonicNow();
  const bool due = now - looked_at_ >= (checks() ? kLookIntervalOfChecks : kLookInterval);
  if (due) {
    AdminClient broker(broker_http_, console_);
    const absl::StatusOr<nlohmann::json> list = broker.Get("/api/consumers", {{"limit", "100"}});
    const absl::StatusOr<nlohmann::json> info = broker.Get("/api/broker");
    for (const absl::Status& status : {list.status(), info.status()}) {
      if (absl::IsCancelled(status)) return status;
    }
    if (list.ok() && info.ok()) {
      table_ = BoardLines(BrokerLine(broker_, *info, now - looked_at_), *list);
      broker_ = *info;
    }
    looked_at_ = now;
    if (checks() && list.ok()) LookForSights(*list);
  }
  if (!news.empty() || (due && board_.has_table())) board_.Show(news, table_);
  return absl::OkStatus();
}

void LiveDemo::LookForSights(const nlohmann::json& list) {
  const absl::StatusOr<nlohmann::json> episodes = AdminClient(broker_http_, console_).Get("/api/episodes");
  sightings_.LookAt(list, episodes.ok() ? *episodes : nlohmann::json::object());
  for (const auto& consumer : consumers_) sightings_.LookAt(consumer->role().name, consumer->books());
  for (const auto& publisher : publishers_) {
    if (publisher->name() != kHeldUp) continue;
    sightings_.See(held_up_, publisher->times_held_up() > 0);
    sightings_.See(goes_on_, publisher->times_held_up() > 0 && !publisher->held_up());
  }
  const auto page = [this](const std::string& server, const std::string& path, HttpQuery query = {}) {
    const absl::StatusOr<HttpAnswer> answer =
        AskHttp({.server = server, .path = path, .query = std::move(query)}, console_);
    return answer.ok() && answer->status == 200 ? answer->body : "";
  };
  sightings_.See(page_, page(broker_http_.url, "/").find("<html") != std::string::npos);
  const std::string metrics = page(broker_http_.url, "/metrics");
  const auto counts = [&](const char* name) { return MetricOf(metrics, name) > 0; };
  sightings_.See(metrics_,
                 counts("sluice_messages_dropped_total") && counts("sluice_messages_conflated_total") &&
                     counts("sluice_slow_consumer_disconnects_total") && counts("sluice_block_pauses_total"));
  if (prometheus_ == nullptr) return;
  const nlohmann::json found = nlohmann::json::parse(
      page(prometheus_->url(), "/api/v1/query", {{"query", "sum(sluice_messages_received_total) > 0"}}),
      nullptr,
      /*allow_exceptions=*/false);
  sightings_.See(queries_,
                 found.is_object() && found.contains("data") && !ListOf(found["data"], "result").empty());
  sightings_.See(console_page_,
                 page(prometheus_->console_url(), "").find("<title>Sluice") != std::string::npos);
}

std::vector<std::string> LiveDemo::BoardLines(const std::string& broker_line,
                                              const nlohmann::json& list) const {
  constexpr auto kRight = Table::Align::kRight;
  Table table({{"CONSUMER"},
               {"POLICY"},
               {"STATE"},
               {"OF LIMIT", kRight},
               {"WAITING", kRight},
               {"RECEIVED", kRight},
               {"MISSED", kRight},
               {"CUTS", kRight}});
  for (const auto& consumer : consumers_) {
    std::string state = "away";
    double share = 0;
    double waiting = 0;
    for (const nlohmann::json& one : ListOf(list, "consumers")) {
      if (TextOf(one, "client_name") != consumer->role().name) continue;
      state = TextOf(one, "state");
      share = NumberOf(one, "limit_share");
      waiting = NumberOf(one, "pending_messages");
    }
    const DemoConsumer::Books books = consumer->books();
    const auto count = [](uint64_t number) {
      return number == 0 ? "-" : RoundedCount(static_cast<double>(number));
    };
    table.Add({std::string(consumer->role().name), std::string(consumer->role().policy), state,
               fmt::format("{:.0f}%", 100 * share), count(static_cast<uint64_t>(waiting)),
               count(books.received), count(books.missed()), count(books.cuts)});
  }
  std::vector<std::string> lines = table.Lines();
  lines.insert(lines.begin(), {"", broker_line});
  return lines;
}

}  // namespace sluice::cli
