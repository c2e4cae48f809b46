#include "broker/core/gap.h"

#include <string>
#include <string_view>

#include "protocol/frame.h"

namespace sluice {

Slice InPlaceSlice(const google::protobuf::MessageLite& frame, MemoryAccount* account) {
  std::string bytes;
  AppendFrame(frame, &bytes);
  Slice slice;
  slice.chunk = CopyOf(bytes, account);
  slice.bytes = static_cast<uint32_t>(bytes.size());
  slice.kind = SliceKind::kInPlace;
  return slice;
}

Slice GapSlice(uint32_t subscription, const Missing& missing, v1::GapCause cause, uint64_t offered,
               MemoryAccount* account) {
  v1::ServerFrame frame;
  v1::Gap* gap = frame.mutable_gap();
  gap->set_subscription(subscription);
  gap->set_messages(missing.messages);
  gap->set_bytes(missing.bytes);
  gap->set_cause(cause);
  gap->set_offered(offered);
  return InPlaceSlice(frame, account);
}

std::optional<Missing> GapIn(const Slice& slice) {
  if (slice.kind != SliceKind::kInPlace) return std::nullopt;
  const FramePrefix prefix = ReadFramePrefix(slice.view());
  const std::string_view body = slice.view().substr(prefix.prefix_bytes);
  v1::ServerFrame frame;
  if (!frame.ParseFromArray(body.data(), static_cast<int>(body.size())) || !frame.has_gap())
    return std::nullopt;
  return Missing{frame.gap().messages(), frame.gap().bytes()};
}

}  // namespace sluice
