// How a received message is printed.
//
//   MessageFormat format{.style = MessageStyle::kReadable, .control = ControlCharacters::kEscape};
//   AppendMessage(message, format, &line);                         // "ticks.nyse.IBM 187.2\n"
//
// Thread safety: pure functions.
#ifndef SLUICE_CLIENT_CLI_MESSAGE_FORMAT_H_
#define SLUICE_CLIENT_CLI_MESSAGE_FORMAT_H_

#include <string>

#include "protocol/message_view.h"

namespace sluice::cli {

enum class MessageStyle {
  kReadable,  // topic, space, payload; a topic never holds a space
  kRaw,       // the payload, byte for byte
  kJson,      // an object: topic, payload (or payload_base64 when it is not UTF-8), reply_to, headers
};

enum class ControlCharacters {
  kEscape,  // as AppendForTerminal does; raw payloads are left alone
  kKeep,
};

enum class Colour { kYes, kNo };

struct MessageFormat {
  MessageStyle style = MessageStyle::kReadable;
  ControlCharacters control = ControlCharacters::kKeep;
  Colour colour = Colour::kNo;
};

// Appends the message and a newline.
void AppendMessage(const MessageView& message, const MessageFormat& format, std::string* out);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_MESSAGE_FORMAT_H_
