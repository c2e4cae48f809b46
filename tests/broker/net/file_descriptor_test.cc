#include "broker/net/file_descriptor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace sluice::net {
namespace {

int Open() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST(FileDescriptorTest, HoldsNothingAtFirst) {
  const FileDescriptor nothing;
  EXPECT_FALSE(nothing);
  EXPECT_EQ(nothing.get(), -1);
}

TEST(FileDescriptorTest, TakesAFailedCallForNothing) { EXPECT_FALSE(FileDescriptor(-1)); }

TEST(FileDescriptorTest, TakesZeroForADescriptor) {
  FileDescriptor standard_input(STDIN_FILENO);
  EXPECT_TRUE(standard_input);
  EXPECT_EQ(standard_input.release(), STDIN_FILENO);
}

TEST(FileDescriptorTest, ClosesWhatItHoldsAtItsEnd) {
  const int fd = Open();
  {
    const FileDescriptor file(fd);
    EXPECT_TRUE(IsOpen(fd));
  }
  EXPECT_FALSE(IsOpen(fd));
}

TEST(FileDescriptorTest, MovesTheDescriptorAndLeavesNothingBehind) {
  const int fd = Open();
  FileDescriptor first(fd);
  FileDescriptor second(std::move(first));
  EXPECT_EQ(first.get(), -1);
  EXPECT_EQ(second.get(), fd);
  EXPECT_TRUE(IsOpen(fd));
}

TEST(FileDescriptorTest, ClosesItsOwnWhenItIsAssignedAnother) {
  const int old_fd = Open();
  const int new_fd = Open();
  FileDescriptor file(old_fd);
  file = FileDescriptor(new_fd);
  EXPECT_FALSE(IsOpen(old_fd));
  EXPECT_TRUE(IsOpen(new_fd));
  EXPECT_EQ(file.get(), new_fd);
}

TEST(FileDescriptorTest, SurvivesBeingAssignedToItself) {
  FileDescriptor file(Open());
  FileDescriptor& same = file;
  file = std::move(same);
  EXPECT_TRUE(IsOpen(file.get()));
}

TEST(FileDescriptorTest, ResetClosesAtOnce) {
  const int fd = Open();
  FileDescriptor file(fd);
  file.reset();
  EXPECT_FALSE(file);
  EXPECT_FALSE(IsOpen(fd));
}

TEST(FileDescriptorTest, ReleaseGivesItUpUnclosed) {
  const int fd = Open();
  {
    FileDescriptor file(fd);
    EXPECT_EQ(file.release(), fd);
    EXPECT_FALSE(file);
  }
  EXPECT_TRUE(IsOpen(fd));
  ::close(fd);
}

TEST(FileDescriptorTest, LeavesErrnoAloneEvenIfClosingFails) {
  const int fd = Open();
  FileDescriptor file(fd);
  ::close(fd);  // its own close will fail with EBADF
  errno = ENOENT;
  file.reset();
  EXPECT_EQ(errno, ENOENT);
}

}  // namespace
}  // namespace sluice::net
