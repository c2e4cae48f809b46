#include "client/cli/demo.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "client/cli/live_demo.h"
#include "client/cli/policies_demo.h"
#include "client/cli/slow_consumer_demo.h"

namespace sluice::cli {

namespace {

void AddBroker(CLI::App* app, std::string* program) {
  app->add_option("--broker", *program,
                  "the broker's program; sluiced beside this one, or in PATH, if not given")
      ->type_name("PATH");
}

void AddAddress(CLI::App* app, const char* name, std::string* address, const char* help) {
  app->add_option(name, *address, help)->type_name("HOST:PORT")->check([](const std::string& text) {
    const size_t colon = text.rfind(':');
    const bool has_both = colon != std::string::npos && colon > 0;
    if (has_both && ParseCount(text.substr(colon + 1), {0, 65'535}).ok()) return std::string();
    return fmt::format("'{}' is no address; allowed: HOST:PORT, such as 127.0.0.1:7584", text);
  });
}

}  // namespace

Subcommand AddDemo(CLI::App* parent) {
  CLI::App* app = parent->add_subcommand("demo", "Show what Sluice does, with a broker of its own");
  app->require_subcommand(0, 1);

  const auto live_options = std::make_shared<LiveDemoOptions>();
  const auto check = std::make_shared<bool>(false);
  AddBroker(app, &live_options->broker);
  app->add_option("--prometheus", live_options->prometheus,
                  "the program of Prometheus; auto: the one in PATH, if there is one; off: none")
      ->type_name("auto|off|PATH")
      ->capture_default_str();
  AddAddress(app, "--listen", &live_options->listen,
             "where clients connect, as for sluiced; 127.0.0.1:7584 if it is free");
  AddAddress(app, "--http", &live_options->http, "where the status page is; 127.0.0.1:7585 if it is free");
  AddDuration(app, "--duration", &live_options->duration, {absl::Seconds(1), absl::Hours(24)},
              "ends by itself");
  app->add_flag("--check", *check,
                "run until all that it shows was seen, on ports that the system chooses, and do the sums");
  SetFooter(
      app,
      "  sluice demo                 broker, feeds, consumers that are slow in various ways; until Ctrl-C\n"
      "  sluice demo --check         the same for scripts: ends with 0 only if everything was as it should "
      "be\n");

  const auto slow_consumer_options = std::make_shared<SlowConsumerOptions>();
  CLI::App* slow_consumer = app->add_subcommand(
      "slow-consumer", "A blocked write, a healthy subscriber beside it, and one that is cut");
  AddBroker(slow_consumer, &slow_consumer_options->broker);
  AddDuration(slow_consumer, "--pause", &slow_consumer_options->pause,
              {absl::ZeroDuration(), absl::Seconds(5)}, "between two steps of the slow reader");
  SetFooter(slow_consumer,
            "  sluice demo slow-consumer\n"
            "It ends with 0 only if everything was as it should be.\n");

  const auto policies_options = std::make_shared<PoliciesOptions>();
  CLI::App* policies = app->add_subcommand(
      "policies", "A slow consumer under each overflow policy, side by side, and what each saw");
  AddBroker(policies, &policies_options->broker);
  AddDuration(policies, "--pause", &policies_options->pause, {absl::ZeroDuration(), absl::Seconds(5)},
              "between two steps of the feed");
  SetFooter(policies,
            "  sluice demo policies\n"
            "It ends with 0 only if everything was as it should be.\n");

  app->final_callback([=] {
    const bool another = policies->parsed() || slow_consumer->parsed();
    for (const CLI::Option* option : app->get_options()) {
      if (another && option->count() > 0) {
        Refuse(fmt::format("{} goes with `sluice demo` alone", option->get_name()));
      }
    }
    if (*check && live_options->duration.has_value()) Refuse("--check ends by itself, without --duration");
  });
  return {app, [=](Console& console) {
            if (policies->parsed()) return PoliciesDemo(*policies_options, &console).Run();
            if (slow_consumer->parsed()) return SlowConsumerDemo(*slow_consumer_options, &console).Run();
            if (*check) live_options->form = LiveDemoOptions::Form::kCheck;
            return LiveDemo(*live_options, &console).Run();
          }};
}

}  // namespace sluice::cli
