#include "protocol/publish.h"

#include <cstring>

#include "protocol/frame.h"
#include "protocol/topic.h"

namespace sluice {
namespace {

// Tags of length-delimited fields: number << 3 | 2.
constexpr uint8_t kMessageTag = 0x0a;
constexpr uint8_t kTopicTag = 0x0a;
constexpr uint8_t kPayloadTag = 0x12;
constexpr uint8_t kReplyToTag = 0x1a;
constexpr uint8_t kHeaderTag = 0x22;
constexpr uint8_t kHeaderNameTag = 0x0a;
constexpr uint8_t kHeaderValueTag = 0x12;

// Tag, length and the tags and lengths inside, for one header.
constexpr uint64_t kHeaderOverheadBytesMax = 16;
constexpr uint64_t kMessageOverheadBytesMax = 64;

constexpr uint64_t VarintBytes(uint64_t value) {
  uint64_t bytes = 1;
  for (; value >= 0x80; value >>= 7) ++bytes;
  return bytes;
}

// Reads a tag of one byte and the length-delimited value behind it off the head of `rest`. Every field of a
// message that version 1 knows has that form. Inlined, so that what it fills stays in registers.
[[gnu::always_inline]] inline bool TakeField(std::string_view* rest, uint8_t* tag, std::string_view* value) {
  const char* const bytes = rest->data();
  const size_t size = rest->size();
  if (size < 2) return false;
  *tag = static_cast<uint8_t>(bytes[0]);
  uint64_t length = static_cast<uint8_t>(bytes[1]);
  size_t at = 2;
  if (length >= 0x80) {
    length &= 0x7f;
    for (int shift = 7;; shift += 7) {
      if (at == size || shift > 28) return false;
      const uint8_t byte = static_cast<uint8_t>(bytes[at++]);
      length |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (byte == 0) return false;  // not the shortest form
        break;
      }
    }
  }
  if (length > size - at) return false;
  *value = {bytes + at, length};
  *rest = {bytes + at + length, size - at - length};
  return true;
}

enum class HeaderForm { kOk, kNoName, kBad };

HeaderForm ReadHeader(std::string_view bytes, HeaderView* header) {
  *header = HeaderView();
  bool has_name = false;
  bool has_value = false;
  while (!bytes.empty()) {
    uint8_t tag;
    std::string_view value;
    if (!TakeField(&bytes, &tag, &value) || !IsValidUtf8(value)) return HeaderForm::kBad;
    if (tag == kHeaderNameTag && !has_name) {
      has_name = true;
      header->name = value;
    } else if (tag == kHeaderValueTag && !has_value) {
      has_value = true;
      header->value = value;
    } else {
      return HeaderForm::kBad;
    }
  }
  return header->name.empty() ? HeaderForm::kNoName : HeaderForm::kOk;
}

// Out of line, so that a message without headers does not pay for them.
[[gnu::noinline]] bool CountHeader(std::string_view bytes, PublishView* view) {
  HeaderView header;
  const HeaderForm form = ReadHeader(bytes, &header);
  if (form == HeaderForm::kBad) return false;
  if (form == HeaderForm::kNoName) ++view->headers_without_name;
  view->headers_bytes += header.name.size() + header.value.size();
  ++view->headers;
  return true;
}

// Takes the inside of the field `message` off the head of a frame's body.
inline bool TakeMessage(std::string_view* body, std::string_view* message) {
  uint8_t tag;
  return TakeField(body, &tag, message) && tag == kMessageTag;
}

bool SkipBytes(std::string_view* rest, uint64_t bytes) {
  if (bytes > rest->size()) return false;
  rest->remove_prefix(bytes);
  return true;
}

bool TakeVarint(std::string_view* rest, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64 && !rest->empty(); shift += 7) {
    const uint8_t byte = static_cast<uint8_t>(rest->front());
    rest->remove_prefix(1);
    *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

// Whether `rest`, behind a message, is nothing but fields 40 to 47, in which a later broker says more about
// it. Their tags have two bytes, c0 02 to ff 02.
bool IsBrokersPart(std::string_view rest) {
  while (!rest.empty()) {
    if (rest.size() < 2 || static_cast<uint8_t>(rest[0]) < 0xc0 || rest[1] != 0x02) return false;
    const int wire_type = rest[0] & 7;
    rest.remove_prefix(2);
    uint64_t value;
    switch (wire_type) {
      case 0:
        if (!TakeVarint(&rest, &value)) return false;
        break;
      case 1:
        if (!SkipBytes(&rest, 8)) return false;
        break;
      case 2:
        if (!TakeVarint(&rest, &value) || !SkipBytes(&rest, value)) return false;
        break;
      case 5:
        if (!SkipBytes(&rest, 4)) return false;
        break;
      default:
        return false;
    }
  }
  return true;
}

// Tag, length and value of one field; an empty value is not written, as proto3 has it.
uint64_t FieldBytes(uint64_t value_bytes) {
  return value_bytes == 0 ? 0 : 1 + VarintBytes(value_bytes) + value_bytes;
}

char* WriteVarint(uint64_t value, char* to) {
  for (; value >= 0x80; value >>= 7) *to++ = static_cast<char>(value | 0x80);
  *to++ = static_cast<char>(value);
  return to;
}

char* WriteField(uint8_t tag, std::string_view value, char* to) {
  if (value.empty()) return to;
  *to++ = static_cast<char>(tag);
  to = WriteVarint(value.size(), to);
  std::memcpy(to, value.data(), value.size());
  return to + value.size();
}

uint64_t HeaderBytes(const HeaderView& header) {
  return FieldBytes(header.name.size()) + FieldBytes(header.value.size());
}

uint64_t MessageBytes(const MessageView& message) {
  uint64_t bytes = FieldBytes(message.topic.size()) + FieldBytes(message.payload.size()) +
                   FieldBytes(message.reply_to.size());
  for (const HeaderView& header : message.headers) {
    const uint64_t header_bytes = HeaderBytes(header);
    bytes += 1 + VarintBytes(header_bytes) + header_bytes;
  }
  return bytes;
}

}  // namespace

uint64_t FrameBodyBytesMax(const PublishLimits& limits) {
  return limits.payload_bytes_max + limits.headers_bytes_max + 2 * kTopicBytesMax +
         kHeadersMax * kHeaderOverheadBytesMax + kMessageOverheadBytesMax;
}

std::string_view PeekTopic(std::string_view frames) {
  const FramePrefix prefix = ReadFramePrefix(frames);
  if (prefix.status != FramePrefixStatus::kComplete || prefix.frame_bytes() > frames.size()) return {};
  std::string_view body = frames.substr(prefix.prefix_bytes, prefix.body_bytes);
  std::string_view message;
  std::string_view topic;
  uint8_t tag;
  if (!TakeMessage(&body, &message) || !TakeField(&message, &tag, &topic) || tag != kTopicTag) return {};
  return topic;
}

bool ReadPublish(std::string_view body, PublishView* view) {
  *view = PublishView();
  std::string_view rest;
  if (!TakeMessage(&body, &rest) || !body.empty()) return false;
  uint32_t seen = 0;
  while (!rest.empty()) {
    uint8_t tag;
    std::string_view value;
    if (!TakeField(&rest, &tag, &value)) return false;
    switch (tag) {
      case kTopicTag:
      case kPayloadTag:
      case kReplyToTag:
        if ((seen & (1u << tag)) != 0) return false;
        seen |= 1u << tag;
        (tag == kTopicTag ? view->topic : tag == kPayloadTag ? view->payload : view->reply_to) = value;
        break;
      case kHeaderTag:
        if (!CountHeader(value, view)) return false;
        break;
      default:
        return false;
    }
  }
  return true;
}

PublishVerdict JudgeUnusualPublish(const PublishView& view, const PublishLimits& limits,
                                   TopicValidity topic) {
  if (topic == TopicValidity::kInvalid) {
    return IsValidUtf8(view.topic) ? PublishVerdict::kBadTopic : PublishVerdict::kBadFrame;
  }
  if (!view.reply_to.empty() && !IsValidTopic(view.reply_to)) {
    return IsValidUtf8(view.reply_to) ? PublishVerdict::kBadReplyTo : PublishVerdict::kBadFrame;
  }
  if (view.topic.size() > limits.topic_bytes_max) return PublishVerdict::kBadTopic;
  if (view.reply_to.size() > limits.topic_bytes_max) return PublishVerdict::kBadReplyTo;
  if (view.headers_without_name > 0 || view.headers > kHeadersMax ||
      view.headers_bytes > limits.headers_bytes_max) {
    return PublishVerdict::kBadHeaders;
  }
  if (view.payload.size() > limits.payload_bytes_max) return PublishVerdict::kPayloadTooLarge;
  return PublishVerdict::kOk;
}

PublishVerdict CheckPublish(std::string_view body, const PublishLimits& limits, PublishView* view) {
  if (!ReadPublish(body, view)) return PublishVerdict::kBadFrame;
  return JudgePublish(*view, limits,
                      IsValidTopic(view->topic) ? TopicValidity::kValid : TopicValidity::kInvalid);
}

bool ReadMessage(std::string_view body, MessageView* view) {
  view->topic = view->payload = view->reply_to = {};
  view->headers.clear();
  std::string_view rest;
  if (!TakeMessage(&body, &rest) || !IsBrokersPart(body)) return false;
  uint32_t seen = 0;
  while (!rest.empty()) {
    uint8_t tag;
    std::string_view value;
    if (!TakeField(&rest, &tag, &value)) return false;
    switch (tag) {
      case kTopicTag:
      case kPayloadTag:
      case kReplyToTag:
        if ((seen & (1u << tag)) != 0) return false;
        seen |= 1u << tag;
        (tag == kTopicTag ? view->topic : tag == kPayloadTag ? view->payload : view->reply_to) = value;
        break;
      case kHeaderTag: {
        HeaderView header;
        if (ReadHeader(value, &header) != HeaderForm::kOk) return false;
        view->headers.push_back(header);
        break;
      }
      default:
        return false;
    }
  }
  return true;
}

uint64_t PublishFrameBytes(const MessageView& message) {
  const uint64_t message_bytes = MessageBytes(message);
  const uint64_t body_bytes = 1 + VarintBytes(message_bytes) + message_bytes;
  return VarintBytes(body_bytes) + body_bytes;
}

char* WritePublishFrame(const MessageView& message, char* to) {
  const uint64_t message_bytes = MessageBytes(message);
  to = WriteVarint(1 + VarintBytes(message_bytes) + message_bytes, to);
  *to++ = static_cast<char>(kMessageTag);
  to = WriteVarint(message_bytes, to);
  to = WriteField(kTopicTag, message.topic, to);
  to = WriteField(kPayloadTag, message.payload, to);
  to = WriteField(kReplyToTag, message.reply_to, to);
  for (const HeaderView& header : message.headers) {
    *to++ = static_cast<char>(kHeaderTag);
    to = WriteVarint(HeaderBytes(header), to);
    to = WriteField(kHeaderNameTag, header.name, to);
    to = WriteField(kHeaderValueTag, header.value, to);
  }
  return to;
}

}  // namespace sluice
