// Publishes a price every 100 ms until it is interrupted, or as many as the second argument says, and asks at
// the end that the broker has them all.
//
//   publisher sluice://127.0.0.1:7584 20
#include <sluice/client.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/time/clock.h"

namespace {

volatile std::sig_atomic_t interrupted = 0;

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, [](int) { interrupted = 1; });
  const long count = argc > 2 ? std::atol(argv[2]) : 0;

  sluice::ClientOptions options;
  options.servers = {argc > 1 ? argv[1] : "sluice://127.0.0.1:7584"};
  options.name = "example-publisher";
  options.callbacks.on_disconnected = [](const sluice::DisconnectedEvent& event) {
    if (event.reason == sluice::Reason::kClientClosed) return;
    std::cerr << "disconnected: " << sluice::ReasonName(event.reason) << "; " << event.publishes_unknown
              << " messages may be lost\n";
  };
  absl::StatusOr<std::unique_ptr<sluice::Client>> client = sluice::Client::Connect(options);
  if (!client.ok()) {
    std::cerr << client.status() << '\n';
    return 1;
  }

  for (long i = 1; interrupted == 0 && (count == 0 || i <= count); ++i) {
    const std::string price = std::to_string(180 + i % 20);
    const absl::Status status =
        (*client)->Publish({.topic = "ticks.nyse.IBM", .payload = price, .headers = {{"currency", "usd"}}});
    if (!status.ok()) {
      std::cerr << status << '\n';
      return 1;
    }
    absl::SleepFor(absl::Milliseconds(100));
  }

  // One receipt for all of them.
  const absl::StatusOr<sluice::PublishReceipt> receipt = (*client)->Confirm();
  if (!receipt.ok()) {
    std::cerr << receipt.status() << '\n';
    return 1;
  }
  std::cout << receipt->messages << " messages went to " << receipt->matched << " subscriptions\n";
  return 0;
}
