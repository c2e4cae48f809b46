#include "client/wire_words.h"

#include <fmt/core.h>

#include <algorithm>

#include "protocol/names.h"
#include "protocol/topic.h"

namespace sluice::client {
namespace {

constexpr size_t kTextBytesMax = 512;

absl::StatusCode CodeFor(v1::ErrorCode code) {
  switch (code) {
    case v1::ERROR_CODE_NOT_PERMITTED:
      return absl::StatusCode::kPermissionDenied;
    case v1::ERROR_CODE_NO_SUBSCRIBERS:
    case v1::ERROR_CODE_UNKNOWN_SUBSCRIPTION:
      return absl::StatusCode::kNotFound;
    case v1::ERROR_CODE_DUPLICATE_SUBSCRIPTION:
      return absl::StatusCode::kAlreadyExists;
    case v1::ERROR_CODE_TOO_MANY_SUBSCRIPTIONS:
      return absl::StatusCode::kResourceExhausted;
    case v1::ERROR_CODE_UNSUPPORTED_VERSION:
      return absl::StatusCode::kFailedPrecondition;
    case v1::ERROR_CODE_UNSUPPORTED_POLICY:
      return absl::StatusCode::kUnimplemented;
    case v1::ERROR_CODE_BAD_FRAME:
    case v1::ERROR_CODE_FRAME_TOO_LARGE:
    case v1::ERROR_CODE_NOT_CONNECTED:
    case v1::ERROR_CODE_ALREADY_CONNECTED:
      return absl::StatusCode::kInternal;
    case v1::ERROR_CODE_BAD_CONNECT:
    case v1::ERROR_CODE_BAD_TOPIC:
    case v1::ERROR_CODE_BAD_FILTER:
    case v1::ERROR_CODE_BAD_HEADERS:
    case v1::ERROR_CODE_PAYLOAD_TOO_LARGE:
    case v1::ERROR_CODE_BAD_SUBSCRIPTION:
    case v1::ERROR_CODE_BAD_LIMITS:
    case v1::ERROR_CODE_BAD_QUEUE_GROUP:
    case v1::ERROR_CODE_BAD_CREDIT:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kUnknown;
  }
}

uint64_t ToMilliseconds(absl::Duration duration) {
  return static_cast<uint64_t>(absl::ToInt64Milliseconds(duration));
}
absl::Duration FromMilliseconds(uint64_t milliseconds) {
  return absl::Milliseconds(static_cast<int64_t>(milliseconds));
}

absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

std::string ForPeople(const std::string& text) {
  const bool has_control = std::any_of(text.begin(), text.end(),
                                       [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; });
  // Printable() also escapes quotes, which a sentence may well have.
  return has_control || text.size() > kTextBytesMax || !IsValidUtf8(text) ? Printable(text, kTextBytesMax)
                                                                          : text;
}

absl::Status ToStatus(const v1::Error& error) {
  return absl::Status(CodeFor(error.code()),
                      ToAbsl(fmt::format("{}: {}", ErrorCodeName(error.code()), ForPeople(error.text()))));
}

void ToWire(const SubscriptionLimits& limits, v1::SubscriptionLimits* wire) {
  wire->set_pending_bytes_max(limits.pending_bytes_max);
  wire->set_pending_messages_max(limits.pending_messages_max);
  wire->set_pending_age_max_ms(ToMilliseconds(limits.pending_age_max));
  wire->set_pending_bytes_soft(limits.pending_bytes_soft);
  wire->set_pending_messages_soft(limits.pending_messages_soft);
  wire->set_pending_age_soft_ms(ToMilliseconds(limits.pending_age_soft));
  wire->set_soft_time_ms(ToMilliseconds(limits.soft_time));
}

SubscriptionLimits FromWire(const v1::SubscriptionLimits& wire) {
  return {.pending_bytes_max = wire.pending_bytes_max(),
          .pending_messages_max = wire.pending_messages_max(),
          .pending_age_max = FromMilliseconds(wire.pending_age_max_ms()),
          .pending_bytes_soft = wire.pending_bytes_soft(),
          .pending_messages_soft = wire.pending_messages_soft(),
          .pending_age_soft = FromMilliseconds(wire.pending_age_soft_ms()),
          .soft_time = FromMilliseconds(wire.soft_time_ms())};
}

std::string PauseCauseName(v1::Paused::Cause cause) {
  switch (cause) {
    case v1::Paused::CAUSE_SHARD_BUSY:
      return "shard_busy";
    case v1::Paused::CAUSE_MEMORY:
      return "memory";
    case v1::Paused::CAUSE_BLOCKED_BY_CONSUMER:
      return "blocked_by_consumer";
    default:
      return "unknown";
  }
}

}  // namespace sluice::client
