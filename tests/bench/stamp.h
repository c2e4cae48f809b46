// What stands at the head of each payload of the benchmark: which stream it belongs to, its number there, and
// when it was sent (in open loop: when it should have been).
//
//   offset  bytes
//   0       4      stream: topic * publishers + publisher
//   4       4      sequence, from 0 in each stream
//   8       8      nanoseconds of the monotonic clock
//
// In the machine's own byte order: it never leaves the machine. The rest of the payload is filling.
//
// Thread safety: pure functions.
#ifndef SLUICE_TESTS_BENCH_STAMP_H_
#define SLUICE_TESTS_BENCH_STAMP_H_

#include <cstdint>
#include <cstring>

namespace sluice::bench {

inline constexpr uint32_t kStampBytes = 16;

struct Stamp {
  uint32_t stream = 0;
  uint32_t sequence = 0;
  int64_t sent_ns = 0;
};
static_assert(sizeof(Stamp) == kStampBytes);

inline void WriteStamp(const Stamp& stamp, char* payload) { std::memcpy(payload, &stamp, kStampBytes); }

inline Stamp ReadStamp(const char* payload) {
  Stamp stamp;
  std::memcpy(&stamp, payload, kStampBytes);
  return stamp;
}

}  // namespace sluice::bench

#endif  // SLUICE_TESTS_BENCH_STAMP_H_
