#include "tests/support/healthy_load.h"

#include <cstring>
#include <stdexcept>
#include <utility>

#include "fmt/format.h"

namespace sluice::testing {

std::string TestPayload(uint64_t seed, uint64_t number, size_t bytes) {
  std::string payload(bytes + sizeof(uint64_t), '\0');
  uint64_t state = seed * 0x9e3779b97f4a7c15 + number * 0xd1342543de82ef95;
  for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {  // splitmix64
    uint64_t word = state += 0x9e3779b97f4a7c15;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
    word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
    word ^= word >> 31;
    std::memcpy(payload.data() + at, &word, sizeof word);
  }
  payload.resize(bytes);
  return payload;
}

HealthyLoad::HealthyLoad(uint16_t port, HealthyLoadOptions options)
    : options_(std::move(options)), publisher_(port) {
  publisher_.Connect("healthy publisher");
  for (size_t i = 0; i < options_.subscribers; ++i) {
    subscribers_.emplace_back(port);
    subscribers_.back().Connect(fmt::format("healthy {}", i));
    subscribers_.back().Subscribe(1, options_.filter);
  }
}

void HealthyLoad::Step(int messages, size_t payload_bytes) {
  const size_t first = sizes_.size();
  std::string frames;
  for (int i = 0; i < messages; ++i) {
    const size_t number = sizes_.size();
    frames += PublishFrame(options_.topics[number % options_.topics.size()],
                           TestPayload(options_.seed, number, payload_bytes));
    sizes_.push_back(payload_bytes);
  }
  publisher_.SendRaw(frames);
  for (size_t i = 0; i < subscribers_.size(); ++i) {
    for (size_t number = first; number < sizes_.size(); ++number) {
      const v1::Message message = subscribers_[i].NextMessage().message;
      if (message.topic() == options_.topics[number % options_.topics.size()] &&
          message.payload() == TestPayload(options_.seed, number, sizes_[number])) {
        continue;
      }
      throw std::runtime_error(
          fmt::format("healthy {} got something else than message {} (topic {}, {} bytes)", i, number,
                      message.topic(), message.payload().size()));
    }
  }
}

void HealthyLoad::Leave() {
  for (WireClient& subscriber : subscribers_) {
    subscriber.SendUnsubscribe(1);
    const uint64_t offered = subscriber.NextOf(v1::ServerFrame::kUnsubscribed).unsubscribed().offered();
    if (offered == published()) continue;
    throw std::runtime_error(
        fmt::format("{} offered to a healthy subscriber instead of {}", offered, published()));
  }
}

}  // namespace sluice::testing
