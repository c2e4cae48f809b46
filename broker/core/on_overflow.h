// Whether the limits of a subscription are applied. Internal to the broker.
#ifndef SLUICE_BROKER_CORE_ON_OVERFLOW_H_
#define SLUICE_BROKER_CORE_ON_OVERFLOW_H_

#include <cstdint>

namespace sluice {

enum class OnOverflow : uint8_t {
  kAct,      // its policy acts
  kObserve,  // it is counted and logged, and nothing is done
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_ON_OVERFLOW_H_
