// What one run of the load generator does.
//
// Messages go from `publishers` connections to `subscribers` sessions. In closed loop (rate 0) the publishers
// stay at most a window ahead of the slowest healthy subscriber; in open loop message k is due at k / rate,
// and its latency counts from then, however late it left. Beside that there may be sessions that never read
// (`stuck`), connections that only exist (`idle`), and one that subscribes and unsubscribes (`churn`).
#ifndef SLUICE_TESTS_BENCH_WORKLOAD_H_
#define SLUICE_TESTS_BENCH_WORKLOAD_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "tests/bench/adapter.h"

namespace sluice::bench {

enum class Layout {
  kAll,    // every subscriber has every topic
  kSplit,  // topic t is subscriber t % subscribers' alone
};

struct Workload {
  Protocol protocol = Protocol::kSluice;
  uint16_t port = 0;
  pid_t pid = 0;

  uint32_t publishers = 1;
  uint32_t subscribers = 10;
  uint32_t payload_bytes = 128;
  // The topic of each message is drawn at random.
  uint32_t topics = 1;
  Layout layout = Layout::kAll;

  // Messages per second over all publishers; 0: closed loop.
  double rate = 0;
  // Of closed loop: so many bytes of payload and 64 for each message may be under way to each subscriber.
  uint64_t window_bytes = 2 << 20;

  uint32_t stuck = 0;
  uint32_t idle = 0;
  // So many subscribes and so many unsubscribes per second, every other of a wildcard.
  double churn = 0;

  // Not measured, so that buffers and caches are as they will be; then measured.
  absl::Duration warm_up = absl::Milliseconds(300);
  absl::Duration duration = absl::Seconds(1);

  // A file with the count of messages (eight bytes) that another program has received as a subscriber of its
  // own; the window waits for it too. Empty: none.
  std::string progress_file = {};

  // At least 4, so that large messages flow too.
  uint64_t window_messages() const;

  // How many topics a subscriber has, and which.
  uint32_t TopicsOf(uint32_t subscriber) const;
  uint32_t TopicOf(uint32_t subscriber, uint32_t index) const;

  // Every publisher numbers its messages on every topic: a stream. A subscriber counts its own streams from
  // 0, in the order of TopicOf and then of the publishers; SIZE_MAX: it has not subscribed to that.
  uint32_t StreamOf(uint32_t topic, uint32_t publisher) const { return topic * publishers + publisher; }
  size_t LocalStream(uint32_t subscriber, uint32_t stream) const;
};

// Here because it is asked for every message.
inline size_t Workload::LocalStream(uint32_t subscriber, uint32_t stream) const {
  if (layout == Layout::kAll) return stream;
  const uint32_t topic = stream / publishers;
  if (topic % subscribers != subscriber) return SIZE_MAX;
  return size_t{topic / subscribers} * publishers + stream % publishers;
}

}  // namespace sluice::bench

#endif  // SLUICE_TESTS_BENCH_WORKLOAD_H_
