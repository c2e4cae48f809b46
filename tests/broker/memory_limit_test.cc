#include "broker/memory_limit.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace sluice {
namespace {

namespace fs = std::filesystem;

class MemoryLimitTest : public ::testing::Test {
 protected:
  MemoryLimitTest() {
    std::string name = ::testing::TempDir() + "memory_limit_XXXXXX";
    root_ = ::mkdtemp(name.data());
  }
  ~MemoryLimitTest() override { fs::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) const {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }

  std::string root_;
};

TEST_F(MemoryLimitTest, WithoutGroupsItIsTheMachines) {
  const uint64_t ram = MemoryLimitBytes(root_);
  EXPECT_GE(ram, uint64_t{64} << 20);
  EXPECT_LE(MemoryLimitBytes(), ram);
}

TEST_F(MemoryLimitTest, TheLeastOfAllGroupsAboveHolds) {
  Write("/proc/self/cgroup", "0::/system.slice/sluiced.service\n");
  Write("/sys/fs/cgroup/system.slice/sluiced.service/memory.max", "50000000\n");
  EXPECT_EQ(MemoryLimitBytes(root_), 50'000'000u);
  Write("/sys/fs/cgroup/system.slice/memory.max", "40000000\n");
  EXPECT_EQ(MemoryLimitBytes(root_), 40'000'000u);
  Write("/sys/fs/cgroup/memory.max", "30000000\n");  // as a container sees its own
  EXPECT_EQ(MemoryLimitBytes(root_), 30'000'000u);
}

TEST_F(MemoryLimitTest, VersionOneHasAHierarchyForMemory) {
  Write("/proc/self/cgroup", "9:cpu,cpuacct:/a\n4:memory:/docker/1234\n0::/\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "20000000\n");
  EXPECT_EQ(MemoryLimitBytes(root_), 20'000'000u);
}

TEST_F(MemoryLimitTest, WhatIsNoLimitIsNone) {
  const uint64_t ram = MemoryLimitBytes(root_);
  Write("/proc/self/cgroup", "0::/a\nnonsense\n::\n");
  for (const char* text : {"max\n", "", "9223372036854771712\n", "0\n", "-1\n", "1x\n"}) {
    Write("/sys/fs/cgroup/a/memory.max", text);
    EXPECT_EQ(MemoryLimitBytes(root_), ram) << text;
  }
}

}  // namespace
}  // namespace sluice
