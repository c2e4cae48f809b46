// A broker that does only what a test tells it to: the test reads the client's frames one by one and writes
// the broker's. For tests of the client that must see every frame, or a broker that misbehaves.
//
//   FakeBroker broker;
//   auto client = ...Connect(broker.url()), on another thread or with kKeepTrying;
//   std::unique_ptr<FakeSession> session = broker.Accept();
//   session->Welcome();                                     // Connect, Connected
//   EXPECT_EQ(session->Read().subscribe().filter(), "a.>");
//   session->Subscribed(1);
//   session->Message(1, "a.b", "payload");
//
// Everything waits up to kPatience and fails the test after that.
//
// Thread safety: none; one thread at a time.
#ifndef SLUICE_TESTS_CLIENT_FAKE_BROKER_H_
#define SLUICE_TESTS_CLIENT_FAKE_BROKER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "protocol/sluice.pb.h"

namespace sluice {

inline constexpr absl::Duration kPatience = absl::Seconds(60);

class FakeSession {
 public:
  explicit FakeSession(int fd) : fd_(fd) {}
  ~FakeSession() { Close(); }
  FakeSession(const FakeSession&) = delete;
  FakeSession& operator=(const FakeSession&) = delete;

  // The client's next frame.
  v1::ClientFrame Read();
  // The next one that is neither a ping nor a pong; pings are answered.
  v1::ClientFrame ReadBusiness();
  // Nothing when none comes within `patience`.
  std::optional<v1::ClientFrame> ReadWithin(absl::Duration patience);
  // The client has ended its direction, and sent nothing but pings before.
  void ExpectEnd();

  void Write(const v1::ServerFrame& frame);
  void WriteBytes(std::string_view bytes);
  // Bytes of one frame, for tests that cut or join them.
  static std::string Bytes(const v1::ServerFrame& frame);

  // What a session begins with unless the test wants something else.
  static v1::Connected DefaultConnected();
  // Takes Connect and answers it.
  v1::Connect Welcome(const v1::Connected& connected = DefaultConnected());
  void Subscribed(uint32_t subscription);
  void Delivery(uint32_t subscription);
  // Behind a Delivery.
  void Message(std::string_view topic, std::string_view payload, std::string_view reply_to = "");
  void Unsubscribed(uint32_t subscription, v1::Reason reason, uint64_t offered);
  void Gap(uint32_t subscription, uint64_t messages, uint64_t offered);
  void Ack(uint64_t id, uint64_t up_to, uint64_t messages, uint64_t matched, uint64_t refused = 0);
  void Pong(uint64_t id);
  void Error(v1::ErrorCode code, uint32_t subscription, uint64_t publish);
  void Goodbye(const v1::Goodbye& goodbye);

  // Both directions, in order: what was written arrives.
  void Close();
  // The client sees a reset; what was not read by it yet may be lost.
  void Reset();
  // The most that the system buffers for the client from now on, so that a test need not send megabytes.
  void ShrinkReceiveBuffer();
  // Bytes that the client has sent and nobody has read here.
  size_t UnreadBytes();

 private:
  int fd_;
  std::string received_;
  // Of it, frames that were read.
  size_t taken_ = 0;
};

class FakeBroker {
 public:
  // Listens on a free port of 127.0.0.1.
  FakeBroker();
  ~FakeBroker();

  uint16_t port() const { return port_; }
  std::string url() const;
  std::unique_ptr<FakeSession> Accept();
  std::unique_ptr<FakeSession> AcceptWithin(absl::Duration patience);

  // The port refuses connections, and accepts them again. It is ours all the time.
  void StopListening();
  void ListenAgain();

 private:
  static int Bind(uint16_t port);
  static uint16_t PortOf(int fd);

  int fd_ = -1;
  uint16_t port_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_CLIENT_FAKE_BROKER_H_
