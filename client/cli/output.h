// Standard output, written in large pieces, and given up when its reader goes away.
//
//   Output output(STDOUT_FILENO, interrupt.fd());
//   if (output.Write(bytes) != Output::Result::kWritten) return Ended(output);
//
// A write to a pipe or terminal that nobody reads does not keep us from hearing Ctrl-C.
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_CLI_OUTPUT_H_
#define SLUICE_CLIENT_CLI_OUTPUT_H_

#include <string>
#include <string_view>

#include "client/cli/exit_code.h"

namespace sluice::cli {

class Output {
 public:
  // Neither descriptor is owned.
  Output(int fd, int interrupt_fd);

  enum class Result {
    kWritten,
    kReaderGone,   // EPIPE: the other end was closed
    kFailed,       // error() says why: the disk is full …
    kInterrupted,  // a signal came while nobody read
  };
  // Writes all of `bytes`. After any other result than kWritten, that one is returned again.
  [[nodiscard]] Result Write(std::string_view bytes);

  // A descriptor that is readable when the reader has gone, also while there is nothing to write; -1 if that
  // cannot be known.
  int hangup_fd() const { return kind_ == Kind::kPipe ? fd_ : -1; }
  // After hangup_fd() was readable: whether it was for that reason.
  [[nodiscard]] Result CheckReader();

  Result result() const { return result_; }
  const std::string& error() const { return error_; }

 private:
  enum class Kind {
    kFile,  // takes everything: a regular file, /dev/null
    kPipe,
    kOther,  // has a reader who may be slow, too: a terminal, a socket
  };

  Result Fail(int error_number);

  const int fd_;
  const int interrupt_fd_;
  const Kind kind_;
  Result result_ = Result::kWritten;
  std::string error_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_OUTPUT_H_
