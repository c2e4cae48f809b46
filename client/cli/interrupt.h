// SIGINT, SIGTERM and SIGHUP as a descriptor that becomes readable, so that a command ends in order: it stops
// what it does, says how far it came, and exits with the signal's code. A second signal ends the process at
// once.
//
//   Interrupt interrupt;                              // in main(), before any other thread
//   WaitFor({input, interrupt.fd()});
//   if (interrupt.exit_code().has_value()) …
//
// SIGPIPE is ignored: whoever writes sees EPIPE. A signal that was ignored when we started (nohup, a
// background job of a script) stays ignored.
//
// Thread safety: any thread.
#ifndef SLUICE_CLIENT_CLI_INTERRUPT_H_
#define SLUICE_CLIENT_CLI_INTERRUPT_H_

#include <signal.h>

#include <atomic>
#include <optional>
#include <thread>

#include "client/cli/descriptor.h"
#include "client/cli/event.h"
#include "client/cli/exit_code.h"

namespace sluice::cli {

class Interrupt {
 public:
  // Throws std::system_error when the process is out of descriptors or threads.
  Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  ~Interrupt();

  // Readable for good once a signal has come.
  int fd() const { return came_.fd(); }
  // Nothing before that.
  std::optional<ExitCode> exit_code() const;

 private:
  void Listen();

  sigset_t signals_;
  Event came_;
  Event stop_;
  Descriptor signal_fd_;
  std::atomic<int> signal_{0};
  std::thread thread_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_INTERRUPT_H_
