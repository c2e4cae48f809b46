#include "client/cli/episodes.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "client/cli/admin.h"
#include "client/cli/text.h"

namespace sluice::cli {
namespace {

struct EpisodesFlags {
  AdminFlags admin;
  uint64_t limit = 20;
  bool json = false;
};

// "recovered", "disconnected: pending_bytes".
std::string Outcome(const nlohmann::json& episode) {
  const std::string reason = TextOf(episode, "reason");
  return TextOf(episode, "outcome") + (reason.empty() ? "" : ": " + reason);
}

// "ticks.a 80%, ticks.b 20%"
std::string Shares(const nlohmann::json& episode, const char* field) {
  std::string text;
  for (const nlohmann::json& share : ListOf(episode, field)) {
    if (!text.empty()) text += ", ";
    text += fmt::format("{} {:.0f}%", TextOf(share, "name"), 100 * NumberOf(share, "share"));
  }
  return text.empty() ? "-" : text;
}

ExitCode Run(const EpisodesFlags& flags, Console& console) {
  AdminClient client(flags.admin, console);
  absl::StatusOr<nlohmann::json> list = client.Get("/api/episodes", {{"limit", std::to_string(flags.limit)}});
  if (!list.ok()) return console.FailUnlessInterrupted(list.status());
  const Table table = EpisodeTable(*list);
  const std::string text =
      flags.json ? list->dump(2) + "\n"
                 : table.ToString() + fmt::format("{} of {:.0f} episodes since start\n", table.size(),
                                                  NumberOf(*list, "episodes_total"));
  if (console.output().Write(text) != Output::Result::kWritten) return console.Fail(console.output());
  return ExitCode::kDone;
}

}  // namespace

Table EpisodeTable(const nlohmann::json& list) {
  constexpr auto kRight = Table::Align::kRight;
  Table table({{"BEGAN"},
               {"LASTED", kRight},
               {"PEAK", kRight},
               {"MESSAGES", kRight},
               {"OF LIMIT", kRight},
               {"LOST", kRight},
               {"CAUSE"},
               {"OUTCOME"},
               {"CLIENT"},
               {"FILTER"},
               {"TOPICS"}});
  for (const nlohmann::json& one : ListOf(list, "episodes")) {
    const double lost = NumberOf(one, "dropped");
    const std::string cause = TextOf(one, "cause");
    table.Add({TextOf(one, "began"), RoundedDuration(absl::Seconds(NumberOf(one, "duration_seconds"))),
               RoundedBytes(NumberOf(one, "pending_bytes_peak")),
               RoundedCount(NumberOf(one, "pending_messages_peak")),
               fmt::format("{:.0f}%", 100 * NumberOf(one, "limit_share_peak")),
               lost == 0 ? "-" : RoundedCount(lost), cause.empty() ? "-" : cause, Outcome(one),
               TextOf(one, "client_name"), TextOf(one, "filter"), Shares(one, "topics")});
  }
  return table;
}

Subcommand AddEpisodes(CLI::App* parent) {
  const auto flags = std::make_shared<EpisodesFlags>();
  CLI::App* app =
      parent->add_subcommand("episodes", "List the times that consumers lagged, the newest first");
  AddCount(app, "--limit", &flags->limit, {1, 1000}, "episodes to list");
  app->add_flag("-j,--json", flags->json, "print what the broker answered");
  AddAdminFlags(app, AdminActs::kAsks, &flags->admin);
  SetFooter(app, "  sluice episodes\n  sluice episodes --limit 100 --json\n");
  return {app, [flags](Console& console) { return Run(*flags, console); }};
}

}  // namespace sluice::cli
