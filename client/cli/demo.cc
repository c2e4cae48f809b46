#include "client/cli/demo.h"

#include <CLI/CLI.hpp>

#include "client/cli/policies_demo.h"
#include "client/cli/slow_consumer_demo.h"

namespace sluice::cli {

namespace {

void AddBroker(CLI::App* app, std::string* program) {
  app->add_option("--broker", *program,
                  "the broker's program; sluiced beside this one, or in PATH, if not given")
      ->type_name("PATH");
}

}  // namespace

Subcommand AddDemo(CLI::App* parent) {
  CLI::App* app = parent->add_subcommand("demo", "Show what Sluice does, with a broker of its own");
  app->require_subcommand(1);

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

  return {app, [=](Console& console) {
            if (policies->parsed()) return PoliciesDemo(*policies_options, &console).Run();
            return SlowConsumerDemo(*slow_consumer_options, &console).Run();
          }};
}

}  // namespace sluice::cli
