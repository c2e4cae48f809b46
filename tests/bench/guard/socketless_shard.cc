#include "tests/bench/guard/socketless_shard.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace sluice::bench {
namespace {

// What a broker has without a configuration file.
constexpr uint32_t kChunkBytes = 256 << 10;
constexpr uint64_t kFlushBytesMax = uint64_t{4} << 20;
// Large enough that nobody is cut, but there, so that they are judged.
constexpr QueueLimits kQueueLimits = {uint64_t{1} << 30, uint64_t{1} << 30, absl::Minutes(1)};

}  // namespace

std::string PublishFrame(std::string_view topic, size_t payload_bytes) {
  const std::string payload(payload_bytes, 'x');
  const MessageView message = {.topic = topic, .payload = payload};
  std::string frame(PublishFrameBytes(message), '\0');
  WritePublishFrame(message, frame.data());
  return frame;
}

WriteResult CountingTransport::Write(std::span<const iovec> pieces) {
  if (stuck()) return {WriteStatus::kWouldBlock, 0};
  size_t bytes = 0;
  for (const iovec& piece : pieces) bytes += piece.iov_len;
  bytes = std::min(bytes, write_bytes_max_);
  taken_bytes_ += bytes;
  return {WriteStatus::kTaken, bytes};
}

SocketlessShard::SocketlessShard(size_t cached_topics_max)
    : limits_{.session_bytes_max = uint64_t{1} << 30,
              .control_bytes_max = uint64_t{1} << 20,
              .write_timeout = absl::Minutes(1)},
      pool_(kChunkBytes, &memory_),
      read_chunk_(&pool_),
      index_(cached_topics_max),
      fan_out_(&pool_),
      scratch_(std::make_unique<WriteScratch>()) {}

SocketlessShard::~SocketlessShard() {
  for (const auto& session : sessions_) {
    session->subscriber.ForEachSubscription(
        [this](Subscription* subscription) { index_.Detach(subscription); });
  }
}

SocketlessShard::Session* SocketlessShard::AddSubscriber() {
  sessions_.push_back(std::make_unique<Session>(sessions_.size(), &limits_, &memory_, &backlogs_));
  return sessions_.back().get();
}

void SocketlessShard::Subscribe(Session* session, uint32_t id, std::string_view filter,
                                std::string_view queue_group) {
  Subscription* subscription = session->subscriber.Add(id, kQueueLimits, v1::OVERFLOW_POLICY_DISCONNECT);
  index_.Attach(subscription, index_.FindOrCreate(filter, queue_group));
  session->subscriber.TellSubscribed(id, 0);
}

void SocketlessShard::AddPublisher(std::string frames, uint32_t read_bytes) {
  sources_.push_back(std::make_unique<Source>());
  sources_.back()->frames = std::move(frames);
  sources_.back()->read_bytes = read_bytes;
}

void SocketlessShard::RunTurn() {
  now_ += absl::Milliseconds(1);
  for (const auto& source : sources_) Read(source.get());
  while (Subscriber* subscriber = fan_out_.Next(now_)) Flush(sessions_[subscriber->token()].get());
  for (const auto& session : sessions_) {
    while (session->subscriber.blocked() && !session->transport.stuck()) {
      session->subscriber.BecameWritable();
      Flush(session.get());
    }
  }
  fan_out_.TakeReport();
}

void SocketlessShard::Read(Source* source) {
  const std::span<char> room = source->reader.Room(&read_chunk_);
  const size_t bytes =
      std::min({room.size(), size_t{source->read_bytes}, source->frames.size() - source->at});
  std::memcpy(room.data(), source->frames.data() + source->at, bytes);
  source->at = (source->at + bytes) % source->frames.size();
  source->reader.Received(&read_chunk_, static_cast<uint32_t>(bytes));
  ReceivedFrame frame;
  PublishView view;
  while (source->reader.Next(&read_chunk_, FrameBodyBytesMax(publish_limits_), &frame) ==
         FrameStatus::kFrame) {
    if (!IsPublish(frame.body) || source->publisher.Publish(frame, publish_limits_, &index_, &fan_out_,
                                                            &view) != PublishOutcome::kTaken) {
      throw std::logic_error("the script has a frame that is refused");
    }
  }
}

void SocketlessShard::Flush(Session* session) {
  if (!session->subscriber.wants_flush()) return;
  const FlushResult result =
      session->subscriber.Flush(&session->transport, scratch_.get(), kFlushBytesMax, now_);
  delivered_messages_ += result.messages_sent;
}

}  // namespace sluice::bench
