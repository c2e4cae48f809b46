// A consumer of `sluice demo`: a client with one subscription, which reads as its role says, and keeps the books of
// what came and what it was told.
//
//   DemoConsumer screen({.name = "screen", .filter = "ticks.>", .overflow = OverflowPolicy::kDropOldest,
//                        .reading = Reading::kSlowly, .reads_per_second = 500}, &news);
//   screen.Start(*std::move(client));                    // of one that was made with screen.options()
//   screen.Read(NowNs(), published);                     // what it takes until now; never waits
//   screen.books().dropped
//
// Thread safety: one owner; callbacks and handler run on the client's dispatch thread.
#ifndef SLUICE_CLIENT_CLI_DEMO_CONSUMER_H_
#define SLUICE_CLIENT_CLI_DEMO_CONSUMER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "client/cli/demo_news.h"
#include "client/cli/pacer.h"
#include "client/cli/sequence_check.h"
#include "client/client.h"
#include "client/mutex.h"

namespace sluice::cli {

struct DemoRole {
  enum class Reading {
    kAtOnce,      // keeps up
    kSlowly,      // reads_per_second
    kWhenWarned,  // nothing, until the broker says that it falls behind; then all
    kInBatches,   // nothing, while kBatch messages are published for it; then all, while kBatchRead are
  };

  static constexpr uint64_t kBatch = 6000;
  static constexpr uint64_t kBatchRead = 2000;

  std::string_view name;
  std::string_view filter;
  OverflowPolicy overflow = OverflowPolicy::kDisconnect;
  // As `sluice sub --overflow` has it.
  std::string_view policy = "disconnect";
  Reading reading = Reading::kAtOnce;
  double reads_per_second = 0;
  // 0: the broker's default.
  uint64_t pending_messages_max = 0;
  // As in SubscribeOptions and ClientOptions.
  uint64_t window_bytes = 256 << 10;
  uint64_t incoming_bytes_max = 32 << 20;
  // What to see of it.
  std::string_view see;
};

class DemoConsumer {
 public:
  struct Books {
    uint64_t received = 0;
    // Told by gaps.
    uint64_t dropped = 0;
    uint64_t conflated = 0;
    uint64_t gaps = 0;
    // Told when a session had ended.
    uint64_t lost = 0;
    uint64_t warnings = 0;
    // Told that it keeps up again.
    uint64_t recoveries = 0;
    // As a slow consumer, as it was told when it came back.
    uint64_t cuts = 0;
    uint64_t received_at_last_cut = 0;
    std::string cut_text = {};
    // Of each feed: what came, by its numbers.
    std::map<std::string, SequenceCheck, std::less<>> feeds = {};
    // The number of the last message of each topic.
    std::map<std::string, uint64_t, std::less<>> newest = {};
    // Messages that came behind a later one of their topic.
    uint64_t older_than_newest = 0;

    uint64_t missed() const { return dropped + conflated + lost; }
    // Of whole feeds; a conflated message stands where the one was that it replaced, so there only topics have an order.
    bool in_order() const;
  };

  // `news` outlives it.
  DemoConsumer(const DemoRole& role, DemoNews* news);

  const DemoRole& role() const { return role_; }
  ClientOptions options();
  absl::Status Start(std::unique_ptr<Client> client);

  // `published`: messages that its filter matches, so far.
  void Read(int64_t now_ns, uint64_t published);
  // All that is there, whatever its role.
  void ReadAll();
  Books books() const;

 private:
  enum class Taken { kMessage, kNothing };

  void OnMessage(std::string_view topic, std::string_view payload);
  void OnGap(const GapEvent& event);
  void OnSlowConsumer(const SlowConsumerEvent& event);
  void OnConnected(const ConnectedEvent& event);
  void OnDisconnected(const DisconnectedEvent& event);
  void CountLosses(const std::vector<SubscriptionLoss>& losses) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Taken TakeOne();

  const DemoRole role_;
  DemoNews& news_;
  Pacer pacer_;
  bool awake_ = false;

  mutable client::Mutex mutex_;
  Books books_ ABSL_GUARDED_BY(mutex_);
  bool falls_behind_ ABSL_GUARDED_BY(mutex_) = false;

  // Last: their callbacks use the others.
  std::unique_ptr<Client> client_;
  Subscription subscription_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_DEMO_CONSUMER_H_
