// How much the broker may send ahead of what was handled, for one subscription. Internal to the client.
//
//   ReceiveWindow window(256 << 10, 16 << 20);
//   window.bytes();                                   // to ask for in Subscribe
//   window.Begin(granted);                            // Subscribed says what is in force
//   window.OnReceived(bytes);
//   if (window.OnHandled(bytes) == ReceiveWindow::Grant::kDue) Send(window.TakeGrant(now));
//
// A grant is due when half of the window was handled (not merely received). The window doubles, up to its
// most, while the application keeps up: it has caught up with what had come, and that half lasted for less
// than kGrowsWithin. So it comes to hold about what is handled in twice that time, and the round trip does not
// limit the rate unless it is longer; and an application that is behind has no more under way than before.
//
// What was received in an earlier session and is handled in this one counts nothing here.
//
// Thread safety: all methods from any thread.
#ifndef SLUICE_CLIENT_RECEIVE_WINDOW_H_
#define SLUICE_CLIENT_RECEIVE_WINDOW_H_

#include <cstdint>

#include "absl/time/time.h"
#include "client/mutex.h"

namespace sluice::client {

class ReceiveWindow {
 public:
  static constexpr absl::Duration kGrowsWithin = absl::Milliseconds(200);

  // `bytes_first` 0: no window. The most is at least the first.
  ReceiveWindow(uint64_t bytes_first, uint64_t bytes_max) : bytes_max_(bytes_max), bytes_(bytes_first) {}

  uint64_t bytes() const;

  // A session begins, in which nothing is in force yet.
  void EndSession();
  // So many bytes are granted in it already; 0: the broker knows no windows.
  void Begin(uint64_t granted_bytes, absl::Time now);

  // Of message frames, lengths included.
  void OnReceived(uint64_t bytes);
  enum class Grant { kNotYet, kDue };
  Grant OnHandled(uint64_t bytes);
  // What is granted in this session from now on, in all; 0: nothing is due.
  uint64_t TakeGrant(absl::Time now);

 private:
  bool IsDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint64_t bytes_max_;
  mutable Mutex mutex_;
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_);
  // Of this session; 0: there is no window.
  uint64_t granted_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t received_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t handled_ ABSL_GUARDED_BY(mutex_) = 0;
  // Of earlier sessions, and not handled yet.
  uint64_t old_ ABSL_GUARDED_BY(mutex_) = 0;
  // Since the last grant.
  enum class CaughtUp { kNo, kYes } caught_up_ ABSL_GUARDED_BY(mutex_) = CaughtUp::kNo;
  absl::Time granted_at_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_RECEIVE_WINDOW_H_
