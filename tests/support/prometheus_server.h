// A real Prometheus that scrapes one target, every second, by the scrape configuration that we ship.
//
//   PrometheusServer prometheus(broker.http_port());
//   prometheus.WaitFor("up", 1);
//   prometheus.WaitFor("sum(sluice_messages_received_total)", 42);
//
// What does not happen within two minutes throws std::runtime_error with what Prometheus said.
//
// Thread safety: one thread.
#ifndef SLUICE_TESTS_SUPPORT_PROMETHEUS_SERVER_H_
#define SLUICE_TESTS_SUPPORT_PROMETHEUS_SERVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace sluice::testing {

class PrometheusServer {
 public:
  // Returns when it is ready.
  explicit PrometheusServer(uint16_t target_port);

  struct Sample {
    std::map<std::string, std::string> labels;
    double value = 0;
  };
  // What a query gives now. Throws when Prometheus does not take the query.
  std::vector<Sample> Query(std::string_view query);
  // Asks until the query gives exactly one sample, and that has the value.
  void WaitFor(std::string_view query, double value);

  // The type ("counter") and the help of a metric, as it learnt them from the page.
  struct Metadata {
    std::string type;
    std::string help;
  };
  Metadata MetadataOf(std::string_view metric);

 private:
  nlohmann::json Ask(std::string_view path, std::string_view parameter, std::string_view value);

  TempDir dir_;
  uint16_t port_ = 0;
  std::unique_ptr<Command> prometheus_;
};

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_PROMETHEUS_SERVER_H_
