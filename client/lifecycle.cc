#include "client/lifecycle.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace sluice::client {

void Lifecycle::OnConnected(ServerInfo server) {
  MutexLock lock(&mutex_);
  state_ = ClientState::kConnected;
  server_ = std::move(server);
  changed_.SignalAll();
}

void Lifecycle::OnDisconnected() {
  MutexLock lock(&mutex_);
  state_ = ClientState::kConnecting;
}

void Lifecycle::OnConnectFailed(const absl::Status& why) {
  MutexLock lock(&mutex_);
  last_failure_ = why;
}

void Lifecycle::OnClosed(const absl::Status& result) {
  MutexLock lock(&mutex_);
  state_ = ClientState::kClosed;
  result_ = result;
  changed_.SignalAll();
}

void Lifecycle::RequestClose(absl::Time deadline) {
  MutexLock lock(&mutex_);
  close_deadline_ = std::min(close_deadline_, deadline);
}

absl::Time Lifecycle::close_deadline() const {
  MutexLock lock(&mutex_);
  return close_deadline_;
}

absl::Status Lifecycle::WaitConnected(absl::Time deadline) const {
  MutexLock lock(&mutex_);
  while (state_ == ClientState::kConnecting) {
    if (MonotonicNow() >= deadline) {
      const absl::string_view why = last_failure_.message();
      return absl::DeadlineExceededError(
          why.empty() ? "not connected in time"
                      : fmt::format("not connected in time: {}", std::string_view(why.data(), why.size())));
    }
    changed_.WaitUntil(&mutex_, deadline);
  }
  if (state_ == ClientState::kConnected) return absl::OkStatus();
  return absl::CancelledError("the client is closed");
}

absl::Status Lifecycle::WaitClosed() const {
  MutexLock lock(&mutex_);
  while (state_ != ClientState::kClosed) changed_.Wait(&mutex_);
  return result_;
}

ClientState Lifecycle::state() const {
  MutexLock lock(&mutex_);
  return state_;
}

ServerInfo Lifecycle::server() const {
  MutexLock lock(&mutex_);
  return server_;
}

}  // namespace sluice::client
