// A small broker that does the main things right and nothing more, on one thread of its own: for tests of the
// client under load and with lost connections, for its examples, and for programs that were built against the
// installed library, without the real broker.
//
//   MiniBroker broker;
//   auto client = Client::Connect(broker.url());
//   broker.ResetAll();                                // every client sees a reset
//
// It matches topics by walking all subscriptions, copies each message for each of them, and bounds nothing.
//
// Thread safety: all methods from any thread.
#ifndef SLUICE_TESTS_CLIENT_MINI_BROKER_H_
#define SLUICE_TESTS_CLIENT_MINI_BROKER_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "protocol/publish.h"
#include "protocol/sluice.pb.h"

namespace sluice {

class MiniBroker {
 public:
  // Listens on a free port of 127.0.0.1.
  MiniBroker();
  ~MiniBroker();

  uint16_t port() const { return port_; }
  std::string url() const { return "sluice://127.0.0.1:" + std::to_string(port_); }
  // Resets every connection, once, soon.
  void ResetAll() { resets_wanted_.fetch_add(1); }
  uint64_t resets() const { return resets_.load(); }
  // Publishes of all sessions so far.
  uint64_t publishes() const { return publishes_.load(); }

 private:
  struct Subscription {
    std::string filter;
    std::string queue_group;
    uint64_t offered = 0;
    // 0: for ever.
    uint64_t messages_max = 0;
  };
  struct Session {
    int fd = -1;
    bool connected = false;
    bool ended = false;
    std::string id;
    std::string inbox;
    std::string in;
    std::string out;
    std::map<uint32_t, Subscription> subscriptions;
    uint32_t delivering_to = 0;
    // Publishes, and what happened to them since the last AckRequest.
    uint64_t publishes = 0;
    v1::PublishAck since;
  };

  void Run();
  void Accept();
  void Read(Session* session);
  void Take(Session* session, std::string_view body, std::string_view frame);
  void TakeConnect(Session* session, const v1::Connect& connect);
  void TakePublish(Session* session, const PublishView& message, std::string_view frame);
  void TakeUnsubscribe(Session* session, const v1::Unsubscribe& unsubscribe);
  void Offer(Session* session, uint32_t id, std::string_view frame);
  void EndSubscription(Session* session, uint32_t id, v1::Reason reason);
  void Flush(Session* session);
  v1::Goodbye Farewell(const Session& session, v1::Reason reason) const;
  void Reset(Session* session);
  static void Say(Session* session, const v1::ServerFrame& frame);

  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> resets_wanted_{0};
  std::atomic<uint64_t> resets_{0};
  std::atomic<uint64_t> publishes_{0};
  std::vector<std::unique_ptr<Session>> sessions_;
  std::map<std::string, v1::Goodbye> ended_;
  uint64_t last_session_ = 0;
  uint64_t deals_ = 0;
  std::thread thread_;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_CLIENT_MINI_BROKER_H_
