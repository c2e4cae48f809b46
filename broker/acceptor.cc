#include "broker/acceptor.h"

#include <string>

#include "broker/net/error_text.h"
#include "protocol/frame.h"
#include "protocol/sluice.pb.h"

namespace sluice {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(100);

std::string FullGoodbye() {
  v1::ServerFrame frame;
  frame.mutable_goodbye()->set_reason(v1::REASON_OUT_OF_RESOURCES);
  frame.mutable_goodbye()->set_text("the broker is out of file descriptors");
  frame.mutable_goodbye()->set_retry_after_ms(1000);
  std::string bytes;
  AppendFrame(frame, &bytes);
  return bytes;
}

}  // namespace

Acceptor::Acceptor(net::ListenerSocket listener, const net::SocketOptions& options, ConnectionSlots* slots,
                   ShardCounters* counters, Logger* log)
    : listener_(std::move(listener)),
      options_(options),
      full_goodbye_(FullGoodbye()),
      slots_(slots),
      counters_(counters),
      log_(log) {
  (void)spare_.Refill();
}

void Acceptor::Accept(absl::Time now, std::vector<Accepted>* accepted) {
  for (int i = 0; i < kAcceptsPerTurnMax; ++i) {
    net::AcceptResult result = listener_.Accept();
    switch (result.status) {
      case net::AcceptStatus::kAccepted: {
        trouble_ = Trouble::kNone;
        if (spare_.state() == net::SpareState::kMissing) (void)spare_.Refill();
        counters_->connections_accepted.Add();
        if (const absl::Status applied = result.socket.Apply(options_); !applied.ok()) {
          log_->Debug("socket option refused",
                      {{"address", result.peer.ToString()}, {"error", std::string(applied.message())}});
        }
        ConnectionSlots::Slot slot = slots_->Take();
        if (!slot) counters_->connections_refused.Add();
        accepted->push_back({std::move(result.socket), result.peer, std::move(slot)});
        break;
      }
      case net::AcceptStatus::kWouldBlock:
        return;
      case net::AcceptStatus::kAborted:
        break;
      case net::AcceptStatus::kOutOfDescriptors:
        counters_->accept_errors.Add();
        if (OutOfDescriptors(now, result.error) == Next::kStop) return;
        break;
      case net::AcceptStatus::kOutOfMemory:
      case net::AcceptStatus::kError:
        counters_->accept_errors.Add();
        return Pause(now, result.error);
    }
  }
}

Acceptor::Next Acceptor::OutOfDescriptors(absl::Time now, int error) {
  if (trouble_ == Trouble::kNone) {
    trouble_ = Trouble::kTold;
    log_->Error("out of file descriptors: new connections are turned away",
                {{"error", net::ErrorText(error)}});
  }
  if (spare_.Refill() == net::SpareState::kMissing) {
    Pause(now, error);
    return Next::kStop;
  }
  spare_.Release();
  net::AcceptResult shed = listener_.Accept();
  Next next = Next::kGoOn;
  if (shed.status == net::AcceptStatus::kAccepted) {
    counters_->connections_refused.Add();
    const iovec piece = {const_cast<char*>(full_goodbye_.data()), full_goodbye_.size()};
    (void)shed.socket.Write({&piece, 1});
    shed.socket.ShutdownWrite();
    shed.socket.Close();
  } else {
    // Nobody waited after all, or another thread took the place.
    next = Next::kStop;
  }
  if (spare_.Refill() == net::SpareState::kMissing) {
    Pause(now, error);
    next = Next::kStop;
  }
  return next;
}

void Acceptor::Pause(absl::Time now, int error) {
  if (trouble_ == Trouble::kNone) {
    trouble_ = Trouble::kTold;
    log_->Error("cannot accept connections: trying again in a moment", {{"error", net::ErrorText(error)}});
  }
  paused_until_ = now + kPause;
}

}  // namespace sluice
