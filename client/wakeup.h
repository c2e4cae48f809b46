// Wakes the I/O thread out of poll(). Internal to the client.
//
// Thread safety: Notify() from any thread; the rest by the I/O thread.
#ifndef SLUICE_CLIENT_WAKEUP_H_
#define SLUICE_CLIENT_WAKEUP_H_

#include "absl/status/status.h"

namespace sluice::client {

class Wakeup {
 public:
  Wakeup() = default;
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;
  ~Wakeup();

  // Before anything else. ResourceExhausted: the process is out of descriptors.
  absl::Status Open();
  // Makes fd() readable; any number of calls before a Drain() count as one.
  void Notify() const;
  void Drain() const;
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_WAKEUP_H_
