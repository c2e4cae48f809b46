#include "client/backoff.h"

#include <algorithm>

namespace sluice::client {

absl::Duration Backoff::Next() {
  const absl::Duration ceiling = std::min(ceiling_, options_.max);
  ceiling_ = ceiling * 2;
  return ceiling * std::uniform_real_distribution<double>(0.5, 1.0)(random_);
}

}  // namespace sluice::client
