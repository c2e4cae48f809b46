#include "client/cli/demo_publisher.h"

#include <utility>

#include "client/cli/notices.h"
#include "client/cli/pacer.h"

namespace sluice::cli {

DemoPublisher::DemoPublisher(std::string name, DemoFeed::Options feed, DemoNews* news)
    : name_(std::move(name)), news_(*news), feed_(std::move(feed), NowNs()) {}

ClientCallbacks DemoPublisher::callbacks() {
  ClientCallbacks callbacks;
  callbacks.on_paused = [this](const PausedEvent& event) { OnPaused(event); };
  callbacks.on_error = [this](const ErrorEvent& event) {
    news_.Tell(name_, DemoNews::Kind::kError,
               std::string_view(event.status.message().data(), event.status.message().size()));
  };
  return callbacks;
}

void DemoPublisher::OnPaused(const PausedEvent& event) {
  const bool paused = event.state == PausedEvent::State::kPaused;
  news_.Tell(name_, paused ? DemoNews::Kind::kPaused : DemoNews::Kind::kResumed, Describe(event));
  if (paused && event.cause == "blocked_by_consumer") times_held_up_.fetch_add(1, std::memory_order_relaxed);
  held_up_.store(paused, std::memory_order_relaxed);
}

absl::Status DemoPublisher::Publish(int64_t now_ns) {
  if (held_up()) return absl::OkStatus();
  absl::Status status = SendRest();
  for (uint64_t due = feed_.Due(now_ns); due > 0 && status.ok() && all_sent(); --due) {
    unsent_ = feed_.Next();
    status = SendRest();
  }
  return status;
}

absl::Status DemoPublisher::SendRest() {
  if (all_sent()) return absl::OkStatus();
  absl::Status status = client_->TryPublish({.topic = unsent_->topic, .payload = unsent_->payload});
  if (absl::IsResourceExhausted(status)) return absl::OkStatus();
  if (status.ok()) unsent_.reset();
  return status;
}

}  // namespace sluice::cli
