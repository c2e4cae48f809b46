#include "client/cli/message_format.h"

#include <string_view>

#include "absl/strings/escaping.h"
#include "client/cli/json.h"
#include "client/cli/text.h"
#include "protocol/topic.h"

namespace sluice::cli {
namespace {

constexpr std::string_view kTopicColour = "\x1b[36m";
constexpr std::string_view kNoColour = "\x1b[0m";

void AppendReadable(const MessageView& message, const MessageFormat& format, std::string* out) {
  if (format.colour == Colour::kYes) out->append(kTopicColour);
  // A topic has no control characters: the broker lets none through.
  out->append(message.topic);
  if (format.colour == Colour::kYes) out->append(kNoColour);
  out->push_back(' ');
  if (format.control == ControlCharacters::kEscape) {
    AppendForTerminal(message.payload, out);
  } else {
    out->append(message.payload);
  }
}

std::string HeadersJson(const std::vector<HeaderView>& headers) {
  std::string json = "[";
  for (const HeaderView& header : headers) {
    if (json.size() > 1) json.push_back(',');
    JsonObject object;
    object.Add("name", header.name).Add("value", header.value).AppendTo(&json);
  }
  json.push_back(']');
  return json;
}

void AppendJson(const MessageView& message, std::string* out) {
  JsonObject object;
  object.Add("topic", message.topic);
  if (IsValidUtf8(message.payload)) {
    object.Add("payload", message.payload);
  } else {
    const absl::string_view payload(message.payload.data(), message.payload.size());
    object.Add("payload_base64", absl::Base64Escape(payload));
  }
  if (!message.reply_to.empty()) object.Add("reply_to", message.reply_to);
  if (!message.headers.empty()) object.AddRaw("headers", HeadersJson(message.headers));
  object.AppendTo(out);
}

}  // namespace

void AppendMessage(const MessageView& message, const MessageFormat& format, std::string* out) {
  switch (format.style) {
    case MessageStyle::kReadable:
      AppendReadable(message, format, out);
      break;
    case MessageStyle::kRaw:
      out->append(message.payload);
      break;
    case MessageStyle::kJson:
      AppendJson(message, out);
      break;
  }
  out->push_back('\n');
}

}  // namespace sluice::cli
