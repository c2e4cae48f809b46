// `sluice demo slow-consumer`: what happens when a subscriber reads slowly, and when one does not read at
// all.
//
// A broker of its own, and three subscribers:
//   * one takes a 10 MiB message in steps with pauses: the broker's log shows how the write blocks, goes on
//     each time the reader has made room, and is done;
//   * a healthy one, beside it, gets every message of its own while the other one is blocked;
//   * one never reads: the broker cuts it and says why.
//
// Every wait is for something that happens (a line of the log, a message that arrives); only the pauses
// between the slow reader's steps are time.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_SLOW_CONSUMER_DEMO_H_
#define SLUICE_CLIENT_CLI_SLOW_CONSUMER_DEMO_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cli/broker_log.h"
#include "client/cli/console.h"
#include "client/cli/demo_stage.h"
#include "client/cli/event.h"
#include "client/cli/raw_receiver.h"
#include "client/client.h"
#include "client/mutex.h"

namespace sluice::cli {

struct SlowConsumerOptions {
  // The broker's program; empty: beside our own, or in PATH.
  std::string broker;
  // Between two steps of the slow reader.
  absl::Duration pause = absl::Milliseconds(150);
};

class SlowConsumerDemo {
 public:
  SlowConsumerDemo(SlowConsumerOptions options, Console* console);
  ~SlowConsumerDemo();

  // kDone only if everything was as it should be.
  ExitCode Run();

 private:
  // What the broker's log said about one client.
  struct Story {
    std::vector<LogLine> blocked, resumed, drained, cut;
  };
  // What the healthy subscriber got.
  struct Ticks {
    client::Mutex mutex;
    Event changed;
    uint64_t received ABSL_GUARDED_BY(mutex) = 0;
    uint64_t out_of_order ABSL_GUARDED_BY(mutex) = 0;
    int64_t slowest_ns ABSL_GUARDED_BY(mutex) = 0;
  };

  absl::Status RunAll();
  absl::Status Prepare();
  absl::Status ReadWithPauses();
  absl::Status NeverRead();
  absl::Status TakeLeave();
  void PrintNumbers();
  void PrintSlow();
  void PrintHealthy();
  void PrintStuck();

  // Publishes `count` messages to the healthy subscriber and waits until it has them.
  absl::Status Tick(uint64_t count);
  // Prints what the broker's log says about the two slow ones, and notes it.
  void OnLine(LogLine line);

  const SlowConsumerOptions options_;
  DemoStage stage_;
  std::shared_ptr<Ticks> ticks_ = std::make_shared<Ticks>();
  std::unique_ptr<Client> healthy_;
  Subscription subscription_;
  std::unique_ptr<Client> publisher_;
  std::unique_ptr<RawReceiver> slow_;
  std::unique_ptr<RawReceiver> stuck_;

  Story slow_story_;
  Story stuck_story_;
  std::string picture_;
  uint64_t ticks_sent_ = 0;
  uint64_t ticks_while_blocked_ = 0;
  uint64_t steps_ = 0;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_SLOW_CONSUMER_DEMO_H_
