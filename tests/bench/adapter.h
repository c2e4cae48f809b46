// What the load generator must know of a broker's protocol: the requests of a client, the shape of a
// published message, and how to find the payloads in what a subscriber receives. There is one adapter per
// protocol, and all of them cost the generator about the same.
//
//   std::unique_ptr<Adapter> adapter = MakeAdapter("nats", /*payload_bytes=*/128);
//   Send(adapter->Open(Role::kSubscriber, 1).bytes);
//   Send(adapter->Subscribe({{1, TopicName(0), FilterKind::kTopic}}).bytes);
//   ...
//   size_t consumed = adapter->Parse(received, &parsed);
//
// All topics are equally long and all payloads have the same size, so the messages of a run differ only in
// the digits of the topic and in the stamp: they are encoded once (Message()) and patched afterwards.
//
// Thread safety: adapters have no state that changes; every method may be called from any thread.
#ifndef SLUICE_TESTS_BENCH_ADAPTER_H_
#define SLUICE_TESTS_BENCH_ADAPTER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::bench {

// Topics are "bench." and seven digits; an adapter may join the two by another character.
inline constexpr uint32_t kTopicDigits = 7;
inline constexpr uint32_t kTopicsMax = 10'000'000;
std::string TopicName(uint32_t topic);
// Writes the digits of a topic over those that stand at `digits`.
void WriteTopicDigits(uint32_t topic, char* digits);

enum class Role { kSubscriber, kPublisher };

enum class FilterKind {
  kTopic,     // one topic
  kWildcard,  // "*" as the last token
};

struct Filter {
  // Not 0, and not in use by this client.
  uint32_t id = 0;
  // With "." between the tokens and "*" as wildcard.
  std::string name = {};
  FilterKind kind = FilterKind::kTopic;
};

struct Request {
  std::string bytes;
  // So many answers (Parsed::answers) say that it is done.
  uint64_t answers = 0;
};

struct MessageShape {
  std::string bytes;
  size_t topic_digits_offset = 0;
  size_t payload_offset = 0;
};

// What was found in received bytes. Parse() adds to it.
struct Parsed {
  // Heads of payloads, at least kStampBytes of each; they point into the bytes that were parsed.
  std::vector<const char*> payloads;
  uint64_t answers = 0;
  // What the broker complained about.
  uint64_t errors = 0;
};

class Adapter {
 public:
  virtual ~Adapter() = default;

  // What a client says first. `client` is a number of its own.
  virtual Request Open(Role role, uint32_t client) const = 0;
  virtual Request Subscribe(const std::vector<Filter>& filters) const = 0;
  virtual Request Unsubscribe(const Filter& filter) const = 0;

  // A publish to topic 0, with a payload of zeros.
  virtual MessageShape Message() const = 0;

  // `bytes` begins at the start of a frame. Finds all payloads whose head is there, answers and errors, and
  // returns how far that went: less than bytes.size() if a frame has begun of which too little is there, more
  // if the rest of the last frame (which is of no interest) is still to come.
  virtual size_t Parse(std::string_view bytes, Parsed* parsed) const = 0;
};

// Frames that have a head in common and the same size: those of the messages, in most protocols.
struct AlikeFrames {
  std::string head;
  size_t payload_offset = 0;
  size_t frame_bytes = 0;

  // Takes frames as long as they look like this; returns how far that went (see Adapter::Parse).
  size_t Take(std::string_view bytes, Parsed* parsed) const;

  // Adapter::Parse() for a protocol of such frames and others: `take_other(rest)` returns how far the frame
  // goes that stands first in `rest` and is not like these; 0: too little of it is there.
  template <typename TakeOther>
  size_t TakeAll(std::string_view bytes, Parsed* parsed, TakeOther take_other) const {
    size_t at = 0;
    while (at < bytes.size()) {
      at += Take(bytes.substr(at), parsed);
      if (at >= bytes.size()) break;
      const size_t other_bytes = take_other(bytes.substr(at));
      if (other_bytes == 0) break;
      at += other_bytes;
    }
    return at;
  }
};

enum class Protocol { kSluice, kNats, kRedis, kMqtt, kLimit };

// Payloads have at least kStampBytes. The limit's payloads are framed by a length of four bytes.
std::unique_ptr<Adapter> MakeAdapter(Protocol protocol, uint32_t payload_bytes);

std::unique_ptr<Adapter> MakeSluiceAdapter(uint32_t payload_bytes);
std::unique_ptr<Adapter> MakeNatsAdapter(uint32_t payload_bytes);
std::unique_ptr<Adapter> MakeRedisAdapter(uint32_t payload_bytes);
std::unique_ptr<Adapter> MakeMqttAdapter(uint32_t payload_bytes);
std::unique_ptr<Adapter> MakeLimitAdapter(uint32_t payload_bytes);

}  // namespace sluice::bench

#endif  // SLUICE_TESTS_BENCH_ADAPTER_H_
