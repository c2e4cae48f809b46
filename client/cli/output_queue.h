// Text on its way from a handler to the output: the handler appends, the writer takes all at once.
//
//   OutputQueue queue(/*bytes_max=*/1 << 20);
//   queue.Push([&](std::string* out) { AppendMessage(message, format, out); });     // the handler; may wait
//
//   queue.WakeAt(1);                                                                // the writer
//   WaitFor({queue.fd(), …});
//   queue.Take(&batch);   output.Write(batch);
//
// When the writer is behind, Push() waits: the client library then reads no more, and the lag shows at the
// broker.
//
// Thread safety: Push() from any thread; the rest by the writer.
#ifndef SLUICE_CLIENT_CLI_OUTPUT_QUEUE_H_
#define SLUICE_CLIENT_CLI_OUTPUT_QUEUE_H_

#include <cstddef>
#include <string>

#include "client/cli/event.h"
#include "client/mutex.h"

namespace sluice::cli {

class OutputQueue {
 public:
  explicit OutputQueue(size_t bytes_max) : bytes_max_(bytes_max) {}

  enum class Pushed { kYes, kClosed };
  // Calls `append` with the text to append to, when less than bytes_max are waiting.
  template <typename Append>
  Pushed Push(Append&& append) {
    bool wake = false;
    {
      client::MutexLock lock(&mutex_);
      while (waiting_.size() >= bytes_max_ && !closed_) has_room_.Wait(&mutex_);
      if (closed_) return Pushed::kClosed;
      append(&waiting_);
      wake = TakeWake();
    }
    if (wake) something_.Set();
    return Pushed::kYes;
  }
  // Push() returns kClosed from now on, also where it waits.
  void Close();

  // Readable once at least so many bytes (or bytes_max, if that is less) have gathered; until the next
  // Take().
  void WakeAt(size_t bytes);
  int fd() const { return something_.fd(); }
  // Replaces `batch` by everything that waits, and uses its memory in exchange.
  void Take(std::string* batch);

 private:
  static constexpr size_t kAsleep = SIZE_MAX;

  bool TakeWake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (waiting_.size() < wake_at_) return false;
    wake_at_ = kAsleep;
    return true;
  }

  const size_t bytes_max_;
  Event something_;
  client::Mutex mutex_;
  client::CondVar has_room_;
  std::string waiting_ ABSL_GUARDED_BY(mutex_);
  size_t wake_at_ ABSL_GUARDED_BY(mutex_) = kAsleep;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_OUTPUT_QUEUE_H_
