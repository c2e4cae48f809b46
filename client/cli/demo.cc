#include "client/cli/demo.h"

#include <CLI/CLI.hpp>

#include "client/cli/slow_consumer_demo.h"

namespace sluice::cli {

Subcommand AddDemo(CLI::App* parent) {
  const auto options = std::make_shared<SlowConsumerOptions>();
  CLI::App* app = parent->add_subcommand("demo", "Show what Sluice does, with a broker of its own");
  app->require_subcommand(1);
  CLI::App* slow_consumer = app->add_subcommand(
      "slow-consumer", "A blocked write, a healthy subscriber beside it, and one that is cut");
  slow_consumer
      ->add_option("--broker", options->broker,
                   "the broker's program; sluiced beside this one, or in PATH, if not given")
      ->type_name("PATH");
  AddDuration(slow_consumer, "--pause", &options->pause, {absl::ZeroDuration(), absl::Seconds(5)},
              "between two steps of the slow reader");
  SetFooter(slow_consumer,
            "  sluice demo slow-consumer\n"
            "It ends with 0 only if everything was as it should be.\n");
  return {app, [options](Console& console) { return SlowConsumerDemo(*options, &console).Run(); }};
}

}  // namespace sluice::cli
