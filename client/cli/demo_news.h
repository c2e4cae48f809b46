// What the clients of `sluice demo` are told, as lines for a person: of each kind and client one in a while, and how
// many there were like it since.
//
//   DemoNews news;
//   news.Tell("screen", DemoNews::Kind::kGap, Describe(gap));         // any thread
//   for (const std::string& line : news.Take()) Print(line);          // "screen        missed 2000 messages …"
//
// Thread safety: any thread.
#ifndef SLUICE_CLIENT_CLI_DEMO_NEWS_H_
#define SLUICE_CLIENT_CLI_DEMO_NEWS_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "client/clock.h"
#include "client/mutex.h"

namespace sluice::cli {

class DemoNews {
 public:
  enum class Kind { kFallingBehind, kKeepingUp, kGap, kDisconnected, kConnected, kPaused, kResumed, kError };

  // Between two lines of one client and kind.
  static constexpr absl::Duration kQuiet = absl::Seconds(20);

  // `now` as of client::MonotonicNow().
  void Tell(std::string_view who, Kind kind, std::string_view text, absl::Time now = client::MonotonicNow());
  // The lines since the last call.
  std::vector<std::string> Take();

 private:
  struct Told {
    absl::Time last = absl::InfinitePast();
    uint64_t left_out = 0;
  };

  client::Mutex mutex_;
  std::map<std::pair<std::string, Kind>, Told> told_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_DEMO_NEWS_H_
