// What a connection says to kernel_limit: eight bytes, two numbers in the machine's own byte order. The first
// is its role. The second is for publishers: with several of them, only multiples of so many bytes are
// forwarded at a time, so that messages of one size stay whole. It is answered by kLimitAnswer (four bytes).
#ifndef SLUICE_TESTS_BENCH_KERNEL_LIMIT_H_
#define SLUICE_TESTS_BENCH_KERNEL_LIMIT_H_

#include <cstdint>

namespace sluice::bench {

inline constexpr uint32_t kLimitSubscriber = 1;
inline constexpr uint32_t kLimitPublisher = 2;
inline constexpr uint32_t kLimitAnswer = 0xffffffff;

}  // namespace sluice::bench

#endif  // SLUICE_TESTS_BENCH_KERNEL_LIMIT_H_
