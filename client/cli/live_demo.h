// `sluice demo`: a broker of our own, market data that flows through it, consumers that keep up and consumers that are
// slow, each in another way, and Prometheus if it is installed; with the addresses to look at all that.
//
//   return LiveDemo(options, &console).Run();            // until Ctrl-C
//
// With Form::kCheck it runs until everything that it is to show was seen, then stops the feeds, lets the consumers
// take what is left, and does the sums.
//
// All that moves is moved by one thread, in steps of 20 ms: the publishers publish what is due, the slow consumers read
// what they may. The client library's threads are beside it.
//
// Thread safety: none; used by main().
#ifndef SLUICE_CLIENT_CLI_LIVE_DEMO_H_
#define SLUICE_CLIENT_CLI_LIVE_DEMO_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cli/admin.h"
#include "client/cli/console.h"
#include "client/cli/demo_consumer.h"
#include "client/cli/demo_news.h"
#include "client/cli/demo_prometheus.h"
#include "client/cli/demo_publisher.h"
#include "client/cli/demo_sightings.h"
#include "client/cli/demo_stage.h"
#include "client/cli/live_board.h"

namespace sluice::cli {

struct LiveDemoOptions {
  enum class Form { kWatch, kCheck };

  // The broker's program; empty: beside our own, or in PATH.
  std::string broker;
  // "auto": the one in PATH, if there is one. "off". Or a program, which is to be there.
  std::string prometheus = "auto";
  // Of the broker; empty: the default ones, or others if somebody has these.
  std::string listen;
  std::string http;
  Form form = Form::kWatch;
  // Without an end otherwise.
  std::optional<absl::Duration> duration;
};

class LiveDemo {
 public:
  LiveDemo(LiveDemoOptions options, Console* console);

  // kDone when the given time is over, or with kCheck if everything was as it should be.
  ExitCode Run();

 private:
  bool checks() const { return options_.form == LiveDemoOptions::Form::kCheck; }

  // The acts.
  absl::Status Prepare();
  absl::Status StartPrometheus();
  absl::Status StartBroker();
  absl::Status StartClients();
  void PrintAddresses();
  absl::Status Play();
  // After the last message: whoever is behind reads what is left.
  absl::Status CatchUp();
  void TakeLeave();

  // What is seen meanwhile.
  absl::Status Look();
  std::vector<std::string> TakeNews();
  void LookForSights(const nlohmann::json& list);
  std::vector<std::string> BoardLines(const std::string& broker_line, const nlohmann::json& list) const;

  // The numbers.
  uint64_t PublishedFor(const DemoConsumer& consumer) const;
  bool HasWhatIsLeft(const DemoConsumer& consumer) const;
  void PrintSummary();
  void PrintResults();
  void JudgeConsumer(const DemoConsumer& consumer);
  void JudgePublishers();

  const LiveDemoOptions options_;
  Console& console_;
  DemoStage stage_;
  LiveBoard board_;
  DemoNews news_;
  DemoSightings sightings_;
  DemoSightings::Id held_up_;
  DemoSightings::Id goes_on_;
  DemoSightings::Id page_;
  DemoSightings::Id metrics_;
  DemoSightings::Id queries_ = 0;
  DemoSightings::Id console_page_ = 0;

  // Before the clients: it outlives them, as the broker does.
  std::unique_ptr<DemoPrometheus> prometheus_;
  AdminFlags broker_http_;
  std::vector<std::unique_ptr<DemoPublisher>> publishers_;
  std::vector<std::unique_ptr<DemoConsumer>> consumers_;
  // The broker's last answer, and what was made of it.
  absl::Time looked_at_ = absl::InfinitePast();
  nlohmann::json broker_;
  std::vector<std::string> table_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_LIVE_DEMO_H_
