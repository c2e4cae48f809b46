// A subscriber that uses a client library as a program would, to see what the library costs per message.
//
//   std::unique_ptr<LibrarySubscriber> subscriber = SubscribeWithSluice(port, topic, Delivery::kDefault,
//   &tally);
//
// From then until it is destroyed every message is counted in the tally. A failure throws std::runtime_error.
//
// Thread safety: the tally is written by one thread of the library, and may be read by any.
#ifndef SLUICE_TESTS_BENCH_LIBRARY_SUBSCRIBER_H_
#define SLUICE_TESTS_BENCH_LIBRARY_SUBSCRIBER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tests/bench/stamp.h"

namespace sluice::bench {

// What a handler does: as little as shows that the message came, and in order.
class Tally {
 public:
  // `progress` may be watched by another process.
  explicit Tally(std::atomic<uint64_t>* progress) : progress_(progress) {}

  void OnMessage(std::string_view payload) {
    if (payload.size() < kStampBytes || ReadStamp(payload.data()).sequence != messages_) ++unexpected_;
    progress_->store(++messages_, std::memory_order_release);
  }
  // Messages that were not the next one.
  uint64_t unexpected() const { return unexpected_.load(); }

 private:
  std::atomic<uint64_t>* const progress_;
  uint64_t messages_ = 0;
  std::atomic<uint64_t> unexpected_ = 0;
};

class LibrarySubscriber {
 public:
  virtual ~LibrarySubscriber() = default;
};

enum class Delivery {
  kDefault,  // on the thread that the library calls handlers on
  kInline,   // on the thread that reads
};

std::unique_ptr<LibrarySubscriber> SubscribeWithSluice(uint16_t port, const std::string& topic,
                                                       Delivery delivery, Tally* tally);
// Throws if libnats was not there when this was built.
std::unique_ptr<LibrarySubscriber> SubscribeWithNats(uint16_t port, const std::string& topic, Tally* tally);

}  // namespace sluice::bench

#endif  // SLUICE_TESTS_BENCH_LIBRARY_SUBSCRIBER_H_
