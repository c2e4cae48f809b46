// What a shard counts. Plain numbers that its thread bumps on the hot path and that the exporter reads while
// it runs: no lock, no locked instruction, no allocation, nothing of Prometheus.
//
//   counters.messages_in.Add();
//   counters.message_bytes_in.Add(frame_bytes);
//   counters.pending_bytes.Add(-taken);
//   counters.sessions_ended[reason].Add();       // indexed by the number of a v1::Reason
//
// A number that is added here gets its line in metrics/catalogue.cc (a test compares the two).
//
// Thread safety: each Counter, Gauge and DurationHistogram has one writer; any thread may read. Values read
// together are not one snapshot: a reader may see one event counted in one of them and not yet in another.
#ifndef SLUICE_METRICS_COUNTERS_H_
#define SLUICE_METRICS_COUNTERS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sluice {

// Events since start: only grows.
class Counter {
 public:
  void Add(uint64_t count = 1) { value_.store(Get() + count, std::memory_order_relaxed); }
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// How much there is now.
class Gauge {
 public:
  void Add(int64_t difference) { value_.store(Get() + difference, std::memory_order_relaxed); }
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  int64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// How often something took how long, in buckets of 1-2-5 steps from 1 µs to 50 s and one above them.
class DurationHistogram {
 public:
  static constexpr size_t kBounds = 24;
  static constexpr std::array<uint64_t, kBounds> kBoundsNs = [] {
    std::array<uint64_t, kBounds> bounds{};
    uint64_t decade = 1000;
    for (size_t i = 0; i < kBounds; i += 3, decade *= 10) {
      bounds[i] = decade;
      bounds[i + 1] = 2 * decade;
      bounds[i + 2] = 5 * decade;
    }
    return bounds;
  }();

  // A time below zero (clocks that were compared the wrong way round) counts as zero.
  void ObserveNs(int64_t ns) {
    const uint64_t value = ns < 0 ? 0 : static_cast<uint64_t>(ns);
    size_t bucket = 0;
    while (bucket < kBounds && value > kBoundsNs[bucket]) ++bucket;
    counts_[bucket].Add();
    sum_ns_.Add(value);
  }

  // Observations with kBoundsNs[bucket - 1] < time <= kBoundsNs[bucket]; bucket kBounds: longer than all
  // bounds.
  uint64_t BucketCount(size_t bucket) const { return counts_[bucket].Get(); }
  uint64_t SumNs() const { return sum_ns_.Get(); }

 private:
  std::array<Counter, kBounds + 1> counts_;
  Counter sum_ns_;
};

// More than the largest number of a v1::Reason, so that this header need not know the wire.
inline constexpr size_t kReasonsMax = 64;
// The same of a v1::LagCause.
inline constexpr size_t kLagCausesMax = 8;

// One per shard, written by its thread alone.
struct alignas(64) ShardCounters {
  // Sessions
  Counter connections_accepted;
  Counter connections_refused;  // over the maximum
  Counter accept_errors;        // EMFILE and the like: the kernel or a limit of the process refused
  Gauge connections_open;
  std::array<Counter, kReasonsMax> sessions_ended;
  Gauge subscriptions;
  std::array<Counter, kReasonsMax> subscriptions_cut;  // alone: for want of credit
  Counter errors_sent;

  // Messages: a publish counts once in, and once out for each subscription whose bytes the kernel took whole.
  Counter messages_in;
  Counter message_bytes_in;
  Counter messages_out;
  Counter message_bytes_out;
  Counter messages_conflated;  // a newer one of the same key took its place
  Counter messages_dropped;    // matched a subscription that did not get them
  Counter publish_refused;     // answered with an Error
  Counter match_cache_hits;
  Counter match_cache_misses;

  // Queues and writes
  Counter lagging_episodes;
  std::array<Counter, kLagCausesMax> lagging_causes;
  Gauge lagging_subscriptions;
  // Of subscriptions whose limits are only observed.
  std::array<Counter, kReasonsMax> observed_overflows;
  Counter observed_messages;     // came above a limit
  Gauge blocking_subscriptions;  // over a limit: whoever publishes to them is not read
  Gauge pending_bytes;
  Gauge pending_messages;
  Counter writes;
  Counter write_bytes;
  Counter partial_writes;
  Counter write_would_block;
  Counter epollout_arms;
  Counter epollout_resumes;
  Counter consumer_events;  // published under $sys.consumer
  DurationHistogram stall;  // from the blocked write to the drained queue
  Counter gaps;             // told to a subscription, in its queue
  // Of one flush in kFlushesPerSample: from the read of the oldest message that it sent until the kernel took it.
  DurationHistogram delivery;

  // Reads
  Counter reads;
  Counter read_bytes;
  Counter frames_in;
  Counter frames_truncated;  // the client ended the stream inside of one
  Counter clients_paused;    // reads paused, for whatever reason
  Counter block_paused;      // because of a consumer that blocks its publishers
  Gauge publishers_blocked;
  Counter publishers_blocked_ns;  // added up over the publishers

  // The event loop
  Counter turns;
  DurationHistogram turn;
  Counter late_turns;
  Counter lateness_ns;  // time by which deadlines were moved because a turn began late

  // To other shards
  Gauge mailbox_bytes;
  Counter mailbox_slices_sent;
  Counter mailbox_paused;
  Counter memory_sheds;
  Counter memory_paused;  // a publisher had to wait for room
};

// How a quantity is spread over the subscriptions at one moment: how many have at most each of the bounds, and
// more than all of them. Not for the hot path: a shard fills one when it is asked.
//
// Thread safety: none; one thread at a time.
template <typename Bounds>
class DistributionOver {
 public:
  static constexpr auto kBoundValues = Bounds::Values();
  static constexpr size_t kBounds = kBoundValues.size();
  using Value = typename decltype(kBoundValues)::value_type;

  void Observe(Value value, uint64_t subscriptions = 1) {
    size_t bucket = 0;
    while (bucket < kBounds && value > kBoundValues[bucket]) ++bucket;
    counts_[bucket] += subscriptions;
    sum_ += value * static_cast<Value>(subscriptions);
  }
  void Merge(const DistributionOver& other) {
    for (size_t i = 0; i <= kBounds; ++i) counts_[i] += other.counts_[i];
    sum_ += other.sum_;
  }

  // As in DurationHistogram.
  uint64_t BucketCount(size_t bucket) const { return counts_[bucket]; }
  Value Sum() const { return sum_; }

 private:
  std::array<uint64_t, kBounds + 1> counts_{};
  Value sum_{};
};

// 0, and the powers of four from 1 to 4^15 (1 Gi).
struct PowersOfFour {
  static constexpr std::array<uint64_t, 17> Values() {
    std::array<uint64_t, 17> bounds{};  // the first stays 0
    uint64_t value = 1;
    for (size_t i = 1; i < bounds.size(); ++i, value *= 4) bounds[i] = value;
    return bounds;
  }
};
using Distribution = DistributionOver<PowersOfFour>;

// Parts of a limit; with the marks at which an episode of lagging begins and ends.
struct SharesOfALimit {
  static constexpr std::array<double, 6> Values() { return {0.1, 0.25, 0.5, 0.75, 0.9, 1}; }
};
using ShareDistribution = DistributionOver<SharesOfALimit>;

}  // namespace sluice

#endif  // SLUICE_METRICS_COUNTERS_H_
