#include "client/message.h"

#include "client/chunk.h"

namespace sluice {
inline namespace client_v1 {

ReceivedMessage::ReceivedMessage(ReceivedMessage&& other) noexcept
    : chunk_(std::exchange(other.chunk_, nullptr)),
      view_(std::exchange(other.view_, MessageView())),
      missed_before_(other.missed_before_) {}

ReceivedMessage& ReceivedMessage::operator=(ReceivedMessage&& other) noexcept {
  std::swap(chunk_, other.chunk_);
  std::swap(view_, other.view_);
  std::swap(missed_before_, other.missed_before_);
  return *this;
}

ReceivedMessage::~ReceivedMessage() {
  if (chunk_ != nullptr) chunk_->Unref();
}

std::string_view ReceivedMessage::header(std::string_view name) const { return FindHeader(view_, name); }

std::string_view FindHeader(const MessageView& message, std::string_view name) {
  for (const HeaderView& header : message.headers) {
    if (header.name == name) return header.value;
  }
  return {};
}

}  // namespace client_v1
}  // namespace sluice
