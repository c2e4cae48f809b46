// What is to be seen while `sluice demo` runs, and whether it was, once.
//
//   DemoSightings sightings;
//   const DemoSightings::Id page = sightings.Expect("the status page answers");
//   sightings.See(page, answer.ok());
//   sightings.LookAt(consumers, episodes);                 // what /api/consumers and /api/episodes say
//   sightings.LookAt("screen", screen.books());            // what the consumer itself was told
//   if (sightings.all_seen()) …
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_CLI_DEMO_SIGHTINGS_H_
#define SLUICE_CLIENT_CLI_DEMO_SIGHTINGS_H_

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "client/cli/demo_consumer.h"

namespace sluice::cli {

struct Sighting {
  std::string what;
  bool seen = false;
};

class DemoSightings {
 public:
  // Expects of each slow consumer of the cast what it is for.
  DemoSightings();

  using Id = size_t;
  Id Expect(std::string what);
  // Once seen is seen for good.
  void See(Id id, bool seen) { list_[id].seen |= seen; }

  void LookAt(const nlohmann::json& consumers, const nlohmann::json& episodes);
  void LookAt(std::string_view consumer, const DemoConsumer::Books& books);

  const std::vector<Sighting>& list() const { return list_; }
  bool all_seen() const;

 private:
  void LookAtConsumer(const nlohmann::json& consumer);
  void LookAtEpisode(const nlohmann::json& episode);

  std::vector<Sighting> list_;
  const Id drop_oldest_listed_;
  const Id drop_oldest_told_;
  const Id conflate_listed_;
  const Id conflate_told_;
  const Id drop_newest_recovered_;
  const Id drop_newest_warned_;
  const Id disconnect_listed_;
  const Id disconnect_told_;
  const Id block_listed_;
};

// The sum of a metric over its labels, in a page of /metrics; 0 if it is not there.
double MetricOf(std::string_view page, std::string_view name);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_DEMO_SIGHTINGS_H_
