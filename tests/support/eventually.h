// Waiting for what another thread, or the kernel, will do in a moment.
#ifndef SLUICE_TESTS_SUPPORT_EVENTUALLY_H_
#define SLUICE_TESTS_SUPPORT_EVENTUALLY_H_

#include <chrono>
#include <functional>
#include <thread>

namespace sluice::testing {

// Asks again and again until `condition` holds; false when it does not within two minutes.
[[nodiscard]] inline bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_EVENTUALLY_H_
