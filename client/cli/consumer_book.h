// What a subscriber saw of a numbered feed, and whether what it was told fits what came.
//
//   const ConsumerBook book = ReadBook(receiver.stream());
//   book.delivered + book.told() == unsubscribed.offered()
//
// Each payload begins with a BenchStamp whose sequence counts the messages of the feed from 0, over all topics.
//
// Thread safety: a pure function and plain data.
#ifndef SLUICE_CLIENT_CLI_CONSUMER_BOOK_H_
#define SLUICE_CLIENT_CLI_CONSUMER_BOOK_H_

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "client/cli/bench_payload.h"
#include "protocol/sluice.pb.h"

namespace sluice::cli {

struct ConsumerBook {
  uint64_t told() const { return conflated + dropped; }

  uint64_t delivered = 0;
  // Told missing by gaps.
  uint64_t conflated = 0;
  uint64_t dropped = 0;
  uint64_t gaps = 0;
  // Gaps that say another number of messages than what came and was told up to them.
  uint64_t gaps_wrong = 0;
  // Messages with another number than what came and was told before them. 0 means that nothing is out of order
  // and every gap stands exactly where the messages are missing; conflation changes the order.
  uint64_t out_of_place = 0;
  // How many came before the first gap.
  uint64_t delivered_before_gaps = 0;
  // Highest sequence of each topic, and the message with the highest of all.
  std::map<std::string, uint64_t> newest_by_topic;
  std::optional<BenchStamp> newest;
};

// `stream`: messages and gaps in the order in which they came.
ConsumerBook ReadBook(std::span<const v1::ServerFrame> stream);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_CONSUMER_BOOK_H_
