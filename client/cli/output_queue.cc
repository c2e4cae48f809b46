#include "client/cli/output_queue.h"

#include <algorithm>

namespace sluice::cli {

void OutputQueue::Close() {
  client::MutexLock lock(&mutex_);
  closed_ = true;
  has_room_.SignalAll();
}

void OutputQueue::WakeAt(size_t bytes) {
  something_.Clear();
  bool wake = false;
  {
    client::MutexLock lock(&mutex_);
    wake_at_ = std::min(bytes, bytes_max_);
    wake = TakeWake();
  }
  if (wake) something_.Set();
}

void OutputQueue::Take(std::string* batch) {
  batch->clear();
  client::MutexLock lock(&mutex_);
  wake_at_ = kAsleep;
  std::swap(*batch, waiting_);
  has_room_.SignalAll();
}

}  // namespace sluice::cli
