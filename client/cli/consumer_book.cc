#include "client/cli/consumer_book.h"

#include <algorithm>

namespace sluice::cli {
namespace {

void AddGap(const v1::Gap& gap, ConsumerBook* book) {
  (gap.cause() == v1::GAP_CAUSE_CONFLATED ? book->conflated : book->dropped) += gap.messages();
  ++book->gaps;
  if (gap.offered() != book->delivered + book->told()) ++book->gaps_wrong;
}

void AddMessage(const v1::Message& message, ConsumerBook* book) {
  const std::optional<BenchStamp> stamp = ReadBenchStamp(message.payload());
  if (!stamp.has_value() || stamp->sequence != book->delivered + book->told()) ++book->out_of_place;
  ++book->delivered;
  if (book->gaps == 0) ++book->delivered_before_gaps;
  if (!stamp.has_value()) return;
  uint64_t& of_topic = book->newest_by_topic[message.topic()];
  of_topic = std::max(of_topic, stamp->sequence);
  if (!book->newest.has_value() || stamp->sequence > book->newest->sequence) book->newest = stamp;
}

}  // namespace

ConsumerBook ReadBook(std::span<const v1::ServerFrame> stream) {
  ConsumerBook book;
  for (const v1::ServerFrame& frame : stream) {
    if (frame.has_gap()) AddGap(frame.gap(), &book);
    if (frame.has_message()) AddMessage(frame.message(), &book);
  }
  return book;
}

}  // namespace sluice::cli
