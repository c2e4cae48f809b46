#include "protocol/names.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>

#include "protocol/topic.h"

namespace sluice {
namespace {

template <typename E>
struct Name {
  E value;
  std::string_view name;
};

constexpr Name<v1::Reason> kReasons[] = {
    {v1::REASON_UNSUBSCRIBED, "unsubscribed"},
    {v1::REASON_COUNT_REACHED, "count_reached"},
    {v1::REASON_CLIENT_CLOSED, "client_closed"},
    {v1::REASON_CLIENT_RESET, "client_reset"},
    {v1::REASON_PENDING_BYTES, "pending_bytes"},
    {v1::REASON_PENDING_MESSAGES, "pending_messages"},
    {v1::REASON_PENDING_AGE, "pending_age"},
    {v1::REASON_SESSION_BYTES, "session_bytes"},
    {v1::REASON_WRITE_TIMEOUT, "write_timeout"},
    {v1::REASON_CONTROL_BYTES, "control_bytes"},
    {v1::REASON_MEMORY_BUDGET, "memory_budget"},
    {v1::REASON_BLOCK_TIMEOUT, "block_timeout"},
    {v1::REASON_PROTOCOL_ERROR, "protocol_error"},
    {v1::REASON_FRAME_TOO_LARGE, "frame_too_large"},
    {v1::REASON_CONNECT_TIMEOUT, "connect_timeout"},
    {v1::REASON_FRAME_TIMEOUT, "frame_timeout"},
    {v1::REASON_PING_TIMEOUT, "ping_timeout"},
    {v1::REASON_UNSUPPORTED_VERSION, "unsupported_version"},
    {v1::REASON_SHUTDOWN, "shutdown"},
    {v1::REASON_TOO_MANY_CONNECTIONS, "too_many_connections"},
    {v1::REASON_OUT_OF_RESOURCES, "out_of_resources"},
    {v1::REASON_KICKED, "kicked"},
};

constexpr Name<v1::ErrorCode> kErrorCodes[] = {
    {v1::ERROR_CODE_BAD_FRAME, "bad_frame"},
    {v1::ERROR_CODE_FRAME_TOO_LARGE, "frame_too_large"},
    {v1::ERROR_CODE_NOT_CONNECTED, "not_connected"},
    {v1::ERROR_CODE_ALREADY_CONNECTED, "already_connected"},
    {v1::ERROR_CODE_UNSUPPORTED_VERSION, "unsupported_version"},
    {v1::ERROR_CODE_BAD_CONNECT, "bad_connect"},
    {v1::ERROR_CODE_BAD_TOPIC, "bad_topic"},
    {v1::ERROR_CODE_BAD_FILTER, "bad_filter"},
    {v1::ERROR_CODE_BAD_HEADERS, "bad_headers"},
    {v1::ERROR_CODE_PAYLOAD_TOO_LARGE, "payload_too_large"},
    {v1::ERROR_CODE_NOT_PERMITTED, "not_permitted"},
    {v1::ERROR_CODE_NO_SUBSCRIBERS, "no_subscribers"},
    {v1::ERROR_CODE_BAD_SUBSCRIPTION, "bad_subscription"},
    {v1::ERROR_CODE_DUPLICATE_SUBSCRIPTION, "duplicate_subscription"},
    {v1::ERROR_CODE_UNKNOWN_SUBSCRIPTION, "unknown_subscription"},
    {v1::ERROR_CODE_TOO_MANY_SUBSCRIPTIONS, "too_many_subscriptions"},
    {v1::ERROR_CODE_BAD_LIMITS, "bad_limits"},
    {v1::ERROR_CODE_UNSUPPORTED_POLICY, "unsupported_policy"},
    {v1::ERROR_CODE_BAD_QUEUE_GROUP, "bad_queue_group"},
    {v1::ERROR_CODE_BAD_CREDIT, "bad_credit"},
};

constexpr Name<v1::OverflowPolicy> kOverflowPolicies[] = {
    {v1::OVERFLOW_POLICY_DEFAULT, "default"},         {v1::OVERFLOW_POLICY_DISCONNECT, "disconnect"},
    {v1::OVERFLOW_POLICY_DROP_OLDEST, "drop_oldest"}, {v1::OVERFLOW_POLICY_DROP_NEWEST, "drop_newest"},
    {v1::OVERFLOW_POLICY_CONFLATE, "conflate"},       {v1::OVERFLOW_POLICY_BLOCK, "block"},
};

constexpr Name<v1::GapCause> kGapCauses[] = {
    {v1::GAP_CAUSE_DROPPED, "dropped"},
    {v1::GAP_CAUSE_CONFLATED, "conflated"},
};

constexpr Name<v1::LagCause> kLagCauses[] = {
    {v1::LAG_CAUSE_APPLICATION, "application"},
    {v1::LAG_CAUSE_NETWORK_SLOW, "network_slow"},
    {v1::LAG_CAUSE_NETWORK_LOSSY, "network_lossy"},
    {v1::LAG_CAUSE_OVER_SUBSCRIBED, "over_subscribed"},
};

template <typename E, size_t n>
std::string_view Find(const Name<E> (&names)[n], E value) {
  for (const Name<E>& entry : names) {
    if (entry.value == value) return entry.name;
  }
  return "unknown";
}

template <size_t n>
constexpr std::array<v1::Reason, n> Values(const Name<v1::Reason> (&names)[n]) {
  std::array<v1::Reason, n> values{};
  for (size_t i = 0; i < n; ++i) values[i] = names[i].value;
  return values;
}

constexpr auto kAllReasons = Values(kReasons);

}  // namespace

std::string_view ReasonName(v1::Reason reason) { return Find(kReasons, reason); }
std::string_view ErrorCodeName(v1::ErrorCode code) { return Find(kErrorCodes, code); }
std::string_view OverflowPolicyName(v1::OverflowPolicy policy) { return Find(kOverflowPolicies, policy); }
std::string_view GapCauseName(v1::GapCause cause) { return Find(kGapCauses, cause); }
std::string_view LagCauseName(v1::LagCause cause) { return Find(kLagCauses, cause); }

std::span<const v1::Reason> AllReasons() { return kAllReasons; }

bool IsSlowConsumer(v1::Reason reason) {
  return reason >= v1::REASON_PENDING_BYTES && reason <= v1::REASON_BLOCK_TIMEOUT;
}

namespace {

// Of the characters of more than one byte: C1 controls, which some terminals obey, line and paragraph
// separator, and the bidirectional controls, with which a name can look like another (Unicode TR 36).
bool IsControl(std::string_view character) {
  if (character.size() == 2) return (character >= "\u0080" && character < "\u00a0") || character == "\u061c";
  if (character.size() != 3) return false;
  return character == "\u200e" || character == "\u200f" || (character >= "\u2028" && character <= "\u202e") ||
         (character >= "\u2066" && character <= "\u2069");
}

}  // namespace

std::string Printable(std::string_view text, size_t bytes_max) {
  std::string printable;
  for (size_t i = 0; i < text.size();) {
    if (i >= bytes_max) return printable + "...";
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    const size_t length = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    const std::string_view character = text.substr(i, length);
    const bool control = byte < ' ' || byte == 0x7f || IsControl(character);
    if (control || byte == '"' || byte == '\\' || !IsValidUtf8(character)) {
      printable += fmt::format("\\x{:02x}", byte);
      ++i;
    } else {
      printable += character;
      i += length;
    }
  }
  return printable;
}

}  // namespace sluice
