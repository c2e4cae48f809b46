// RESP2, as Redis and its descendants speak it to a subscriber, with pipelined PUBLISH.
#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "tests/bench/adapter.h"

namespace sluice::bench {
namespace {

std::string Bulk(std::string_view text) { return fmt::format("${}\r\n{}\r\n", text.size(), text); }

// One line at `at`: its first character, and the number behind it.
struct Line {
  char kind = 0;
  int64_t number = 0;
  size_t end = 0;
};

std::optional<Line> ReadLine(std::string_view bytes, size_t at) {
  const size_t newline = bytes.find('\n', at);
  if (newline == std::string_view::npos) return std::nullopt;
  Line line = {.kind = bytes[at], .end = newline + 1};
  std::from_chars(bytes.data() + at + 1, bytes.data() + newline, line.number);
  return line;
}

class RedisAdapter : public Adapter {
 public:
  explicit RedisAdapter(uint32_t payload_bytes) {
    const std::string payload(payload_bytes, '\0');
    const std::string head =
        fmt::format("*3\r\n{}{}${}\r\n", Bulk("PUBLISH"), Bulk(TopicName(0)), payload_bytes);
    shape_ = {.bytes = head + payload + "\r\n",
              .topic_digits_offset = head.find(TopicName(0)) + TopicName(0).size() - kTopicDigits,
              .payload_offset = head.size()};
    const std::string delivered =
        fmt::format("*3\r\n{}{}${}\r\n", Bulk("message"), Bulk(TopicName(0)), payload_bytes);
    // Up to the length of "message", which no other push has.
    alike_ = {.head = delivered.substr(0, 6),
              .payload_offset = delivered.size(),
              .frame_bytes = delivered.size() + payload_bytes + 2};
  }

  Request Open(Role, uint32_t) const override { return {.bytes = "*1\r\n" + Bulk("PING"), .answers = 1}; }

  Request Subscribe(const std::vector<Filter>& filters) const override {
    Request request;
    for (const Filter& filter : filters) {
      request.bytes +=
          "*2\r\n" + Bulk(filter.kind == FilterKind::kTopic ? "SUBSCRIBE" : "PSUBSCRIBE") + Bulk(filter.name);
      ++request.answers;
    }
    return request;
  }

  Request Unsubscribe(const Filter& filter) const override {
    return {.bytes = "*2\r\n" + Bulk(filter.kind == FilterKind::kTopic ? "UNSUBSCRIBE" : "PUNSUBSCRIBE") +
                     Bulk(filter.name),
            .answers = 1};
  }

  MessageShape Message() const override { return shape_; }

  size_t Parse(std::string_view bytes, Parsed* parsed) const override {
    return alike_.TakeAll(bytes, parsed, [&](std::string_view rest) -> size_t {
      if (rest.size() < alike_.head.size() || rest.starts_with(alike_.head)) {
        // A number, the answer to a PUBLISH, may be shorter than the head.
        if (rest.find('\n') == std::string_view::npos || rest[0] == '*') return 0;
      }
      const size_t reply_bytes = ReplyBytes(rest);
      if (reply_bytes == 0) return 0;
      if (rest[0] == '*' || rest[0] == '+') ++parsed->answers;
      if (rest[0] == '-') ++parsed->errors;
      return reply_bytes;
    });
  }

 private:
  // Of the reply that stands first; 0: it is not all there.
  static size_t ReplyBytes(std::string_view bytes) {
    const std::optional<Line> first = ReadLine(bytes, 0);
    if (!first.has_value()) return 0;
    if (first->kind != '*') return first->end;
    size_t end = first->end;
    for (int64_t i = 0; i < first->number; ++i) {
      if (end >= bytes.size()) return 0;
      const std::optional<Line> line = ReadLine(bytes, end);
      if (!line.has_value()) return 0;
      end = line->end;
      if (line->kind == '$' && line->number >= 0) end += static_cast<size_t>(line->number) + 2;
    }
    return end <= bytes.size() ? end : 0;
  }

  MessageShape shape_;
  AlikeFrames alike_;
};

}  // namespace

std::unique_ptr<Adapter> MakeRedisAdapter(uint32_t payload_bytes) {
  return std::make_unique<RedisAdapter>(payload_bytes);
}

}  // namespace sluice::bench
