// Prints what is published below "ticks", as many messages as the second argument says, or until it is
// interrupted.
//
//   subscriber sluice://127.0.0.1:7584 20
#include <sluice/client.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

namespace {

volatile std::sig_atomic_t interrupted = 0;

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, [](int) { interrupted = 1; });

  sluice::ClientOptions options;
  options.servers = {argc > 1 ? argv[1] : "sluice://127.0.0.1:7584"};
  options.name = "example-subscriber";
  // Who is too slow learns what he missed, to the message.
  options.callbacks.on_gap = [](const sluice::GapEvent& gap) {
    std::cerr << gap.messages << " messages of " << gap.filter << " were dropped\n";
  };
  options.callbacks.on_disconnected = [](const sluice::DisconnectedEvent& event) {
    if (event.reason == sluice::Reason::kClientClosed) return;
    std::cerr << "disconnected: " << sluice::ReasonName(event.reason) << ' ' << event.text << '\n';
    for (const sluice::SubscriptionLoss& loss : event.losses) {
      std::cerr << loss.lost << " messages of " << loss.filter << " were lost\n";
    }
  };
  absl::StatusOr<std::unique_ptr<sluice::Client>> client = sluice::Client::Connect(options);
  if (!client.ok()) {
    std::cerr << client.status() << '\n';
    return 1;
  }

  sluice::SubscribeOptions subscribe;
  subscribe.messages_max = argc > 2 ? static_cast<uint64_t>(std::atol(argv[2])) : 0;
  absl::StatusOr<sluice::Subscription> ticks = (*client)->Subscribe(
      "ticks.>",
      [](const sluice::MessageView& tick) {
        // The views are valid for this call.
        std::cout << tick.topic << ' ' << tick.payload << ' ' << sluice::FindHeader(tick, "currency")
                  << std::endl;
      },
      subscribe);
  if (!ticks.ok()) {
    std::cerr << ticks.status() << '\n';
    return 1;
  }

  while (interrupted == 0) {
    const absl::StatusOr<sluice::SubscriptionEnd> end = ticks->WaitEnd(absl::Milliseconds(200));
    if (end.ok()) break;
  }
  return 0;
}
