// A healthy publisher and a healthy subscriber beside somebody who misbehaves: they must notice nothing.
//
//   Bystanders bystanders(broker.port());
//   ... somebody sends garbage ...
//   bystanders.Beat();   // a message still goes through, and nothing else came since the last one
//
// Thread safety: none.
#ifndef SLUICE_TESTS_SUPPORT_BYSTANDERS_H_
#define SLUICE_TESTS_SUPPORT_BYSTANDERS_H_

#include <cstdint>

#include "tests/support/wire_client.h"

namespace sluice::testing {

class Bystanders {
 public:
  explicit Bystanders(uint16_t port);

  // Publishes so many numbered messages and waits until the subscriber has them. What is not the next number
  // throws, as does any other frame but a ping of the broker.
  void Beat(int messages = 1);

  // On their way out: the broker must agree about how many messages there were.
  void Leave();

 private:
  WireClient publisher_;
  WireClient subscriber_;
  uint64_t published_ = 0;
  uint64_t received_ = 0;
};

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_BYSTANDERS_H_
