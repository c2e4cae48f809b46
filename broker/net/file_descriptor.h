// A descriptor that closes itself. Internal to the broker.
//
//   FileDescriptor file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
//   if (!file) return ErrorStatus(errno, "cannot open /dev/null");
//
// Thread safety: none; one owner.
#ifndef SLUICE_BROKER_NET_FILE_DESCRIPTOR_H_
#define SLUICE_BROKER_NET_FILE_DESCRIPTOR_H_

#include <utility>

namespace sluice::net {

class FileDescriptor {
 public:
  // Holds nothing.
  FileDescriptor() = default;
  // Takes over `fd`; -1, what a failed system call returns, is nothing.
  explicit FileDescriptor(int fd) : fd_(fd) {}

  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~FileDescriptor() { reset(); }

  explicit operator bool() const { return fd_ >= 0; }

  // -1 when it holds nothing.
  int get() const { return fd_; }

  // Closes what it holds, and holds `fd` from now on. Leaves errno alone, so that a function may return
  // between a failed call and the look at its error.
  void reset(int fd = -1);

  // Gives up what it holds without closing it.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

}  // namespace sluice::net

#endif  // SLUICE_BROKER_NET_FILE_DESCRIPTOR_H_
