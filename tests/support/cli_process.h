// The real `sluice` as a child process: fed, watched and ended by a test.
//
//   CliProcess sub(broker, {"sub", "ticks.>", "--raw", "--count=2"});
//   sub.WaitForErrors("subscribed");
//   CliProcess pub(broker, {"pub", "ticks.IBM", "--lines"});
//   pub.Send("1\n2\n");
//   pub.EndInput();
//   EXPECT_EQ(pub.Wait().exit_code, 0);
//   EXPECT_EQ(sub.Wait().exit_code, 0);
//   EXPECT_EQ(sub.output(), "1\n2\n");
//
// Its output is read whenever a test waits for something of it, and not otherwise. What does not happen
// within three minutes throws std::runtime_error, with all that it has said.
//
// Thread safety: one thread.
#ifndef SLUICE_TESTS_SUPPORT_CLI_PROCESS_H_
#define SLUICE_TESTS_SUPPORT_CLI_PROCESS_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/cli/child_process.h"
#include "tests/support/broker_process.h"

namespace sluice::testing {

class CliProcess {
 public:
  // SLUICE_URL names `broker`. `output_to`: a descriptor that takes its standard output instead of output().
  CliProcess(const BrokerProcess& broker, std::vector<std::string> arguments, int output_to = -1);
  // Without a broker: SLUICE_URL is what is given.
  CliProcess(const std::string& url, std::vector<std::string> arguments, int output_to = -1);

  // To its standard input; waits until it is taken, and reads what it says meanwhile.
  void Send(std::string_view bytes);
  void EndInput();

  // Waits until its output, or its standard error, holds `text`.
  void WaitForOutput(std::string_view text);
  void WaitForErrors(std::string_view text);
  // Waits until its output is so long.
  void WaitForOutputBytes(size_t bytes);
  // Everything so far.
  const std::string& output() const { return output_; }
  const std::string& errors() const { return errors_; }

  // Nobody reads its output any more.
  void CloseOutput();
  void Signal(int signal) const { child_->Signal(signal); }
  // Reads all that it says until it ends. Ends its input first.
  cli::ProcessEnd Wait();
  // The same for one that has a reason of its own to end.
  cli::ProcessEnd WaitWithOpenInput();

 private:
  // Reads and writes until `done` holds.
  void PumpUntil(const std::function<bool()>& done, const std::string& what);
  void Collect(cli::Descriptor* from, std::string* to);

  const std::string command_;
  std::optional<cli::ChildProcess> child_;
  std::string_view unsent_;
  std::string output_;
  std::string errors_;
};

// One run from its start to its end, with nothing on its standard input.
struct CliResult {
  int exit_code = -1;
  std::string output;
  std::string errors;
};
CliResult RunCli(const BrokerProcess& broker, const std::vector<std::string>& arguments);
CliResult RunCli(const std::string& url, const std::vector<std::string>& arguments);

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_CLI_PROCESS_H_
