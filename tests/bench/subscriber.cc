#include "tests/bench/subscriber.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

namespace sluice::bench {

ReadOutcome Subscriber::Read(const Adapter& adapter, std::vector<char>* room, Parsed* parsed) {
  std::string& unparsed = connection_->unparsed();
  std::copy(unparsed.begin(), unparsed.end(), room->begin());
  const ssize_t got =
      ::recv(connection_->fd(), room->data() + unparsed.size(), room->size() - unparsed.size(), 0);
  if (got <= 0) return got < 0 && errno == EAGAIN ? ReadOutcome::kOpen : ReadOutcome::kClosed;
  std::string_view bytes(room->data(), unparsed.size() + static_cast<size_t>(got));
  const size_t skipped = std::min(skip_bytes_, bytes.size());
  skip_bytes_ -= skipped;
  bytes.remove_prefix(skipped);
  const size_t consumed = adapter.Parse(bytes, parsed);
  if (consumed > bytes.size()) {
    skip_bytes_ = consumed - bytes.size();
    unparsed.clear();
  } else {
    unparsed.assign(bytes.substr(consumed));
  }
  return ReadOutcome::kOpen;
}

}  // namespace sluice::bench
