// Publish frames: checked, read and written without building a message object. The bytes that passed the
// check are forwarded to every subscriber as they are, so whatever is accepted here must mean the same to
// every protobuf parser.
//
//   PublishView view;
//   PublishVerdict verdict = CheckPublish(body, limits, &view);
//   if (verdict != PublishVerdict::kOk) ...
//
// `body` is the inside of one frame (behind the length). Canonical form is required: shortest varints, known
// fields only, each at most once (headers repeat), no groups, nothing beside `message` in the outer frame,
// nothing behind it. The walk costs some ten nanoseconds; the generated parser costs ten times that.
//
// Thread safety: pure functions. Views point into `body`.
#ifndef SLUICE_PROTOCOL_PUBLISH_H_
#define SLUICE_PROTOCOL_PUBLISH_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/message_view.h"
#include "protocol/topic.h"

namespace sluice {

struct PublishLimits {
  uint64_t payload_bytes_max = 1 << 20;
  // Names and values of all headers together.
  uint64_t headers_bytes_max = 16 << 10;
  // Of topic and reply_to.
  uint64_t topic_bytes_max = kTopicBytesMax;
};

// Headers of one message.
inline constexpr uint32_t kHeadersMax = 256;

// The largest body of a publish frame: payload, topic, reply_to, and headers with their tags and lengths. A
// session may refuse a longer frame by its length alone.
uint64_t FrameBodyBytesMax(const PublishLimits& limits);

struct PublishView {
  std::string_view topic;
  std::string_view payload;
  std::string_view reply_to;
  // How many headers it has, how many of them without a name, and the bytes of their names and values.
  uint32_t headers = 0;
  uint32_t headers_without_name = 0;
  uint64_t headers_bytes = 0;
};

// The topic of the publish that `frames` begin with, for who wants to prepare for it; empty when it does not
// stand where it is expected. Nothing is checked.
std::string_view PeekTopic(std::string_view frames);

enum class PublishVerdict {
  kOk,
  // The stream cannot be trusted: not what this frame's bytes claim, or something that a subscriber's parser
  // could take for a frame of the broker.
  kBadFrame,
  // Well-formed, but refused; the session goes on.
  kBadTopic,
  kBadReplyTo,
  kBadHeaders,
  kPayloadTooLarge,
};

// Whether a frame's body holds `message` (its first tag says so): then CheckPublish judges it; otherwise the
// generated parser does. An empty body is not a publish.
inline bool IsPublish(std::string_view body) { return !body.empty() && body[0] == '\x0a'; }

// Judges the body of a publish frame and, when the outer shape is sound, fills `view` (also for the verdicts
// that refuse it politely). `view->payload` may be empty. The rights to a topic that begins with `$` are the
// session's business, not judged here.
[[nodiscard]] PublishVerdict CheckPublish(std::string_view body, const PublishLimits& limits,
                                          PublishView* view);

// CheckPublish in two steps, for whoever can tell a valid topic by other means than looking at every byte of
// it. The first fills `view`; false: kBadFrame. The second judges what it found.
[[nodiscard]] bool ReadPublish(std::string_view body, PublishView* view);
enum class TopicValidity { kValid, kInvalid };
[[nodiscard]] PublishVerdict JudgeUnusualPublish(const PublishView& view, const PublishLimits& limits,
                                                 TopicValidity topic);
// (Here, to be inlined: of nearly every message a handful of comparisons is all.)
[[nodiscard]] inline PublishVerdict JudgePublish(const PublishView& view, const PublishLimits& limits,
                                                 TopicValidity topic) {
  const bool plain = topic == TopicValidity::kValid && view.reply_to.empty() && view.headers == 0;
  if (plain && view.topic.size() <= limits.topic_bytes_max &&
      view.payload.size() <= limits.payload_bytes_max) {
    return PublishVerdict::kOk;
  }
  return JudgeUnusualPublish(view, limits, topic);
}

// For the receiving side, which wants the headers too: fills `view` (its vector is reused) from the body of a
// `message` frame as the broker sent it. What a later broker adds behind the message (fields 40 to 47 of
// ServerFrame) is passed over. False: malformed.
[[nodiscard]] bool ReadMessage(std::string_view body, MessageView* view);

// For the sending side. The bytes of the whole frame, its length included; may be more than a frame can have
// (kFrameBodyBytesMax), which the caller refuses.
uint64_t PublishFrameBytes(const MessageView& message);

// Writes the frame, as PublishFrameBytes counted it, and returns its end. It is what the generated code would
// write; whether the broker accepts what it says is the caller's business.
char* WritePublishFrame(const MessageView& message, char* to);

}  // namespace sluice

#endif  // SLUICE_PROTOCOL_PUBLISH_H_
