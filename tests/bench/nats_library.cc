#include <stdexcept>

#include "tests/bench/library_subscriber.h"

#ifdef SLUICE_BENCH_LIBNATS
#include <fmt/format.h>
#include <nats/nats.h>
#endif

namespace sluice::bench {

#ifdef SLUICE_BENCH_LIBNATS

namespace {

void Check(natsStatus status) {
  if (status != NATS_OK) throw std::runtime_error(natsStatus_GetText(status));
}

class NatsSubscriber : public LibrarySubscriber {
 public:
  NatsSubscriber(uint16_t port, const std::string& topic, Tally* tally) {
    Check(natsConnection_ConnectTo(&connection_, fmt::format("nats://127.0.0.1:{}", port).c_str()));
    Check(natsConnection_Subscribe(&subscription_, connection_, topic.c_str(), &OnMessage, tally));
    // The window bounds what waits; a limit here would lose messages.
    Check(natsSubscription_SetPendingLimits(subscription_, -1, -1));
    Check(natsConnection_Flush(connection_));
  }
  NatsSubscriber(const NatsSubscriber&) = delete;
  NatsSubscriber& operator=(const NatsSubscriber&) = delete;
  ~NatsSubscriber() override {
    natsConnection_Close(connection_);
    natsSubscription_Destroy(subscription_);
    natsConnection_Destroy(connection_);
  }

 private:
  static void OnMessage(natsConnection*, natsSubscription*, natsMsg* message, void* tally) {
    static_cast<Tally*>(tally)->OnMessage(
        {natsMsg_GetData(message), static_cast<size_t>(natsMsg_GetDataLength(message))});
    natsMsg_Destroy(message);
  }

  natsConnection* connection_ = nullptr;
  natsSubscription* subscription_ = nullptr;
};

}  // namespace

std::unique_ptr<LibrarySubscriber> SubscribeWithNats(uint16_t port, const std::string& topic, Tally* tally) {
  return std::make_unique<NatsSubscriber>(port, topic, tally);
}

#else

std::unique_ptr<LibrarySubscriber> SubscribeWithNats(uint16_t, const std::string&, Tally*) {
  throw std::runtime_error("built without libnats (libnats-dev)");
}

#endif

}  // namespace sluice::bench
