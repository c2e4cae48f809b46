// A publisher and subscribers that keep up: the load under which others fall behind.
//
//   HealthyLoad load(broker.port(), {.subscribers = 5, .topics = {"load.a", "load.b"}});
//   while (broker.LogLines("slow consumer").empty()) load.Step(50, 1000);
//   load.Leave();
//
// A closed loop: a step ends when every subscriber has everything, so that none of them can fall behind, on
// whatever machine. What is missing, repeated, out of order or changed throws.
//
// Thread safety: none.
#ifndef SLUICE_TESTS_SUPPORT_HEALTHY_LOAD_H_
#define SLUICE_TESTS_SUPPORT_HEALTHY_LOAD_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/wire_client.h"

namespace sluice::testing {

// Bytes that are others for every seed and number, so that whatever happens to them is noticed.
std::string TestPayload(uint64_t seed, uint64_t number, size_t bytes);

struct HealthyLoadOptions {
  size_t subscribers = 2;
  // Message n goes to topics[n % size].
  std::vector<std::string> topics = {"load"};
  // What the subscribers ask for; it must match every topic.
  std::string filter = "load";
  uint64_t seed = 1;
};

class HealthyLoad {
 public:
  explicit HealthyLoad(uint16_t port, HealthyLoadOptions options = {});

  // Publishes, and waits until all have received it.
  void Step(int messages, size_t payload_bytes);

  // Ends the subscriptions: the broker must agree about how many messages there were.
  void Leave();

  uint64_t published() const { return sizes_.size(); }

 private:
  const HealthyLoadOptions options_;
  WireClient publisher_;
  std::vector<WireClient> subscribers_;
  // Of every message.
  std::vector<size_t> sizes_;
};

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_HEALTHY_LOAD_H_
