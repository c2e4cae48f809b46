// Messages that matched a subscription and are not sent, told to its client in the stream at the place where
// they are missing (protocol/README.md, "The books"). Internal to the broker.
//
// A Gap stands in the subscription's own queue as a frame in place. One that has not begun to leave takes in
// what goes missing next to it, so a consumer that stays behind costs one frame, not one per message.
//
//   Slice gap = GapSlice(subscription_id, {.messages = 3, .bytes = 300}, v1::GAP_CAUSE_DROPPED, offered,
//                        account);
//   if (std::optional<Missing> told = GapIn(queue.back())) ...    // it is one: merge
//
// Thread safety: pure functions.
#ifndef SLUICE_BROKER_CORE_GAP_H_
#define SLUICE_BROKER_CORE_GAP_H_

#include <cstdint>
#include <optional>

#include "broker/core/chunk.h"
#include "broker/core/slice.h"
#include "google/protobuf/message_lite.h"
#include "protocol/sluice.pb.h"

namespace sluice {

struct Missing {
  uint64_t messages = 0;
  uint64_t bytes = 0;

  Missing& operator+=(const Missing& other) {
    messages += other.messages;
    bytes += other.bytes;
    return *this;
  }
};

// A frame of the broker that stands in a subscription's own queue.
Slice InPlaceSlice(const google::protobuf::MessageLite& frame, MemoryAccount* account);

// `offered`: of the subscription, up to the last missing message.
Slice GapSlice(uint32_t subscription, const Missing& missing, v1::GapCause cause, uint64_t offered,
               MemoryAccount* account);

// What the Gap says, if the slice is one.
std::optional<Missing> GapIn(const Slice& slice);

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_GAP_H_
