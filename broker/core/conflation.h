// The newest message of each key only: what a subscription with the policy `conflate` keeps while it is
// behind. Internal to the broker.
//
// Until its socket is full a queue holds slices like any other. Then each message stands in it alone, in a
// chunk of its own, and a newer one of the same key (its topic, or the value of a header) takes the place of
// the one that waits: O(1). The place stays, so a key that changes often does not keep others waiting, and
// the order is that of the first message that each key waits with. The frame in flight has left the queue and
// is never replaced.
//
//   Conflation conflation(/*key_header=*/"", account);
//   conflation.Begin(&queue);                          // what waits already
//   conflation.Offer(slice, now, &queue);              // a newer message takes its older one's place
//   Missing replaced = conflation.TakeUntold();        // for a Gap in front of the queue
//   conflation.End();                                  // it has drained
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CORE_CONFLATION_H_
#define SLUICE_BROKER_CORE_CONFLATION_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "broker/core/chunk.h"
#include "broker/core/gap.h"
#include "broker/core/send_queue.h"
#include "broker/core/slice.h"
#include "protocol/message_view.h"

namespace sluice {

class Conflation {
 public:
  // `key_header`: the header whose value is the key; empty, or a message without it: the topic is. `account`
  // outlives it.
  Conflation(std::string_view key_header, MemoryAccount* account)
      : key_header_(key_header), account_(account) {}
  Conflation(const Conflation&) = delete;
  Conflation& operator=(const Conflation&) = delete;
  ~Conflation() { ForgetPlaces(); }

  const std::string& key_header() const { return key_header_; }

  // From Begin() to End() it is active: nothing else is pushed to the queue, but for frames in place. Those
  // that take messages return what was replaced.
  bool active() const { return phase_ == Phase::kActive; }
  Missing Begin(SendQueue* queue);
  Missing Offer(const Slice& slice, absl::Time enqueued_at, SendQueue* queue);
  void End();

  // What was replaced since the last call.
  Missing TakeUntold() { return std::exchange(untold_, Missing()); }

 private:
  void OfferOne(std::string_view frame, absl::Time enqueued_at, SendQueue* queue, Missing* replaced);
  // Valid until the next call.
  std::string_view KeyOf(std::string_view frame);
  void ForgetPlaces();
  void ForgetThoseThatLeft(const SendQueue& queue);

  const std::string key_header_;
  MemoryAccount* const account_;
  enum class Phase : uint8_t { kIdle, kActive } phase_ = Phase::kIdle;
  // Where the key's message waits, or waited: SendQueue::number.
  absl::flat_hash_map<std::string, int64_t> places_;
  // What they take, in the account.
  int64_t places_bytes_ = 0;
  Missing untold_;
  MessageView view_;
  std::string key_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CORE_CONFLATION_H_
