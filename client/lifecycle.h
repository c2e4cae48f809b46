// Where a client stands between its first attempt to connect and its end, and who waits for that. Internal to
// the client.
//
// Thread safety: all methods from any thread.
#ifndef SLUICE_CLIENT_LIFECYCLE_H_
#define SLUICE_CLIENT_LIFECYCLE_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "client/mutex.h"

namespace sluice::client {

class Lifecycle {
 public:
  // The I/O thread says where it is.
  void OnConnected(ServerInfo server);
  void OnDisconnected();
  // An attempt failed; said to those who wait in vain.
  void OnConnectFailed(const absl::Status& why);
  // It is over, and what Close() returns.
  void OnClosed(const absl::Status& result);

  // The user wants it to end until then; a later call can only make it sooner.
  void RequestClose(absl::Time deadline);
  // InfiniteFuture: nobody wants it to end.
  absl::Time close_deadline() const;

  // OK at the next connection. Cancelled: it is over. DeadlineExceeded: with the reason why the last attempt
  // failed.
  absl::Status WaitConnected(absl::Time deadline) const;
  // What OnClosed() said.
  absl::Status WaitClosed() const;

  ClientState state() const;
  ServerInfo server() const;

 private:
  mutable Mutex mutex_;
  mutable CondVar changed_;
  ClientState state_ ABSL_GUARDED_BY(mutex_) = ClientState::kConnecting;
  ServerInfo server_ ABSL_GUARDED_BY(mutex_);
  absl::Status last_failure_ ABSL_GUARDED_BY(mutex_);
  absl::Time close_deadline_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  absl::Status result_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_LIFECYCLE_H_
