// What every demonstration stands on: a broker of its own, the log that it writes, waiting, and the lines of
// the result.
//
//   DemoStage stage(console, "", [&](const LogLine& line) { … });
//   absl::Status status = stage.Start({.flags = {"--max-message=16MiB"}});
//   status = stage.WaitUntil([&] { return blocked; }, "the write to block");   // reads the log meanwhile
//   stage.Result(taken < offered, "first write: …");                           // "  ok     first write: …"
//   return stage.End(status);
//
// Waiting and pausing return Cancelled when a signal came, Aborted when nobody reads the output any more,
// Unavailable when the broker has ended by itself, DeadlineExceeded after a minute.
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_CLI_DEMO_STAGE_H_
#define SLUICE_CLIENT_CLI_DEMO_STAGE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/console.h"
#include "client/cli/demo_broker.h"
#include "client/cli/raw_receiver.h"
#include "client/client.h"

namespace sluice::cli {

class DemoStage {
 public:
  // `console` outlives it. `program`: as in DemoBroker::Options. `on_line` gets the broker's log.
  DemoStage(Console* console, std::string program, std::function<void(LogLine)> on_line)
      : console_(*console), program_(std::move(program)), on_line_(std::move(on_line)) {}

  // `options.program` is that of the stage.
  absl::Status Start(DemoBroker::Options options);
  // "127.0.0.1:43210"
  const std::string& address() const { return broker_->address(); }
  const std::string& http_address() const { return broker_->http_address(); }
  absl::StatusOr<std::unique_ptr<Client>> ConnectClient(const std::string& name,
                                                        ClientOptions options = {}) const;

  // Waits until `condition` holds, which is asked again whenever one of the descriptors is readable or the
  // broker has said something; `what` for the error.
  absl::Status WaitUntil(const std::function<bool()>& condition, std::string_view what, int fd = -1,
                         int other_fd = -1);
  // Lets `receiver` read `bytes_max` more, however the kernel deals them out, or to the end, or until
  // `enough`.
  absl::Status Read(RawReceiver* receiver, uint64_t bytes_max, const std::function<bool()>& enough,
                    std::string_view what, int other_fd = -1);
  absl::Status Pause(absl::Duration pause);

  void Print(std::string_view text);
  // A line of the result: whether it is as it should be, and what it says.
  void Result(bool holds, std::string_view text);
  // Stops the broker: a line of the result, too.
  void StopBroker();
  // `status`: how it went until here. kDone only if all results held; it says so.
  ExitCode End(const absl::Status& status);

 private:
  absl::Status ReadLog();

  Console& console_;
  const std::string program_;
  const std::function<void(LogLine)> on_line_;
  std::unique_ptr<DemoBroker> broker_;
  bool all_hold_ = true;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_DEMO_STAGE_H_
