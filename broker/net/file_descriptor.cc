#include "broker/net/file_descriptor.h"

#include <unistd.h>

#include <cerrno>

namespace sluice::net {

void FileDescriptor::reset(int fd) {
  const int closing = std::exchange(fd_, fd);
  if (closing < 0) return;
  const int error = errno;
  // Whatever close() answers, Linux has freed the number already, also with EINTR: a second try could close a
  // descriptor that another thread has just been given. And nothing here is a file whose late write error
  // counts.
  static_cast<void>(::close(closing));
  errno = error;
}

}  // namespace sluice::net
