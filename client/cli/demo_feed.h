// What one publisher of `sluice demo` publishes: prices that walk at random, numbered so that nothing can be lost
// unseen, at a rate with bursts.
//
//   DemoFeed feed({.prefix = "ticks.nyse", .symbols = {"IBM", "KO"}, .per_second = 800}, NowNs());
//   for (uint64_t due = feed.Due(NowNs()); due > 0; --due) client->TryPublish(feed.Next());
//   // ticks.nyse.IBM {"seq":0,"symbol":"IBM","price":187.20,"size":300,"bid":…}
//
// The same options give the same messages.
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_CLI_DEMO_FEED_H_
#define SLUICE_CLIENT_CLI_DEMO_FEED_H_

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace sluice::cli {

struct FeedMessage {
  std::string topic;
  std::string payload;
};

// Of a payload of a feed; nothing if it is none.
std::optional<uint64_t> SequenceOf(std::string_view payload);
// "ticks.nyse" of "ticks.nyse.IBM": whose sequence it is.
std::string_view FeedOf(std::string_view topic);

class DemoFeed {
 public:
  struct Options {
    std::string prefix;
    // Not empty.
    std::vector<std::string> symbols;
    double per_second = 1;
    // So many times the rate in the last kBurst of each kCycle.
    uint64_t burst_factor = 1;
    uint64_t seed = 1;
  };
  static constexpr absl::Duration kCycle = absl::Seconds(12);
  static constexpr absl::Duration kBurst = absl::Seconds(2);
  static constexpr absl::Duration kMadeUpMax = absl::Milliseconds(500);

  // Begins at `start_ns`, in the time of NowNs().
  DemoFeed(Options options, int64_t start_ns);

  const std::string& prefix() const { return options_.prefix; }
  // How many are due now and were not yet. No more than kMadeUpMax of a pause is made up for.
  uint64_t Due(int64_t now_ns);
  FeedMessage Next();
  uint64_t published() const { return published_; }
  // The number of the last message of each topic that had one.
  const std::map<std::string, uint64_t>& newest() const { return newest_; }

 private:
  uint64_t RateFactor(int64_t now_ns) const;

  const Options options_;
  const int64_t start_ns_;
  // Asked last, and how much of a message was due then.
  int64_t asked_ns_;
  double due_ = 0;
  std::mt19937_64 random_;
  // Of each symbol.
  std::vector<int64_t> price_cents_;
  std::vector<int64_t> volume_;
  uint64_t published_ = 0;
  std::map<std::string, uint64_t> newest_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_DEMO_FEED_H_
