#include "client/cli/consumers.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "client/cli/admin.h"
#include "client/cli/text.h"

namespace sluice::cli {
namespace {

struct ConsumersFlags {
  AdminFlags admin;
  std::string sort = "pending";
  uint64_t limit = 20;
  std::string topic;
  bool json = false;
};

// What is 0 says nothing.
std::string Or(double number, std::string shown) { return number == 0 ? "-" : std::move(shown); }

ExitCode Run(const ConsumersFlags& flags, Console& console) {
  AdminClient::Query query = {{"sort", flags.sort}, {"limit", std::to_string(flags.limit)}};
  if (!flags.topic.empty()) query.emplace_back("topic", flags.topic);
  AdminClient client(flags.admin, console);
  absl::StatusOr<nlohmann::json> list = client.Get("/api/consumers", query);
  if (!list.ok()) return console.FailUnlessInterrupted(list.status());
  const std::string text =
      flags.json ? list->dump(2) + "\n" : ConsumerTable(*list).ToString() + ConsumerCount(*list) + "\n";
  if (console.output().Write(text) != Output::Result::kWritten) return console.Fail(console.output());
  return ExitCode::kDone;
}

}  // namespace

Table ConsumerTable(const nlohmann::json& list) {
  constexpr auto kRight = Table::Align::kRight;
  Table table({{"STATE"},
               {"OF LIMIT", kRight},
               {"PENDING", kRight},
               {"MESSAGES", kRight},
               {"OLDEST", kRight},
               {"LEFT", kRight},
               {"DROPPED", kRight},
               {"CAUSE"},
               {"CLIENT"},
               {"FILTER"},
               {"ID"}});
  for (const nlohmann::json& one : ListOf(list, "consumers")) {
    const double age = NumberOf(one, "oldest_age_seconds");
    const double dropped = NumberOf(one, "dropped") + NumberOf(one, "conflated");
    const std::string cause = TextOf(one, "cause");
    table.Add({TextOf(one, "state") + (IsTrue(one, "observed") ? " (observed)" : ""),
               fmt::format("{:.0f}%", 100 * NumberOf(one, "limit_share")),
               Or(NumberOf(one, "pending_bytes"), RoundedBytes(NumberOf(one, "pending_bytes"))),
               Or(NumberOf(one, "pending_messages"), RoundedCount(NumberOf(one, "pending_messages"))),
               Or(age, RoundedDuration(absl::Seconds(age))),
               one.contains("time_to_limit_seconds")
                   ? RoundedDuration(absl::Seconds(NumberOf(one, "time_to_limit_seconds")))
                   : "-",
               Or(dropped, RoundedCount(dropped)), cause.empty() ? "-" : cause, TextOf(one, "client_name"),
               TextOf(one, "filter"), TextOf(one, "id")});
  }
  return table;
}

std::string ConsumerCount(const nlohmann::json& list) {
  const size_t shown = ListOf(list, "consumers").size();
  std::string text = fmt::format("{} of {:.0f} consumers", shown, NumberOf(list, "subscriptions"));
  if (const double missing = NumberOf(list, "shards_missing"); missing > 0) {
    text += fmt::format("; {:.0f} of the broker's shards did not answer", missing);
  }
  return text;
}

Subcommand AddConsumers(CLI::App* parent) {
  const auto flags = std::make_shared<ConsumersFlags>();
  CLI::App* app = parent->add_subcommand("consumers", "List the broker's consumers, the slowest first");
  app->add_option("--sort", flags->sort, "what comes first: pending, age, dropped or stalled")
      ->check(CLI::IsMember({"pending", "age", "dropped", "stalled"}))
      ->type_name("ORDER")
      ->capture_default_str();
  AddCount(app, "--limit", &flags->limit, {1, 1000}, "consumers to list");
  app->add_option("--topic", flags->topic, "only those who get what is published on this topic")
      ->type_name("TOPIC");
  app->add_flag("-j,--json", flags->json, "print what the broker answered");
  AddAdminFlags(app, AdminActs::kAsks, &flags->admin);
  SetFooter(app,
            "  sluice consumers\n  sluice consumers --sort age --limit 5\n"
            "  sluice consumers --topic ticks.nyse.IBM --json\n");
  return {app, [flags](Console& console) { return Run(*flags, console); }};
}

}  // namespace sluice::cli
