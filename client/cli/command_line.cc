#include "client/cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <sstream>

#include "client/cli/bench.h"
#include "client/cli/completion.h"
#include "client/cli/consumers.h"
#include "client/cli/demo.h"
#include "client/cli/drain.h"
#include "client/cli/episodes.h"
#include "client/cli/kick.h"
#include "client/cli/ping.h"
#include "client/cli/pub.h"
#include "client/cli/reply.h"
#include "client/cli/request.h"
#include "client/cli/sub.h"
#include "client/cli/text.h"
#include "client/cli/top.h"

namespace sluice::cli {
namespace {

// Breaks the lines of --help at the width of a page.
class PageFormatter : public CLI::Formatter {
 public:
  std::string make_option_desc(const CLI::Option* option) const override {
    return Wrapped(CLI::Formatter::make_option_desc(option), kPageColumns - get_column_width());
  }

 private:
  static constexpr size_t kPageColumns = 100;
};

Parsed UsageError(const CLI::App& app, std::string what) {
  std::string path = "sluice";
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    path += " " + command->get_name();
  }
  // CLI11 says first what is missing; more often it is a word that it did not know.
  if (const std::vector<std::string> unknown = command->remaining(); !unknown.empty()) {
    what = fmt::format("unknown: {}", fmt::join(unknown, " "));
  }
  std::string text = path + ": ";
  AppendForTerminal(what, &text);
  return {.run = {}, .text = fmt::format("{}\nSee {} --help.\n", text, path), .code = ExitCode::kUsage};
}

}  // namespace

CommandLine::CommandLine()
    : app_(std::make_unique<CLI::App>("Publish to a Sluice broker, subscribe, measure, see who is slow.",
                                      "sluice")) {
  // Subcommands inherit it when they are added.
  app_->formatter(std::make_shared<PageFormatter>());
  app_->set_version_flag("--version", std::string("sluice " SLUICE_VERSION));
  app_->require_subcommand(1);
  subcommands_ = {AddPub(app_.get()),       AddSub(app_.get()),   AddRequest(app_.get()),
                  AddReply(app_.get()),     AddPing(app_.get()),  AddBench(app_.get()),
                  AddConsumers(app_.get()), AddTop(app_.get()),   AddEpisodes(app_.get()),
                  AddKick(app_.get()),      AddDrain(app_.get()), AddDemo(app_.get()),
                  AddCompletion(app_.get())};
  app_->footer(
      std::string("The broker is sluice://127.0.0.1:7584 unless SLUICE_URL or --server says otherwise.\n") +
      kExitCodesHelp);
}

CommandLine::~CommandLine() = default;

Parsed CommandLine::Parse(int argc, const char* const* argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::Success& help) {
    std::ostringstream out;
    app_->exit(help, out, out);
    return {.run = {}, .text = out.str(), .code = ExitCode::kDone};
  } catch (const CLI::ParseError& error) {
    return UsageError(*app_, error.what());
  }
  for (const Subcommand& subcommand : subcommands_) {
    if (subcommand.app->parsed()) return {.run = subcommand.run, .text = "", .code = ExitCode::kDone};
  }
  return UsageError(*app_, "a subcommand is required");
}

}  // namespace sluice::cli
