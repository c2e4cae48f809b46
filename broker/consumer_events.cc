#include "broker/consumer_events.h"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>

#include "protocol/names.h"
#include "protocol/publish.h"

namespace sluice {
namespace {

struct Topics {
  std::string_view name;
  std::string_view json;
  std::string_view protobuf;
};

Topics TopicsOf(v1::ConsumerEvent::Kind kind) {
  switch (kind) {
    case v1::ConsumerEvent::KIND_SLOW:
      return {"slow", "$sys.consumer.slow", "$sys.consumer.slow.protobuf"};
    case v1::ConsumerEvent::KIND_RECOVERED:
      return {"recovered", "$sys.consumer.recovered", "$sys.consumer.recovered.protobuf"};
    case v1::ConsumerEvent::KIND_DISCONNECTED:
      return {"disconnected", "$sys.consumer.disconnected", "$sys.consumer.disconnected.protobuf"};
    default:
      return {};
  }
}

class JsonObject {
 public:
  void Add(std::string_view name, std::string_view text) {
    if (text.empty()) return;
    Begin(name);
    json_ += '"';
    for (const char byte : text) {
      if (byte == '"' || byte == '\\') json_ += '\\';
      if (static_cast<unsigned char>(byte) < 0x20) {
        fmt::format_to(std::back_inserter(json_), "\\u{:04x}", static_cast<unsigned char>(byte));
      } else {
        json_ += byte;
      }
    }
    json_ += '"';
  }
  void Add(std::string_view name, uint64_t number) {
    if (number == 0) return;
    Begin(name);
    fmt::format_to(std::back_inserter(json_), "{}", number);
  }
  std::string Take() { return std::move(json_) + "}"; }

 private:
  void Begin(std::string_view name) {
    fmt::format_to(std::back_inserter(json_), "{}\"{}\":", json_.size() == 1 ? "" : ",", name);
  }

  std::string json_ = "{";
};

std::string_view NameUnlessNone(v1::Reason reason) {
  return reason == v1::REASON_UNSPECIFIED ? std::string_view() : ReasonName(reason);
}

}  // namespace

std::string ToJson(const v1::ConsumerEvent& event) {
  JsonObject json;
  json.Add("event", TopicsOf(event.kind()).name);
  json.Add("client_name", event.client_name());
  json.Add("address", event.address());
  json.Add("session", event.session());
  json.Add("reason", NameUnlessNone(event.reason()));
  json.Add("subscription", event.subscription());
  json.Add("filter", event.filter());
  json.Add("limit", NameUnlessNone(event.limit()));
  json.Add("limit_value", event.limit_value());
  json.Add("value", event.value());
  json.Add("soft_time_ms", event.soft_time_ms());
  json.Add("pending_bytes", event.pending_bytes());
  json.Add("pending_messages", event.pending_messages());
  if (event.cause() != v1::LAG_CAUSE_UNSPECIFIED) json.Add("cause", LagCauseName(event.cause()));
  json.Add("drain_bytes_per_second", event.drain_bytes_per_second());
  json.Add("feed_bytes_per_second", event.feed_bytes_per_second());
  json.Add("time_to_limit_ms", event.time_to_limit_ms());
  json.Add("lagging_ms", event.lagging_ms());
  json.Add("retry_after_ms", event.retry_after_ms());
  json.Add("cuts_in_a_row", event.cuts_in_a_row());
  json.Add("suppressed", event.suppressed());
  return json.Take();
}

bool ConsumerEvents::wanted(v1::ConsumerEvent::Kind kind) {
  const Topics topics = TopicsOf(kind);
  return !index_->Match(topics.json).empty() || !index_->Match(topics.protobuf).empty();
}

void ConsumerEvents::Add(v1::ConsumerEvent event, absl::Time now) {
  const std::optional<uint64_t> suppressed = rate_.Admit(now);
  if (!suppressed.has_value()) return;
  event.set_suppressed(*suppressed);
  events_.push_back(std::move(event));
}

void ConsumerEvents::Publish() {
  for (const v1::ConsumerEvent& event : std::exchange(events_, {})) {
    const Topics topics = TopicsOf(event.kind());
    PublishOn(topics.json, ToJson(event));
    PublishOn(topics.protobuf, event.SerializeAsString());
    published_.Add();
  }
}

void ConsumerEvents::PublishOn(std::string_view topic, std::string_view payload) {
  const std::span<FilterGroup* const> groups = index_->Match(topic);
  if (groups.empty()) return;
  const MessageView message = {.topic = topic, .payload = payload};
  std::string frame(PublishFrameBytes(message), '\0');
  WritePublishFrame(message, frame.data());
  const uint32_t offset = chunk_->Append(frame);
  // Nobody waits for the numbers of these.
  fan_out_->Take(groups, chunk_->chunk(), offset, static_cast<uint32_t>(frame.size()), nullptr);
}

}  // namespace sluice
