#include "tests/bench/publisher.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

namespace sluice::bench {
namespace {

// One send carries about so much; at least one message.
constexpr size_t kBatchBytes = 64 << 10;

}  // namespace

Publisher::Publisher(std::unique_ptr<Connection> connection, const Adapter& adapter)
    : connection_(std::move(connection)),
      message_bytes_(adapter.Message().bytes.size()),
      topic_digits_offset_(adapter.Message().topic_digits_offset),
      payload_offset_(adapter.Message().payload_offset) {
  const std::string message = adapter.Message().bytes;
  const size_t messages = std::max<size_t>(1, kBatchBytes / message.size());
  for (size_t i = 0; i < messages; ++i) buffer_.insert(buffer_.end(), message.begin(), message.end());
}

void Publisher::Add(uint32_t topic, const Stamp& stamp) {
  char* const message = buffer_.data() + filled_;
  WriteTopicDigits(topic, message + topic_digits_offset_);
  WriteStamp(stamp, message + payload_offset_);
  filled_ += message_bytes_;
}

FlushOutcome Publisher::Flush() {
  if (HasUnsent()) {
    const ssize_t sent = ::send(connection_->fd(), buffer_.data() + sent_, filled_ - sent_, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN ? FlushOutcome::kBlocked : FlushOutcome::kClosed;
    sent_ += static_cast<size_t>(sent);
    if (HasUnsent()) return FlushOutcome::kBlocked;
  }
  sent_ = filled_ = 0;
  return FlushOutcome::kSent;
}

void Publisher::ReadAnswers(const Adapter& adapter, std::vector<char>* room, Parsed* parsed) {
  std::string& unparsed = connection_->unparsed();
  for (;;) {
    const ssize_t got = ::recv(connection_->fd(), room->data(), room->size(), 0);
    if (got <= 0) return;
    unparsed.append(room->data(), static_cast<size_t>(got));
    unparsed.erase(0, adapter.Parse(unparsed, parsed));
    if (static_cast<size_t>(got) < room->size()) return;
  }
}

}  // namespace sluice::bench
