// A publisher of `sluice demo`: a client that publishes its feed, and waits when the broker says that a consumer
// holds it up.
//
//   absl::StatusOr<std::unique_ptr<Client>> client =
//       Connect(flags, {.callbacks = publisher.callbacks()}, console);
//   publisher.Use(*std::move(client));
//   publisher.Publish(NowNs());                                   // what is due; never waits
//
// Thread safety: one owner; the callbacks run on the client's dispatch thread.
#ifndef SLUICE_CLIENT_CLI_DEMO_PUBLISHER_H_
#define SLUICE_CLIENT_CLI_DEMO_PUBLISHER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "client/cli/demo_feed.h"
#include "client/cli/demo_news.h"
#include "client/client.h"

namespace sluice::cli {

class DemoPublisher {
 public:
  // `news` outlives it.
  DemoPublisher(std::string name, DemoFeed::Options feed, DemoNews* news);

  const std::string& name() const { return name_; }
  const DemoFeed& feed() const { return feed_; }
  ClientCallbacks callbacks();
  void Use(std::unique_ptr<Client> client) { client_ = std::move(client); }

  absl::Status Publish(int64_t now_ns);
  // What has found no room yet; then all of the feed is with the client.
  absl::Status SendRest();
  bool all_sent() const { return !unsent_.has_value(); }
  // How often a consumer has held it up, and whether one does now.
  uint64_t times_held_up() const { return times_held_up_.load(std::memory_order_relaxed); }
  bool held_up() const { return held_up_.load(std::memory_order_relaxed); }

 private:
  void OnPaused(const PausedEvent& event);

  const std::string name_;
  DemoNews& news_;
  DemoFeed feed_;
  std::optional<FeedMessage> unsent_;
  std::atomic<uint64_t> times_held_up_{0};
  std::atomic<bool> held_up_{false};
  // Last: its callbacks use the others.
  std::unique_ptr<Client> client_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_DEMO_PUBLISHER_H_
