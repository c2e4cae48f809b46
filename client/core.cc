#include "client/core.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <random>
#include <utility>

#include "client/answer.h"
#include "client/thread.h"
#include "client/url.h"
#include "protocol/names.h"
#include "protocol/topic.h"

namespace sluice::client {
namespace {

constexpr size_t kNameBytesMax = 128;

absl::Status CheckOptions(const ClientOptions& options) {
  const bool has_control = std::any_of(options.name.begin(), options.name.end(),
                                       [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; });
  if (options.name.size() > kNameBytesMax || has_control || !IsValidUtf8(options.name)) {
    return absl::InvalidArgumentError(
        fmt::format("the client's name must be at most {} bytes of UTF-8 without control characters: \"{}\"",
                    kNameBytesMax, Printable(options.name)));
  }
  if (options.connect_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("connect_timeout must be positive");
  }
  if (options.reconnect_delay_first <= absl::ZeroDuration() ||
      options.reconnect_delay_max < options.reconnect_delay_first) {
    return absl::InvalidArgumentError(
        "reconnect_delay_first must be positive and at most reconnect_delay_max");
  }
  if (options.outgoing_bytes_max == 0 || options.incoming_bytes_max == 0) {
    return absl::InvalidArgumentError("outgoing_bytes_max and incoming_bytes_max must not be 0");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Server>> ParseAll(const std::vector<std::string>& texts) {
  std::vector<Server> servers;
  for (const std::string& text : texts) {
    absl::StatusOr<std::vector<Server>> some = ParseServers(text);
    if (!some.ok()) return some.status();
    servers.insert(servers.end(), some->begin(), some->end());
  }
  if (servers.empty()) return absl::InvalidArgumentError("no server is given");
  return servers;
}

absl::Status NotInTime(std::string_view what) {
  return absl::DeadlineExceededError(fmt::format("{} did not come in time", what));
}

}  // namespace

Core::Core(ClientOptions options, std::vector<Server> servers)
    : options_(std::move(options)),
      events_(options_.callbacks, &dispatcher_),
      budget_(options_.incoming_bytes_max, &wakeup_),
      outbox_(options_.outgoing_bytes_max, &wakeup_),
      table_(&outbox_),
      connection_(IoParts{.options = options_,
                          .outbox = outbox_,
                          .table = table_,
                          .requests = requests_,
                          .events = events_,
                          .budget = budget_,
                          .lifecycle = lifecycle_,
                          .counters = counters_,
                          .wakeup = wakeup_},
                  std::move(servers), options_.seed != 0 ? options_.seed : std::random_device()()) {}

absl::StatusOr<std::shared_ptr<Core>> Core::Connect(ClientOptions options) {
  absl::Status status = CheckOptions(options);
  if (!status.ok()) return status;
  absl::StatusOr<std::vector<Server>> servers = ParseAll(options.servers);
  if (!servers.ok()) return servers.status();
  const InitialConnect initial = options.initial_connect;
  auto core = std::make_shared<Core>(std::move(options), *std::move(servers));
  status = core->Start();
  if (!status.ok()) return status;
  if (initial == InitialConnect::kOnce && !core->WaitConnected(absl::InfiniteDuration()).ok()) {
    return core->Close(absl::ZeroDuration());
  }
  return core;
}

absl::Status Core::Start() {
  const absl::Status opened = wakeup_.Open();
  if (!opened.ok()) return opened;
  dispatcher_.Start();
  MutexLock lock(&joining_);
  io_thread_ = StartThread("sluice-io", [this] { connection_.Run(); });
  return absl::OkStatus();
}

absl::Status Core::CheckMayWait() const {
  if (!outbox_.OnIoThread()) return absl::OkStatus();
  return absl::FailedPreconditionError("an inline handler must not wait for the broker");
}

bool Core::InsideCallback() const {
  if (dispatcher_.OnThread() || outbox_.OnIoThread()) return true;
  const auto all = table_.All();
  return std::any_of(all.begin(), all.end(), [](const auto& state) { return state->RunsHere(); });
}

// ---- publishing ----

absl::Status Core::Publish(const MessageView& message, WhenFull when_full) {
  // The clock is read only when somebody will look.
  absl::Status status = outbox_.Publish(message, {.when_full = WhenFull::kFail});
  if (when_full == WhenFull::kFail || !absl::IsResourceExhausted(status)) return status;
  return outbox_.Publish(message, {.deadline = DeadlineIn(options_.publish_timeout)});
}

absl::StatusOr<PublishReceipt> Core::PublishWithAck(const MessageView& message, absl::Duration timeout) {
  absl::Status status = CheckMayWait();
  if (!status.ok()) return status;
  const absl::Time deadline = DeadlineIn(timeout);
  auto answer = std::make_shared<Answer<absl::StatusOr<PublishReceipt>>>();
  status = outbox_.Publish(
      message, {.deadline = deadline,
                .ack = [answer](const absl::StatusOr<PublishReceipt>& receipt) { answer->Set(receipt); }});
  if (!status.ok()) return status;
  return answer->Wait(deadline).value_or(
      NotInTime("the broker's acknowledgement (it may or may not have the message)"));
}

AckCallback Core::OnDispatcher(AckCallback done) {
  return [this, done = std::move(done)](const absl::StatusOr<PublishReceipt>& receipt) {
    dispatcher_.Post([done, receipt] { done(receipt); });
  };
}

absl::Status Core::PublishWithAck(const MessageView& message, AckCallback done) {
  if (!done) return absl::InvalidArgumentError("no callback is given");
  return outbox_.Publish(
      message, {.deadline = DeadlineIn(options_.publish_timeout), .ack = OnDispatcher(std::move(done))});
}

absl::StatusOr<PublishReceipt> Core::Confirm(absl::Duration timeout) {
  absl::Status status = CheckMayWait();
  if (!status.ok()) return status;
  const absl::Time deadline = DeadlineIn(timeout);
  auto answer = std::make_shared<Answer<absl::StatusOr<PublishReceipt>>>();
  status = outbox_.RequestReceipt(
      [answer](const absl::StatusOr<PublishReceipt>& receipt) { answer->Set(receipt); });
  if (!status.ok()) return status;
  return answer->Wait(deadline).value_or(NotInTime("the broker's acknowledgement"));
}

absl::Status Core::Confirm(AckCallback done) {
  if (!done) return absl::InvalidArgumentError("no callback is given");
  return outbox_.RequestReceipt(OnDispatcher(std::move(done)));
}

absl::Status Core::Ping(PingKind kind, absl::Duration timeout) {
  absl::Status status = CheckMayWait();
  if (!status.ok()) return status;
  const absl::Time deadline = DeadlineIn(timeout);
  auto answer = std::make_shared<Answer<absl::Status>>();
  status = outbox_.Ping(kind, [answer](absl::Status pong) { answer->Set(std::move(pong)); });
  if (!status.ok()) return status;
  return answer->Wait(deadline).value_or(NotInTime("the broker's answer"));
}

// ---- subscribing ----

absl::StatusOr<Subscription> Core::Subscribe(std::string_view filter, MessageHandler handler,
                                             SubscribeOptions options) {
  absl::Status status = ValidateFilter(filter);
  if (!status.ok()) return status;
  if (options.window_bytes > options.window_bytes_max) options.window_bytes_max = options.window_bytes;
  // What is under way must find room, or one subscription would stop the reading for all.
  const uint64_t window_bytes_max = std::max<uint64_t>(options_.incoming_bytes_max / 2, 1);
  options.window_bytes = std::min(options.window_bytes, window_bytes_max);
  options.window_bytes_max = std::min(options.window_bytes_max, window_bytes_max);
  const Confirmation confirmation = options.confirmation;
  const absl::Time deadline = DeadlineIn(options.timeout);
  if (confirmation == Confirmation::kWait) {
    status = CheckMayWait();
    if (!status.ok()) return status;
  }
  const std::shared_ptr<Core> self = shared_from_this();
  absl::StatusOr<std::shared_ptr<SubscriptionState>> state =
      table_.Add(std::string(filter), std::move(options), std::move(handler),
                 {.table = std::shared_ptr<SubscriptionTable>(self, &table_),
                  .budget = &budget_,
                  .dispatcher = &dispatcher_,
                  .events = &events_,
                  .on_io_thread = [this] { return outbox_.OnIoThread(); }});
  if (!state.ok()) return state.status();
  // Should it fail from here on, the destructor takes it back.
  Subscription subscription(*state);
  if (confirmation == Confirmation::kWait) {
    status = (*state)->WaitConfirmed(deadline);
    if (!status.ok()) return status;
  }
  return subscription;
}

// ---- request, reply ----

absl::Status Core::PublishRequest(const MessageView& message, const InboxAddress& inbox, uint64_t id,
                                  const PublishOptions& options) {
  const std::string reply_to = fmt::format("{}.{}", inbox.topic, Requests::Token(id));
  MessageView request = message;
  request.reply_to = reply_to;
  const absl::Status status = outbox_.Publish(request, options);
  if (!status.ok()) static_cast<void>(requests_.Forget(id));
  return status;
}

absl::StatusOr<ReceivedMessage> Core::Request(const MessageView& message, absl::Duration timeout) {
  absl::Status status = CheckMayWait();
  if (!status.ok()) return status;
  if (!message.reply_to.empty())
    return absl::InvalidArgumentError("a request gets its reply_to from the library");
  const absl::Time deadline = DeadlineIn(timeout);
  InboxAddress inbox;
  while (inbox.session == 0) {
    status = lifecycle_.WaitConnected(deadline);
    if (absl::IsDeadlineExceeded(status)) return absl::UnavailableError(status.message());
    if (!status.ok()) return status;
    inbox = table_.Inbox();
  }
  auto answer = std::make_shared<Answer<absl::StatusOr<ReceivedMessage>>>();
  const uint64_t id = requests_.Add(absl::InfiniteFuture(), [answer](absl::StatusOr<ReceivedMessage> reply) {
    answer->Set(std::move(reply));
  });
  status =
      PublishRequest(message, inbox, id, {.deadline = deadline, .request = id, .session = inbox.session});
  if (!status.ok()) return status;
  std::optional<absl::StatusOr<ReceivedMessage>> reply = answer->Wait(deadline);
  // Not known any more: it is being answered in this moment.
  if (!reply && requests_.Forget(id) == Known::kNo) reply = answer->Wait(absl::InfiniteFuture());
  if (!reply) return absl::DeadlineExceededError("no reply came in time");
  return *std::move(reply);
}

absl::Status Core::Request(const MessageView& message, absl::Duration timeout, ReplyCallback done) {
  if (!done) return absl::InvalidArgumentError("no callback is given");
  if (!message.reply_to.empty())
    return absl::InvalidArgumentError("a request gets its reply_to from the library");
  const InboxAddress inbox = table_.Inbox();
  if (inbox.session == 0) return absl::UnavailableError("not connected");
  const absl::Time deadline = DeadlineIn(timeout);
  const uint64_t id =
      requests_.Add(deadline, [this, done = std::move(done)](absl::StatusOr<ReceivedMessage> reply) {
        // A std::function has to be copyable, a message is not.
        auto shared = std::make_shared<absl::StatusOr<ReceivedMessage>>(std::move(reply));
        dispatcher_.Post([done, shared] { done(std::move(*shared)); });
      });
  // The I/O thread may sleep longer than this deadline.
  wakeup_.Notify();
  return PublishRequest(message, inbox, id, {.deadline = deadline, .request = id, .session = inbox.session});
}

// ---- the whole ----

absl::Status Core::WaitConnected(absl::Duration timeout) {
  const absl::Status status = CheckMayWait();
  return status.ok() ? lifecycle_.WaitConnected(DeadlineIn(timeout)) : status;
}

absl::Status Core::Drain(absl::Duration timeout) {
  if (InsideCallback()) return absl::FailedPreconditionError("a handler or callback cannot wait for itself");
  const absl::Time deadline = DeadlineIn(timeout);
  const auto left = [deadline] { return std::max(deadline - MonotonicNow(), absl::ZeroDuration()); };
  const auto all = table_.All();
  for (const auto& state : all) table_.Drain(state.get());
  absl::Status status;
  for (const auto& state : all) status.Update(state->WaitEnd(deadline).status());
  // Handlers have published their last; with no connection there is nothing to wait for.
  if (lifecycle_.state() == ClientState::kConnected) status.Update(Ping(PingKind::kFlush, left()));
  status.Update(Close(left()));
  return status;
}

absl::Status Core::Close(absl::Duration timeout) {
  lifecycle_.RequestClose(DeadlineIn(timeout));
  outbox_.StopPublishing();
  wakeup_.Notify();
  if (InsideCallback()) {
    table_.Close(WaitForCall::kNo);
    return absl::OkStatus();
  }
  table_.Close(WaitForCall::kYes);
  {
    MutexLock lock(&joining_);
    if (io_thread_.joinable()) io_thread_.join();
    dispatcher_.Stop();
  }
  return lifecycle_.WaitClosed();
}

std::vector<SubscriptionInfo> Core::subscriptions() const {
  std::vector<SubscriptionInfo> all;
  for (const auto& state : table_.All()) {
    all.push_back({.id = state->id(), .filter = state->filter(), .stats = state->stats()});
  }
  return all;
}

ClientStats Core::stats() const {
  const absl::Time now = MonotonicNow();
  const Outbox::Stats outgoing = outbox_.stats();
  return {
      .state = lifecycle_.state(),
      .reconnects = counters_.reconnects.value(),
      .messages_published = outgoing.published,
      .messages_received = counters_.messages_received.value(),
      .bytes_sent = counters_.bytes_sent.value(),
      .bytes_received = counters_.bytes_received.value(),
      .sends = counters_.sends.value(),
      .receives = counters_.receives.value(),
      .outgoing_bytes = outgoing.bytes,
      .outgoing_messages = outgoing.messages,
      .publishes_unknown = outgoing.unknown,
      .broker =
          counters_.broker_paused.running() ? PausedEvent::State::kPaused : PausedEvent::State::kResumed,
      .incoming_bytes = budget_.bytes(),
      .reading = counters_.reading_paused.running() ? Reading::kPausedBufferFull : Reading::kOn,
      .reading_pauses = counters_.reading_paused.count(),
      .reading_paused_for = counters_.reading_paused.Total(now),
  };
}

}  // namespace sluice::client
