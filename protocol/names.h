// Words for the wire's enums, as logs, metrics and command lines print them: lower case with underscores,
// without the enum's prefix ("pending_bytes", "no_subscribers"). One table for all of them, so that an
// operator who reads a reason in a log can search for it in a dashboard.
//
// Thread safety: pure functions. The views stay valid for the life of the process.
#ifndef SLUICE_PROTOCOL_NAMES_H_
#define SLUICE_PROTOCOL_NAMES_H_

#include <span>
#include <string>
#include <string_view>

#include "protocol/sluice.pb.h"

namespace sluice {

inline constexpr uint32_t kProtocolVersion = 1;

// "unknown" for a number that this version does not know (a newer peer may send one).
std::string_view ReasonName(v1::Reason reason);
std::string_view ErrorCodeName(v1::ErrorCode code);
std::string_view OverflowPolicyName(v1::OverflowPolicy policy);
std::string_view GapCauseName(v1::GapCause cause);
std::string_view LagCauseName(v1::LagCause cause);

// Every reason with which the broker can end a session or subscription, REASON_UNSPECIFIED left out: the
// label values of a counter by reason.
std::span<const v1::Reason> AllReasons();

// Whether a session that ended so was cut for being slow.
bool IsSlowConsumer(v1::Reason reason);

// A name or text that came from outside, made fit for a log line or terminal: control characters, invalid
// UTF-8, quotes, backslashes, and what breaks or turns around a line (U+2028, the bidirectional controls)
// become \xNN escapes, and what is longer than `bytes_max` is cut with "...".
std::string Printable(std::string_view text, size_t bytes_max = 128);

}  // namespace sluice

#endif  // SLUICE_PROTOCOL_NAMES_H_
