// MQTT 3.1.1 with QoS 0, no keep-alive.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "tests/bench/adapter.h"

namespace sluice::bench {
namespace {

constexpr char kConnect = 0x10;
constexpr char kConnack = 0x20;
constexpr char kPublish = 0x30;
constexpr char kSubscribe = static_cast<char>(0x82);
constexpr char kSuback = static_cast<char>(0x90);
constexpr char kUnsubscribe = static_cast<char>(0xa2);
constexpr char kUnsuback = static_cast<char>(0xb0);

std::string Sixteen(size_t number) {
  return {static_cast<char>(number >> 8 & 0xff), static_cast<char>(number & 0xff)};
}

std::string Text(std::string_view text) { return Sixteen(text.size()) + std::string(text); }

std::string Topic(std::string name) {
  std::replace(name.begin(), name.end(), '.', '/');
  std::replace(name.begin(), name.end(), '*', '+');
  return name;
}

std::string Packet(char type, std::string_view body) {
  std::string packet(1, type);
  size_t length = body.size();
  do {
    packet.push_back(static_cast<char>((length & 0x7f) | (length > 0x7f ? 0x80 : 0)));
    length >>= 7;
  } while (length > 0);
  return packet += body;
}

class MqttAdapter : public Adapter {
 public:
  explicit MqttAdapter(uint32_t payload_bytes) {
    const std::string topic = Text(Topic(TopicName(0)));
    shape_.bytes = Packet(kPublish, topic + std::string(payload_bytes, '\0'));
    shape_.payload_offset = shape_.bytes.size() - payload_bytes;
    shape_.topic_digits_offset = shape_.payload_offset - kTopicDigits;
    alike_ = {.head = shape_.bytes.substr(0, shape_.payload_offset - topic.size()),
              .payload_offset = shape_.payload_offset,
              .frame_bytes = shape_.bytes.size()};
  }

  Request Open(Role, uint32_t client) const override {
    const std::string clean_session_no_keep_alive = {0x02, 0, 0};
    return {.bytes = Packet(kConnect, Text("MQTT") + '\x04' + clean_session_no_keep_alive +
                                          Text(fmt::format("bench-{}", client))),
            .answers = 1};
  }

  Request Subscribe(const std::vector<Filter>& filters) const override {
    constexpr size_t kFiltersPerPacket = 100;
    Request request;
    for (size_t first = 0; first < filters.size(); first += kFiltersPerPacket) {
      std::string body = Sixteen(filters[first].id % 0xffff + 1);
      for (size_t i = first; i < std::min(filters.size(), first + kFiltersPerPacket); ++i) {
        body += Text(Topic(filters[i].name)) + '\0';
      }
      request.bytes += Packet(kSubscribe, body);
      ++request.answers;
    }
    return request;
  }

  Request Unsubscribe(const Filter& filter) const override {
    return {.bytes = Packet(kUnsubscribe, Sixteen(filter.id % 0xffff + 1) + Text(Topic(filter.name))),
            .answers = 1};
  }

  MessageShape Message() const override { return shape_; }

  size_t Parse(std::string_view bytes, Parsed* parsed) const override {
    return alike_.TakeAll(bytes, parsed, [&](std::string_view rest) -> size_t {
      const std::optional<size_t> packet_bytes = PacketBytes(rest);
      if (!packet_bytes.has_value()) return 0;
      if (rest[0] == kPublish) {
        if (*packet_bytes == alike_.frame_bytes) return 0;
        ++parsed->errors;  // somebody else's message
      } else if (rest[0] == kConnack || rest[0] == kSuback || rest[0] == kUnsuback) {
        if (rest.size() < *packet_bytes) return 0;
        ++parsed->answers;
        // The code of CONNACK, or the last one of SUBACK.
        if (rest[0] != kUnsuback && rest[*packet_bytes - 1] != 0) ++parsed->errors;
      }
      return *packet_bytes;
    });
  }

 private:
  static std::optional<size_t> PacketBytes(std::string_view bytes) {
    size_t length = 0;
    for (size_t i = 1; i < std::min<size_t>(bytes.size(), 5); ++i) {
      length |= static_cast<size_t>(bytes[i] & 0x7f) << (7 * (i - 1));
      if ((bytes[i] & 0x80) == 0) return 1 + i + length;
    }
    return std::nullopt;
  }

  MessageShape shape_;
  AlikeFrames alike_;
};

}  // namespace

std::unique_ptr<Adapter> MakeMqttAdapter(uint32_t payload_bytes) {
  return std::make_unique<MqttAdapter>(payload_bytes);
}

}  // namespace sluice::bench
