// The wire's enums and errors in the words of the public headers. Internal to the client.
//
// Thread safety: pure functions.
#ifndef SLUICE_CLIENT_WIRE_WORDS_H_
#define SLUICE_CLIENT_WIRE_WORDS_H_

#include <string>

#include "absl/status/status.h"
#include "client/reason.h"
#include "client/subscription.h"
#include "protocol/sluice.pb.h"

namespace sluice::client {

// A text that the broker wrote for people, made safe to be shown: at most 512 bytes, and escaped if it is not
// plain.
std::string ForPeople(const std::string& text);

// "<code>: <text>", under the status code that fits.
absl::Status ToStatus(const v1::Error& error);

inline Reason ToReason(v1::Reason reason) { return static_cast<Reason>(static_cast<int>(reason)); }
inline GapCause ToGapCause(v1::GapCause cause) { return static_cast<GapCause>(static_cast<int>(cause)); }
inline LagCause ToLagCause(v1::LagCause cause) { return static_cast<LagCause>(static_cast<int>(cause)); }
inline v1::OverflowPolicy ToWire(OverflowPolicy policy) {
  return static_cast<v1::OverflowPolicy>(static_cast<int>(policy));
}

inline OverflowPolicy FromWire(v1::OverflowPolicy policy) {
  return static_cast<OverflowPolicy>(static_cast<int>(policy));
}

void ToWire(const SubscriptionLimits& limits, v1::SubscriptionLimits* wire);
SubscriptionLimits FromWire(const v1::SubscriptionLimits& wire);

// "shard_busy" …
std::string PauseCauseName(v1::Paused::Cause cause);

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_WIRE_WORDS_H_
