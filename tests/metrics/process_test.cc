#include "metrics/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <latch>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "broker/net/file_descriptor.h"
#include "tests/support/kernel_faults.h"

namespace sluice {
namespace {

using testing::DescriptorLimit;

double CpuSecondsByTheSystem() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

TEST(ProcessTest, CpuTimeIsWhatTheSystemAccounts) {
  ProcessReader reader;
  const double before = CpuSecondsByTheSystem();
  while (CpuSecondsByTheSystem() < before + 0.1) continue;
  const double expected = CpuSecondsByTheSystem();
  // User and system time are cut to ticks of 10 ms each.
  EXPECT_NEAR(reader.Read().cpu_seconds, expected, 0.05);
}

TEST(ProcessTest, TheStartWasAMomentAgo) {
  const double now = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
  ProcessReader reader;
  const double start = reader.Read().start_time_seconds;
  // The boot time is known to the second.
  EXPECT_LE(start, now + 2);
  EXPECT_GE(start, now - 300);
  EXPECT_EQ(reader.Read().start_time_seconds, start);
}

TEST(ProcessTest, MemoryGrowsWithWhatIsTouched) {
  constexpr size_t kBytes = size_t{32} << 20;
  ProcessReader reader;
  const ProcessStats before = reader.Read();
  const std::vector<char> touched(kBytes, 'x');
  const ProcessStats after = reader.Read();
  EXPECT_GE(after.resident_memory_bytes, before.resident_memory_bytes + kBytes * 9 / 10);
  EXPECT_GE(after.virtual_memory_bytes, after.resident_memory_bytes);
  EXPECT_EQ(touched.back(), 'x');
}

TEST(ProcessTest, CountsDescriptorsExactly) {
  ProcessReader reader;
  const uint64_t before = reader.Read().open_fds;
  uint64_t by_hand = 0;
  for (int fd = 0; fd < 1000; ++fd) by_hand += ::fcntl(fd, F_GETFD) == -1 ? 0 : 1;
  EXPECT_EQ(before, by_hand);
  std::vector<net::FileDescriptor> opened;
  // More than one buffer of the directory's entries.
  for (int i = 0; i < 500; ++i) opened.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(reader.Read().open_fds, before + 500);
  opened.clear();
  EXPECT_EQ(reader.Read().open_fds, before);
}

TEST(ProcessTest, ReadsEverythingWithoutAFreeDescriptor) {
  ProcessReader reader;
  const ProcessStats before = reader.Read();
  const DescriptorLimit none(0);
  ASSERT_EQ(::open("/dev/null", O_RDONLY), -1);
  const ProcessStats without = reader.Read();
  EXPECT_EQ(without.open_fds, before.open_fds);
  EXPECT_EQ(without.threads, before.threads);
  EXPECT_EQ(without.start_time_seconds, before.start_time_seconds);
  EXPECT_GT(without.resident_memory_bytes, 0);
  EXPECT_LT(without.max_fds, before.max_fds);
}

TEST(ProcessTest, TheMaximumIsTheLimitInForce) {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  EXPECT_EQ(ProcessReader().Read().max_fds, files.rlim_cur);
}

TEST(ProcessTest, CountsThreads) {
  ProcessReader reader;
  // A sanitizer may start a thread of its own with the first one.
  std::thread([] {}).join();
  const uint64_t before = reader.Read().threads;
  std::latch running(2);
  std::latch stop(1);
  std::thread thread([&] {
    running.arrive_and_wait();
    stop.wait();
  });
  running.arrive_and_wait();
  EXPECT_EQ(reader.Read().threads, before + 1);
  stop.count_down();
  thread.join();
}

TEST(ProcessTest, ANameWithParenthesesShiftsNoField) {
  std::array<char, 16> name{};
  ASSERT_EQ(::prctl(PR_GET_NAME, name.data()), 0);
  ProcessReader reader;
  const ProcessStats before = reader.Read();
  ASSERT_EQ(::prctl(PR_SET_NAME, "a) R (1 2 3) 4"), 0);
  const ProcessStats renamed = reader.Read();
  ASSERT_EQ(::prctl(PR_SET_NAME, name.data()), 0);
  EXPECT_EQ(renamed.threads, before.threads);
  EXPECT_EQ(renamed.start_time_seconds, before.start_time_seconds);
  EXPECT_GT(renamed.resident_memory_bytes, 0);
}

}  // namespace
}  // namespace sluice
