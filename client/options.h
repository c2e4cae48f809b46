// How a Client behaves. Every field has a default that suits a program on the broker's own network.
//
//   sluice::ClientOptions options;
//   options.servers = {"sluice://a.example:7584", "sluice://b.example"};
//   options.name = "ticker";
//   options.callbacks.on_disconnected = [](const sluice::DisconnectedEvent& event) { ... };
//
// Public header of the client library.
#ifndef SLUICE_CLIENT_OPTIONS_H_
#define SLUICE_CLIENT_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/events.h"

namespace sluice {
inline namespace client_v1 {

inline constexpr absl::Duration kDefaultTimeout = absl::Seconds(10);

enum class InitialConnect {
  kOnce,        // Connect() tries each server once and returns why the last one failed
  kKeepTrying,  // Connect() returns at once; the client connects when it can
};

enum class Reconnect { kYes, kNo };

struct ClientOptions {
  // Tried in this order; after a lost connection from the one behind the one that was lost. Each is
  // "sluice://host:port", "host:port" or "host" (the port is 7584 then), or several joined by commas.
  std::vector<std::string> servers = {"sluice://127.0.0.1:7584"};
  // Shown to operators; at most 128 bytes, no control characters.
  std::string name = {};

  InitialConnect initial_connect = InitialConnect::kOnce;
  // How long one server may take to accept the connection and to answer.
  absl::Duration connect_timeout = absl::Seconds(5);
  Reconnect reconnect = Reconnect::kYes;
  // Before each round of attempts, one at each server: the first delay, doubled each time up to the highest,
  // each shortened by up to half at random so that a thousand clients do not come back in the same moment. A
  // broker's wish to stay away longer (`retry_after`) is kept. It begins anew after a connection that lasted.
  absl::Duration reconnect_delay_first = absl::Milliseconds(50);
  absl::Duration reconnect_delay_max = absl::Seconds(5);
  // 0: random. Given by tests that want to see the same delays again.
  uint64_t seed = 0;

  // What Publish() may run ahead of the network. A message that finds it empty is taken whatever its size.
  uint64_t outgoing_bytes_max = 8 << 20;
  // How long Publish() waits for room before it fails with DeadlineExceeded.
  absl::Duration publish_timeout = absl::Seconds(30);

  // What may wait for handlers and Next(), over all subscriptions. When it is full the library stops reading,
  // drops nothing, and the broker sees the lag.
  uint64_t incoming_bytes_max = 32 << 20;

  // How long the destructor tries to send what is buffered and to part in order.
  absl::Duration close_timeout = absl::Seconds(5);

  ClientCallbacks callbacks = {};
};

}  // namespace client_v1
}  // namespace sluice

#endif  // SLUICE_CLIENT_OPTIONS_H_
