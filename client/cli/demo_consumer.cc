#include "client/cli/demo_consumer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "client/cli/demo_feed.h"
#include "client/cli/notices.h"

namespace sluice::cli {

using Kind = DemoNews::Kind;
using Reading = DemoRole::Reading;

bool DemoConsumer::Books::in_order() const {
  return std::all_of(feeds.begin(), feeds.end(), [](const auto& feed) {
    return feed.second.repeated() == 0 && feed.second.reordered() == 0;
  });
}

DemoConsumer::DemoConsumer(const DemoRole& role, DemoNews* news)
    : role_(role),
      news_(*news),
      pacer_(role.reading == Reading::kSlowly ? role.reads_per_second : 1, NowNs(), WhenLate::kForget) {}

ClientOptions DemoConsumer::options() {
  ClientOptions options;
  options.incoming_bytes_max = role_.incoming_bytes_max;
  options.callbacks.on_gap = [this](const GapEvent& event) { OnGap(event); };
  options.callbacks.on_slow_consumer = [this](const SlowConsumerEvent& event) { OnSlowConsumer(event); };
  options.callbacks.on_connected = [this](const ConnectedEvent& event) { OnConnected(event); };
  options.callbacks.on_disconnected = [this](const DisconnectedEvent& event) { OnDisconnected(event); };
  options.callbacks.on_error = [this](const ErrorEvent& event) {
    news_.Tell(role_.name, Kind::kError,
               std::string_view(event.status.message().data(), event.status.message().size()));
  };
  return options;
}

absl::Status DemoConsumer::Start(std::unique_ptr<Client> client) {
  client_ = std::move(client);
  SubscribeOptions options;
  options.overflow = role_.overflow;
  options.limits.pending_messages_max = role_.pending_messages_max;
  options.window_bytes = role_.window_bytes;
  // One that reads slowly is not to be given more and more.
  if (role_.reading != Reading::kAtOnce) options.window_bytes_max = role_.window_bytes;
  options.timeout = absl::Seconds(60);
  absl::StatusOr<Subscription> subscription =
      role_.reading == Reading::kAtOnce
          ? client_->Subscribe(
                role_.filter,
                [this](const MessageView& message) { OnMessage(message.topic, message.payload); }, options)
          : client_->SubscribePull(role_.filter, options);
  if (!subscription.ok()) return subscription.status();
  subscription_ = *std::move(subscription);
  return absl::OkStatus();
}

void DemoConsumer::Read(int64_t now_ns, uint64_t published) {
  switch (role_.reading) {
    case Reading::kAtOnce:
      return;
    case Reading::kSlowly:
      for (; pacer_.due_ns() <= now_ns; pacer_.Next(now_ns)) TakeOne();
      return;
    case Reading::kInBatches:
      if (published % (DemoRole::kBatch + DemoRole::kBatchRead) >= DemoRole::kBatch) ReadAll();
      return;
    case Reading::kWhenWarned:
      bool falls_behind = false;
      {
        client::MutexLock lock(&mutex_);
        falls_behind = falls_behind_;
      }
      if (falls_behind) awake_ = true;
      if (!awake_) return;
      ReadAll();
      awake_ = falls_behind;
      return;
  }
}

void DemoConsumer::ReadAll() {
  if (role_.reading == Reading::kAtOnce) return;
  while (TakeOne() == Taken::kMessage) {
  }
}

DemoConsumer::Taken DemoConsumer::TakeOne() {
  const absl::StatusOr<ReceivedMessage> message = subscription_.Next(absl::ZeroDuration());
  if (!message.ok()) return Taken::kNothing;
  OnMessage(message->topic(), message->payload());
  return Taken::kMessage;
}

DemoConsumer::Books DemoConsumer::books() const {
  client::MutexLock lock(&mutex_);
  return books_;
}

void DemoConsumer::OnMessage(std::string_view topic, std::string_view payload) {
  const std::optional<uint64_t> sequence = SequenceOf(payload);
  client::MutexLock lock(&mutex_);
  ++books_.received;
  if (!sequence.has_value()) return;
  const std::string_view name = FeedOf(topic);
  auto feed = books_.feeds.find(name);
  if (feed == books_.feeds.end()) feed = books_.feeds.emplace(name, SequenceCheck()).first;
  feed->second.OnReceived(*sequence);
  auto newest = books_.newest.find(topic);
  if (newest == books_.newest.end()) {
    books_.newest.emplace(topic, *sequence);
  } else {
    if (*sequence <= newest->second) ++books_.older_than_newest;
    newest->second = *sequence;
  }
}

void DemoConsumer::OnGap(const GapEvent& event) {
  news_.Tell(role_.name, Kind::kGap, Describe(event));
  client::MutexLock lock(&mutex_);
  ++books_.gaps;
  (event.cause == GapCause::kConflated ? books_.conflated : books_.dropped) += event.messages;
}

void DemoConsumer::OnSlowConsumer(const SlowConsumerEvent& event) {
  const bool raised = event.state == SlowConsumerEvent::State::kRaised;
  // What is in the books has been told.
  news_.Tell(role_.name, raised ? Kind::kFallingBehind : Kind::kKeepingUp, Describe(event));
  client::MutexLock lock(&mutex_);
  falls_behind_ = raised;
  ++(raised ? books_.warnings : books_.recoveries);
}

void DemoConsumer::OnConnected(const ConnectedEvent& event) {
  if (event.reconnects == 0) return;
  news_.Tell(role_.name, Kind::kConnected, Describe(event));
  if (!event.previous.has_value()) return;
  client::MutexLock lock(&mutex_);
  CountLosses(event.previous->losses);
  if (!IsSlowConsumer(event.previous->reason)) return;
  ++books_.cuts;
  books_.received_at_last_cut = books_.received;
  books_.cut_text = event.previous->text;
}

void DemoConsumer::OnDisconnected(const DisconnectedEvent& event) {
  if (event.reason == Reason::kClientClosed) return;
  {
    client::MutexLock lock(&mutex_);
    CountLosses(event.losses);
    falls_behind_ = false;
  }
  news_.Tell(role_.name, Kind::kDisconnected, Describe(event));
}

void DemoConsumer::CountLosses(const std::vector<SubscriptionLoss>& losses) {
  for (const SubscriptionLoss& loss : losses) books_.lost += loss.told_at_end + loss.lost;
}

}  // namespace sluice::cli
