// A subscriber that reads from its socket only when it is told to, and no more than it is told: what a
// demonstration of slow consumers needs, since the client library always reads ahead.
//
//   absl::StatusOr<std::unique_ptr<RawReceiver>> slow = RawReceiver::Connect("127.0.0.1:7584", "slow-reader",
//   64 << 10);
//   v1::Subscribe pictures;
//   pictures.set_filter("pictures");
//   (*slow)->Subscribe(pictures);
//   (*slow)->Read(1 << 20);                              // now, at most so many bytes
//   for (const v1::ServerFrame& frame : (*slow)->stream()) …
//
// Thread safety: none; one owner.
#ifndef SLUICE_CLIENT_CLI_RAW_RECEIVER_H_
#define SLUICE_CLIENT_CLI_RAW_RECEIVER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/descriptor.h"
#include "protocol/sluice.pb.h"

namespace sluice::cli {

class RawReceiver {
 public:
  // `address` is "IP:PORT". `receive_buffer_bytes`: what the kernel takes for us while we do not read;
  // 0: as it thinks fit.
  static absl::StatusOr<std::unique_ptr<RawReceiver>> Connect(const std::string& address,
                                                              const std::string& name,
                                                              int receive_buffer_bytes);

  // Waits until the broker says that it is in force. There is one subscription, and we choose its number.
  absl::Status Subscribe(v1::Subscribe subscribe);
  // Asks for its end, and does not wait: unsubscribed() stands behind what is on its way.
  absl::Status Unsubscribe();

  // Reads what has come, at most `bytes_max`, and how much that was. 0: nothing yet, or the end.
  absl::StatusOr<uint64_t> Read(uint64_t bytes_max);
  // Leaves without a word.
  void Close() { socket_.Close(); }
  // Readable when there is something to read.
  int fd() const { return socket_.get(); }
  bool ended() const { return ended_; }

  uint64_t bytes_read() const { return bytes_read_; }
  // The messages and gaps that have arrived whole, in their order.
  const std::vector<v1::ServerFrame>& stream() const { return stream_; }
  // Once the broker has said it.
  const std::optional<v1::Unsubscribed>& unsubscribed() const { return unsubscribed_; }
  const std::optional<v1::Goodbye>& goodbye() const { return goodbye_; }

 private:
  explicit RawReceiver(Descriptor socket) : socket_(std::move(socket)) {}

  absl::Status Send(const v1::ClientFrame& frame);
  // Reads until `arrived` says so.
  template <typename Arrived>
  absl::Status ReadUntil(Arrived arrived, const char* what);
  absl::Status TakeFrames();
  absl::Status TakeFrame(std::string_view body);

  Descriptor socket_;
  // The frame that has not arrived whole.
  std::string received_;
  uint64_t bytes_read_ = 0;
  bool ended_ = false;
  bool connected_ = false;
  bool subscribed_ = false;
  std::vector<v1::ServerFrame> stream_;
  std::optional<v1::Unsubscribed> unsubscribed_;
  std::optional<v1::Goodbye> goodbye_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_RAW_RECEIVER_H_
