#include "tests/support/bystanders.h"

#include <stdexcept>
#include <string>
#include <string_view>

#include "fmt/format.h"

namespace sluice::testing {
namespace {

constexpr std::string_view kTopic = "bystanders.beat";

}  // namespace

Bystanders::Bystanders(uint16_t port) : publisher_(port), subscriber_(port) {
  publisher_.Connect("bystander (publisher)");
  subscriber_.Connect("bystander (subscriber)");
  subscriber_.Subscribe(1, "bystanders.>");
}

void Bystanders::Beat(int messages) {
  for (int i = 0; i < messages; ++i) publisher_.Publish(kTopic, std::to_string(++published_));
  while (received_ < published_) {
    const std::optional<v1::ServerFrame> frame = subscriber_.NextFrame();
    if (!frame.has_value()) throw std::runtime_error("a bystander was disconnected");
    if (frame->has_server_ping() || frame->has_delivery()) continue;
    if (!frame->has_message() || frame->message().payload() != std::to_string(received_ + 1)) {
      throw std::runtime_error(fmt::format("a bystander got frame {} (\"{}\") instead of message {}",
                                           static_cast<int>(frame->frame_case()), frame->message().payload(),
                                           received_ + 1));
    }
    ++received_;
  }
}

void Bystanders::Leave() {
  subscriber_.SendUnsubscribe(1);
  const v1::Unsubscribed end = subscriber_.NextOf(v1::ServerFrame::kUnsubscribed).unsubscribed();
  if (end.offered() != published_) {
    throw std::runtime_error(
        fmt::format("{} offered to a bystander instead of {}", end.offered(), published_));
  }
  const v1::PublishAck ack = publisher_.Ack();
  // Somebody else may have subscribed to everything, too.
  if (ack.messages() != published_ || ack.queued() < published_ || ack.dropped() + ack.refused() > 0) {
    throw std::runtime_error(fmt::format("of {} published by a bystander {} were counted and {} queued",
                                         published_, ack.messages(), ack.queued()));
  }
}

}  // namespace sluice::testing
