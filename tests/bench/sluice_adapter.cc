// Sluice's protocol (protocol/README.md), without the client library.
#include <fmt/format.h>

#include <string>

#include "protocol/frame.h"
#include "protocol/message_view.h"
#include "protocol/publish.h"
#include "protocol/sluice.pb.h"
#include "tests/bench/adapter.h"
#include "tests/bench/stamp.h"

namespace sluice::bench {
namespace {

// First bytes of the tags of ServerFrame; all have 01 as second.
constexpr char Tag(int field) { return static_cast<char>((((field << 3) | 2) & 0x7f) | 0x80); }
constexpr char kConnected = Tag(v1::ServerFrame::kConnectedFieldNumber);
constexpr char kSubscribed = Tag(v1::ServerFrame::kSubscribedFieldNumber);
constexpr char kUnsubscribed = Tag(v1::ServerFrame::kUnsubscribedFieldNumber);
constexpr char kError = Tag(v1::ServerFrame::kErrorFieldNumber);
constexpr char kGap = Tag(v1::ServerFrame::kGapFieldNumber);
constexpr char kGoodbye = Tag(v1::ServerFrame::kGoodbyeFieldNumber);

class SluiceAdapter : public Adapter {
 public:
  explicit SluiceAdapter(uint32_t payload_bytes) {
    const std::string topic = TopicName(0);
    const std::string payload(payload_bytes, '\0');
    const MessageView message = {.topic = topic, .payload = payload};
    shape_.bytes.resize(PublishFrameBytes(message));
    WritePublishFrame(message, shape_.bytes.data());
    shape_.topic_digits_offset = shape_.bytes.find(topic) + topic.size() - kTopicDigits;
    shape_.payload_offset = shape_.bytes.size() - payload_bytes;
    // The length of the frame and the tag of the message.
    const uint32_t prefix_bytes = ReadFramePrefix(shape_.bytes).prefix_bytes;
    alike_ = {.head = shape_.bytes.substr(0, prefix_bytes + 1),
              .payload_offset = shape_.payload_offset,
              .frame_bytes = shape_.bytes.size()};
  }

  Request Open(Role, uint32_t client) const override {
    v1::ClientFrame frame;
    frame.mutable_connect()->set_protocol_version(1);
    frame.mutable_connect()->set_client_name(fmt::format("bench {}", client));
    return {.bytes = Frame(frame), .answers = 1};
  }

  Request Subscribe(const std::vector<Filter>& filters) const override {
    Request request;
    for (const Filter& filter : filters) {
      v1::ClientFrame frame;
      frame.mutable_subscribe()->set_subscription(filter.id);
      frame.mutable_subscribe()->set_filter(filter.name);
      request.bytes += Frame(frame);
      ++request.answers;
    }
    return request;
  }

  Request Unsubscribe(const Filter& filter) const override {
    v1::ClientFrame frame;
    frame.mutable_unsubscribe()->set_subscription(filter.id);
    return {.bytes = Frame(frame), .answers = 1};
  }

  MessageShape Message() const override { return shape_; }

  size_t Parse(std::string_view bytes, Parsed* parsed) const override {
    return alike_.TakeAll(bytes, parsed, [&](std::string_view rest) -> size_t {
      const FramePrefix prefix = ReadFramePrefix(rest);
      if (prefix.status == FramePrefixStatus::kBad) {
        ++parsed->errors;
        return rest.size();
      }
      // A message whose stamp is not there yet, or a frame whose member is not known yet.
      if (prefix.status == FramePrefixStatus::kIncomplete || rest.size() < prefix.prefix_bytes + 2) return 0;
      const char member = rest[prefix.prefix_bytes];
      if (member == alike_.head.back()) {
        if (prefix.frame_bytes() == alike_.frame_bytes) return 0;
        ++parsed->errors;  // somebody else's message
      } else if (member == kConnected || member == kSubscribed || member == kUnsubscribed) {
        ++parsed->answers;
      } else if (member == kError || member == kGap || member == kGoodbye) {
        ++parsed->errors;
      }
      return prefix.frame_bytes();
    });
  }

 private:
  static std::string Frame(const v1::ClientFrame& frame) {
    std::string bytes;
    AppendFrame(frame, &bytes);
    return bytes;
  }

  MessageShape shape_;
  AlikeFrames alike_;
};

}  // namespace

std::unique_ptr<Adapter> MakeSluiceAdapter(uint32_t payload_bytes) {
  return std::make_unique<SluiceAdapter>(payload_bytes);
}

}  // namespace sluice::bench
