// A Prometheus of our own, as a child process: it scrapes one broker every second by a configuration that we write,
// with Sluice's rules and console, and keeps its data in a folder that goes with it.
//
//   absl::StatusOr<std::unique_ptr<DemoPrometheus>> prometheus =
//       DemoPrometheus::Start({.program = "prometheus", .files = *FindPrometheusFiles()}, interrupt.fd());
//   (*prometheus)->Scrape("127.0.0.1:7585");
//   (*prometheus)->console_url()                         // "http://127.0.0.1:9090/consoles/sluice.html"
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_CLI_DEMO_PROMETHEUS_H_
#define SLUICE_CLIENT_CLI_DEMO_PROMETHEUS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/child_process.h"
#include "client/cli/temporary_directory.h"

namespace sluice::cli {

// The folder with rules/ and consoles/: ../share/sluice/prometheus, as seen from our own program. NotFound says where
// it was looked for.
absl::StatusOr<std::string> FindPrometheusFiles();

class DemoPrometheus {
 public:
  struct Options {
    // A path, or a name that is looked for in PATH.
    std::string program = "prometheus";
    std::string files = {};
    // Port 0: the system chooses.
    std::string listen = "127.0.0.1:0";
    absl::Duration timeout = absl::Seconds(60);
  };
  // Returns when it listens. NotFound: there is no such program. Unavailable: it ended; the text holds what it said.
  // DeadlineExceeded; Cancelled when `interrupt_fd` becomes readable.
  static absl::StatusOr<std::unique_ptr<DemoPrometheus>> Start(const Options& options, int interrupt_fd);

  // Ends it.
  ~DemoPrometheus();

  std::string url() const { return "http://" + address_; }
  std::string console_url() const { return url() + "/consoles/sluice.html"; }
  // From now on; within a few seconds.
  absl::Status Scrape(const std::string& target);

 private:
  DemoPrometheus(ChildProcess child, TemporaryDirectory directory)
      : directory_(std::move(directory)), child_(std::move(child)) {}

  absl::Status WaitUntilListening(absl::Duration timeout, int interrupt_fd);
  std::string log_path() const { return directory_.path() + "/log"; }

  const TemporaryDirectory directory_;
  ChildProcess child_;
  std::string address_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_DEMO_PROMETHEUS_H_
