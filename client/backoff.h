// How long to wait before the next attempt to connect. Internal to the client.
//
//   Backoff backoff({.first = absl::Milliseconds(50), .max = absl::Seconds(5)}, seed);
//   absl::Duration delay = backoff.Next();   // 25-50 ms, 50-100 ms, 100-200 ms, … 2.5-5 s, 2.5-5 s
//   backoff.Reset();                         // connected
//
// Half of each delay is drawn at random: clients that lost the same broker in the same moment do not come
// back in the same moment.
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_BACKOFF_H_
#define SLUICE_CLIENT_BACKOFF_H_

#include <cstdint>
#include <random>

#include "absl/time/time.h"

namespace sluice::client {

struct BackoffOptions {
  absl::Duration first;
  absl::Duration max;
};

class Backoff {
 public:
  Backoff(BackoffOptions options, uint64_t seed)
      : options_(options), random_(seed), ceiling_(options.first) {}

  absl::Duration Next();
  void Reset() { ceiling_ = options_.first; }

 private:
  const BackoffOptions options_;
  std::mt19937_64 random_;
  absl::Duration ceiling_;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_BACKOFF_H_
