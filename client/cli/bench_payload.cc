#include "client/cli/bench_payload.h"

#include <bit>
#include <cstring>

namespace sluice::cli {
namespace {

static_assert(std::endian::native == std::endian::little);
constexpr int kPublisherShift = 48;

}  // namespace

void WriteBenchStamp(const BenchStamp& stamp, char* payload) {
  const uint64_t who = stamp.sequence | uint64_t{stamp.publisher} << kPublisherShift;
  std::memcpy(payload, &who, sizeof who);
  std::memcpy(payload + sizeof who, &stamp.sent_ns, sizeof stamp.sent_ns);
}

std::optional<BenchStamp> ReadBenchStamp(std::string_view payload) {
  if (payload.size() < kBenchPayloadBytesMin) return std::nullopt;
  BenchStamp stamp;
  uint64_t who = 0;
  std::memcpy(&who, payload.data(), sizeof who);
  std::memcpy(&stamp.sent_ns, payload.data() + sizeof who, sizeof stamp.sent_ns);
  stamp.sequence = who & (kBenchSequencesMax - 1);
  stamp.publisher = static_cast<uint32_t>(who >> kPublisherShift);
  return stamp;
}

}  // namespace sluice::cli
