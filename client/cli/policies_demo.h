// `sluice demo policies`: what each overflow policy makes of the same slow consumer.
//
// A broker of its own, and for each policy a lane: a publisher with a feed of prices, all feeds alike, and a
// subscriber that reads far less of it than comes. One healthy subscriber beside them gets all feeds. When the
// feed is over, the slow ones read what is left for them, and the books are compared.
//
// Everything is counted in messages and bytes by script: a step of the feed, which is over when the healthy
// subscriber has it, and a step of each slow reader. Only the pauses between the steps are time.
//
// Another policy is one more row of kRows in policies_demo.cc. One that holds its publisher up
// gets less published; the script does not wait for it.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_POLICIES_DEMO_H_
#define SLUICE_CLIENT_CLI_POLICIES_DEMO_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cli/broker_log.h"
#include "client/cli/console.h"
#include "client/cli/demo_stage.h"
#include "client/client.h"

namespace sluice::cli {

struct PoliciesOptions {
  // The broker's program; empty: beside our own, or in PATH.
  std::string broker;
  // Between two steps of the feed.
  absl::Duration pause = absl::Milliseconds(200);
};

struct PolicyLane;
struct PolicyFeed;

class PoliciesDemo {
 public:
  PoliciesDemo(PoliciesOptions options, Console* console);
  ~PoliciesDemo();

  // kDone only if everything was as it should be.
  ExitCode Run();

 private:
  absl::Status RunAll();
  absl::Status Prepare();
  absl::Status AddLane(PolicyLane* lane);
  absl::Status SubscribeHealthy();
  absl::Status RunFeed();
  absl::Status CatchUp();
  absl::Status TakeLeave();
  absl::Status PublishStep(PolicyLane* lane);
  void PrintTable();
  void PrintResults();

  const PoliciesOptions options_;
  DemoStage stage_;
  const std::shared_ptr<PolicyFeed> feed_;
  std::unique_ptr<Client> healthy_;
  Subscription subscription_;
  std::vector<std::unique_ptr<PolicyLane>> lanes_;
  // When the feed was over: the age of the newest message that the healthy subscriber had then.
  int64_t healthy_age_ns_ = 0;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_POLICIES_DEMO_H_
