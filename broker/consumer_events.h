// What the broker publishes by itself about slow consumers, for operators who subscribe to it. Internal to the
// broker.
//
//   ConsumerEvents events(&index, &fan_out, &read_chunk, &counters.consumer_events);
//   if (events.wanted(v1::ConsumerEvent::KIND_SLOW)) events.Add(std::move(event), now);
//   ...
//   events.Publish();   // before the turn's fan-out
//
// Each event has two topics: `$sys.consumer.slow` (recovered, disconnected) with JSON, for people and scripts,
// and `$sys.consumer.slow.protobuf` with a v1::ConsumerEvent. So `sluice sub '$sys.consumer.*'` shows lines
// that can be read, and nothing twice.
//
// Events are published like messages, to subscribers on all shards, ten per second and a hundred at once; how
// many were left out stands in the next one.
//
// Thread safety: owned by one shard.
#ifndef SLUICE_BROKER_CONSUMER_EVENTS_H_
#define SLUICE_BROKER_CONSUMER_EVENTS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "broker/core/chunk.h"
#include "broker/core/fan_out.h"
#include "broker/core/filter_index.h"
#include "broker/log.h"
#include "metrics/counters.h"
#include "protocol/consumer_event.pb.h"

namespace sluice {

// One line without its end. Members are called as the fields, reasons and causes as in the log; what is 0 or
// empty is left out.
std::string ToJson(const v1::ConsumerEvent& event);

class ConsumerEvents {
 public:
  // All of them outlive it.
  ConsumerEvents(FilterIndex* index, FanOut* fan_out, OpenChunk* chunk, Counter* published)
      : index_(index), fan_out_(fan_out), chunk_(chunk), published_(*published) {}

  // Whether anybody, on any shard, subscribes to such events.
  bool wanted(v1::ConsumerEvent::Kind kind);

  // To be published, unless there were too many. Who has not looked at wanted() wastes others' share of that.
  void Add(v1::ConsumerEvent event, absl::Time now);

  bool empty() const { return events_.empty(); }

  // Hands what was added to the fan-out.
  void Publish();

 private:
  void PublishOn(std::string_view topic, std::string_view payload);

  FilterIndex* const index_;
  FanOut* const fan_out_;
  OpenChunk* const chunk_;
  Counter& published_;
  RateLimit rate_{10, 100};
  std::vector<v1::ConsumerEvent> events_;
};

}  // namespace sluice

#endif  // SLUICE_BROKER_CONSUMER_EVENTS_H_
