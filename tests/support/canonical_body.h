// What generated code writes, for comparing with what our own walk read.
#ifndef SLUICE_TESTS_SUPPORT_CANONICAL_BODY_H_
#define SLUICE_TESTS_SUPPORT_CANONICAL_BODY_H_

#include <string>

#include "protocol/publish.h"
#include "protocol/sluice.pb.h"

namespace sluice {

// A ServerFrame with this message and nothing else.
inline v1::ServerFrame CanonicalFrame(const MessageView& view) {
  v1::ServerFrame frame;
  v1::Message* message = frame.mutable_message();
  message->set_topic(std::string(view.topic));
  message->set_payload(std::string(view.payload));
  message->set_reply_to(std::string(view.reply_to));
  for (const HeaderView& header : view.headers) {
    v1::Header* copy = message->add_headers();
    copy->set_name(std::string(header.name));
    copy->set_value(std::string(header.value));
  }
  return frame;
}

// Its body as generated code writes it. A frame that was parsed and serialized again is equal to it only if
// it holds the same, and no unknown fields: those are kept and written too.
inline std::string CanonicalBody(const MessageView& view) { return CanonicalFrame(view).SerializeAsString(); }

}  // namespace sluice

#endif  // SLUICE_TESTS_SUPPORT_CANONICAL_BODY_H_
