// A message that was pulled, and keeps its own bytes alive.
//
//   absl::StatusOr<sluice::ReceivedMessage> message = subscription.Next(absl::Seconds(1));
//   if (message.ok()) std::cout << message->topic() << ": " << message->payload() << '\n';
//
// The views point into the block of bytes that came from the network, without a copy; the block (256 KiB, or
// as large as one large message) lives as long as any message of it. Copy what you want to keep for long.
//
// Public header of the client library. Thread safety: none for one object; different messages on different
// threads are fine.
#ifndef SLUICE_CLIENT_MESSAGE_H_
#define SLUICE_CLIENT_MESSAGE_H_

#include <cstdint>
#include <string_view>
#include <utility>

#include "client/export.h"
#include "protocol/message_view.h"

namespace sluice {

namespace client {
class Chunk;
}

inline namespace client_v1 {

class SLUICE_EXPORT ReceivedMessage {
 public:
  ReceivedMessage() = default;
  ReceivedMessage(ReceivedMessage&& other) noexcept;
  ReceivedMessage& operator=(ReceivedMessage&& other) noexcept;
  ~ReceivedMessage();

  // Valid as long as this object is, also after it was moved to its present place.
  const MessageView& view() const { return view_; }
  std::string_view topic() const { return view_.topic; }
  std::string_view payload() const { return view_.payload; }
  std::string_view reply_to() const { return view_.reply_to; }
  // The first header of that name; empty when there is none.
  std::string_view header(std::string_view name) const;

  // Messages that the broker told missing between the one before and this one.
  uint64_t missed_before() const { return missed_before_; }

  // For the library: takes over one reference to the bytes of `view`.
  ReceivedMessage(client::Chunk* chunk, MessageView view, uint64_t missed_before)
      : chunk_(chunk), view_(std::move(view)), missed_before_(missed_before) {}

 private:
  client::Chunk* chunk_ = nullptr;
  MessageView view_;
  uint64_t missed_before_ = 0;
};

// The first header of that name; empty when there is none.
SLUICE_EXPORT std::string_view FindHeader(const MessageView& message, std::string_view name);

}  // namespace client_v1
}  // namespace sluice

#endif  // SLUICE_CLIENT_MESSAGE_H_
