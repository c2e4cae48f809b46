// Keeps senders at most so many bytes ahead of the slowest of several receivers, so that a measurement cannot
// flood what it measures.
//
//   FlowWindow window(/*bytes_max=*/1 << 20, /*receivers=*/10);
//   if (window.Take(size) == FlowWindow::Taken::kYes) Send();     // a sender; waits
//   window.OnReceived(receiver, size);    // a receiver, for each message of any sender
//   window.Leave(receiver);               // it is gone: nobody waits for it any more
//
// Every receiver gets every message. A message larger than the window may go when nothing is ahead.
//
// Thread safety: all methods from any thread, OnReceived() and Leave() of one receiver by one thread at a
// time.
#ifndef SLUICE_CLIENT_CLI_FLOW_WINDOW_H_
#define SLUICE_CLIENT_CLI_FLOW_WINDOW_H_

#include <atomic>
#include <cstdint>
#include <vector>

namespace sluice::cli {

class FlowWindow {
 public:
  FlowWindow(uint64_t bytes_max, uint32_t receivers);

  enum class Taken { kYes, kStopped };
  Taken Take(uint64_t bytes);
  void OnReceived(uint32_t receiver, uint64_t bytes) {
    // Only this receiver's thread writes it.
    std::atomic<uint64_t>& received = receivers_[receiver].bytes;
    const uint64_t before = received.load(std::memory_order_relaxed);
    received.store(before + bytes, std::memory_order_release);
    // Waking costs more than counting: once per granule is soon enough, and when nothing more is to come.
    if (before / granule_bytes_ != (before + bytes) / granule_bytes_ ||
        before + bytes >= taken_.load(std::memory_order_relaxed)) {
      Tell();
    }
  }
  void Leave(uint32_t receiver);
  // Nobody waits from now on.
  void Stop();

 private:
  static constexpr uint64_t kLeft = UINT64_MAX;

  // Each on a cache line of its own, since each has its own writer.
  struct alignas(64) Receiver {
    std::atomic<uint64_t> bytes{0};
    std::atomic<bool> left{false};
  };

  void Tell();
  // What the slowest receiver has got, or kLeft when none is left.
  uint64_t Slowest() const;

  const uint64_t bytes_max_;
  const uint64_t granule_bytes_;
  std::vector<Receiver> receivers_;
  std::atomic<uint64_t> taken_{0};
  // A value that Slowest() had; the true one is not lower.
  std::atomic<uint64_t> slowest_{0};
  // Changes whenever a waiting sender should look again.
  std::atomic<uint32_t> progress_{0};
  std::atomic<bool> stopped_{false};
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_FLOW_WINDOW_H_
