#include "broker/did_you_mean.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

// The number of letters to change, add or remove to make one word of the other.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({changed, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row[b.size()];
}

}  // namespace

std::string DidYouMean(std::string_view word, const std::vector<std::string>& known) {
  const size_t changes_max = std::min<size_t>(3, word.size() / 3);
  const std::string* nearest = nullptr;
  size_t nearest_changes = changes_max + 1;
  for (const std::string& candidate : known) {
    if (word.size() > candidate.size() + changes_max) continue;
    const size_t changes = EditDistance(word, candidate);
    if (changes >= nearest_changes) continue;
    nearest = &candidate;
    nearest_changes = changes;
  }
  return nearest == nullptr ? "" : fmt::format(" (did you mean {}?)", *nearest);
}

}  // namespace sluice
