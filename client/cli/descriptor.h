// A file descriptor that closes itself.
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_CLI_DESCRIPTOR_H_
#define SLUICE_CLIENT_CLI_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace sluice::cli {

class Descriptor {
 public:
  Descriptor() = default;
  // Takes over `fd`; -1 is nothing.
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Descriptor() { Close(); }

  explicit operator bool() const { return fd_ >= 0; }
  // -1 when it holds nothing, which poll() passes over.
  int get() const { return fd_; }
  void Close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_DESCRIPTOR_H_
