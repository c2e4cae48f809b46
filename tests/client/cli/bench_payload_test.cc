#include "client/cli/bench_payload.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice::cli {
namespace {

TEST(BenchPayloadTest, ReadsWhatItWrote) {
  const BenchStamp stamps[] = {{},
                               {.sequence = 1, .publisher = 2, .sent_ns = 3},
                               {kBenchSequencesMax - 1, kBenchPublishersMax - 1, INT64_MAX}};
  for (const BenchStamp& stamp : stamps) {
    std::string payload(kBenchPayloadBytesMin, 'x');
    WriteBenchStamp(stamp, payload.data());
    EXPECT_EQ(ReadBenchStamp(payload), stamp);
    EXPECT_EQ(ReadBenchStamp(payload + "filling"), stamp);
  }
}

TEST(BenchPayloadTest, TooShortIsNoStamp) {
  EXPECT_FALSE(ReadBenchStamp(std::string(kBenchPayloadBytesMin - 1, 'x')).has_value());
  EXPECT_FALSE(ReadBenchStamp("").has_value());
}

}  // namespace
}  // namespace sluice::cli
