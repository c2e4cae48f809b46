// Says on standard error what happens to a client's connection and subscriptions, and counts what was missed.
//
//   Notices notices(&console);
//   options.callbacks = notices.callbacks();
//
// Thread safety: the callbacks run on the client's dispatch thread; left_out(), lost() and refused() may be
// asked by any thread. It outlives the client.
#ifndef SLUICE_CLIENT_CLI_NOTICES_H_
#define SLUICE_CLIENT_CLI_NOTICES_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "client/cli/console.h"
#include "client/cli/event.h"
#include "client/events.h"

namespace sluice::cli {

// One line each, without a newline.
std::string Describe(const ConnectedEvent& event);
std::string Describe(const DisconnectedEvent& event);
std::string Describe(const SlowConsumerEvent& event);
std::string Describe(const GapEvent& event);
std::string Describe(const PausedEvent& event);

class Notices {
 public:
  // `console` outlives it.
  explicit Notices(Console* console) : console_(*console) {}
  Notices(const Notices&) = delete;
  Notices& operator=(const Notices&) = delete;

  // What is told of a refused publish; without it, its number in the order published. Before callbacks().
  void NamePublishes(std::function<std::string(uint64_t)> name) { publish_name_ = std::move(name); }
  ClientCallbacks callbacks();

  // Messages that matched and did not come: left out by the overflow policy and told, or found lost
  // when a session ended.
  uint64_t left_out() const { return left_out_.load(std::memory_order_relaxed); }
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }
  // Publishes that were refused.
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }
  // Set once there will be no connection any more.
  const Event& gave_up() const { return gave_up_; }

 private:
  // More are only counted.
  static constexpr uint64_t kRefusalsShown = 10;

  void OnConnected(const ConnectedEvent& event);
  void OnDisconnected(const DisconnectedEvent& event);
  void CountMissing(const std::vector<SubscriptionLoss>& losses);
  void OnError(const ErrorEvent& event);

  Console& console_;
  std::function<std::string(uint64_t)> publish_name_ = {};
  std::atomic<uint64_t> left_out_{0};
  std::atomic<uint64_t> lost_{0};
  std::atomic<uint64_t> refused_{0};
  Event gave_up_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_NOTICES_H_
