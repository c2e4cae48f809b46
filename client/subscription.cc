#include "client/subscription.h"

#include <utility>

#include "client/subscription_state.h"
#include "client/subscription_table.h"

namespace sluice {
inline namespace client_v1 {

using client::DeadlineIn;
using client::EndedBy;
using client::WaitForCall;

Subscription::Subscription(std::shared_ptr<client::SubscriptionState> state) : state_(std::move(state)) {}

Subscription::Subscription(Subscription&& other) noexcept = default;

Subscription& Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    Unsubscribe();
    state_ = std::move(other.state_);
  }
  return *this;
}

Subscription::~Subscription() { Unsubscribe(); }

uint32_t Subscription::id() const { return state_->id(); }

const std::string& Subscription::filter() const { return state_->filter(); }

absl::StatusOr<ReceivedMessage> Subscription::Next(absl::Duration timeout) { return state_->Next(timeout); }

void Subscription::Unsubscribe() {
  if (state_ == nullptr) return;
  state_->table().Discard(state_.get());
  state_->Stop(EndedBy::kUser, WaitForCall::kYes);
}

absl::Status Subscription::UnsubscribeAfter(uint64_t messages) {
  if (messages == 0) return absl::InvalidArgumentError("end after at least one message");
  state_->table().EndAfter(state_.get(), messages);
  return absl::OkStatus();
}

absl::Status Subscription::Drain(absl::Duration timeout) {
  state_->table().Drain(state_.get());
  const absl::StatusOr<SubscriptionEnd> end = state_->WaitEnd(DeadlineIn(timeout));
  return end.ok() ? end->status : end.status();
}

absl::StatusOr<SubscriptionEnd> Subscription::WaitEnd(absl::Duration timeout) {
  return state_->WaitEnd(DeadlineIn(timeout));
}

SubscriptionStats Subscription::stats() const { return state_->stats(); }

SubscriptionTerms Subscription::terms() const { return state_->terms(); }

void Subscription::Release() { state_ = nullptr; }

}  // namespace client_v1
}  // namespace sluice
