// A client's frames other than messages. The generated parser reads them; here are the rules that stand on
// top of it.
//
//   v1::ClientFrame frame;
//   if (ParseControl(body, &frame) != ControlVerdict::kOk) ...
//   switch (frame.frame_case()) ...
//
// Unknown fields are tolerated (a later client may send them), an unknown frame is not: the client would wait
// for what it asked.
//
// Thread safety: pure functions.
#ifndef SLUICE_PROTOCOL_CONTROL_H_
#define SLUICE_PROTOCOL_CONTROL_H_

#include <cstdint>
#include <string_view>

#include "protocol/sluice.pb.h"

namespace sluice {

// A frame that is not a message has at most so many bytes behind its length; nor does any frame before
// Connect is accepted. Parsing costs memory, and nothing that a client may ask is longer.
inline constexpr uint32_t kControlBodyBytesMax = 16 << 10;

// No frame of the broker but a message has a longer body; a client may refuse one by its length alone.
inline constexpr uint32_t kServerControlBodyBytesMax = 1 << 20;

enum class ControlVerdict {
  kOk,
  kTooLarge,
  // Malformed, no frame that this version knows, or a message: those go through CheckPublish, and one that
  // hides behind another field must not escape it.
  kBadFrame,
};

// Reads the body of a frame for which IsPublish is false. `frame` is meaningful for kOk only.
[[nodiscard]] ControlVerdict ParseControl(std::string_view body, v1::ClientFrame* frame);

}  // namespace sluice

#endif  // SLUICE_PROTOCOL_CONTROL_H_
