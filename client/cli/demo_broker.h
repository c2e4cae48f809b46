// A broker of our own: sluiced as a child process, and its log as it comes.
//
//   absl::StatusOr<std::unique_ptr<DemoBroker>> broker = DemoBroker::Start({.flags = {"--log-level=debug"}},
//   interrupt); while (WaitFor({(*broker)->log_fd()}); ) for (LogLine& line : (*broker)->ReadLog()) …
//   (*broker)->Stop();
//
// Thread safety: none; one owner. Its log must be read, or it stands still once the pipe is full.
#ifndef SLUICE_CLIENT_CLI_DEMO_BROKER_H_
#define SLUICE_CLIENT_CLI_DEMO_BROKER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/broker_log.h"
#include "client/cli/child_process.h"

namespace sluice::cli {

class DemoBroker {
 public:
  struct Options {
    // Empty: beside our own program, or in PATH.
    std::string program = {};
    // Where clients connect, and the HTTP side; 0: the system chooses a port.
    std::string listen = "127.0.0.1:0";
    std::string http = "off";
    std::vector<std::string> flags = {};
    absl::Duration timeout = absl::Seconds(20);
  };
  // Returns when it serves. NotFound: there is no such program. Unavailable: it ended; the text holds what it
  // said. DeadlineExceeded; Cancelled when `interrupt_fd` becomes readable.
  static absl::StatusOr<std::unique_ptr<DemoBroker>> Start(const Options& options, int interrupt_fd);

  // "127.0.0.1:43210"
  const std::string& address() const { return address_; }
  // "off": there is none.
  const std::string& http_address() const { return http_address_; }
  // Readable when there is more of its log, or it has ended.
  int log_fd() { return child_.errors().get(); }
  // The whole lines that have come since the last call.
  std::vector<LogLine> ReadLog();
  bool ended() const { return log_ended_; }

  // Asks it to stop and waits for that.
  ProcessEnd Stop();

 private:
  explicit DemoBroker(ChildProcess child) : child_(std::move(child)) {}

  absl::Status WaitUntilServing(absl::Duration timeout, int interrupt_fd);

  ChildProcess child_;
  std::string address_;
  std::string http_address_;
  std::string unfinished_line_;
  bool log_ended_ = false;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_DEMO_BROKER_H_
