#include "client/cli/ping.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <thread>

#include "client/cli/json.h"
#include "client/cli/notices.h"
#include "client/cli/text.h"
#include "client/clock.h"

namespace sluice::cli {
namespace {

struct PingFlags {
  ConnectionFlags connection;
  uint64_t count = 1;
  absl::Duration interval = absl::Seconds(1);
  absl::Duration timeout = absl::Seconds(5);
  bool json = false;
};

struct Trips {
  uint64_t count = 0;
  absl::Duration shortest = absl::InfiniteDuration();
  absl::Duration longest;
  absl::Duration sum;

  void Add(absl::Duration trip) {
    ++count;
    shortest = std::min(shortest, trip);
    longest = std::max(longest, trip);
    sum += trip;
  }
};

// A ping on a thread of its own, so that a signal is heard while it waits.
absl::StatusOr<absl::Duration> Ping(Client* client, absl::Duration timeout, const Console& console) {
  Event done;
  absl::StatusOr<absl::Duration> trip = absl::UnknownError("not done");
  std::thread pinging([&] {
    trip = client->Ping(timeout);
    done.Set();
  });
  // Closing ends the wait.
  if (!WaitFor({done.fd(), console.interrupt().fd()}).has(0))
    client->Close(absl::ZeroDuration()).IgnoreError();
  pinging.join();
  return trip;
}

std::string Line(const PingFlags& flags, const ServerInfo& server, uint64_t number, absl::Duration trip) {
  if (flags.json) {
    JsonObject object;
    object.Add("server", server.address).Add("broker", server.broker).Add("number", number);
    object.Add("seconds", absl::ToDoubleSeconds(trip));
    return object.ToString() + "\n";
  }
  return fmt::format("pong {} from {} ({}): {}\n", number, server.address, server.broker,
                     RoundedDuration(trip));
}

ExitCode Run(const PingFlags& flags, Console& console) {
  Notices notices(&console);
  ClientOptions options;
  options.callbacks = notices.callbacks();
  absl::StatusOr<std::unique_ptr<Client>> client = Connect(flags.connection, std::move(options), console);
  if (!client.ok()) return console.Fail(client.status());
  Trips trips;
  ExitCode code = ExitCode::kDone;
  for (uint64_t number = 1; number <= flags.count; ++number) {
    const absl::Time next = client::MonotonicNow() + flags.interval;
    const absl::StatusOr<absl::Duration> trip = Ping(client->get(), flags.timeout, console);
    if (console.interrupt().exit_code().has_value()) break;
    if (trip.ok()) {
      trips.Add(*trip);
      const std::string line = Line(flags, (*client)->server(), number, *trip);
      if (console.output().Write(line) != Output::Result::kWritten) return console.Fail(console.output());
    } else {
      code = console.Fail(trip.status());
    }
    if (number < flags.count && WaitFor({console.interrupt().fd()}, next).has(0)) break;
  }
  if (flags.count > 1 && !flags.json && trips.count > 0) {
    const std::string summary = fmt::format("{} of {} answered; shortest {}, average {}, longest {}\n",
                                            trips.count, flags.count, RoundedDuration(trips.shortest),
                                            RoundedDuration(trips.sum / static_cast<int64_t>(trips.count)),
                                            RoundedDuration(trips.longest));
    if (console.output().Write(summary) != Output::Result::kWritten) return console.Fail(console.output());
  }
  return console.interrupt().exit_code().value_or(code);
}

}  // namespace

Subcommand AddPing(CLI::App* parent) {
  const auto flags = std::make_shared<PingFlags>();
  CLI::App* app = parent->add_subcommand("ping", "Measure the way to the broker and back");
  AddCount(app, "-n,--count", &flags->count, {1, 1'000'000'000}, "pings");
  AddDuration(app, "-i,--interval", &flags->interval, {absl::ZeroDuration(), absl::Hours(24)},
              "time from one ping to the next");
  AddDuration(app, "-t,--timeout", &flags->timeout, {absl::Milliseconds(1), absl::Hours(1)},
              "how long one ping may take");
  app->add_flag("-j,--json", flags->json, "print a JSON object for each ping");
  AddConnectionFlags(app, &flags->connection);
  SetFooter(app, "  sluice ping\n  sluice ping --count 10 --interval 200ms --server broker.example\n");
  return {app, [flags](Console& console) { return Run(*flags, console); }};
}

}  // namespace sluice::cli
