#include <fmt/format.h>

#include <stdexcept>
#include <utility>

#include "client/client.h"
#include "tests/bench/library_subscriber.h"

namespace sluice::bench {
namespace {

class SluiceSubscriber : public LibrarySubscriber {
 public:
  SluiceSubscriber(uint16_t port, const std::string& topic, Delivery delivery, Tally* tally) {
    auto client = Client::Connect(fmt::format("sluice://127.0.0.1:{}", port));
    if (!client.ok()) throw std::runtime_error(client.status().ToString());
    client_ = *std::move(client);
    SubscribeOptions options;
    options.run = delivery == Delivery::kInline ? Run::kInline : Run::kOnDispatchThread;
    auto subscription = client_->Subscribe(
        topic, [tally](const MessageView& message) { tally->OnMessage(message.payload); }, options);
    if (!subscription.ok()) throw std::runtime_error(subscription.status().ToString());
    subscription_ = *std::move(subscription);
  }

 private:
  std::unique_ptr<Client> client_;
  Subscription subscription_;
};

}  // namespace

std::unique_ptr<LibrarySubscriber> SubscribeWithSluice(uint16_t port, const std::string& topic,
                                                       Delivery delivery, Tally* tally) {
  return std::make_unique<SluiceSubscriber>(port, topic, delivery, tally);
}

}  // namespace sluice::bench
