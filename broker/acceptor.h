// Takes new connections, and says "full" to those for whom there is no room. Internal to the broker.
//
//   acceptor.Accept(now, &accepted);                 // the listener's event
//   for (Accepted& connection : accepted) ...        // a slot says whether it may stay
//   poller.Modify(listener...) when interest() changed
//
// Out of descriptors or memory the broker goes on serving: one connection after the other is taken with a
// spare descriptor, told why, and closed; when even that fails the listener pauses for a moment.
//
// Thread safety: owned by one shard; ConnectionSlots by any thread.
#ifndef SLUICE_BROKER_ACCEPTOR_H_
#define SLUICE_BROKER_ACCEPTOR_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "broker/log.h"
#include "broker/net/address.h"
#include "broker/net/listener_socket.h"
#include "broker/net/poller.h"
#include "broker/net/socket.h"
#include "metrics/counters.h"

namespace sluice {

// How many connections may be open, over all shards.
class ConnectionSlots {
 public:
  explicit ConnectionSlots(uint64_t slots_max) : slots_max_(slots_max) {}

  // One place, held until it is destroyed. Empty: there was none.
  class [[nodiscard]] Slot {
   public:
    Slot() = default;
    Slot(Slot&& other) noexcept : slots_(std::exchange(other.slots_, nullptr)) {}
    Slot& operator=(Slot&& other) noexcept {
      std::swap(slots_, other.slots_);
      return *this;
    }
    ~Slot() {
      if (slots_ != nullptr) slots_->used_.fetch_sub(1, std::memory_order_relaxed);
    }
    explicit operator bool() const { return slots_ != nullptr; }

   private:
    friend class ConnectionSlots;
    explicit Slot(ConnectionSlots* slots) : slots_(slots) {}
    ConnectionSlots* slots_ = nullptr;
  };

  Slot Take() {
    if (used_.fetch_add(1, std::memory_order_relaxed) < slots_max_) return Slot(this);
    used_.fetch_sub(1, std::memory_order_relaxed);
    return Slot();
  }
  uint64_t slots_max() const { return slots_max_; }

 private:
  const uint64_t slots_max_;
  std::atomic<uint64_t> used_{0};
};

struct Accepted {
  net::Socket socket;
  net::SocketAddress peer;
  // Empty: over the maximum; it is to be turned away.
  ConnectionSlots::Slot slot;
};

class Acceptor {
 public:
  // Everything outlives the acceptor.
  Acceptor(net::ListenerSocket listener, const net::SocketOptions& options, ConnectionSlots* slots,
           ShardCounters* counters, Logger* log);

  // Takes those who wait, at most kAcceptsPerTurnMax: with a level-triggered listener the others come next.
  void Accept(absl::Time now, std::vector<Accepted>* accepted);

  // kNothing while it pauses.
  net::Interest interest() const {
    return paused_until_ == absl::InfiniteFuture() ? net::Interest::kReadLevel : net::Interest::kNothing;
  }
  // When to call Resume(): InfiniteFuture() while it does not pause.
  absl::Time paused_until() const { return paused_until_; }
  void Resume() { paused_until_ = absl::InfiniteFuture(); }

  int fd() const { return listener_.fd(); }
  const net::SocketAddress& address() const { return listener_.address(); }

 private:
  enum class Next { kGoOn, kStop };
  Next OutOfDescriptors(absl::Time now, int error);
  void Pause(absl::Time now, int error);

  net::ListenerSocket listener_;
  const net::SocketOptions options_;
  // Made beforehand: when it is needed, the process has run out of one thing already.
  const std::string full_goodbye_;
  ConnectionSlots* const slots_;
  ShardCounters* const counters_;
  Logger* const log_;
  net::SpareDescriptor spare_;
  // Said in the log once per episode, not per connection.
  enum class Trouble { kNone, kTold } trouble_ = Trouble::kNone;
  absl::Time paused_until_ = absl::InfiniteFuture();
};

inline constexpr int kAcceptsPerTurnMax = 64;

}  // namespace sluice

#endif  // SLUICE_BROKER_ACCEPTOR_H_
