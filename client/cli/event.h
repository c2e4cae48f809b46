// Tells a thread that waits in poll() that something happened.
//
//   Event received;
//   …                                  received.Set();                  // any thread
//   const Ready ready = WaitFor({received.fd(), interrupt.fd()}, deadline);
//   if (ready.has(0)) received.Clear();
//
// It only wakes: what one thread leaves for the other is guarded by a mutex, an atomic or a join.
//
// Thread safety: Event: any thread. WaitFor(): a pure function.
#ifndef SLUICE_CLIENT_CLI_EVENT_H_
#define SLUICE_CLIENT_CLI_EVENT_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "absl/time/time.h"
#include "client/cli/descriptor.h"

namespace sluice::cli {

class Event {
 public:
  // Throws std::system_error when the process is out of descriptors; main() ends with it.
  Event();

  void Set() const;
  void Clear() const;
  // Readable from Set() to Clear().
  int fd() const { return fd_.get(); }

 private:
  Descriptor fd_;
};

// Which of the descriptors that were waited for are readable (or at their end, or broken).
class Ready {
 public:
  explicit Ready(uint32_t bits) : bits_(bits) {}
  bool has(size_t index) const { return (bits_ >> index & 1) != 0; }
  // The deadline passed.
  bool none() const { return bits_ == 0; }

 private:
  uint32_t bits_;
};

// Waits until one of `fds` (at most 8; -1 is passed over) is readable, or until `deadline`, in the time of
// client::MonotonicNow().
Ready WaitFor(std::initializer_list<int> fds, absl::Time deadline = absl::InfiniteFuture());

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_EVENT_H_
