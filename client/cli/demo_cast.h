// Who takes part in `sluice demo`: the feeds, and consumers that keep up or are slow, each in another way.
//
// Thread safety: constants.
#ifndef SLUICE_CLIENT_CLI_DEMO_CAST_H_
#define SLUICE_CLIENT_CLI_DEMO_CAST_H_

#include <span>
#include <string>
#include <vector>

#include "client/cli/demo_consumer.h"
#include "client/cli/demo_feed.h"

namespace sluice::cli {

struct DemoPublisherRole {
  std::string name;
  DemoFeed::Options feed;
};

std::vector<DemoPublisherRole> DemoPublishers();
// Those that keep up first.
std::span<const DemoRole> DemoConsumers();

// Names of the above that the checks ask for.
inline constexpr char kDropOldest[] = "screen";
inline constexpr char kConflate[] = "dashboard";
inline constexpr char kDropNewest[] = "laptop";
inline constexpr char kDisconnect[] = "batch-report";
inline constexpr char kBlock[] = "settlement";
// Whom kBlock holds up.
inline constexpr char kHeldUp[] = "order-gateway";

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_DEMO_CAST_H_
