// A client that speaks the protocol by generated code and hides nothing: for tests of the broker over real
// sockets, well-behaved or not.
//
//   WireClient client(broker.port());
//   client.Connect("dashboard");
//   client.Subscribe(1, "ticks.>");
//   client.Publish("ticks.IBM", "142.50");
//   EXPECT_EQ(client.NextMessage().message.payload(), "142.50");
//   client.EndInput();
//   client.ExpectGoodbye(v1::REASON_CLIENT_CLOSED);
//
// It reads only when it is asked for something. Whoever waits for one kind of frame keeps the others for
// later, in their order, and throws std::runtime_error when the session ends instead, or after two minutes of
// silence.
//
// Thread safety: none.
#ifndef SLUICE_TESTS_SUPPORT_WIRE_CLIENT_H_
#define SLUICE_TESTS_SUPPORT_WIRE_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "broker/net/socket.h"
#include "protocol/sluice.pb.h"
#include "tests/support/socket_pair.h"

namespace sluice::testing {

// A frame of a client as bytes, its length first.
std::string Encode(const v1::ClientFrame& frame);
// That of a publish.
std::string PublishFrame(std::string_view topic, std::string_view payload, std::string_view reply_to = "");
// A varint, not cut to what the protocol allows as a length.
std::string Varint(uint64_t value);

struct SubscribeOptions {
  std::string queue_group = {};
  uint64_t pending_bytes_max = 0;
  uint64_t pending_messages_max = 0;
  uint64_t pending_age_max_ms = 0;
  uint64_t pending_bytes_soft = 0;
  uint64_t pending_messages_soft = 0;
  uint64_t pending_age_soft_ms = 0;
  uint64_t soft_time_ms = 0;
  v1::OverflowPolicy overflow = v1::OVERFLOW_POLICY_DEFAULT;
  std::string conflate_header = {};
  uint64_t window_bytes = 0;
};

struct DeliveredMessage {
  uint32_t subscription = 0;
  v1::Message message;
};

class WireClient {
 public:
  // Connects the socket and says nothing. A small receive buffer makes a client that does not read block the
  // broker soon.
  explicit WireClient(uint16_t port, const SocketPairOptions& options = {});
  // Speaks over a socket that has connected already.
  explicit WireClient(net::Socket socket);
  WireClient(WireClient&&) = default;
  WireClient& operator=(WireClient&&) = default;

  // Says Connect and waits for the answer.
  v1::Connected Connect(std::string_view name, std::string_view previous_session = "");
  // The Connected of Connect().
  const v1::Connected& connected() const { return connected_; }

  // Waits until the kernel took all of it; throws when the connection breaks or nothing is taken for two minutes.
  void Send(const v1::ClientFrame& frame) { SendRaw(Encode(frame)); }
  void SendRaw(std::string_view bytes);
  // As much as the kernel takes, however little; false when the connection is broken.
  bool TrySendRaw(std::string_view bytes);

  // Waits for Subscribed.
  v1::Subscribed Subscribe(uint32_t id, std::string_view filter, const SubscribeOptions& options = {});
  // Says it and waits for nothing.
  void SendSubscribe(uint32_t id, std::string_view filter, const SubscribeOptions& options = {});
  void SendUnsubscribe(uint32_t id, uint64_t after_messages = 0);
  void SendCredit(uint32_t id, uint64_t granted_bytes);
  void SendPing(uint64_t id);
  void SendAckRequest(uint64_t id);
  void Publish(std::string_view topic, std::string_view payload, std::string_view reply_to = "");

  // A barrier: asks for a PublishAck, or a pong, and waits for it.
  v1::PublishAck Ack();
  void Ping();

  // The next frame; nothing at the end of the stream, or when the connection broke.
  std::optional<v1::ServerFrame> NextFrame();
  // The next frame if it has come; nothing otherwise, also at the end.
  std::optional<v1::ServerFrame> PollFrame();
  // The next of that kind.
  v1::ServerFrame NextOf(v1::ServerFrame::FrameCase kind);
  // The next message, with the subscription that the last Delivery named.
  DeliveredMessage NextMessage();
  v1::Error ExpectError(v1::ErrorCode code);
  // Reads up to Goodbye, which must be of that reason, and the end of the stream behind it.
  v1::Goodbye ExpectGoodbye(v1::Reason reason);
  // Reads to the end of the stream; how many messages came, and the Goodbye if there was one.
  struct Rest {
    uint64_t messages = 0;
    std::optional<v1::Goodbye> goodbye;
  };
  Rest ReadToEnd();

  // Reads what there is without waiting, for NextFrame() to hand out later; at most `bytes_max`. Returns how
  // much came.
  size_t ReadAvailable(size_t bytes_max);

  // Ends our direction.
  void EndInput() { socket_.ShutdownWrite(); }
  // Closes so that the broker gets a reset.
  void Reset();
  void Close() { socket_.Close(); }
  net::Socket& socket() { return socket_; }

 private:
  enum class Fill { kBytes, kNothing, kEnd };
  Fill ReadSome(size_t bytes_max);
  std::optional<v1::ServerFrame> ParseNext();
  // Keeps one more frame; false at the end.
  bool KeepNext();
  v1::ServerFrame TakeKept(std::initializer_list<v1::ServerFrame::FrameCase> kinds);

  net::Socket socket_;
  v1::Connected connected_;
  std::string input_;
  size_t parsed_ = 0;
  std::deque<v1::ServerFrame> kept_;
  uint32_t current_subscription_ = 0;
  uint64_t next_id_ = 1'000'000;
};

}  // namespace sluice::testing

#endif  // SLUICE_TESTS_SUPPORT_WIRE_CLIENT_H_
