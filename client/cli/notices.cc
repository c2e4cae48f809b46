#include "client/cli/notices.h"

#include <fmt/format.h>

#include "client/cli/text.h"
#include "client/cli/values.h"
#include "client/reason.h"

namespace sluice::cli {
namespace {

std::string Number(uint64_t value, Reason limit) {
  const bool is_time =
      limit == Reason::kPendingAge || limit == Reason::kWriteTimeout || limit == Reason::kBlockTimeout;
  return is_time ? ShowDuration(absl::Milliseconds(value)) : std::to_string(value);
}

std::string Rate(uint64_t bytes_per_second) {
  return RoundedBytes(static_cast<double>(bytes_per_second)) + "/s";
}

// Empty when the broker could not tell.
std::string Cause(const SlowConsumerEvent& event) {
  std::string drain = Rate(event.drain_bytes_per_second);
  std::string feed = Rate(event.feed_bytes_per_second);
  const bool known = event.cause != LagCause::kUnknown;
  if (known && event.drain_bytes_per_second > event.feed_bytes_per_second) {
    return fmt::format("; catching up: {} is read of {}", drain, feed);
  }
  switch (event.cause) {
    case LagCause::kApplication:
      // Of a subscription that is out of credit no rates are measured.
      if (event.feed_bytes_per_second == 0) return "; what has come is read too slowly here, or not at all";
      return fmt::format("; nobody reads here what comes ({})", feed);
    case LagCause::kNetworkSlow:
      return fmt::format("; the network is too slow: it brings {} of {}", drain, feed);
    case LagCause::kNetworkLossy:
      return fmt::format("; the network loses packets: it brings {} of {}", drain, feed);
    case LagCause::kOverSubscribed:
      return fmt::format("; more comes than is read here: {} of {}", drain, feed);
    default:
      return "";
  }
}

uint64_t LostOf(const std::vector<SubscriptionLoss>& losses) {
  uint64_t lost = 0;
  for (const SubscriptionLoss& loss : losses) lost += loss.lost;
  return lost;
}

uint64_t ToldAtEndOf(const std::vector<SubscriptionLoss>& losses) {
  uint64_t told = 0;
  for (const SubscriptionLoss& loss : losses) told += loss.told_at_end;
  return told;
}

// What became of the messages of a session that has ended.
std::string Sum(const SessionCounts& counts, const std::vector<SubscriptionLoss>& losses) {
  std::string text;
  if (counts.pending_messages > 0) {
    text += fmt::format("; {} waited, the oldest for {}", Counted(counts.pending_messages, "message"),
                        ShowDuration(counts.oldest_age));
  }
  if (counts.dropped_messages > 0)
    text += fmt::format("; {} dropped in all", Counted(counts.dropped_messages, "message"));
  if (counts.conflated_messages > 0)
    text += fmt::format("; {} replaced in all", Counted(counts.conflated_messages, "message"));
  if (const uint64_t told = ToldAtEndOf(losses); told > 0) text += fmt::format(", {} told only now", told);
  if (const uint64_t lost = LostOf(losses); lost > 0)
    text += fmt::format("; {} lost", Counted(lost, "message"));
  return text;
}

}  // namespace

std::string Describe(const ConnectedEvent& event) {
  std::string text = fmt::format("connected again to {}", event.server);
  if (event.previous.has_value()) {
    text += fmt::format("; the session before ended: {}",
                        event.previous->text.empty() ? std::string(ReasonName(event.previous->reason))
                                                     : event.previous->text);
    // Otherwise the disconnect has said it.
    if (!event.previous->losses.empty()) text += Sum(event.previous->counts, event.previous->losses);
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
  text += Sum(event.counts, event.losses);
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
  std::string text = fmt::format("falling behind on {}: {} {} of {}", event.filter, ReasonName(event.limit),
                                 Number(event.value, event.limit), Number(event.limit_value, event.limit));
  if (event.soft_time > absl::ZeroDuration()) {
    text += fmt::format(", a soft limit, which may be passed for {}", ShowDuration(event.soft_time));
  }
  text += Cause(event);
  if (event.time_to_limit < absl::InfiniteDuration()) {
    text += fmt::format("; the limit is reached in {}", RoundedDuration(event.time_to_limit));
  }
  return text;
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
    left_out_.fetch_add(event.messages, std::memory_order_relaxed);
    console_.Notice(Describe(event));
  };
  callbacks.on_error = [this](const ErrorEvent& event) { OnError(event); };
  callbacks.on_paused = [this](const PausedEvent& event) { console_.Notice(Describe(event)); };
  return callbacks;
}

void Notices::OnConnected(const ConnectedEvent& event) {
  if (event.previous.has_value()) CountMissing(event.previous->losses);
  if (event.reconnects > 0) console_.Notice(Describe(event));
}

void Notices::OnDisconnected(const DisconnectedEvent& event) {
  CountMissing(event.losses);
  // We closed it ourselves.
  if (event.reason == Reason::kClientClosed) return;
  console_.Notice(Describe(event));
  if (event.retry == Retry::kGaveUp) gave_up_.Set();
}

void Notices::CountMissing(const std::vector<SubscriptionLoss>& losses) {
  left_out_.fetch_add(ToldAtEndOf(losses), std::memory_order_relaxed);
  lost_.fetch_add(LostOf(losses), std::memory_order_relaxed);
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
