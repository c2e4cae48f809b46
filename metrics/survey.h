// What the HTTP side asks of all subscriptions, and what the shards answer.
//
//   SurveyRequest request;
//   request.sort = SurveyRequest::Sort::kAge;
//   request.consumers_max = 20;
//   const SurveyAnswer answer = source->Survey(request, absl::Seconds(1));
//   answer.distributions.pending_bytes ...           // of all
//   answer.consumers.front().consumer ...            // of the one whose oldest message is oldest
//
// Thread safety: plain values.
#ifndef SLUICE_METRICS_SURVEY_H_
#define SLUICE_METRICS_SURVEY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "metrics/counters.h"
#include "protocol/admin.pb.h"

namespace sluice {

// One client's session, "SHARD-NUMBER".
struct SessionName {
  uint32_t shard = 0;
  uint64_t token = 0;

  std::string ToString() const;
  friend bool operator==(const SessionName&, const SessionName&) = default;
};

// One subscription of it, "SHARD-NUMBER.SUBSCRIPTION", or without one the session.
struct ConsumerName {
  SessionName session;
  std::optional<uint32_t> subscription;

  std::string ToString() const;
  // nullopt: neither.
  static std::optional<ConsumerName> Parse(std::string_view text);
  friend bool operator==(const ConsumerName&, const ConsumerName&) = default;
};

google::protobuf::Timestamp ToTimestamp(absl::Time time);

struct SurveyRequest {
  enum class Sort {
    kPending,  // bytes that wait
    kAge,      // of the oldest message that waits
    kDropped,  // messages left out by its policy
    kStalled,  // for how long its socket has not taken everything
  };
  Sort sort = Sort::kPending;
  // How many to describe: those with the most. 0: none.
  size_t consumers_max = 0;
  // Only those whose filter matches; empty: all.
  std::string topic = {};
  // Only this one, or those of this session.
  std::optional<ConsumerName> only = {};
};

// What the shards say about all their subscriptions.
struct SubscriptionDistributions {
  Distribution pending_bytes;
  Distribution pending_messages;
  Distribution oldest_age_ms;
  // Of the limit of which most is used.
  ShareDistribution limit_share;
  double oldest_age_seconds_max = 0;
  uint64_t subscriptions = 0;
  // Shards that did not answer in time: their subscriptions are missing above.
  uint32_t shards_missing = 0;

  void Merge(const SubscriptionDistributions& other);
};

struct SurveyedConsumer {
  // By which they are sorted.
  uint64_t key = 0;
  admin::Consumer consumer;
};

struct SurveyAnswer {
  SubscriptionDistributions distributions;
  // The largest key first.
  std::vector<SurveyedConsumer> consumers;

  // Of another shard; keeps the first `consumers_max` of both.
  void Merge(SurveyAnswer other, size_t consumers_max);
};

}  // namespace sluice

#endif  // SLUICE_METRICS_SURVEY_H_
