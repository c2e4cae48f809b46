// Why a session or a subscription ended, what the broker should do with a subscription that falls behind, why
// it falls behind, and why messages are missing. The numbers are those of the wire.
//
// Public header of the client library. Thread safety: pure functions.
#ifndef SLUICE_CLIENT_REASON_H_
#define SLUICE_CLIENT_REASON_H_

#include <string_view>

#include "client/export.h"

namespace sluice {
inline namespace client_v1 {

enum class Reason {
  kUnspecified = 0,
  // Somebody's wish.
  kUnsubscribed = 1,
  kCountReached = 2,
  kClientClosed = 3,
  kClientReset = 4,
  // The broker cut a slow consumer, over this limit.
  kPendingBytes = 16,
  kPendingMessages = 17,
  kPendingAge = 18,
  kSessionBytes = 19,
  kWriteTimeout = 20,
  kControlBytes = 21,
  // Its memory was used up, and what waited for us kept the most of it alive.
  kMemoryBudget = 22,
  // A subscription of ours held publishers up for too long.
  kBlockTimeout = 23,
  // The broker found us to misbehave.
  kProtocolError = 32,
  kFrameTooLarge = 33,
  kConnectTimeout = 34,
  kFrameTimeout = 35,
  kPingTimeout = 36,
  kUnsupportedVersion = 37,
  // The broker's side.
  kShutdown = 48,
  kTooManyConnections = 49,
  kOutOfResources = 50,
  kKicked = 51,
  // The client's own findings, never on the wire.
  kConnectionLost = 1000,   // reset or end of stream without a Goodbye
  kServerSilent = 1001,     // no life sign for the time that the broker had announced
  kBadServerFrame = 1002,   // bytes that are no frame of this protocol
  kConnectFailed = 1003,    // never got as far as Connected
  kSubscribeRefused = 1004  // the broker refused the subscription (again)
};

// "pending_bytes", "connection_lost" …: the words of the broker's log and metrics. "unknown" for a number
// that this version does not know (a newer broker may send one). Valid for the life of the process.
SLUICE_EXPORT std::string_view ReasonName(Reason reason);

// Whether the broker ended the session because we did not read fast enough.
SLUICE_EXPORT bool IsSlowConsumer(Reason reason);

enum class OverflowPolicy {
  kDefault = 0,     // what the broker is configured to
  kDisconnect = 1,  // cut the session, told why
  kDropOldest = 2,  // drop from the head to half of the limit; told by gaps
  kDropNewest = 3,  // drop what arrives until half of the limit is free; told by gaps
  kConflate = 4,    // keep the newest per topic (or header) while there is a backlog; told by gaps
  kBlock = 5,       // pause its publishers until half of the limit is free, for a time; then cut the session
};

enum class GapCause {
  kUnspecified = 0,
  kDropped = 1,
  kConflated = 2,
};

// Why a subscription falls behind, as the broker sees it from our connection.
enum class LagCause {
  kUnknown = 0,
  kApplication = 1,    // we do not read, or next to nothing
  kNetworkSlow = 2,    // we would take more than the network brings
  kNetworkLossy = 3,   // the network loses packets
  kOverSubscribed = 4  // we read steadily, but less than we asked for
};

// "application", "network_slow" …: the words of the broker's log and metrics. "unknown" also for a number that
// this version does not know.
SLUICE_EXPORT std::string_view LagCauseName(LagCause cause);

}  // namespace client_v1
}  // namespace sluice

#endif  // SLUICE_CLIENT_REASON_H_
