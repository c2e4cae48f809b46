// What travels from the broker to a client, as tests make it and as a client would understand it.
//
//   MemoryAccount account;
//   queue.Push(SliceOf(MessageFrame("t", "hello") + MessageFrame("t", "world"), &account));
//   ...
//   ReceivedStream received = ReadStream(transport.stream());
//   EXPECT_EQ(received.payloads[7], (std::vector<std::string>{"hello", "world"}));
#ifndef SLUICE_TESTS_SUPPORT_FRAMES_H_
#define SLUICE_TESTS_SUPPORT_FRAMES_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "broker/core/chunk.h"
#include "broker/core/slice.h"
#include "protocol/sluice.pb.h"

namespace sluice::testing {

// The frame, its length first.
std::string Encode(const v1::ServerFrame& frame);
std::string MessageFrame(std::string_view topic, std::string_view payload);
v1::ServerFrame ServerPong(uint64_t id);
// A frame of the kind that stands in a subscription's own queue.
std::string UnsubscribedFrame(uint32_t subscription);

// `frames` (whole ones) in a chunk of their own.
Slice SliceOf(std::string_view frames, MemoryAccount* account, absl::Time enqueued_at = absl::UnixEpoch(),
              SliceKind kind = SliceKind::kMessages);

struct ReceivedStream {
  // Every frame, in order.
  std::vector<v1::ServerFrame> frames;
  // Payloads by the subscription that the last Delivery named (0: none has yet).
  std::map<uint32_t, std::vector<std::string>> payloads;
  std::vector<uint64_t> pongs;
  std::vector<uint32_t> unsubscribed;
  uint64_t deliveries = 0;
  // Bytes after the last whole frame.
  size_t unfinished_bytes = 0;
  // A frame could not be parsed: everything after it is missing above.
  enum class State { kWhole, kTorn } state = State::kWhole;
};

ReceivedStream ReadStream(std::string_view bytes);

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_FRAMES_H_
