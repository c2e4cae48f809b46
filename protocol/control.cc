#include "protocol/control.h"

namespace sluice {

ControlVerdict ParseControl(std::string_view body, v1::ClientFrame* frame) {
  if (body.size() > kControlBodyBytesMax) return ControlVerdict::kTooLarge;
  if (!frame->ParseFromArray(body.data(), static_cast<int>(body.size()))) return ControlVerdict::kBadFrame;
  switch (frame->frame_case()) {
    case v1::ClientFrame::kMessage:
    case v1::ClientFrame::FRAME_NOT_SET:
      return ControlVerdict::kBadFrame;
    default:
      return ControlVerdict::kOk;
  }
}

}  // namespace sluice
