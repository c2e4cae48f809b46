#include "client/client.h"

#include <utility>

#include "client/core.h"

namespace sluice {
inline namespace client_v1 {

using client::MonotonicNow;
using client::PingKind;
using client::WhenFull;

Client::Client(std::shared_ptr<client::Core> core) : core_(std::move(core)) {}

Client::~Client() { static_cast<void>(core_->Close(core_->close_timeout())); }

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(ClientOptions options) {
  absl::StatusOr<std::shared_ptr<client::Core>> core = client::Core::Connect(std::move(options));
  if (!core.ok()) return core.status();
  return std::unique_ptr<Client>(new Client(*std::move(core)));
}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(std::string_view servers) {
  ClientOptions options;
  options.servers = {std::string(servers)};
  return Connect(std::move(options));
}

absl::Status Client::Publish(const MessageView& message) { return core_->Publish(message, WhenFull::kWait); }

absl::Status Client::Publish(std::string_view topic, std::string_view payload) {
  return Publish(MessageView{.topic = topic, .payload = payload});
}

absl::Status Client::TryPublish(const MessageView& message) {
  return core_->Publish(message, WhenFull::kFail);
}

absl::StatusOr<PublishReceipt> Client::PublishWithAck(const MessageView& message, absl::Duration timeout) {
  return core_->PublishWithAck(message, timeout);
}

absl::Status Client::PublishWithAck(const MessageView& message, AckCallback done) {
  return core_->PublishWithAck(message, std::move(done));
}

absl::StatusOr<PublishReceipt> Client::Confirm(absl::Duration timeout) { return core_->Confirm(timeout); }

absl::Status Client::Confirm(AckCallback done) { return core_->Confirm(std::move(done)); }

absl::Status Client::Flush(absl::Duration timeout) { return core_->Ping(PingKind::kFlush, timeout); }

absl::StatusOr<absl::Duration> Client::Ping(absl::Duration timeout) {
  const absl::Time began = MonotonicNow();
  const absl::Status status = core_->Ping(PingKind::kRoundTrip, timeout);
  if (!status.ok()) return status;
  return MonotonicNow() - began;
}

absl::StatusOr<Subscription> Client::Subscribe(std::string_view filter, MessageHandler handler,
                                               SubscribeOptions options) {
  if (!handler) return absl::InvalidArgumentError("no handler is given");
  return core_->Subscribe(filter, std::move(handler), std::move(options));
}

absl::StatusOr<Subscription> Client::SubscribePull(std::string_view filter, SubscribeOptions options) {
  return core_->Subscribe(filter, nullptr, std::move(options));
}

absl::StatusOr<ReceivedMessage> Client::Request(const MessageView& message, absl::Duration timeout) {
  return core_->Request(message, timeout);
}

absl::Status Client::Request(const MessageView& message, absl::Duration timeout, ReplyCallback done) {
  return core_->Request(message, timeout, std::move(done));
}

absl::Status Client::Reply(const MessageView& request, std::string_view payload) {
  if (request.reply_to.empty()) return absl::InvalidArgumentError("this message wants no reply");
  return Publish(MessageView{.topic = request.reply_to, .payload = payload});
}

absl::Status Client::WaitConnected(absl::Duration timeout) { return core_->WaitConnected(timeout); }

absl::Status Client::Drain(absl::Duration timeout) { return core_->Drain(timeout); }

absl::Status Client::Close(absl::Duration timeout) { return core_->Close(timeout); }

ClientState Client::state() const { return core_->state(); }

ServerInfo Client::server() const { return core_->server(); }

ClientStats Client::stats() const { return core_->stats(); }
std::vector<SubscriptionInfo> Client::subscriptions() const { return core_->subscriptions(); }

}  // namespace client_v1
}  // namespace sluice
