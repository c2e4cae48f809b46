#include "client/cli/demo_sightings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "client/cli/admin.h"
#include "client/cli/demo_cast.h"

namespace sluice::cli {
namespace {

// That its queue is full is the consumer's own doing here, and the broker is to find that.
bool IsItsOwnFault(const std::string& cause) { return cause == "application" || cause == "over_subscribed"; }

}  // namespace

DemoSightings::DemoSightings()
    : drop_oldest_listed_(Expect(fmt::format(
          "{} (drop-oldest): the broker lists it as lagging, why, and what it dropped", kDropOldest))),
      drop_oldest_told_(Expect(fmt::format("{} was warned, and gaps told it what it misses", kDropOldest))),
      conflate_listed_(
          Expect(fmt::format("{} (conflate): the broker lists what newer messages replaced", kConflate))),
      conflate_told_(Expect(fmt::format("{} was told so by gaps", kConflate))),
      drop_newest_recovered_(
          Expect(fmt::format("{} (drop-newest): an episode began, and it has recovered", kDropNewest))),
      drop_newest_warned_(Expect(
          fmt::format("{} was warned, which made it read, and told that it keeps up again", kDropNewest))),
      disconnect_listed_(Expect(
          fmt::format("{} (disconnect): an episode ended with its cut, over pending_messages", kDisconnect))),
      disconnect_told_(Expect(fmt::format(
          "{} came back, was told why and how many it lost, and gets messages again", kDisconnect))),
      block_listed_(Expect(fmt::format("{} (block): the broker lists it as blocking", kBlock))) {}

DemoSightings::Id DemoSightings::Expect(std::string what) {
  list_.push_back({.what = std::move(what)});
  return list_.size() - 1;
}

bool DemoSightings::all_seen() const {
  return std::all_of(list_.begin(), list_.end(), [](const Sighting& one) { return one.seen; });
}

void DemoSightings::LookAt(const nlohmann::json& consumers, const nlohmann::json& episodes) {
  for (const nlohmann::json& consumer : ListOf(consumers, "consumers")) LookAtConsumer(consumer);
  for (const nlohmann::json& episode : ListOf(episodes, "episodes")) LookAtEpisode(episode);
}

void DemoSightings::LookAtConsumer(const nlohmann::json& consumer) {
  const std::string name = TextOf(consumer, "client_name");
  const std::string state = TextOf(consumer, "state");
  if (name == kDropOldest) {
    See(drop_oldest_listed_,
        state == "lagging" && NumberOf(consumer, "dropped") > 0 && IsItsOwnFault(TextOf(consumer, "cause")));
  }
  if (name == kConflate) See(conflate_listed_, NumberOf(consumer, "conflated") > 0);
  if (name == kBlock) See(block_listed_, state == "blocking");
}

void DemoSightings::LookAtEpisode(const nlohmann::json& episode) {
  const std::string name = TextOf(episode, "client_name");
  const std::string outcome = TextOf(episode, "outcome");
  if (name == kDropNewest) See(drop_newest_recovered_, outcome == "recovered");
  if (name == kDisconnect) {
    See(disconnect_listed_, outcome == "disconnected" && TextOf(episode, "reason") == "pending_messages");
  }
}

void DemoSightings::LookAt(std::string_view consumer, const DemoConsumer::Books& books) {
  if (consumer == kDropOldest) See(drop_oldest_told_, books.warnings > 0 && books.dropped > 0);
  if (consumer == kConflate) See(conflate_told_, books.conflated > 0);
  if (consumer == kDropNewest)
    See(drop_newest_warned_, books.warnings > 0 && books.recoveries > 0 && books.received > 0);
  if (consumer == kDisconnect) {
    See(disconnect_told_, books.cuts > 0 && books.lost > 0 && !books.cut_text.empty() &&
                              books.received > books.received_at_last_cut);
  }
}

double MetricOf(std::string_view page, std::string_view name) {
  double sum = 0;
  for (size_t begin = 0; begin < page.size();) {
    const size_t end = std::min(page.find('\n', begin), page.size());
    const std::string_view line = page.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with(name) || line.size() == name.size()) continue;
    if (line[name.size()] != ' ' && line[name.size()] != '{') continue;
    sum += std::strtod(std::string(line.substr(line.rfind(' ') + 1)).c_str(), nullptr);
  }
  return sum;
}

}  // namespace sluice::cli
