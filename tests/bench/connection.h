// One client's connection to a broker: opened and asked while it blocks, then handed to the epoll loop.
//
//   Connection connection(port);
//   connection.Send(adapter.Open(Role::kSubscriber, 1));
//   connection.AwaitAnswers(adapter);
//   connection.StopBlocking();
//
// A failure throws std::runtime_error: the benchmark cannot go on.
//
// Thread safety: none; one owner.
#ifndef SLUICE_TESTS_BENCH_CONNECTION_H_
#define SLUICE_TESTS_BENCH_CONNECTION_H_

#include <cstdint>
#include <string>

#include "tests/bench/adapter.h"

namespace sluice::bench {

class Connection {
 public:
  // Connects to a port of 127.0.0.1, with TCP_NODELAY.
  explicit Connection(uint16_t port);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  int fd() const { return fd_; }

  // Writes all of it, and remembers what answers it wants.
  void Send(const Request& request);
  // Waits for the answers to all that was sent. What is read behind the last of them is kept for unparsed().
  // An error of the broker, or an answer that does not come within 60 s, throws.
  void AwaitAnswers(const Adapter& adapter);
  void StopBlocking() const;

  std::string& unparsed() { return unparsed_; }

 private:
  int fd_;
  uint64_t answers_wanted_ = 0;
  std::string unparsed_;
};

}  // namespace sluice::bench

#endif  // SLUICE_TESTS_BENCH_CONNECTION_H_
