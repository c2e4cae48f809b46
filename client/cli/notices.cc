#include "client/cli/notices.h"

#include <fmt/format.h>

#include "client/cli/text.h"
#include "client/cli/values.h"
#include "client/reason.h"

namespace sluice::cli {
namespace {

std::string Number(uint64_t value, Reason limit) {
  const bool is_time = limit == Reason::kPendingAge || limit == Reason::kWriteTimeout;
  return is_time ? ShowDuration(absl::Milliseconds(value)) : std::to_string(value);
}

uint64_t LostOf(const std::vector<SubscriptionLoss>& losses) {
  uint64_t lost = 0;
  for (const SubscriptionLoss& loss : losses) lost += loss.lost;
  return lost;
}

}  // namespace

std::string Describe(const ConnectedEvent& event) {
  std::string text = fmt::format("connected again to {}", event.server);
  if (event.previous.has_value()) {
    text += fmt::format("; the session before ended: {}",
                        event.previous->text.empty() ? std::string(ReasonName(event.previous->reason))
                                                     : event.previous->text);
    if (const uint64_t lost = LostOf(event.previous->losses); lost > 0) {
      text += fmt::format("; {} lost", Counted(lost, "message"));
    }
  }
  return text;
}

std::string Describe(const DisconnectedEvent& event) {
  std::string text = fmt::format("disconnected: {}", ReasonName(event.reason));
  // The broker's text says the limit, too.
  if (!event.text.empty()) {
    text += fmt::format(" ({})", event.text);
  } else if (event.limit > 0) {
    text += fmt::format("; limit {}, value {}", Number(event.limit, event.reason),
                        Number(event.value, event.reason));
  }
  if (const uint64_t lost = LostOf(event.losses); lost > 0)
    text += fmt::format("; {} lost", Counted(lost, "message"));
  if (event.publishes_unknown > 0) {
    text += fmt::format("; the broker may or may not have {}",
                        Counted(event.publishes_unknown, "published message"));
  }
  if (event.retry == Retry::kGaveUp) return text + "; giving up";
  if (event.retry_after > absl::ZeroDuration()) {
    return text + fmt::format("; reconnecting in {}", ShowDuration(event.retry_after));
  }
  return text + "; reconnecting";
}

std::string Describe(const SlowConsumerEvent& event) {
  if (event.state == SlowConsumerEvent::State::kCleared)
    return fmt::format("keeping up again on {}", event.filter);
  return fmt::format("falling behind on {}: {} {} of {}", event.filter, ReasonName(event.limit),
                     Number(event.value, event.limit), Number(event.limit_value, event.limit));
}

std::string Describe(const GapEvent& event) {
  return fmt::format(
      "missed {} ({}) of {}: {}", Counted(event.messages, "message"),
      RoundedBytes(static_cast<double>(event.bytes)), event.filter,
      event.cause == GapCause::kConflated ? "replaced by newer ones" : "dropped by the broker");
}

std::string Describe(const PausedEvent& event) {
  if (event.state == PausedEvent::State::kResumed) return "the broker reads from us again";
  return fmt::format("the broker has stopped reading from us: {}", event.cause);
}

ClientCallbacks Notices::callbacks() {
  ClientCallbacks callbacks;
  callbacks.on_connected = [this](const ConnectedEvent& event) { OnConnected(event); };
  callbacks.on_disconnected = [this](const DisconnectedEvent& event) { OnDisconnected(event); };
  callbacks.on_slow_consumer = [this](const SlowConsumerEvent& event) { console_.Notice(Describe(event)); };
  callbacks.on_gap = [this](const GapEvent& event) {
    missed_.fetch_add(event.messages, std::memory_order_relaxed);
    console_.Notice(Describe(event));
  };
  callbacks.on_error = [this](const ErrorEvent& event) { OnError(event); };
  callbacks.on_paused = [this](const PausedEvent& event) { console_.Notice(Describe(event)); };
  return callbacks;
}

void Notices::OnConnected(const ConnectedEvent& event) {
  if (event.previous.has_value())
    missed_.fetch_add(LostOf(event.previous->losses), std::memory_order_relaxed);
  if (event.reconnects > 0) console_.Notice(Describe(event));
}

void Notices::OnDisconnected(const DisconnectedEvent& event) {
  missed_.fetch_add(LostOf(event.losses), std::memory_order_relaxed);
  // We closed it ourselves.
  if (event.reason == Reason::kClientClosed) return;
  console_.Notice(Describe(event));
  if (event.retry == Retry::kGaveUp) gave_up_.Set();
}

void Notices::OnError(const ErrorEvent& event) {
  const std::string why(event.status.message());
  if (event.publish == 0) return console_.Notice(why);
  const uint64_t refused = refused_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (refused > kRefusalsShown) return;
  const std::string name =
      publish_name_ ? publish_name_(event.publish) : fmt::format("message {}", event.publish);
  console_.Notice(
      fmt::format("{} was refused: {}{}", name, why,
                  refused == kRefusalsShown ? " (of others, only their number will be said)" : ""));
}

}  // namespace sluice::cli
