#include "client/cli/demo_cast.h"

#include <array>

namespace sluice::cli {
namespace {

using Reading = DemoRole::Reading;

// About 2,000 messages per second, and 3,600 in a burst. What the slow ones take and what may wait for them is chosen
// so that each shows what it is for within ten seconds.
constexpr std::array<DemoRole, 8> kConsumers = {{
    {.name = "risk-engine", .filter = "ticks.>", .see = "keeps up: gets everything, in order"},
    {.name = "price-board", .filter = "ticks.nyse.*", .see = "keeps up, with one exchange"},
    {.name = "audit-log", .filter = "orders.>", .see = "keeps up; beside settlement, which does not"},
    {.name = kDropOldest,
     .filter = "ticks.>",
     .overflow = OverflowPolicy::kDropOldest,
     .policy = "drop-oldest",
     .reading = Reading::kSlowly,
     .reads_per_second = 500,
     .pending_messages_max = 4000,
     .window_bytes = 16 << 10,
     .see = "reads a quarter: the oldest that wait go, and gaps tell how many"},
    {.name = kConflate,
     .filter = "ticks.>",
     .overflow = OverflowPolicy::kConflate,
     .policy = "conflate",
     .reading = Reading::kSlowly,
     .reads_per_second = 200,
     .window_bytes = 4 << 10,
     .see = "reads a tenth: has the newest price of each symbol all the same"},
    {.name = kDropNewest,
     .filter = "ticks.xetra.*",
     .overflow = OverflowPolicy::kDropNewest,
     .policy = "drop-newest",
     .reading = Reading::kWhenWarned,
     .pending_messages_max = 3000,
     .window_bytes = 16 << 10,
     .see = "sleeps until it is warned, then catches up: nothing is lost"},
    {.name = kDisconnect,
     .filter = "ticks.>",
     .reading = Reading::kInBatches,
     .pending_messages_max = 1000,
     .window_bytes = 0,
     .incoming_bytes_max = 64 << 10,
     .see = "reads every few seconds: is cut, comes back, and is told why and how many it lost"},
    {.name = kBlock,
     .filter = "orders.>",
     .overflow = OverflowPolicy::kBlock,
     .policy = "block",
     .reading = Reading::kSlowly,
     .reads_per_second = 10,
     .pending_messages_max = 40,
     .window_bytes = 1 << 10,
     .see = "gets everything: its publisher waits for it"},
}};

}  // namespace

std::vector<DemoPublisherRole> DemoPublishers() {
  return {
      {.name = "feed-nyse",
       .feed = {.prefix = "ticks.nyse",
                .symbols = {"IBM", "KO", "GE", "BA", "CAT", "DIS", "JPM", "MCD", "NKE", "PFE", "WMT", "XOM"},
                .per_second = 800,
                .seed = 1}},
      {.name = "feed-nasdaq",
       .feed = {.prefix = "ticks.nasdaq",
                .symbols = {"AAPL", "ADBE", "AMD", "AMZN", "COST", "CSCO", "INTC", "META", "MSFT", "NFLX",
                            "NVDA", "SBUX"},
                .per_second = 800,
                .burst_factor = 3,
                .seed = 2}},
      {.name = "feed-xetra",
       .feed = {.prefix = "ticks.xetra",
                .symbols = {"ADS", "ALV", "BAS", "BAYN", "BMW", "DBK", "DTE", "MBG", "MUV2", "RWE", "SAP",
                            "SIE"},
                .per_second = 400,
                .seed = 3}},
      {.name = kHeldUp,
       .feed = {.prefix = "orders.equity",
                .symbols = {"IBM", "KO", "AAPL", "MSFT", "SAP"},
                .per_second = 20,
                .seed = 4}},
  };
}

std::span<const DemoRole> DemoConsumers() { return kConsumers; }

}  // namespace sluice::cli
