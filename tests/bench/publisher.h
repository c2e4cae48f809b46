// A publisher's connection: messages encoded side by side, of which only topic and stamp are written anew,
// and sent in one piece.
//
//   while (publisher.HasRoom()) publisher.Add(topic, stamp);
//   if (publisher.Flush() == FlushOutcome::kBlocked) ...          // wait for EPOLLOUT
//
// Thread safety: none; one owner.
#ifndef SLUICE_TESTS_BENCH_PUBLISHER_H_
#define SLUICE_TESTS_BENCH_PUBLISHER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/adapter.h"
#include "tests/bench/connection.h"
#include "tests/bench/stamp.h"

namespace sluice::bench {

enum class FlushOutcome { kSent, kBlocked, kClosed };

class Publisher {
 public:
  Publisher(std::unique_ptr<Connection> connection, const Adapter& adapter);

  bool HasRoom() const { return filled_ < buffer_.size(); }
  bool HasUnsent() const { return sent_ < filled_; }
  void Add(uint32_t topic, const Stamp& stamp);
  FlushOutcome Flush();

  // Reads and forgets what the broker answers; Redis answers every publish.
  void ReadAnswers(const Adapter& adapter, std::vector<char>* room, Parsed* parsed);

  Connection& connection() { return *connection_; }

 private:
  std::unique_ptr<Connection> connection_;
  const size_t message_bytes_;
  const size_t topic_digits_offset_;
  const size_t payload_offset_;
  std::vector<char> buffer_;
  size_t filled_ = 0;
  size_t sent_ = 0;
};

}  // namespace sluice::bench

#endif  // SLUICE_TESTS_BENCH_PUBLISHER_H_
