// What stands at the head of each payload that `sluice bench` sends: who sent it, as which, and when.
//
//   offset  bytes
//   0       6      sequence, from 0 for each publisher
//   6       2      publisher
//   8       8      nanoseconds of the monotonic clock
//
// Little-endian; the rest of the payload is filling.
//
// Thread safety: pure functions.
#ifndef SLUICE_CLIENT_CLI_BENCH_PAYLOAD_H_
#define SLUICE_CLIENT_CLI_BENCH_PAYLOAD_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice::cli {

inline constexpr uint64_t kBenchPayloadBytesMin = 16;
inline constexpr uint64_t kBenchSequencesMax = uint64_t{1} << 48;
inline constexpr uint32_t kBenchPublishersMax = 1 << 16;

struct BenchStamp {
  uint64_t sequence = 0;
  uint32_t publisher = 0;
  int64_t sent_ns = 0;

  friend bool operator==(const BenchStamp&, const BenchStamp&) = default;
};

// `payload` has room for kBenchPayloadBytesMin bytes.
void WriteBenchStamp(const BenchStamp& stamp, char* payload);

// Nothing if it is too short.
std::optional<BenchStamp> ReadBenchStamp(std::string_view payload);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_BENCH_PAYLOAD_H_
