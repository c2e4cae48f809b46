// A healthy subscriber: reads in large pieces, looks at the stamp of every message where it lies, and keeps
// nothing but the head of a frame that is not all there.
//
//   Subscriber subscriber(std::move(connection), streams);
//   while (...) got = subscriber.Read(adapter, room, &batch);
//
// Thread safety: none; one owner.
#ifndef SLUICE_TESTS_BENCH_SUBSCRIBER_H_
#define SLUICE_TESTS_BENCH_SUBSCRIBER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/adapter.h"
#include "tests/bench/connection.h"
#include "tests/bench/stream_checks.h"

namespace sluice::bench {

enum class ReadOutcome { kOpen, kClosed };

class Subscriber {
 public:
  // It gets messages of so many streams; their numbers are counted from 0 for each subscriber.
  Subscriber(std::unique_ptr<Connection> connection, size_t streams)
      : connection_(std::move(connection)), checks_(streams) {}

  // Reads once into `room`, behind the bytes of an unfinished head, and fills `parsed`, whose payloads point
  // into `room`. kClosed: the broker has closed.
  ReadOutcome Read(const Adapter& adapter, std::vector<char>* room, Parsed* parsed);

  Connection& connection() { return *connection_; }
  StreamChecks& checks() { return checks_; }

 private:
  std::unique_ptr<Connection> connection_;
  StreamChecks checks_;
  // Of the last message, its stamp having been seen.
  size_t skip_bytes_ = 0;
};

}  // namespace sluice::bench

#endif  // SLUICE_TESTS_BENCH_SUBSCRIBER_H_
