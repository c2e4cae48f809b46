// A client that subscribes and unsubscribes at a steady pace, to topics that nobody publishes on: every other
// subscription is a wildcard, and each lives for kAlive more.
//
// Thread safety: none; one owner.
#ifndef SLUICE_TESTS_BENCH_CHURNER_H_
#define SLUICE_TESTS_BENCH_CHURNER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "tests/bench/adapter.h"
#include "tests/bench/connection.h"

namespace sluice::bench {

class Churner {
 public:
  static constexpr uint32_t kAlive = 100;

  Churner(std::unique_ptr<Connection> connection, double pairs_per_second);

  // When the next pair is due, in nanoseconds from the begin.
  int64_t due_ns() const;
  // Subscribes once and unsubscribes once; reads what was answered before.
  void Turn(const Adapter& adapter, std::vector<char>* room, Parsed* parsed);
  uint64_t pairs() const { return pairs_; }

 private:
  static Filter FilterOf(uint64_t pair);

  std::unique_ptr<Connection> connection_;
  const double pairs_per_second_;
  uint64_t pairs_ = 0;
};

}  // namespace sluice::bench

#endif  // SLUICE_TESTS_BENCH_CHURNER_H_
