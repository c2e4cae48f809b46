// What somebody may have meant who wrote a word that does not exist. Internal to broker/config.
//
// Thread safety: pure function.
#ifndef SLUICE_BROKER_DID_YOU_MEAN_H_
#define SLUICE_BROKER_DID_YOU_MEAN_H_

#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// " (did you mean --shards?)", to be put behind the word; empty when nothing that is known resembles it: a
// third of its letters, and at most three, may differ.
std::string DidYouMean(std::string_view word, const std::vector<std::string>& known);

}  // namespace sluice

#endif  // SLUICE_BROKER_DID_YOU_MEAN_H_
