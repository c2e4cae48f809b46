// A shard's data path without its sockets, its clock and its threads, for counting and timing what of a
// message's way is ours: frames are read, checked, matched, assembled, offered and written as in a shard's
// turn, from a script and into a transport that keeps nothing.
//
//   SocketlessShard shard;
//   shard.Subscribe(shard.AddSubscriber(), 1, "ticks.>");
//   shard.AddPublisher(frames);                            // says them over and over again
//   shard.RunTurn();                                       // one read, and all that follows from it
//   shard.delivered_messages();
//
// The clock moves on by a millisecond each turn. Two runs of the same script do the same to the instruction.
//
// Thread safety: none.
#ifndef SLUICE_TESTS_BENCH_GUARD_SOCKETLESS_SHARD_H_
#define SLUICE_TESTS_BENCH_GUARD_SOCKETLESS_SHARD_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "broker/core/chunk.h"
#include "broker/core/fan_out.h"
#include "broker/core/filter_index.h"
#include "broker/core/frame_reader.h"
#include "broker/core/publisher.h"
#include "broker/core/session_writer.h"
#include "broker/core/subscriber.h"
#include "broker/core/transport.h"
#include "protocol/publish.h"

namespace sluice::bench {

// A publish frame as a client would send it.
std::string PublishFrame(std::string_view topic, size_t payload_bytes);

// Takes so many bytes of each write, to begin with everything, and only counts them.
class CountingTransport : public Transport {
 public:
  static constexpr size_t kEverything = std::numeric_limits<size_t>::max();

  WriteResult Write(std::span<const iovec> pieces) override;
  std::optional<uint64_t> BytesAcked() override { return taken_bytes_; }
  std::optional<TransportSample> Sample() override {
    TransportSample sample;
    sample.acked_bytes = taken_bytes_;
    return sample;
  }

  // 0: nothing, its peer is stuck.
  void SetWriteBytesMax(size_t bytes_max) { write_bytes_max_ = bytes_max; }
  bool stuck() const { return write_bytes_max_ == 0; }

 private:
  size_t write_bytes_max_ = kEverything;
  uint64_t taken_bytes_ = 0;
};

class SocketlessShard {
 public:
  // A subscriber and its end of the line.
  struct Session {
    Session(uint64_t token, const SubscriberLimits* limits, MemoryAccount* account, BacklogPool* backlogs)
        : subscriber(token, limits, account, backlogs) {}
    Subscriber subscriber;
    CountingTransport transport;
  };

  explicit SocketlessShard(size_t cached_topics_max = 16 << 10);
  ~SocketlessShard();

  Session* AddSubscriber();
  void Subscribe(Session* session, uint32_t id, std::string_view filter, std::string_view queue_group = "");

  // One more session that sends `frames` from the beginning again when it has sent them all; `read_bytes` of
  // them arrive at a time.
  void AddPublisher(std::string frames, uint32_t read_bytes = kReadBytesMax);

  // Reads once from every publisher, then offers and flushes, until only those who are stuck have something
  // left.
  void RunTurn();

  uint64_t delivered_messages() const { return delivered_messages_; }

 private:
  struct Source {
    std::string frames;
    uint32_t read_bytes;
    size_t at = 0;
    FrameReader reader;
    Publisher publisher;
  };

  void Read(Source* source);
  void Flush(Session* session);

  const SubscriberLimits limits_;
  const PublishLimits publish_limits_;
  MemoryAccount memory_;
  ChunkPool pool_;
  BacklogPool backlogs_{&memory_};
  OpenChunk read_chunk_;
  FilterIndex index_;
  FanOut fan_out_;
  std::unique_ptr<WriteScratch> scratch_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::vector<std::unique_ptr<Source>> sources_;
  absl::Time now_ = absl::UnixEpoch();
  uint64_t delivered_messages_ = 0;
};

}  // namespace sluice::bench

#endif  // SLUICE_TESTS_BENCH_GUARD_SOCKETLESS_SHARD_H_
