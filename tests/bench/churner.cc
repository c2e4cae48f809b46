#include "tests/bench/churner.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <string>

namespace sluice::bench {

Churner::Churner(std::unique_ptr<Connection> connection, double pairs_per_second)
    : connection_(std::move(connection)), pairs_per_second_(pairs_per_second) {}

int64_t Churner::due_ns() const {
  return static_cast<int64_t>(static_cast<double>(pairs_) / pairs_per_second_ * 1e9);
}

Filter Churner::FilterOf(uint64_t pair) {
  const auto kind = pair % 2 == 0 ? FilterKind::kTopic : FilterKind::kWildcard;
  return {.id = static_cast<uint32_t>(pair % (2 * kAlive)) + 1,
          .name = fmt::format("other.{}.{}", pair, kind == FilterKind::kTopic ? "x" : "*"),
          .kind = kind};
}

void Churner::Turn(const Adapter& adapter, std::vector<char>* room, Parsed* parsed) {
  connection_->Send(adapter.Subscribe({FilterOf(pairs_)}));
  if (pairs_ >= kAlive) connection_->Send(adapter.Unsubscribe(FilterOf(pairs_ - kAlive)));
  ++pairs_;
  const ssize_t got = ::recv(connection_->fd(), room->data(), room->size(), MSG_DONTWAIT);
  if (got <= 0) return;
  std::string& unparsed = connection_->unparsed();
  unparsed.append(room->data(), static_cast<size_t>(got));
  const size_t consumed = adapter.Parse(unparsed, parsed);
  unparsed.erase(0, consumed);
}

}  // namespace sluice::bench
