#include "client/cli/demo_news.h"

#include <fmt/format.h>

namespace sluice::cli {

void DemoNews::Tell(std::string_view who, Kind kind, std::string_view text, absl::Time now) {
  client::MutexLock lock(&mutex_);
  Told& told = told_[{std::string(who), kind}];
  if (now - told.last < kQuiet) {
    ++told.left_out;
    return;
  }
  std::string line = fmt::format("{:<14}{}", who, text);
  if (told.left_out > 0) line += fmt::format(" (and {} more like it before)", told.left_out);
  lines_.push_back(std::move(line));
  told = {.last = now, .left_out = 0};
}

std::vector<std::string> DemoNews::Take() {
  client::MutexLock lock(&mutex_);
  return std::exchange(lines_, {});
}

}  // namespace sluice::cli
