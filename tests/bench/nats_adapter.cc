// The client protocol of NATS, as a client speaks it that wants no "+OK".
#include <fmt/format.h>

#include <cstring>

#include "tests/bench/adapter.h"
#include "tests/bench/stamp.h"

namespace sluice::bench {
namespace {

constexpr std::string_view kMessageHead = "MSG ";

class NatsAdapter : public Adapter {
 public:
  explicit NatsAdapter(uint32_t payload_bytes) : payload_bytes_(payload_bytes) {}

  Request Open(Role, uint32_t client) const override {
    return {.bytes = fmt::format("CONNECT {{\"verbose\":false,\"pedantic\":false,\"name\":\"bench {}\"}}\r\n"
                                 "PING\r\n",
                                 client),
            .answers = 1};
  }

  Request Subscribe(const std::vector<Filter>& filters) const override {
    Request request;
    for (const Filter& filter : filters)
      request.bytes += fmt::format("SUB {} {}\r\n", filter.name, filter.id);
    request.bytes += "PING\r\n";
    request.answers = 1;
    return request;
  }

  Request Unsubscribe(const Filter& filter) const override {
    return {.bytes = fmt::format("UNSUB {}\r\n", filter.id), .answers = 0};
  }

  MessageShape Message() const override {
    const std::string head = fmt::format("PUB {} {}\r\n", TopicName(0), payload_bytes_);
    return {.bytes = head + std::string(payload_bytes_, '\0') + "\r\n",
            .topic_digits_offset = std::strlen("PUB ") + TopicName(0).size() - kTopicDigits,
            .payload_offset = head.size()};
  }

  size_t Parse(std::string_view bytes, Parsed* parsed) const override {
    size_t at = 0;
    while (at < bytes.size()) {
      const char* line = bytes.data() + at;
      const auto* end = static_cast<const char*>(std::memchr(line, '\n', bytes.size() - at));
      if (end == nullptr) return at;
      const size_t payload_at = static_cast<size_t>(end + 1 - bytes.data());
      if (*line == kMessageHead[0]) {
        if (payload_at + kStampBytes > bytes.size()) return at;
        parsed->payloads.push_back(end + 1);
        at = payload_at + payload_bytes_ + std::strlen("\r\n");
        continue;
      }
      // PONG, as opposed to PING; the broker pings once in two minutes, and does not insist within a run.
      if (end - line >= 2 && line[0] == 'P' && line[1] == 'O') ++parsed->answers;
      if (*line == '-') ++parsed->errors;
      at = payload_at;
    }
    return at;
  }

 private:
  const uint32_t payload_bytes_;
};

}  // namespace

std::unique_ptr<Adapter> MakeNatsAdapter(uint32_t payload_bytes) {
  return std::make_unique<NatsAdapter>(payload_bytes);
}

}  // namespace sluice::bench
