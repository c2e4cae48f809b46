// The broker's HTTP side: GET /metrics for Prometheus, /healthz and /readyz for whoever watches over the
// process, /api/ for operators (metrics/admin_api.h).
//
//   auto exporter = Exporter::Start("127.0.0.1:7585", options, &source);
//   if (!exporter.ok()) ...;                        // port in use, no permission, bad address
//   fmt::print("http://127.0.0.1:{}\n", (*exporter)->port());
//
// Nothing is kept up to date between scrapes: the shards bump plain counters (metrics/counters.h), and a
// scrape reads them and builds the families. What stands on the page is listed in metrics/catalogue.h.
#ifndef SLUICE_METRICS_EXPORTER_H_
#define SLUICE_METRICS_EXPORTER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "metrics/counters.h"
#include "metrics/survey.h"

namespace sluice {

class HttpServer;

// Unique memory that queues and read buffers keep alive, and how much it may be.
struct MemoryUse {
  uint64_t retained_bytes = 0;
  uint64_t budget_bytes = 0;
};

// Where the exporter gets its numbers. Implemented by the broker; must outlive the exporter.
//
// Thread safety: called on the exporter's two threads: Healthy and Ready on one, the others on the other.
// What waits for a shard waits no longer than `wait_max`.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;

  // One per shard, in the order of the shards; the pointers stay valid as long as this object.
  virtual std::vector<const ShardCounters*> Counters() const = 0;

  // Asks every shard.
  virtual SurveyAnswer Survey(const SurveyRequest& request, absl::Duration wait_max) = 0;

  // Ends the session. kNotFound: there is none of that name. kDeadlineExceeded: its shard does not answer.
  virtual absl::Status Kick(const SessionName& session, absl::Duration wait_max) = 0;

  // As SIGTERM does. Returns at once.
  virtual void BeginDrain() = 0;

  // Times that consumers lagged: the newest first, those that go on in front.
  virtual admin::EpisodeList ListEpisodes(size_t episodes_max) const = 0;

  // The topics that most is published on.
  virtual admin::TopicList ListTopics(size_t topics_max, absl::Duration wait_max) = 0;

  // What is not counted by shards: version, addresses, limits. The rest is left out.
  virtual admin::BrokerInfo Describe() const = 0;

  virtual MemoryUse Memory() const = 0;

  // OK, or why the process should be restarted (a shard does not turn any more). Does not wait.
  virtual absl::Status Healthy() const = 0;

  // OK, or why no new client should be sent here (starting, draining). Does not wait.
  virtual absl::Status Ready() const = 0;
};

struct BuildInfo {
  std::string version;
  std::string compiler;
  // "debug", "release", or the sanitizer.
  std::string build_type;
};

struct ExporterOptions {
  BuildInfo build = {};
  // What a request must show that changes something; empty: nothing can be changed.
  std::string actions_token = {};
  // Consumers that stand on the page by name: those with the most pending bytes.
  size_t top_consumers = 10;
};

// Serves from Start until its destruction, on two threads of its own: one for all connections, one that
// builds the page. So /healthz and /readyz answer at once, whatever scrapes, slow clients and shards do;
// scrapes that come while a page is being built share the next one. What slow clients and a process without
// descriptors can do to it: metrics/http_server.h.
//
// Thread safety: Start and the destructor from one thread.
class Exporter {
 public:
  // `listen` is HOST:PORT or [IPV6]:PORT; port 0 lets the kernel choose. kInvalidArgument: not an address.
  // kAlreadyExists: in use. kPermissionDenied: may not bind it. kNotFound: no such host, or not an address of
  // this machine. kResourceExhausted: no descriptors, memory or threads.
  static absl::StatusOr<std::unique_ptr<Exporter>> Start(const std::string& listen, ExporterOptions options,
                                                         SnapshotSource* source);

  // Finishes the answers that are due, at most about a second.
  ~Exporter();

  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;

  // The port that it listens on, also when 0 was asked for.
  uint16_t port() const;

 private:
  class Pages;
  Exporter();

  std::unique_ptr<Pages> pages_;
  std::unique_ptr<HttpServer> server_;  // last: it asks pages_ until it is gone
};

}  // namespace sluice

#endif  // SLUICE_METRICS_EXPORTER_H_
