#include "client/life_clock.h"

namespace sluice::client {

void LifeClock::Resume(Suspension reason, absl::Time now) {
  const uint8_t before = suspended_;
  suspended_ &= static_cast<uint8_t>(~static_cast<uint8_t>(reason));
  if (before != 0 && suspended_ == 0) OnSign(now);
}

LifeVerdict LifeClock::Judge(absl::Time now) {
  if (suspended() || now < NextJudgement()) return LifeVerdict::kAlive;
  if (asked_ != absl::InfiniteFuture()) return LifeVerdict::kDead;
  asked_ = now;
  return LifeVerdict::kAsk;
}

absl::Time LifeClock::NextJudgement() const {
  if (suspended()) return absl::InfiniteFuture();
  return (asked_ == absl::InfiniteFuture() ? last_sign_ : asked_) + interval_;
}

}  // namespace sluice::client
