#include "tests/bench/adapter.h"

#include <fmt/format.h>

#include <cstring>

#include "tests/bench/stamp.h"

namespace sluice::bench {

std::string TopicName(uint32_t topic) { return fmt::format("bench.{:07}", topic); }

void WriteTopicDigits(uint32_t topic, char* digits) {
  for (uint32_t i = kTopicDigits; i-- > 0; topic /= 10) digits[i] = static_cast<char>('0' + topic % 10);
}

size_t AlikeFrames::Take(std::string_view bytes, Parsed* parsed) const {
  size_t at = 0;
  while (at + payload_offset + kStampBytes <= bytes.size() &&
         std::memcmp(bytes.data() + at, head.data(), head.size()) == 0) {
    parsed->payloads.push_back(bytes.data() + at + payload_offset);
    at += frame_bytes;
  }
  return at;
}

std::unique_ptr<Adapter> MakeAdapter(Protocol protocol, uint32_t payload_bytes) {
  switch (protocol) {
    case Protocol::kSluice:
      return MakeSluiceAdapter(payload_bytes);
    case Protocol::kNats:
      return MakeNatsAdapter(payload_bytes);
    case Protocol::kRedis:
      return MakeRedisAdapter(payload_bytes);
    case Protocol::kMqtt:
      return MakeMqttAdapter(payload_bytes);
    case Protocol::kLimit:
      return MakeLimitAdapter(payload_bytes);
  }
  return nullptr;
}

}  // namespace sluice::bench
