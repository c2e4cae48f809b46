// Decides from the signs of life on a connection when to ask for one and when to give it up. Internal to the
// client.
//
//   switch (clock.Judge(now)) {
//     case LifeVerdict::kAlive: break;
//     case LifeVerdict::kAsk:   /* send a ping; it counts as asked */ break;
//     case LifeVerdict::kDead:  /* no answer in time */ break;
//   }
//   poll(…, clock.NextJudgement() - now);
//
// Any byte that arrives is a sign, and so is any byte of ours that the peer acknowledges. After `interval`
// without one the clock asks; after as long again without an answer it says dead. It counts the second
// interval from the question, so that a process that was stopped for an hour asks first, as a healthy
// connection deserves. While it is suspended (we do not read ourselves, or the broker said that it does not)
// nothing is judged.
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_LIFE_CLOCK_H_
#define SLUICE_CLIENT_LIFE_CLOCK_H_

#include <cstdint>

#include "absl/time/time.h"

namespace sluice::client {

enum class LifeVerdict { kAlive, kAsk, kDead };
enum class Suspension : uint8_t {
  kOwnReads = 1,  // our incoming buffer is full
  kBroker = 2,    // the broker paused reading from us
};

class LifeClock {
 public:
  LifeClock(absl::Duration interval, absl::Time now) : interval_(interval), last_sign_(now) {}

  void OnSign(absl::Time now) {
    last_sign_ = now;
    asked_ = absl::InfiniteFuture();
  }

  // Idempotent by reason. The silence begins anew when the last reason goes.
  void Suspend(Suspension reason) { suspended_ |= static_cast<uint8_t>(reason); }
  void Resume(Suspension reason, absl::Time now);
  bool suspended() const { return suspended_ != 0; }

  // Each kAsk is said once per silence.
  LifeVerdict Judge(absl::Time now);

  // When Judge() may say something new.
  absl::Time NextJudgement() const;

 private:
  const absl::Duration interval_;
  absl::Time last_sign_;
  // When the present silence was asked about; InfiniteFuture: not yet.
  absl::Time asked_ = absl::InfiniteFuture();
  uint8_t suspended_ = 0;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_LIFE_CLOCK_H_
