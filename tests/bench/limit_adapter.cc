// What is said to the kernel limit program (kernel_limit.h has the rules). It frames nothing: each message
// stands behind its length of four bytes for the subscribers' sake alone.
#include <cstring>

#include "tests/bench/adapter.h"
#include "tests/bench/kernel_limit.h"

namespace sluice::bench {
namespace {

std::string Number(uint32_t number) {
  std::string bytes(sizeof number, '\0');
  std::memcpy(bytes.data(), &number, sizeof number);
  return bytes;
}

class LimitAdapter : public Adapter {
 public:
  explicit LimitAdapter(uint32_t payload_bytes)
      : alike_{.head = Number(payload_bytes),
               .payload_offset = sizeof payload_bytes,
               .frame_bytes = sizeof payload_bytes + payload_bytes} {}

  Request Open(Role role, uint32_t) const override {
    if (role == Role::kSubscriber) return {.bytes = Hello(kLimitSubscriber, 0), .answers = 1};
    return {.bytes = Hello(kLimitPublisher, static_cast<uint32_t>(alike_.frame_bytes)), .answers = 1};
  }
  // It has no topics: a subscriber gets everything.
  Request Subscribe(const std::vector<Filter>&) const override { return {}; }
  Request Unsubscribe(const Filter&) const override { return {}; }

  MessageShape Message() const override {
    // There is no topic; its digits are written where the stamp then comes to stand.
    return {.bytes = alike_.head + std::string(alike_.frame_bytes - alike_.head.size(), '\0'),
            .topic_digits_offset = alike_.payload_offset,
            .payload_offset = alike_.payload_offset};
  }

  size_t Parse(std::string_view bytes, Parsed* parsed) const override {
    const std::string answer = Number(kLimitAnswer);
    return alike_.TakeAll(bytes, parsed, [&](std::string_view rest) -> size_t {
      if (rest.size() < answer.size() || rest.starts_with(alike_.head)) return 0;
      if (rest.starts_with(answer)) {
        ++parsed->answers;
        return answer.size();
      }
      ++parsed->errors;
      return rest.size();
    });
  }

 private:
  static std::string Hello(uint32_t role, uint32_t unit_bytes) { return Number(role) + Number(unit_bytes); }

  const AlikeFrames alike_;
};

}  // namespace

std::unique_ptr<Adapter> MakeLimitAdapter(uint32_t payload_bytes) {
  return std::make_unique<LimitAdapter>(payload_bytes);
}

}  // namespace sluice::bench
